"""Options of the readers. A model keeps them: what is measured is the same wherever it runs."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from anomalib_lite.config import ReaderConfig


class _Values(ReaderConfig):
    window: tuple[float, float] | None = None
    """Values that become black and white, beyond which all is clipped: [-160, 240] for soft tissue in Hounsfield units.
    `python -m anomalib_lite_medical window FOLDER` finds percentiles. Default: none; then image.black, image.white."""
    body: float | None = None
    """What lies above this value, of it the largest piece of a slice with its holes, is inspected; the rest takes no
    part, and a slice without any is passed over. -300 for CT, 0 for a brain without its skull. Default: everything."""

    @model_validator(mode="after")
    def _white_is_above_black(self) -> _Values:
        if self.window is not None and not self.window[0] < self.window[1]:
            raise ValueError(f"window {list(self.window)}: the first value is not below the second: exchange them")
        return self


class DicomOptions(_Values):
    """What is read of DICOM files."""

    colour: bool = False
    """Read pictures in colour, too: endoscopy, dermatology. Else they are refused: most are screenshots of reports."""
    burned_in: bool = False
    """Read pictures that say that text is burnt into them, often a name."""


class NiftiOptions(_Values):
    """What is read of NIfTI files."""

    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    """Slices: seen from below, from the front, or from the patient's left."""
