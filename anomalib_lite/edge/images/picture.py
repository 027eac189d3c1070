"""What a reader returns of one image, and the rules for it; the arrays that are images."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.manifest import CHANNELS, DTYPES
from anomalib_lite.edge.manifest import Corners as Corners
from anomalib_lite.errors import ErrorCode, ImageError

Pixels: TypeAlias = NDArray[Any]  # (H, W, C) of one of `DTYPES`, C from 1 to 16
EVEN = 1e-2  # millimetres by which the corners of two images of one place may differ
EXPECTED = (
    f"a numpy array (height, width, channels) of {', '.join(DTYPES[:-1])} or {DTYPES[-1]}, with {CHANNELS[0]} to "
    f"{CHANNELS[-1]} channels"
)


@dataclass(frozen=True, eq=False)
class Picture:
    """One image, and what its file says of it."""

    pixels: Pixels  # (H, W, C) as stored: uint8, uint16, int16 or float32, 1 to 16 channels
    part: str | None = None  # the physical part, lot or patient; where the user says nothing of parts, this is theirs
    spacing: tuple[float, float] | None = None  # millimetres from row to row, and from column to column
    meta: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)  # for guards and for writers
    valid: NDArray[np.bool_] | None = None  # (H, W): what of it is to be inspected; None for all
    note: str = ""  # what a person should know who reads its result: "clipped: 1,200 samples at full scale"
    corners: Corners | None = None  # where it lies, in millimetres (x, y, z): its first pixel, the last of that row, of
    # that column; of a slice the first pixel of the last slice of its volume, too

    @property
    def seconds(self) -> float | None:
        """`meta["time"]`: seconds from the begin of a recording to this image of it; None where nothing says it."""
        time = self.meta.get("time")
        return float(time) if isinstance(time, int | float) and not isinstance(time, bool) else None


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of its image. The size is that after EXIF orientation."""

    height: int
    width: int
    channels: int
    dtype: str  # of `edge.manifest.DTYPES`
    format: str  # "PNG", "JPEG", "TIFF", "WEBP", "BMP" or "PPM", whatever the file is called; or a reader's suffix
    orientation: int = 1  # EXIF, 1..8: how the pixels are turned where they are read; 1 is not
    corners: Corners | None = None  # of `Picture`

    @classmethod
    def of(cls, picture: Picture, suffix: str | None) -> Self:
        """That of a picture that a reader read."""
        height, width, channels = picture.pixels.shape
        return cls(height, width, channels, str(picture.pixels.dtype), suffix or "", corners=picture.corners)


def elsewhere(one: Corners | None, other: Corners | None) -> str:
    """How far two images lie apart that are to be of one place, in words; empty where they do not, or nothing says."""
    if one is None or other is None:
        return ""
    far, mine, theirs = max((math.dist(*pair), *pair) for pair in zip(one, other, strict=False))
    here, there = (f"({', '.join(f'{along:.6g}' for along in corner)})" for corner in (mine, theirs))
    return "" if far <= EVEN else f"up to {far:.4g} mm apart, {here} and {there}"


def fault(pixels: object) -> tuple[str, str] | None:
    """What was given instead of an image, and an error code; None where it is one."""
    if not isinstance(pixels, np.ndarray):
        return f"an object of type {type(pixels).__name__}", ErrorCode.WRONG_DTYPE
    if isinstance(pixels, np.ma.MaskedArray):  # its mask would be dropped, and what is hidden judged
        return "a masked array", ErrorCode.WRONG_DTYPE
    if pixels.dtype.newbyteorder("=").name not in DTYPES:
        return f"an array of {pixels.dtype}", ErrorCode.WRONG_DTYPE
    if pixels.ndim != 3 or pixels.shape[2] not in CHANNELS:
        return f"an array of shape {pixels.shape}", ErrorCode.WRONG_CHANNELS
    if pixels.size == 0:
        return f"an array of shape {pixels.shape}", ErrorCode.EMPTY
    return None


def finite(pixels: Pixels) -> bool:
    """Whether no pixel is NaN or infinite."""
    return pixels.dtype.kind != "f" or bool(np.isfinite(pixels).all())


