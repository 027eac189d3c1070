"""What decisions ask of a calibration: what each kind of model can be taught, and the same as a command."""

from __future__ import annotations

from pathlib import Path

from anomalib_lite.data import Folders
from anomalib_lite.data.samples import TRAIN
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import ONCE, Manifest
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.calibrate import Recalibration
from anomalib_lite.pipeline.choosing import free_beside, last_beside
from anomalib_lite.review.teaching import Split, Taught

WHAT = "taught"  # as `free_beside` takes it


def last_taught(model: Path) -> tuple[Path, Manifest]:
    """The model that was taught last of those that were made of this one beside it, so that each repetition is counted.

    Itself where none was; and its manifest.
    """
    path = last_beside(model, WHAT)
    return path, bundle.load(path).manifest


def recalibration(taught: Taught, model: Path, manifest: Manifest) -> tuple[Recalibration, list[str]]:
    """The calibration that counts what was decided, and notes on what this model cannot be taught.

    Args:
        taught: What was decided.
        model: The model.
        manifest: Its.

    Raises:
        DataError: It can be taught nothing of it.
    """
    before, notes = manifest.calibration, list[str]()
    golden, known, exclusions = taught.golden, taught.known, taught.exclusions
    if (golden or exclusions) and (before.approximate or before.simulated):
        what = "simulated images" if before.simulated else "sibling models, by cross-fitting"
        notes.append(f"good images and exclusions are left out: the thresholds of this model come from {what}")
        golden, exclusions = None, ()
    if known and before.per in ONCE:
        notes.append("known defects are left out: this model decides once for a part, and they are single photographs")
        known = None
    if not (golden or known or exclusions):
        raise DataError(f"nothing that this model can be taught. {'; '.join((*taught.notes, *notes))}")
    asked = Recalibration(
        model=model,
        data=golden,
        row=before.row if golden else None,  # a row that a person chose stays chosen
        exclusions=exclusions,
        add=golden is not None,
        known=known,
        folders=Folders(all_good=golden is not None),  # a person decided on each
    )
    return asked, notes


def command(taught: Taught, model: Path | None, last: tuple[Path, Manifest] | None, split: Split) -> list[str]:
    """What a shell runs to teach it, with what is not known in capitals; empty where there is nothing to be taught.

    Args:
        taught: What was decided.
        model: The model; None where nobody gave one.
        last: The one that was taught last, as `last_taught` tells it.
        split: What the good images are for.
    """
    out = str(free_beside(model, WHAT)) if model else "MODEL-taught"
    known = ["--known", str(taught.known)] if taught.known else []
    if split == TRAIN:
        detector = last[1].detector.name if last else "DETECTOR"
        return ["anomalib-lite", "train", detector, str(taught.golden or "DATA"), *known, "--out", out]
    if last:
        try:
            asked, _ = recalibration(taught, *last)
        except DataError:
            return []
    else:
        add = taught.golden is not None
        folders = Folders(all_good=add)
        asked = Recalibration(model=Path("MODEL"), data=taught.golden, add=add, folders=folders, known=taught.known)
    words = ["anomalib-lite", "calibrate", str(asked.model)]
    words += [str(asked.data), "--add", "--all-good"] if asked.data else []
    words += ["--row", str(asked.row)] if asked.row is not None else []
    words += ["--known", str(asked.known)] if asked.known else []
    words += [word for one in asked.exclusions for word in ("--exclude", one.image)]
    words += ["--because", "; ".join(dict.fromkeys(one.because for one in asked.exclusions))] * bool(asked.exclusions)
    return [*words, "--out", out]
