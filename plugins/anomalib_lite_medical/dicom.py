"""DICOM: pictures, series of files as volumes, files of several frames; values in units of their modality."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import NotAnImage, Picture
from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical.pixels import shown
from anomalib_lite_medical.series import in_order

try:
    from pydicom import Dataset, dcmread
    from pydicom.errors import InvalidDicomError
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array
except ImportError as missing:
    raise MissingExtra("pydicom", "medical", "DICOM") from missing

PIXELS = 1 << 28  # of one frame
DATA = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
RESULTS = {"SEG": "a segmentation", "PR": "a presentation state", "KO": "a selection", "RTSTRUCT": "contours"}
_LOCK = Lock()
UID = re.compile(r"[0-9.]{1,64}")
KEPT = (  # of a slice, for writers
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
    "Modality", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "SliceThickness", "SpacingBetweenSlices", "StudyInstanceUID", "SeriesInstanceUID", "StudyID",
    "InstanceNumber", "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID",
    "PositionReferenceIndicator", "Rows", "Columns", "PixelSpacing", "NumberOfFrames",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def gather(paths: Sequence[Path]) -> Iterator[tuple[str, list[Path]]]:
    """The series of files, those of each folder by themselves; what is no part of a series is a file of its own."""
    series = defaultdict[tuple[Path, str], list[Path]](list)
    for path in sorted(paths):
        series[path.parent, _series(path) or f"file {path.name}"].append(path)
    for (_, uid), files in series.items():
        yield uid if UID.fullmatch(uid) else hashlib.sha256(uid.encode()).hexdigest()[:32], files


def _series(path: Path) -> str | None:
    """The series that a file is a slice of; None where it is none, or holds several frames."""
    try:
        with _quiet():
            found = dcmread(
                path, stop_before_pixels=True, specific_tags=["SeriesInstanceUID", "Rows", "NumberOfFrames"]
            )
        several = int(found.get("NumberOfFrames") or 1) > 1
        return str(found.SeriesInstanceUID) if "Rows" in found and not several else None
    except Exception:  # noqa: BLE001 - whatever is wrong with it is told where it is read
        return None


def read(files: Sequence[BinaryIO], options: Any) -> Picture | Iterator[tuple[int, Picture]]:
    """One picture; the slices of a series, sorted by position and numbered from 1; or the frames of a file.

    Raises:
        NotAnImage: It holds none: a report, contours, a segmentation.
        ImageError: It cannot be read as what it says it is; `code` says why.
    """
    if len(files) > 1:
        return _volume(files, options)
    header = _opened(files[0])
    with _told():
        several = _frames(header) > 1
    if several:
        return _several(header, options)
    found = next(_pictures(header, options))
    if found is None:
        raise NotAnImage(f"shows nothing above {options.body:g}, the option 'body' of the reader")
    return found


def _several(header: Any, options: Any) -> Iterator[tuple[int, Picture]]:
    for number, found in enumerate(_pictures(header, options), 1):
        if found is not None:
            yield number, found


def _volume(files: Sequence[BinaryIO], options: Any) -> Iterator[tuple[int, Picture]]:
    headers = [_opened(file, pixels=False) for file in files]
    with _told():
        order = in_order(headers)
    for number, place in enumerate(order, 1):
        files[place].seek(0)
        try:
            found = next(_pictures(_opened(files[place]), options))
        except ImageError as error:
            raise ImageError(f"slice {number}: {error}", error.code) from error
        if found is not None:
            yield number, found


def _opened(file: BinaryIO, *, pixels: bool = True) -> Any:
    """The data set of a file.

    Raises:
        ImageError: It is no DICOM file, or is damaged.
        NotAnImage: It holds no picture.
    """
    with _told():
        try:
            found = dcmread(file, stop_before_pixels=not pixels)
        except InvalidDicomError as error:
            said = "is no DICOM file: 'DICM' is missing behind its first 128 bytes; add it with dcmconv of dcmtk"
            raise ImageError(said, ErrorCode.UNREADABLE) from error
        kind = str(found.get("Modality") or "document")
    if "DirectoryRecordSequence" in found:
        raise NotAnImage("is the directory of a disc, and holds no picture")
    if kind in RESULTS or (pixels and not any(one in found for one in DATA)):
        what = RESULTS.get(kind) or ("the header of a picture alone" if "Rows" in found else f"no picture ({kind})")
        raise NotAnImage(f"holds {what}, and nothing to inspect")
    return found


def _pictures(header: Any, options: Any) -> Iterator[Picture | None]:
    """The frames of a data set; None for one without anything to inspect."""
    with _told():
        _check(header, options)
        said: dict[str, Any] = {"spacing": _spacing(header), "part": str(header.get("PatientID") or "").strip() or None}
        said["note"] = "says that text is burnt into it" if header.get("BurnedInAnnotation") == "YES" else ""
        meta, frames = _meta(header), _frames(header)
    for number in range(frames):
        with _told():
            found = _pixels(_decoded(header, number), header, number, options)
        about = said | {"meta": meta | {"frame": number + 1}}
        yield None if found is None else Picture(found[0], valid=found[1], **about)


def _pixels(
    decoded: NDArray[Any], header: Any, frame: int, options: Any
) -> tuple[NDArray[Any], NDArray[np.bool_] | None] | None:
    """As `shown`: colours as they are, greys in units of the modality."""
    if _is_coloured(header):
        return _coloured(decoded, header), None
    return shown(_in_units(decoded, header, frame), options)


def _check(header: Any, options: Any) -> None:
    """Refuse what is not to be read, or would take too much memory.

    Raises:
        ImageError: Why not.
    """
    rows, columns, frames = int(header.Rows), int(header.Columns), _frames(header)
    if rows * columns > PIXELS or rows * columns * frames == 0:
        said = f"says that it has {frames} frames of {columns} x {rows} pixels; expected 1 to {PIXELS:,} pixels in each"
        raise ImageError(said, ErrorCode.TOO_LARGE if rows * columns * frames else ErrorCode.EMPTY)
    if header.get("BurnedInAnnotation") == "YES" and not options.burned_in:
        said = (
            "says that text is burnt into it, often a name: it would travel with a model, and be learnt. Blacken it, "
        )
        raise ImageError(said + "or set readers.dicom.burned_in=true", "burned_in")
    if _is_coloured(header) and not options.colour:
        said = f"is in colour ({header.PhotometricInterpretation}), such as a screenshot of a report; to read such "
        raise ImageError(said + "pictures, set readers.dicom.colour=true", "colour")


def _is_coloured(header: Any) -> bool:
    return int(header.get("SamplesPerPixel", 1)) > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR"


def _frames(header: Any) -> int:
    try:
        return int(header.get("NumberOfFrames") or 1)
    except (TypeError, ValueError) as error:
        said = f"says that it has {header.get('NumberOfFrames')!r} frames: expected a number"
        raise ImageError(said, ErrorCode.UNREADABLE) from error


def _decoded(header: Any, frame: int) -> NDArray[Any]:
    """A frame as pydicom decodes it: (H, W), or (H, W, 3) in colour.

    Raises:
        ImageError: It cannot.
    """
    syntax = header.file_meta.TransferSyntaxUID
    try:
        return np.asarray(pixel_array(header, index=frame))
    except Exception as error:
        reason = " ".join(str(error).split())
        if "missing dependencies" in reason or "plugins" in reason:
            said = (
                f"is compressed as {syntax.name} ({syntax}), which cannot be decoded here ({reason}). Decompress it, "
            )
            raise ImageError(said + "with gdcmconv --raw, or install python-gdcm", "compression") from error
        code = ErrorCode.TRUNCATED if "less than expected" in reason else ErrorCode.UNREADABLE
        raise ImageError(f"cannot be decoded ({reason}); send it again", code) from error


def _coloured(frame: NDArray[Any], header: Any) -> NDArray[Any]:
    """(H, W, 3) RGB of 8 or 16 bits."""
    found = apply_color_lut(frame, header) if header.PhotometricInterpretation == "PALETTE COLOR" else frame
    if found.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"has colours of {found.dtype}: expected 8 or 16 bits", ErrorCode.WRONG_DTYPE)
    return np.asarray(found)


def _in_units(stored: NDArray[Any], header: Any, frame: int) -> NDArray[np.float32]:
    """(H, W) in units of the modality; where the lowest value is white, mirrored, so that the highest is."""
    rule = _group(header, frame, "PixelValueTransformationSequence") or header
    if header.PhotometricInterpretation == "MONOCHROME1" and stored.dtype.kind in "iu":
        bits, signed = int(header.BitsStored), int(header.get("PixelRepresentation", 0))
        ends = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1], np.int64)
        low, high = apply_modality_lut(ends, rule)
        return np.asarray(low + high - apply_modality_lut(stored, rule), np.float32)
    return np.asarray(apply_modality_lut(stored, rule), np.float32)


def _group(header: Any, frame: int, name: str) -> Any:
    """What the functional groups of a file of several frames say of one of them; None where they say nothing."""
    for groups, place in ((header.get("PerFrameFunctionalGroupsSequence"), frame),
                          (header.get("SharedFunctionalGroupsSequence"), 0)):  # fmt: skip
        if groups and place < len(groups) and groups[place].get(name):
            return groups[place].get(name)[0]
    return None


def _spacing(header: Any) -> tuple[float, float] | None:
    """Millimetres from row to row and from column to column.

    Raises:
        ImageError: They are no distances.
    """
    measures = _group(header, 0, "PixelMeasuresSequence") or header
    found = measures.get("PixelSpacing") or header.get("ImagerPixelSpacing")
    if not found:
        return None
    down, across = (float(one) for one in found)
    if not (0 < down < 1e4 and 0 < across < 1e4):
        said = (
            f"says that its pixels are {down:g} x {across:g} mm apart: expected distances above 0. Correct the header"
        )
        raise ImageError(said, "spacing")
    return down, across


def _meta(header: Any) -> dict[str, Any]:
    """What guards and writers need. `header` names the patient: it stays with the picture, and is in no model."""
    modality = str(header.get("Modality") or "") or None
    units = {"CT": header.get("RescaleType") or "HU", "PT": header.get("Units")}.get(modality or "")
    kept = Dataset()
    for name in KEPT:
        if name in header:
            kept[name] = header[name]
    return {
        "modality": modality,
        "units": None if units is None else str(units),
        "header": kept.to_json(suppress_invalid_tags=True),
    }


@contextmanager
def _told() -> Iterator[None]:
    """Whatever a damaged header makes of what is asked of it becomes an `ImageError`, and no warning is heard."""
    try:
        with _quiet():
            yield
    except (ImageError, MissingExtra):
        raise
    except Exception as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> ImageError:
    said = f"has a damaged header ({' '.join(f'{type(error).__name__}: {error}'.split())}); send it again"
    return ImageError(said, ErrorCode.UNREADABLE)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of pydicom on values that nobody uses here; in one thread, for these are the process's."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
