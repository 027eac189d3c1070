"""Anomaly and change detection for industrial and medical images, with a certified false-reject rate.

>>> import anomalib_lite as al
>>> model = al.train(detector, "parts/", out="model")
>>> al.load("model").inspect("part.png").verdict
<Verdict.OK: 'OK'>

Every name is imported when it is first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

from anomalib_lite.version import __version__

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # before onnxruntime starts: it would report to its makers

if TYPE_CHECKING:
    from anomalib_lite.api import evaluate, load, train
    from anomalib_lite.detector import Batch, Detector, ImageSpec, TrainingRun
    from anomalib_lite.edge.decision import Verdict
    from anomalib_lite.edge.images.picture import Picture
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.results import Result
    from anomalib_lite.errors import AnomalibLiteError, ErrorCode, NotAnImage
    from anomalib_lite.hookspecs import DetectorInfo, ReaderInfo, WriterInfo, hookimpl
    from anomalib_lite.members import build, detectors

__all__ = [
    "AnomalibLiteError",
    "Batch",
    "Detector",
    "DetectorInfo",
    "ErrorCode",
    "ImageSpec",
    "Model",
    "NotAnImage",
    "Picture",
    "ReaderInfo",
    "Result",
    "TrainingRun",
    "Verdict",
    "WriterInfo",
    "__version__",
    "build",
    "detectors",
    "evaluate",
    "hookimpl",
    "load",
    "train",
]

_HOME = {
    "AnomalibLiteError": "errors",
    "Batch": "detector",
    "Detector": "detector",
    "DetectorInfo": "hookspecs",
    "ErrorCode": "errors",
    "ImageSpec": "edge.manifest",
    "Model": "edge.model",
    "NotAnImage": "errors",
    "Picture": "edge.images.picture",
    "ReaderInfo": "hookspecs",
    "Result": "edge.results",
    "TrainingRun": "detector",
    "Verdict": "edge.decision",
    "WriterInfo": "hookspecs",
    "build": "members",
    "detectors": "members",
    "evaluate": "api",
    "hookimpl": "hookspecs",
    "load": "api",
    "train": "api",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"anomalib_lite.{_HOME[name]}"), name)
    raise AttributeError(f"module 'anomalib_lite' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
