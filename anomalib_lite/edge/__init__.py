"""What runs on a device: standard library, numpy, Pillow and onnxruntime alone.

>>> from anomalib_lite.edge import Model
>>> Model("model").inspect("part.png").verdict  # doctest: +SKIP
<Verdict.OK: 'OK'>
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anomalib_lite.edge.model import Model

__all__ = ["Model"]


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("anomalib_lite.edge.model"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
