"""The sections of a manifest, each a type of its own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from anomalib_lite.edge.manifest.certificate import NEWER
from anomalib_lite.edge.manifest.parsing import Rule, finite

ALIAS = re.compile(r"name-[0-9a-f]{16}")
SUFFIX = re.compile(r"(\.[^\s./\\]+)+")
MAX_PIXELS = 4_000_000_000  # that an image may be allowed
Mode: TypeAlias = Literal["stretch", "letterbox", "tile"]
BEYOND = 1.25  # how many times as small or large as in the training a guard may be that is a number with a fraction
DTYPES = ("uint8", "uint16", "int16", "float32")
CHANNELS = range(1, 17)
Place: TypeAlias = tuple[float, float, float]  # millimetres
Corners: TypeAlias = tuple[Place, ...]  # of `Picture`: where an image lies
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What a model takes: size in pixels, channels (1 grey, 3 RGB, or up to 16), dtype, black and white.

    A pixel becomes (value - black) / (white - black), and is not clipped: Hounsfield units beyond a window stay seen.
    """

    height: int
    width: int
    channels: int
    dtype: str  # of `DTYPES`
    white: float  # maps to 1.0; the dtype's maximum unless the camera has fewer bits
    black: float = field(default=0.0, metadata=NEWER)  # maps to 0.0

    def rules(self) -> Iterator[Rule]:
        """What places an image in the graph."""
        for side, size in (("height", self.height), ("width", self.width)):
            yield Rule(side, size, size > 0, "a whole number above 0")
        yield Rule("channels", self.channels, self.channels in CHANNELS, "1 to 16")
        yield Rule("dtype", self.dtype, self.dtype in DTYPES, f"one of {', '.join(DTYPES)}")
        yield Rule("black", self.black, finite(self.black), "a number")
        yield Rule(
            "white", self.white, finite(self.white) and self.white > self.black, f"a number above {self.black:g}"
        )


def normalised(pixels: T, black: float, white: float) -> T:
    """Pixels, an array or a tensor of floats, so that black is 0 and white is 1."""
    found: Any = pixels
    return (found - black) / (white - black) if black else found / white  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class DetectorRecord:
    """What was trained, and the package that provides it."""

    name: str
    summary: str
    plugin: str
    version: str
    paper: str | None = None
    weights: str | None = None
    members: tuple[DetectorRecord, ...] = ()  # what it is made of, where it is made of other detectors


@dataclass(frozen=True, slots=True)
class PoseRecord:
    """Where the images of a model that aligns them may lie, and what of the golden frame they have to show."""

    reach: Literal["fixed", "small", "any"] = "any"  # how far the camera may have moved: `edge.golden.reach`
    edge: float = 0.0  # share of the shorter side: so much at the edges of the golden frame need not be shown
    least: float = 0.99  # share of the rest of the golden frame, or of its region of interest, that has to be shown
    unseen: Literal["error", "review"] = "error"  # what becomes of an image that shows less and is not NG
    bend: bool = field(default=False, metadata=NEWER)  # whether parts are not flat: a smooth bend is sought, too

    def rules(self) -> Iterator[Rule]:
        """What can be a share."""
        yield Rule("edge", self.edge, 0 <= self.edge < 0.5, "a share below one half")
        yield Rule("least", self.least, 0 <= self.least <= 1, "a share")


@dataclass(frozen=True, slots=True)
class FramingRecord:
    """How images become inputs of the graph."""

    mode: Mode
    overlap: int
    convert: bool
    roi: str | None = None  # the mask's name in the bundle
    align: bool = False
    source: tuple[int, int] | None = None  # (height, width) that alone is taken, where the graph itself resizes
    masked: bool = field(default=False, metadata=NEWER)  # images may say what of them is to be inspected
    pose: PoseRecord | None = field(default=None, metadata=NEWER)  # where images are aligned; not of older versions
    max_pixels: int | None = None  # of an image, a golden one and a mask; None in models of older versions

    def rules(self) -> Iterator[Rule]:
        """What a frame is cut by."""
        yield Rule("overlap", self.overlap, self.overlap >= 0, "a whole number of pixels")
        pixels, source = self.max_pixels, self.source
        yield Rule("max_pixels", pixels, pixels is None or 0 < pixels <= MAX_PIXELS, f"from 1 to {MAX_PIXELS:,}")
        yield Rule("source", source, source is None or min(source) > 0, "two whole numbers above 0")


@dataclass(frozen=True, slots=True)
class Range:
    """What files of the training said of a guard that is a number with a fraction: the lowest and the highest."""

    low: float
    high: float

    def rules(self) -> Iterator[Rule]:
        """What can be a size."""
        yield Rule("low", self.low, finite(self.low) and self.low > 0, "a number above 0")
        yield Rule("high", self.high, finite(self.high) and self.high >= self.low, f"a number from {self.low:g} on")

    def holds(self, value: object) -> bool:
        """Whether a value is of it, or at most a quarter beyond."""
        return isinstance(value, float) and self.low / BEYOND <= value <= self.high * BEYOND

    def __str__(self) -> str:
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g} to {self.high:g}"


