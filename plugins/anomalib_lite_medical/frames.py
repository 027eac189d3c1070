"""The frames of a DICOM data set: checked, decoded, in units of their modality, and what is said of them."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.errors import ErrorCode, ImageError, MissingExtra
from anomalib_lite_medical import patients, suv
from anomalib_lite_medical.pixels import sizes
from anomalib_lite_medical.places import facing, frames_of, group_of, placed, spacing_of

try:
    from pydicom import Dataset
    from pydicom.encaps import get_frame
    from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import RLELossless
except ImportError as missing:
    raise MissingExtra("pydicom", "medical", "DICOM") from missing

PIXELS = 1 << 28  # of one frame
STREAMS, END = (b"\xff\xd8", b"\xff\x4f"), b"\xff\xd9"  # JPEG and JPEG-LS, JPEG 2000: how they begin and end
PADDED = 64  # bytes at the end of a frame, in which it has to end
DAMAGED = ("RLE segment", "fewer frames than expected", "no JPEG EOI/EOC")  # in warnings of pydicom
_LOCK = RLock()
KEPT = (  # of a slice, for writers
    "SpecificCharacterSet", "SOPClassUID", "SOPInstanceUID", "StudyDate", "StudyTime", "AccessionNumber",
    "Modality", "ReferringPhysicianName", "PatientName", "PatientID", "PatientBirthDate", "PatientSex",
    "SliceThickness", "SpacingBetweenSlices", "StudyInstanceUID", "SeriesInstanceUID", "StudyID", "InstanceNumber",
    "BurnedInAnnotation", "PatientOrientation", "Laterality", "ImagePositionPatient", "ImageOrientationPatient",
    "FrameOfReferenceUID", "PositionReferenceIndicator", "Rows", "Columns", "PixelSpacing", "NumberOfFrames",
    "DimensionOrganizationSequence", "DimensionIndexSequence", "DimensionOrganizationType",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
)  # fmt: skip


def about(header: Any, options: Any, frame: int = 0, kept: str | None = None) -> dict[str, Any]:
    """What a data set says of a frame, as arguments of `Picture`; the patient is called by a pseudonym.

    Args:
        header: The data set.
        options: Of the reader.
        frame: Which, from 0 on.
        kept: What `kept_of` says of it; once for all frames.

    Raises:
        ImageError: It is not to be read.
    """
    with told():
        _check(header, options)
        notes = ["says that text is burnt into it"] if header.get("BurnedInAnnotation") == "YES" else []
        return {
            "spacing": spacing_of(header, frame),
            "part": pseudonym(patients.identity(header)),
            "note": "; ".join([*notes, *suv.notes(header, options), *patients.notes(header)]),
            "meta": _meta(header, options, frame, kept or kept_of(header)),
        }


def pseudonym(number: str) -> str | None:
    """What a patient is called in rows and reports: the same everywhere; None where nobody is named."""
    return f"patient-{hashlib.sha256(f'patient {number}'.encode()).hexdigest()[:12]}" if number else None


def pixels(header: Any, options: Any, frame: int = 0) -> NDArray[Any]:
    """A frame: greys (H, W) in units of the modality, float32; colours (H, W, 3) as they are."""
    with told():
        scale = np.float32(suv.scale(header, options))
        decoded = _decoded(header, frame)
        return _coloured(decoded, header) if is_coloured(header) else _in_units(decoded, header, frame) * scale


def _check(header: Any, options: Any) -> None:
    """Refuse what is not to be read, or would take too much memory.

    Raises:
        ImageError: Why not.
    """
    rows, columns, frames = int(header.Rows), int(header.Columns), frames_of(header)
    if rows * columns > PIXELS or rows * columns * frames == 0:
        said = f"says that it has {frames} frames of {columns} x {rows} pixels; expected 1 to {PIXELS:,} pixels in each"
        raise ImageError(said, ErrorCode.TOO_LARGE if rows * columns * frames else ErrorCode.EMPTY)
    if header.get("BurnedInAnnotation") == "YES" and not options.burned_in:
        said = (
            "says that text is burnt into it, often a name: it would travel with a model, and be learnt. Blacken it, "
        )
        raise ImageError(said + "or set readers.dicom.burned_in=true", "burned_in")
    if is_coloured(header) and not options.colour:
        said = f"is in colour ({header.PhotometricInterpretation}), such as a screenshot of a report; to read such "
        raise ImageError(said + "pictures, set readers.dicom.colour=true", "colour")


def is_coloured(header: Any) -> bool:
    """Whether its pixels are colours, or places of a palette."""
    return int(header.get("SamplesPerPixel", 1)) > 1 or header.get("PhotometricInterpretation") == "PALETTE COLOR"


def _decoded(header: Any, frame: int) -> NDArray[Any]:
    """A frame as pydicom decodes it: (H, W), or (H, W, 3) in colour.

    Raises:
        ImageError: It cannot.
    """
    syntax = header.file_meta.TransferSyntaxUID
    _check_end(header, frame, syntax)
    try:
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            found = np.asarray(pixel_array(header, index=frame))
    except Exception as error:
        reason = unquoted(error)
        if syntax != RLELossless and ("missing dependencies" in reason or "plugins" in reason):
            said = (
                f"is compressed as {syntax.name} ({syntax}), which cannot be decoded here ({reason}). Where it is not "
            )
            said += "damaged, decompress it with gdcmconv --raw, or install python-gdcm"
            raise ImageError(said, "compression") from error
        code = ErrorCode.TRUNCATED if "less than expected" in reason else ErrorCode.UNREADABLE
        raise ImageError(f"cannot be decoded ({reason}); send it again", code) from error
    for one in heard:
        if any(word in str(one.message) for word in DAMAGED):
            raise ImageError(f"is damaged ({one.message}); send it again", ErrorCode.TRUNCATED)
    return found


def _check_end(header: Any, frame: int, syntax: Any) -> None:
    """Decoders make a picture of a JPEG or JPEG 2000 stream that ends half-way, and tell nobody.

    Raises:
        ImageError: It lacks the mark of its end.
    """
    if not syntax.is_encapsulated or "PixelData" not in header:
        return
    frames = frames_of(header)
    coded = get_frame(header.PixelData, frame, number_of_frames=frames)
    if coded[:2] in STREAMS and END not in coded[-PADDED:]:
        said = "is damaged: the code of its pixels lacks the mark of its end (EOI, EOC); send it again"
        raise ImageError(said, ErrorCode.TRUNCATED)


def _coloured(frame: NDArray[Any], header: Any) -> NDArray[Any]:
    """(H, W, 3) RGB of 8 or 16 bits."""
    found = apply_color_lut(frame, header) if header.PhotometricInterpretation == "PALETTE COLOR" else frame
    if found.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"has colours of {found.dtype}: expected 8 or 16 bits", ErrorCode.WRONG_DTYPE)
    return np.asarray(found)


def _in_units(stored: NDArray[Any], header: Any, frame: int) -> NDArray[np.float32]:
    """(H, W) in units of the modality; where the lowest value is white, mirrored, so that the highest is."""
    if header.get("Modality") == "RTDOSE":
        return np.asarray(stored * _dose_scale(header), np.float32)
    rule = group_of(header, frame, "PixelValueTransformationSequence") or header
    if header.PhotometricInterpretation == "MONOCHROME1" and stored.dtype.kind in "iu":
        bits, signed = int(header.BitsStored), int(header.get("PixelRepresentation", 0))
        ends = np.array([-(1 << bits - 1), (1 << bits - 1) - 1] if signed else [0, (1 << bits) - 1], np.int64)
        low, high = apply_modality_lut(ends, rule)
        return np.asarray(low + high - apply_modality_lut(stored, rule), np.float32)
    return np.asarray(apply_modality_lut(stored, rule), np.float32)


def _dose_scale(header: Any) -> float:
    """By what the numbers of a dose are multiplied: a factor of each file.

    Raises:
        ImageError: It is missing, or not above 0.
    """
    found = float(header.get("DoseGridScaling") or 0)
    if not 0 < found < np.inf:
        said = "is a dose without DoseGridScaling above 0, so that its values mean nothing; send it again"
        raise ImageError(said, "units")
    return found


def _meta(header: Any, options: Any, frame: int, kept: str) -> dict[str, Any]:
    """What guards and writers need. `header` names the patient: it stays with the picture, and is in no model."""
    modality = str(header.get("Modality") or "") or None
    units = {
        "CT": header.get("RescaleType") or "HU",
        "PT": suv.units(header, options),
        "RTDOSE": header.get("DoseUnits"),
    }.get(modality or "")
    return {
        "modality": modality,
        "units": None if units is None else str(units),
        "orientation": facing(placed(header, frame)["ImageOrientationPatient"]),
        **sizes(spacing_of(header, frame), (int(header.Rows), int(header.Columns))),
        "header": kept,
    }


def kept_of(header: Any) -> str:
    """What writers need of a header, as JSON."""
    kept = Dataset()
    for name in KEPT:
        if name in header:
            kept[name] = header[name]
    return str(kept.to_json(suppress_invalid_tags=True))


@contextmanager
def told() -> Iterator[None]:
    """Whatever a damaged header makes of what is asked of it becomes an `ImageError`, and no warning is heard."""
    try:
        with quiet():
            yield
    except (ImageError, MissingExtra):
        raise
    except Exception as error:
        raise _damaged(error) from error


def _damaged(error: Exception) -> ImageError:
    return ImageError(f"has a damaged header ({unquoted(error)}); send it again", ErrorCode.UNREADABLE)


def unquoted(error: Exception) -> str:
    """What an error says, without what it quotes: that may be of the header, and of the patient."""
    said = " ".join(f"{type(error).__name__}: {error}".split())
    known = isinstance(error, AttributeError | KeyError)  # these tell the name of an element
    return said if known else re.sub(r"""'[^']*'|"[^"]*\"""", "'...'", said)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of pydicom on values that nobody uses here; in one thread, for these are the process's."""
    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
