"""The two hooks of a plugin, and what they return.

A plugin is a module named by an entry point of the group `anomalib_lite`. It describes first and imports later:
neither the module nor its hooks may import torch. See plugins/README.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from anomalib_lite.config import DetectorConfig

PROJECT = "anomalib_lite"
API_VERSION = 1

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, kw_only=True)
class DetectorInfo:
    """What is known of a detector before torch is imported."""

    name: str
    summary: str
    target: str  # "package.detector:Class"
    config: type[DetectorConfig]
    inputs: tuple[str, ...] = ("image",)  # or ("image", "reference")
    align: bool = False  # warp the inspected image onto the reference first
    positional: bool = False  # the map depends on the place: tiling is refused
    defaults: Mapping[str, Any] = field(default_factory=dict)  # of the host's configuration: {"score.sigma": 4}
    paper: str | None = None
    weights: str | None = None  # pretrained weights: which, whence, and their licence; None: it learns from scratch
    api: int = API_VERSION


@dataclass(frozen=True, kw_only=True)
class ReaderInfo:
    """A reader for file types that the host cannot open."""

    suffixes: tuple[str, ...]  # (".dcm",)
    target: str  # "package.module:read"; read(file: BinaryIO) -> (H, W, C) uint8 | uint16
    api: int = API_VERSION


@hookspec
def register_detectors() -> list[DetectorInfo]:  # type: ignore[empty-body]
    """Detectors this plugin provides. Must not import torch."""


@hookspec
def register_readers() -> list[ReaderInfo]:  # type: ignore[empty-body]
    """Readers for file types the host cannot open (DICOM, NIfTI, ...)."""
