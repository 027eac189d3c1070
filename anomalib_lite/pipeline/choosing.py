"""Operating points to choose from: what each row of a menu certifies and finds, and a model that takes one."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.manifest import Calibration, KnownDefect, Manifest, OperatingPoint
from anomalib_lite.errors import ModelError
from anomalib_lite.evidence.judging import GOOD, found
from anomalib_lite.evidence.known import passing
from anomalib_lite.pipeline.calibrate import Recalibration, at_row, calibrate
from anomalib_lite.pipeline.known import Said
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Registry


@dataclass(frozen=True, slots=True)
class Share:
    """How many defects of a kind are NG, of those that were measured."""

    found: int
    of: int

    @property
    def escapes(self) -> int:
        """Those that are not."""
        return self.of - self.found


@dataclass(frozen=True, slots=True)
class MenuRow:
    """A row of the menu of a model."""

    point: OperatingPoint  # rank, threshold, bound, rate on average
    taken: bool
    planted: Mapping[str, Share]  # by kind
    labelled: Mapping[str, Share]  # labelled test images of the training, by kind of defect
    known: Mapping[str, Share]  # known defects, by kind
    passing: tuple[KnownDefect, ...]  # that are OK by this row: it needs a reason


def menu_rows(model: Bundle) -> list[MenuRow]:
    """Every row of a model's menu, the lowest rank first; none where its calibration leaves no choice."""
    manifest, calibration = model.manifest, model.manifest.calibration
    return [_row(point, model.path, manifest, calibration) for point in calibration.menu]


def use_row(
    model: Path,
    row: int,
    *,
    operator: str,
    because: str,
    accept: str = "",
    out: Path | None = None,
    plugins: Registry | None = None,
) -> Trained:
    """Write a model that takes another row of its menu. Nothing is measured again, and the model of before stays.

    Args:
        model: The model.
        row: Of its menu.
        operator: Who takes it: recorded, with the time.
        because: Why: recorded.
        accept: Why known defects may pass, where some are OK by this row: recorded.
        out: The new model; by default a free name beside the old one, such as `part-row-2`.
        plugins: What is installed, where that was loaded already.

    Raises:
        ConfigError: There is no such row, or `out` exists.
        DataError: Known defects are OK by it and `accept` is empty; or the model does not record what its rows rest on.
    """
    said = Said(operator, because, accept)
    asked = Recalibration(model=model, data=None, row=row, out=out, said=said)
    if out is not None:
        return calibrate(asked, plugins=plugins)
    return beside(model, f"row-{row}", lambda place: calibrate(replace(asked, out=place), plugins=plugins))


def beside(model: Path, what: str, write: Callable[[Path], Trained]) -> Trained:
    """A model by a free name beside another one, and by the next where somebody else takes that meanwhile.

    Args:
        model: The other one.
        what: As of `free_beside`.
        write: Writes it to a place that must be free; raises ModelError where it is not.
    """
    while True:
        place = free_beside(model, what)
        try:
            return write(place)
        except ModelError:
            if not os.path.lexists(place):
                raise


def free_beside(model: Path, what: str) -> Path:
    """A free name beside a model: `part.zip` -> `part-WHAT.zip`, numbered where there is one of that name."""
    model = model.absolute()
    stem, suffix = (model.stem, model.suffix) if model.suffix == ".zip" else (model.name, "")
    number, place = 1, model.with_name(f"{stem}-{what}{suffix}")
    while os.path.lexists(place):
        number += 1
        place = model.with_name(f"{stem}-{what}-{number}{suffix}")
    return place


def last_beside(model: Path, what: str) -> Path:
    """The last one of the models beside a model, by names of `free_beside`, that were calibrated from it; else itself.

    Each repetition of a calibration is paid for only where the next one comes from it, and not from their first.
    """
    model = model.absolute()
    graph = bundle.load(model).manifest.graph_sha256
    stem, suffix = (model.stem, model.suffix) if model.suffix == ".zip" else (model.name, "")
    named = re.compile(rf"{re.escape(f'{stem}-{what}')}(-\d+)?{re.escape(suffix)}")
    found = [(0, "", model)]
    for path in model.parent.iterdir():
        if named.fullmatch(path.name):
            with suppress(ModelError):  # another's, or half written
                manifest = bundle.load(path).manifest
                if manifest.graph_sha256 == graph:
                    found.append((1 + len(manifest.calibration.history), manifest.calibrated or "", path))
    return max(found)[2]


def _row(point: OperatingPoint, path: Path, manifest: Manifest, calibration: Calibration) -> MenuRow:
    taken = point.rank == calibration.reject.allowed
    record = manifest.evidence
    at = calibration if taken or not manifest.known else at_row(_asked(path, point.rank), manifest)
    labelled = [one for one in record.known if one.kind != GOOD] if record else []
    return MenuRow(
        point,
        taken,
        planted=_shares(((one.kind, s) for one in (record.planted if record else ()) for s in one.scores), point.value),
        labelled=_shares(((one.kind, s) for one in labelled for s in one.scores), point.value),
        known=_shares(((one.kind, one.score) for one in manifest.known if one.score is not None), point.value),
        passing=passing(manifest, at.limits if at is not None else None),
    )


def _asked(path: Path, row: int) -> Recalibration:
    return Recalibration(model=path, data=None, row=row)


def _shares(scores: Iterable[tuple[str, float]], threshold: float) -> dict[str, Share]:
    """By kind, how many scores are above a threshold."""
    named = list(scores)
    hits = found([score for _, score in named], threshold)
    counts = Counter(kind for kind, _ in named)
    caught = Counter(kind for (kind, _), hit in zip(named, hits, strict=True) if hit)
    return {kind: Share(caught[kind], number) for kind, number in counts.items()}