@dataclass(frozen=True, slots=True)
class RegionsRecord:
    """How what is above the threshold of the map becomes regions; lengths in pixels of the image."""

    margin: float = 0.0  # around each box and outline
    merge: float = 0.0  # parts that lie at most so far apart are one region
    min_area: float = 0.0  # smaller regions are left out
    mm_per_pixel: float = field(default=0.0, metadata=NEWER)  # of the image, to tell lengths and areas by; 0: not known

    def rules(self) -> Iterator[Rule]:
        """What can be drawn."""
        for name in ("margin", "merge", "min_area", "mm_per_pixel"):
            value = getattr(self, name)
            yield Rule(name, value, finite(value) and 0 <= value <= MAX_PIXELS, f"a number from 0 to {MAX_PIXELS:,}")


@dataclass(frozen=True, slots=True)
class GoldenRecord:
    """The golden images that a bundle carries."""

    files: tuple[str, ...]
    pattern: str | None = None  # which of them an image is compared with, by its name
    valid: tuple[str, ...] = field(default=(), metadata=NEWER)  # masks beside those that are not inspected all over
    corners: Mapping[str, Corners] = field(default_factory=dict, metadata=NEWER)  # of files that say where they lie

    def rules(self) -> Iterator[Rule]:
        """What names are compared with."""
        yield Rule("pattern", self.pattern, self.pattern is None or _compiles(self.pattern), "a regular expression")


@dataclass(frozen=True, slots=True)
class ReaderRecord:
    """A reader that files of the training or the calibration needed: for messages, never imported.

    options: what it was given, which every other reader of these files has to be given, too; None where it takes none.
    """

    suffix: str
    package: str
    version: str
    options: Mapping[str, Any] | None = field(default=None, metadata=NEWER)

    def rules(self) -> Iterator[Rule]:
        """What a file name can end with."""
        yield Rule("suffix", self.suffix, SUFFIX.fullmatch(self.suffix) is not None, "a suffix such as .dcm")


@dataclass(frozen=True, slots=True)
class Parity:
    """Largest differences between torch and the exported graph, over real frames."""

    frames: int
    score: float  # relative to max(|score|, range of scores)
    anomaly_map: float  # relative to the range of the maps


@dataclass(frozen=True, slots=True)
class GraphRecord:
    """What goes into the graph, by name, and how far it is from what was trained."""

    inputs: tuple[str, ...]
    parity: Parity | None = None


@dataclass(frozen=True, slots=True)
class TrainingRecord:
    """How the fit went."""

    steps: int
    device: str
    images: int

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("steps", self.steps, self.steps >= 0, "a whole number from 0 on")
        yield Rule("images", self.images, self.images >= 0, "a whole number from 0 on")


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A good image that the thresholds rest on, and what the graph says of it, raw; None where the gate refused it."""

    image: str
    group: str
    sha256: str
    score: float | None
    map_peak: float | None
    session: str | None = field(default=None, metadata=NEWER)  # the day, lot or camera, where that is known


@dataclass(frozen=True, slots=True)
class DataRecord:
    """What the model was fitted and calibrated on: `fit` and `calibrated` are SHA-256 of files -> their parts.

    held_out: the images of `calibrated`, and those that a person left out; empty in models of older versions.
    salt: where names of images and parts were replaced, what they were hashed with: see `alias`.
    """

    root: str
    layout: str
    images: int
    grouped: bool
    groups: int
    fit: Mapping[str, str]
    simulated: bool = False
    unreadable: tuple[tuple[str, str], ...] = ()  # name, reason
    calibrated: Mapping[str, str] = field(default_factory=dict)
    held_out: tuple[HeldOut, ...] = field(default=(), repr=False)
    salt: str = ""

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("images", self.images, self.images >= 0, "a whole number from 0 on")
        yield Rule("groups", self.groups, self.groups >= 0, "a whole number from 0 on")

    def alias(self, name: str) -> str:
        """What an image or a part of this name is called here."""
        return hashed(name, self.salt) if self.salt else name


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError):
        return False
    return True


def hashed(name: str, salt: str) -> str:
    """What a name is replaced by where it must not travel; one that was replaced before stays as it is."""
    if ALIAS.fullmatch(name):
        return name
    return f"name-{hashlib.sha256(f'{salt}/{name}'.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class Expected:
    """A self-check image, and what the machine that trained the model says of it."""

    file: str  # within the bundle
    what: str  # "low", "median", "highest", "planted dark patch", "rendered 1", ...
    score: float
    verdict: str
    reference: str | None = None  # the golden image within the bundle, for models that compare
    valid: str | None = field(
        default=None, metadata=NEWER
    )  # a mask within the bundle: what of the image is inspected, where that is not all
    reference_valid: str | None = field(default=None, metadata=NEWER)  # the same of the golden image

    def rules(self) -> Iterator[Rule]:
        """What can be recorded of an image that was measured."""
        yield Rule("verdict", self.verdict, self.verdict in ("OK", "REVIEW", "NG"), "OK, REVIEW or NG")

    @property
    def files(self) -> list[str]:
        """What it needs of the bundle."""
        return [one for one in (self.file, self.reference, self.valid, self.reference_valid) if one is not None]


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """What an exported model was made of."""

    origin: str = field(metadata={"key": "from"})  # model_id
    version: str = field(metadata={"key": "with"})
    int8: Mapping[str, Any] | None = None  # how the int8 graph compares with the float one; None where it is float
