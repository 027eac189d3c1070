"""What decisions ask of a calibration: what each kind of model can be taught, and the same as a command."""

from __future__ import annotations

from pathlib import Path

from anomalib_lite.data import Folders
from anomalib_lite.edge.manifest import ONCE, Manifest
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.calibrate import Recalibration
from anomalib_lite.review.teaching import Taught


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
