"""What runs on a device: standard library, numpy, Pillow and onnxruntime alone.

>>> from anomalib_lite.edge import Model
>>> Model("model").inspect("part.png").verdict
<Verdict.OK: 'OK'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomalib_lite.edge.images.imaging import FileBytes
    from anomalib_lite.edge.images.picture import Picture
    from anomalib_lite.edge.images.readers import Reader
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.modelset import ModelSet

__all__ = ["FileBytes", "Joint", "Model", "ModelSet", "Picture", "Reader"]

_HOME = {
    "FileBytes": "images.imaging",
    "Joint": "joint",
    "Model": "model",
    "ModelSet": "modelset",
    "Picture": "images.picture",
    "Reader": "images.readers",
}


def __getattr__(name: str) -> object:
    if name in _HOME:
        return getattr(import_module(f"anomalib_lite.edge.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
