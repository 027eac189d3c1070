"""Judges images in a cluster for whoever needs what `Model.look` gives, in their order: maps, pixels and all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from types import TracebackType
from typing import Protocol, Self

from anomalib_lite.data import absolute
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.engines import Died
from anomalib_lite.engines.cluster import Cluster
from anomalib_lite.errors import AnomalibLiteError, ErrorCode
from anomalib_lite.pipeline.travelling import Travelling
from anomalib_lite.pipeline.workers import Asked

CHUNK = 8  # images of a piece of work: their maps and pixels travel, and lie in memory until they are counted


class Judging(Protocol):
    """Judges images in their order, within a context."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def look(self, images: Iterable[Asked]) -> Iterator[Seen]:
        """The verdicts, in the order of the images."""
        ...


@dataclass(frozen=True)
class Looking:
    """Judges with one model in a cluster."""

    model: Model | Joint
    cluster: Cluster

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing is held here."""

    def look(self, images: Iterable[Asked]) -> Iterator[Seen]:
        """The verdicts, in the order of the images; ERROR where each process that was at work on one was lost.

        Raises:
            AnomalibLiteError: The model cannot be loaded there.
        """
        travelling = Travelling.of(self.model, self.cluster.threads)
        for chunk, outcome in self.cluster.each(_look, travelling, _chunks(images), ordered=True):
            if isinstance(outcome, Died):
                yield from (Seen(self.model.refuse(one.name, str(outcome), ErrorCode.INTERNAL), None) for one in chunk)
            elif isinstance(outcome, AnomalibLiteError):
                raise outcome
            else:
                yield from outcome


def _chunks(images: Iterable[Asked]) -> Iterator[list[Asked]]:
    """The images by a few, with paths that mean the same everywhere."""
    waiting = (
        one._replace(path=absolute(one.path), reference=one.reference and absolute(one.reference)) for one in images
    )
    while chunk := list(islice(waiting, CHUNK)):
        yield chunk


def _look(travelling: Travelling, chunk: list[Asked]) -> list[Seen]:
    """On a node: the verdicts on some images."""
    model = travelling.loaded()
    return [one.by(model) for one in chunk]
