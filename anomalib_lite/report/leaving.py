"""A report that is drawn and written where the work that it tells of has ended."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from anomalib_lite.edge import disk
from anomalib_lite.errors import DataError
from anomalib_lite.report.gallery import Gallery, Section


class WrittenOnLeaving(ABC):
    """A page, written to `out`/report.html on leaving; without `out`, or after an error, there is none."""

    def __init__(self, out: Path | None) -> None:
        self._out = out

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._out is None or error is not None:
            return
        path = self._out / "report.html"
        try:
            disk.write(path, self._drawn().encode("utf-8", "backslashreplace"))  # file names need not be valid Unicode
        except OSError as problem:
            raise DataError(
                f"{path}: the report cannot be written ({problem.strerror}). Make room or choose another folder."
            ) from problem

    @abstractmethod
    def _drawn(self) -> str:
        """The page."""


def named(galleries: Mapping[str, Gallery]) -> list[Section]:
    """The sections of several galleries, each under its name."""
    return [
        Section(f"{name}: {section.title}", section.pictures)
        for name, one in galleries.items()
        for section in one.sections()
    ]