def own(pixels: Pixels) -> Pixels:
    """A copy in this machine's byte order."""
    return np.array(pixels, dtype=pixels.dtype.newbyteorder("="), order="C", subok=False)


def checked(returned: object, name: str, who: str) -> Picture:
    """What a reader returned, as a picture that nobody else can change.

    Args:
        returned: An array or a `Picture`.
        name: The image, for messages.
        who: The reader, for messages.

    Raises:
        ImageError: It is neither (`reader_failed`), or a pixel is NaN or infinite (`not_finite`).
    """
    found = returned if isinstance(returned, Picture) else Picture(returned)  # type: ignore[arg-type]

    def wrong(what: str, expected: str) -> ImageError:
        return ImageError(f"{name}: {who} returned {what}; expected {expected}", ErrorCode.READER_FAILED)

    if problem := fault(found.pixels):
        raise wrong(problem[0], EXPECTED)
    if not finite(found.pixels):
        raise ImageError(
            f"{name}: {who} returned pixels that are NaN or infinite; mask them with Picture.valid and give them "
            "another value, or record the image again",
            ErrorCode.NOT_FINITE,
        )
    if found.part is not None and not (isinstance(found.part, str) and found.part.strip()):
        raise wrong(f"part={found.part!r}", "text, or None where nothing is known of parts")
    if not isinstance(found.note, str):
        raise wrong(f"note={found.note!r}", "text, empty where nothing is to be said")
    return replace(
        found,
        pixels=own(found.pixels),
        spacing=_spacing(found.spacing, wrong),
        meta=_meta(found.meta, wrong),
        valid=_valid(found, wrong),
        corners=_corners(found.corners, wrong),
    )


def _spacing(spacing: Any, wrong: Any) -> tuple[float, float] | None:
    if spacing is None:
        return None
    try:
        found = tuple(float(one) for one in spacing)
    except (TypeError, ValueError):
        found = ()
    if len(found) != 2 or not all(math.isfinite(one) and one > 0 for one in found):
        raise wrong(f"spacing={spacing!r}", "two numbers of millimetres above 0: from row to row, and of columns")
    return found


def _corners(corners: Any, wrong: Any) -> Corners | None:
    if corners is None:
        return None
    try:
        places = np.asarray(corners, np.float64)
    except (TypeError, ValueError):
        places = np.zeros(0)
    if places.shape not in ((3, 3), (4, 3)) or not np.isfinite(places).all():
        raise wrong(f"corners={corners!r}", "three or four places (x, y, z), finite, or None where nothing says them")
    return tuple((float(x), float(y), float(z)) for x, y, z in places)


def _meta(meta: Any, wrong: Any) -> dict[str, Any]:
    """Plain values, so that they are the same in a manifest: those of libraries may be subclasses of these types."""
    if not isinstance(meta, Mapping):
        raise wrong(f"meta of type {type(meta).__name__}", "a mapping of names to values")
    plain: dict[str, Any] = {}
    for key, value in meta.items():
        kinds = [kind for kind in (bool, int, float, str) if isinstance(value, kind)]
        if not isinstance(key, str) or not (kinds or value is None):
            raise wrong(f"meta with {key!r} of type {type(value).__name__}", "text, a number, true or false, or None")
        plain[str(key)] = kinds[0](value) if kinds else None
        if isinstance(plain[key], float) and not math.isfinite(plain[key]):
            raise wrong(f"meta with {key!r}={value!r}", "a finite number, or None")
    return plain


def _valid(found: Picture, wrong: Any) -> NDArray[np.bool_] | None:
    valid: Any = found.valid
    if valid is None:
        return None
    size = found.pixels.shape[:2]
    if not isinstance(valid, np.ndarray) or valid.dtype != bool or valid.shape != size:
        what = f"of {valid.dtype}, shape {valid.shape}" if isinstance(valid, np.ndarray) else type(valid).__name__
        raise wrong(f"valid {what}", f"a numpy array of bool, shape {size}")
    if not valid.any():
        raise wrong("valid that is False all over", "some of the image to inspect")
    return np.array(valid, order="C", subok=False)
