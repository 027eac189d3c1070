"""DICOM and NIfTI: readers of pictures, series and volumes, and writers of maps and masks that lie over their source.

Nothing of pydicom, nibabel or highdicom is imported before a file is read or written.
"""

from anomalib_lite.hookspecs import ReaderInfo, WriterInfo, hookimpl
from anomalib_lite_medical.config import DICOM, SIZES, STEP, VIEWS, DicomOptions, NiftiOptions

PACKAGE = "anomalib_lite_medical"


def sniff(head: bytes) -> bool:
    """Whether the first bytes are of a DICOM file, which need not have a suffix."""
    return head[128:132] == b"DICM"


@hookimpl
def register_readers() -> list[ReaderInfo]:
    """Readers of the two formats."""
    return [
        ReaderInfo(
            name="dicom",
            summary="Reads DICOM: pictures, series as volumes sorted by position, several frames; patients are parts.",
            suffixes=DICOM,
            target=f"{PACKAGE}.dicom:read",
            gather=f"{PACKAGE}.dicom:gather",
            sniff=f"{PACKAGE}:sniff",
            config=DicomOptions,
            content_types=("application/dicom",),
            guards=("modality", "units", "orientation", *SIZES, *VIEWS, STEP),
            api=2,
        ),
        ReaderInfo(
            name="nifti",
            summary="Reads NIfTI: the slices of a volume along an axis, oriented as a radiologist sees them.",
            suffixes=(".nii", ".nii.gz"),
            target=f"{PACKAGE}.nifti:read",
            gather=f"{PACKAGE}.nifti:gather",
            config=NiftiOptions,
            content_types=("application/nifti",),
            guards=(*SIZES, *VIEWS, STEP),
            api=2,
        ),
    ]


@hookimpl
def register_writers() -> list[WriterInfo]:
    """Writers of one file for each source file or series, in its geometry, and of a picture of each slice."""
    return [
        WriterInfo(
            name="nifti_map",
            summary="Writes the anomaly maps of a volume or series as one NIfTI volume, raw.",
            suffix=".nii.gz",
            target=f"{PACKAGE}.nifti_writer:write_map",
            whole=True,
        ),
        WriterInfo(
            name="nifti_mask",
            summary="Writes what lies above the threshold of a volume or series as one NIfTI mask.",
            suffix=".nii.gz",
            target=f"{PACKAGE}.nifti_writer:write_mask",
            whole=True,
        ),
        WriterInfo(
            name="dicom_seg",
            summary="Writes what lies above the threshold of a series as a DICOM segmentation.",
            suffix=".dcm",
            target=f"{PACKAGE}.dicom_writer:write_segmentation",
            whole=True,
        ),
        WriterInfo(
            name="dicom_seg_fractional",
            summary="Writes the anomaly maps of a series as a fractional DICOM segmentation: 0.5 is the threshold.",
            suffix=".dcm",
            target=f"{PACKAGE}.dicom_writer:write_fractions",
            whole=True,
        ),
        WriterInfo(
            name="dicom_capture",
            summary="Writes each slice with what is marked in red, a DICOM secondary capture: any program shows it.",
            suffix=".dcm",
            target=f"{PACKAGE}.capture:write",
        ),
        WriterInfo(
            name="dicom_map",
            summary="Writes the anomaly maps of a series as a DICOM parametric map, raw.",
            suffix=".dcm",
            target=f"{PACKAGE}.dicom_writer:write_map",
            whole=True,
        ),
    ]
