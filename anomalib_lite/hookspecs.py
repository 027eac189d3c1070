"""The hooks of a plugin, and what they return.

A plugin is a module named by an entry point of the group `anomalib_lite`. It describes first and imports later:
neither the module nor its hooks may import torch. See plugins/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import pluggy

if TYPE_CHECKING:
    from anomalib_lite.config import DetectorConfig, ReaderConfig

__all__ = ["API_VERSION", "DetectorInfo", "ReaderInfo", "WriterInfo", "hookimpl"]

PROJECT = "anomalib_lite"
API_VERSION = 2
PLANTED = ("dark spot", "bright spot", "scratch", "blur", "swap", "warp", "ring", "stain")
"""Kinds of defects that the host plants into good images at the end of a training, to see what a model finds."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, kw_only=True)
class DetectorInfo:
    """What is known of a detector before torch is imported.

    Where options change any of it, `DetectorConfig.describe` says how: the one place for that.
    """

    name: str
    summary: str
    target: str  # "package.detector:Class"
    config: type[DetectorConfig]
    inputs: tuple[str, ...] = ("image",)  # or ("image", "reference")
    align: bool = False  # warp the inspected image onto the reference first
    pose: Literal["learnt", "fixed", "small", "any"] = "learnt"  # align: how far a camera may move; or from good pairs
    unseen: Literal["error", "review"] = "error"  # align: what becomes of an image that does not show all of the golden
    bend: bool | None = None  # align: whether parts bend, so that no plane explains them; None: learnt from good pairs
    positional: bool = False  # the map depends on the place: tiling is refused
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of the host's configuration: {"score.sigma": 4}
    paper: str | None = None
    weights: str | None = None  # pretrained weights: which, whence, and their licence; None: it learns from scratch
    fit_on: Literal["good", "unlabelled"] = "good"  # unlabelled: a mixed lot; thresholds come from good images alone
    members: tuple[str, ...] = ()  # names of the detectors that it is made of: see `anomalib_lite.build`
    plants: tuple[str, ...] = ()  # kinds of `PLANTED` that its training makes up: finding them is no evidence
    finds: tuple[str, ...] = ()  # kinds of `PLANTED` that it is for, where not all: these alone then count as evidence
    api: int = 1  # the API_VERSION it is written for, as a number; one that does not say is of the first


@dataclass(frozen=True, kw_only=True)
class ReaderInfo:
    """A reader for file types that the host cannot open.

    `read(file: BinaryIO)` gets the whole file, seekable, and returns what it holds: an `anomalib_lite.Picture`, or its
    pixels alone, (H, W, C) as stored; of several images an iterator of (key, Picture), each key once. It keeps to
    limits of its own before it allocates, may raise any error (`ImageError` to say which, `NotAnImage` for what holds
    no picture), and is called from several threads at once. With `config` it gets the options behind the file, as a
    namespace of plain values; with `gather` a list of files. On a device it is handed over:
    `Model(path, readers={".dcm": read})`, so its module needs nothing of the host but `Picture` and errors.

    `guards` are keys of `Picture.meta`. Text, whole numbers, truth and None have to be what an image of the training
    said. A float above 0 is a size: it may lie between the lowest and the highest of the training, or at most a quarter
    beyond (low / 1.25, high * 1.25). What does not is `ERROR`, and not judged.
    """

    suffixes: tuple[str, ...]  # lower case, not those of the host: (".dcm", ".nii.gz")
    target: str  # "package.module:read"
    name: str = ""  # for `plugins show` and options, readers.NAME.key=value; default: of ".nii.gz" nii_gz
    summary: str = ""  # one sentence for `plugins show`
    config: type[ReaderConfig] | None = None  # its options: they decide what is measured, so a model keeps them
    gather: str | None = None  # "package.module:gather", of paths[, options]: yields (key, paths): these files are one
    sniff: str | None = None  # "package.module:sniff", of 4096 bytes: whether a file without a suffix is one of these
    content_types: tuple[str, ...] = ()  # by which `serve` knows such files: ("application/dicom",)
    guards: tuple[str, ...] = ()  # keys of `Picture.meta`: what differs from the training, a float by > 1/4, is ERROR
    api: int = 1  # the API_VERSION it is written for, as a number; one that does not say is of the first


@dataclass(frozen=True, kw_only=True)
class WriterInfo:
    """A writer of results in a format of the field: `predict --write NAME`.

    `write(path: Path, result: Result, picture: Picture, anomaly_map)` writes one file of its own for an image that
    could be measured. `anomaly_map` is (H, W) float32 at the resolution of the image, raw, higher is more anomalous,
    and `result` has verdict, score, thresholds and regions. With `whole` it is `write(path, measured)`: one file for
    all images of a file or a series that could be read, an iterable of (result, picture, anomaly_map) in their order;
    the map of one that could not be measured, an ERROR, is NaN. A `DataError` says that the format has no place for a
    source: the command tells it, and goes on. Any other error ends the command.
    """

    name: str  # lower case, digits and underscores: dicom_seg
    summary: str  # one sentence for `plugins show`
    target: str  # "package.module:write"
    suffix: str  # of the files that it writes: ".nii.gz"
    whole: bool = False  # one file for all images of a file or a series: a volume
    api: int = 2  # the API_VERSION it is written for; writers are of the second at least


def reader_name(info: ReaderInfo) -> str:
    """What a reader is called."""
    return info.name or info.suffixes[0].lstrip(".").translate(str.maketrans(".-+", "___"))


@hookspec
def register_detectors() -> list[DetectorInfo]:  # type: ignore[empty-body]
    """Detectors this plugin provides. Must not import torch."""


@hookspec
def register_readers() -> list[ReaderInfo]:  # type: ignore[empty-body]
    """Readers for file types the host cannot open (DICOM, NIfTI, ...)."""


@hookspec
def register_writers() -> list[WriterInfo]:  # type: ignore[empty-body]
    """Writers of results in formats of the field (DICOM SEG, NIfTI, ...)."""
