"""DICOM files: opened, whole or damaged, a picture or none; and whose they are, where they cannot be read further."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from anomalib_lite import NotAnImage
from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical import patients
from anomalib_lite_medical.frames import pseudonym, quiet, told

try:
    from pydicom import dcmread
    from pydicom.dataelem import RawDataElement
    from pydicom.errors import InvalidDicomError
    from pydicom.filereader import read_partial
    from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian
except ImportError as missing:
    raise MissingExtra("pydicom", "medical", "DICOM") from missing

DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
RESULTS = {
    "SEG": "a segmentation", "PR": "a presentation state", "KO": "a selection", "SR": "a report",
    "RTSTRUCT": "contours",
}  # fmt: skip
PICTURES = ("Image Storage", "RT Dose", "Volume Storage")  # in the name of the class of what has pixels
CLASS = ("SOPClassUID", "MediaStorageSOPClassUID")
PATIENT, SERIES = (0x00100010, 0x00100020, 0x00100030), 0x0020000E  # name, number and birth date
KIND = 0x00080016  # SOPClassUID
UNCOMPRESSED: dict[Any, UID] = {  # by whether types of elements are not told, and whether low bytes are first
    (True, True): ImplicitVRLittleEndian, (False, True): ExplicitVRLittleEndian, (False, False): ExplicitVRBigEndian,
}  # fmt: skip
UNKNOWN = 0xFFFFFFFF  # length of an element that ends with a delimiter
TOLD = ["SOPClassUID", "SeriesInstanceUID", "StudyInstanceUID", "Modality", "Rows", "NumberOfFrames"]  # to `gather`


def opened(file: BinaryIO, *, pixels: bool = True) -> Any:
    """The data set of a file.

    Raises:
        ImageError: It is no DICOM file, or is damaged: pydicom ends a data set where its file ends, and tells nobody.
        NotAnImage: It holds no picture.
    """
    file.seek(0)
    with told():
        try:
            found = _read(file, stop_before_pixels=not pixels)
        except InvalidDicomError as error:
            said = "is no DICOM file: 'DICM' is missing behind its first 128 bytes; add it with dcmconv of dcmtk"
            raise ImageError(said, ErrorCode.UNREADABLE) from error
        if cut := _cut(found):
            raise _truncated(f"ends within its element {cut[0]}")
        kind = str(found.get("Modality") or "document")
        if "DirectoryRecordSequence" in found:
            raise NotAnImage("is the directory of a disc, and holds no picture")
        if kind in RESULTS:
            raise NotAnImage(f"holds {RESULTS[kind]}, and nothing to inspect")
        if any("Spectroscopy" in name for name in _classes(found)):
            raise NotAnImage("holds spectra, and nothing to inspect")
        if pixels and not any(one in found for one in DATA):
            if "Rows" in found or _may_be_picture(found):
                raise _truncated("says that it is a picture, and holds no pixels, or not all")
            raise NotAnImage(f"holds no picture ({kind}), and nothing to inspect")
    return found


def _read(file: Any, **asked: Any) -> Any:
    """A data set; of a file without the first 128 bytes and 'DICM', too, where it says a class that DICOM has.

    Raises:
        InvalidDicomError: It is none.
    """
    try:
        return dcmread(file, **asked)
    except InvalidDicomError:
        with suppress(Exception):
            found = dcmread(file, force=True, **asked)
            if _is_known(found):
                plain = UNCOMPRESSED[found.original_encoding]
                found.file_meta.TransferSyntaxUID = found.file_meta.get("TransferSyntaxUID", plain)
                return found
        raise


def _is_known(found: Any) -> bool:
    return found.preamble is not None or UID(str(found.get("SOPClassUID"))).type == "SOP Class"


def _truncated(said: str) -> ImageError:
    return ImageError(f"{said}: it is truncated or damaged; send it again", ErrorCode.TRUNCATED)


def _cut(header: Any) -> list[Any]:
    """The elements before the end of which a file ends."""
    found = ((tag, header.get_item(tag)) for tag in header.keys())  # noqa: SIM118 - iterating it decodes each
    return [tag for tag, one in found if isinstance(one, RawDataElement) and _lacks(one)]


def _lacks(element: RawDataElement) -> bool:
    return 0 <= len(element.value or b"") < element.length < UNKNOWN


def _may_be_picture(header: Any) -> bool:
    """Whether it says that it has pixels, or says nothing of what it is."""
    known = _classes(header)
    return not known or any(word in name for word in PICTURES for name in known)


def _classes(header: Any) -> list[str]:
    """The names of what a file says that it is; of a file of nothing else, one that is none is cut."""
    kinds = [str(kind) for one in (header, header.file_meta) for kind in (one.get(name) for name in CLASS) if kind]
    return [UID(kind).name for kind in kinds if header or UID(kind).name != kind]


def series_of(path: Path) -> tuple[Any | None, bool]:
    """What tells the series that a file is a slice of, None where nothing does; and whether its header is damaged.

    A slice that cannot be read so far belongs to a volume for all that, which is incomplete without it.
    """
    try:
        with quiet():
            found = _read(path, stop_before_pixels=True, specific_tags=TOLD)
            cut = _cut(found)
            several = int(found.get("NumberOfFrames") or 1) > 1
            damaged = bool(cut) or ("Rows" not in found and _may_be_picture(found))
            named = SERIES not in cut and bool(found.get("SeriesInstanceUID"))
    except InvalidDicomError:
        return None, False
    except Exception:  # noqa: BLE001 - whatever is wrong with it is told where it is read
        return None, True
    return (found if named and not several and ("Rows" in found or damaged) else None), damaged


@contextmanager
def of_patient(files: Sequence[BinaryIO]) -> Iterator[None]:
    """What is wrong with files is said of their patient, where they tell one: a verdict on him would lack them."""
    try:
        yield
    except ImageError as error:
        with quiet():  # what a header says is decoded where it is asked for
            headers = [header for file in files if (header := _of_patient(file)) is not None]
            parts = {part for one in headers if (part := pseudonym(patients.identity(one)))}
            notes = [note for one in headers[:1] for note in patients.path_notes(one)]
        error.part = parts.pop() if len(parts) == 1 else None
        if notes:
            error.args = ("; ".join([str(error), *notes]),)
        raise


def _of_patient(file: BinaryIO) -> Any | None:
    """What a file says of its patient, damaged though it may be behind it; None where it ends before."""
    file.seek(0)
    with suppress(Exception), quiet():
        tags = [KIND, *PATIENT]
        found = read_partial(file, stop_when=lambda tag, _, __: tag > PATIENT[-1], specific_tags=tags, force=True)
        found.filename = str(getattr(file, "name", ""))
        return found if "PatientID" in found and _is_known(found) and not _cut(found) else None
    return None
