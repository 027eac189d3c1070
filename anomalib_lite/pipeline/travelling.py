"""A model as it travels to where images are judged: it need not lie there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from anomalib_lite import registry
from anomalib_lite.data import absolute
from anomalib_lite.edge.bundle import Bundle, JointBundle
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model


@dataclass(frozen=True)
class Travelling:
    """A bundle with all its files in memory, and how it is loaded."""

    bundle: Bundle | JointBundle
    provider: str
    threads: int
    series: Mapping[Path, Sequence[Path]]  # absolute name of each series of images that was found -> its files

    @classmethod
    def of(cls, model: Model | Joint, threads: int) -> Self:
        """A model that is loaded here, to be loaded elsewhere with so many threads."""
        bundle = model.bundle
        if isinstance(bundle, JointBundle):
            bundle = replace(bundle, members={name: _whole(one) for name, one in bundle.members.items()})
        else:
            bundle = _whole(bundle)
        known = model.opener.catalogue.series.items()
        series = {absolute(name): [absolute(file) for file in files] for name, files in known}
        return cls(bundle, model.runtime.provider, threads, series)

    def loaded(self) -> Model | Joint:
        """The model, once in a process.

        Raises:
            ModelError: It cannot be loaded there.
        """
        key = (self.bundle.model_id, self.provider, self.threads)
        if _Held.key != key:
            readers, bundle = registry.load().readers, self.bundle
            options: dict[str, Any] = {"provider": self.provider, "threads": self.threads, "readers": readers}
            _Held.model = Joint(bundle, **options) if isinstance(bundle, JointBundle) else Model(bundle, **options)
            _Held.key = key
        _Held.model.opener.catalogue.series.update(self.series)
        return _Held.model


class _Held:
    """What a process keeps from one piece of work to the next."""

    key: tuple[str, str, int] | None = None
    model: Model | Joint


def _whole(bundle: Bundle) -> Bundle:
    return replace(bundle, kept={**bundle.kept, **{name: bundle.read(name) for name in bundle.manifest.files}})
