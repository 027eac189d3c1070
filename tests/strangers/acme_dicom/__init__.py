"""DICOM series for anomalib-lite."""

from anomalib_lite import ReaderInfo, hookimpl
from anomalib_lite.config import ReaderConfig


class DicomOptions(ReaderConfig):
    rescale: bool = True
    """Units of the modality, such as Hounsfield units; otherwise values as they are stored."""


@hookimpl
def register_readers() -> list[ReaderInfo]:
    info = ReaderInfo(
        name="dicom",
        summary="Reads the slices of DICOM series in the units of their modality.",
        suffixes=(".dcm",),
        target="acme_dicom.reading:read",
        gather="acme_dicom.reading:gather",
        sniff="acme_dicom.reading:sniff",
        config=DicomOptions,
        content_types=("application/dicom",),
        guards=("modality",),
        api=2,
    )
    return [info]
