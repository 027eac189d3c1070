"""Options of the readers. A model keeps them: what is measured is the same wherever it runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from anomalib_lite.config import ReaderConfig

Window = tuple[float, float]
DICOM = (".dcm", ".dicom", ".ima")
SIZES = ("pixel_height_mm", "pixel_width_mm")  # guards: millimetres from row to row, and from column to column
STEP = "slice_step_mm"  # guard: millimetres from slice to slice
VIEWS = ("view_height_mm", "view_width_mm")  # guards: of the whole picture, which a model sees in its own size


class _Values(ReaderConfig):
    channels: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")], ...] = Field((), max_length=16)
    """Words, each of which stands in the name of the file or folder of a co-registered series: [FLAIR, T1]. Files whose
    names differ in it alone are the channels of one image, in this order; of DICOM series of one study their modality
    counts where all words are such, [CT, PT]. A word may stand twice. Default: an image is one series, or what the
    column `channels` of a table says."""
    window: Window | tuple[Window, ...] | None = None
    """Values that become black and white, beyond which all is clipped: [-160, 240] for soft tissue in Hounsfield units;
    with several channels one window for all, or one for each: [[-160, 240], [0, 10]].
    `python -m anomalib_lite_medical window FOLDER` finds percentiles. Default: none; then image.black, image.white."""
    body: float | Literal["otsu"] | None = None
    """What lies above this value, of it the largest piece of a slice with its holes, is inspected; the rest takes no
    part, and a slice without any is passed over. Of several channels the first counts. -300 for CT, 0 for a brain
    without its skull; otsu finds a level for each volume, which must leave 1 to 95 % of it. Default: everything."""

    @model_validator(mode="after")
    def _white_is_above_black(self) -> _Values:
        for low, high in windows_of(self.window):
            if not low < high:
                raise ValueError(f"window [{low:g}, {high:g}]: the first value is not below the second: exchange them")
        return self

    @model_validator(mode="after")
    def _a_window_for_each_channel(self) -> _Values:
        given = len(windows_of(self.window))
        if self.channels and given > 1 and given != len(self.channels):
            raise ValueError(f"{given} windows for {len(self.channels)} channels: give one for all, or one for each")
        return self


def windows_of(window: Any) -> list[Window]:
    """The windows that an option says: none, one for all channels, or one for each."""
    if not window:
        return []
    each = window if isinstance(window[0], tuple | list) else [window]
    return [(float(low), float(high)) for low, high in each]


class DicomOptions(_Values):
    """What is read of DICOM files."""

    colour: bool = False
    """Read pictures in colour, too: endoscopy, dermatology. Else they are refused: most are screenshots of reports."""
    burned_in: bool = False
    """Read pictures that say that text is burnt into them, often a name."""
    suv: bool = False
    """Read PET as standardised uptake values by body weight (SUVbw): Bq/ml by weight, dose and times of the header.
    Channels of other modalities stay. Default: in stored units; Bq/ml of two patients cannot be compared."""


class NiftiOptions(_Values):
    """What is read of NIfTI files."""

    mask: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.-]*$")] | None = None
    """Instead of body, a word: beside each scan lies a mask of what is to be inspected, above 0, on its grid. p7.nii.gz
    has p7_WORD.nii.gz or WORD.nii.gz; with channels, the word is in the place of theirs. Default: none."""
    plane: Literal["axial", "coronal", "sagittal"] = "axial"
    """Slices: seen from below, from the front, or from the patient's left."""

    @model_validator(mode="after")
    def _a_mask_or_a_level(self) -> NiftiOptions:
        if self.mask is not None and self.body is not None:
            raise ValueError("give mask or body, not both: each says what of a slice is inspected")
        return self
