"""A slice with what is marked in it in red, as a DICOM secondary capture, for who has no viewer of segmentations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import __version__
from anomalib_lite.errors import DataError, MissingExtra
from anomalib_lite_medical.geometry import BLANK, header_of, marked, over_source, planes_of

try:
    from pydicom import Dataset
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage, generate_uid
except ImportError as missing:
    raise MissingExtra("pydicom", "medical", "Writing DICOM") from missing

RED, SHARE = np.array([255.0, 0, 0]), 0.35  # colour of what is marked, and how much of it within the outline


def write(path: Path, result: Any, picture: Any, values: NDArray[np.float32]) -> None:
    """One file for a slice. Those of one source series and one model are one series.

    Raises:
        DataError: The source is no DICOM file, or has no number to refer to.
    """
    with over_source():
        _write(path, result, picture, values)


def _write(path: Path, result: Any, picture: Any, values: NDArray[np.float32]) -> None:
    header = header_of(picture, result.image)
    made = FileDataset(path, {}, file_meta=FileMetaDataset(), preamble=bytes(128))
    for name in BLANK:
        setattr(made, name, header[name].value)
    made.StudyInstanceUID = header.StudyInstanceUID
    if header.get("SpecificCharacterSet"):
        made.SpecificCharacterSet = header.SpecificCharacterSet
    _fill(made, header, result, int(picture.meta["frame"]))
    _place(made, header, picture)
    pixels = drawn(picture.pixels, marked(result, picture, values) > 0)
    made.Rows, made.Columns, made.SamplesPerPixel, made.PlanarConfiguration = *pixels.shape[:2], 3, 0
    made.PhotometricInterpretation, made.PixelRepresentation = "RGB", 0
    made.BitsAllocated, made.BitsStored, made.HighBit = 8, 8, 7
    content = pixels.tobytes()
    made.PixelData = content + bytes(len(content) % 2)
    made.save_as(path, enforce_file_format=True)


def _fill(made: FileDataset, header: Dataset, result: Any, frame: int) -> None:
    """What the capture is, and what it is of."""
    made.SOPClassUID, made.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
    made.file_meta.MediaStorageSOPClassUID, made.file_meta.MediaStorageSOPInstanceUID = (
        made.SOPClassUID,
        made.SOPInstanceUID,
    )
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SeriesInstanceUID = generate_uid(entropy_srcs=[str(header.get("SeriesInstanceUID")), result.model_id or ""])
    made.Modality, made.ConversionType, made.SeriesNumber = "OT", "WSD", 302
    made.SeriesDescription = "anomalib-lite: what is marked"
    made.ImageType = ["DERIVED", "SECONDARY"]
    if header.get("BurnedInAnnotation"):  # what is burnt into the source is in its pixels here, too
        made.BurnedInAnnotation = header.BurnedInAnnotation
    made.InstanceNumber = int(header.get("InstanceNumber") or 0) if frame == 1 else frame
    made.Manufacturer, made.SoftwareVersions = "anomalib-lite", __version__
    made.DerivationDescription = f"{result.verdict}, score {result.score:.6g}, model {result.model_id}"
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = header.SOPClassUID, header.SOPInstanceUID
    if "NumberOfFrames" in header:
        source.ReferencedFrameNumber = frame
    made.SourceImageSequence = [source]


def _place(made: FileDataset, header: Dataset, picture: Any) -> None:
    """Where it lies, where its source says so."""
    made.PatientOrientation, made.Laterality = header.get("PatientOrientation", ""), header.get("Laterality", "")
    if picture.spacing is not None:
        made.PixelSpacing = [f"{one:.10g}" for one in picture.spacing]
    try:
        (plane,) = planes_of([picture])
    except DataError:
        return
    directions = [one / np.linalg.norm(one) for one in (plane.across, plane.down)]
    made.ImagePositionPatient = [f"{one:.10g}" for one in plane.first]
    made.ImageOrientationPatient = [f"{one:.10g}" for one in np.concatenate(directions)]
    made.SliceThickness = f"{plane.thick:.10g}"
    if "FrameOfReferenceUID" in header:
        made.FrameOfReferenceUID, made.PositionReferenceIndicator = header.FrameOfReferenceUID, ""


def drawn(pixels: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture (H, W, C) as (H, W, 3), what is marked tinted, and its outline in full colour; of channels the first.

    Values without a window are shown from the lowest to the highest of the slice, for display alone.
    """
    plane = pixels if pixels.shape[2] == 3 and pixels.dtype == np.uint8 else pixels[..., :1]
    low, high = (0.0, float(np.iinfo(pixels.dtype).max)) if pixels.dtype.kind == "u" else (plane.min(), plane.max())
    shown = np.repeat(plane, 3 // plane.shape[2], axis=2).astype(np.float64)
    shown = (shown - low) / max(float(high) - float(low), 1e-12) * 255
    padded = np.pad(mask, 1, mode="edge")
    around = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    outline = mask & ~np.logical_and.reduce(around)
    shown[mask] = (1 - SHARE) * shown[mask] + SHARE * RED
    shown[outline] = RED
    return np.rint(shown).astype(np.uint8)
