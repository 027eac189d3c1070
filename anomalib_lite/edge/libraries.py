"""The libraries of a device, and from which version on they do what is asked of them.

Pillow before 10.1 fails at every image, and reads no 16-bit PNG; onnxruntime before 1.18 knows no graph that torch
writes today. What is below the versions of the package's own requirements is not tested, and refused.
"""

from __future__ import annotations

import re

import numpy as np
import onnxruntime
import PIL

from anomalib_lite.errors import ConfigError

NEEDED = {"numpy": (1, 26), "pillow": (11,), "onnxruntime": (1, 20)}


def check() -> None:
    """Refuse libraries that are too old.

    Raises:
        ConfigError: One is.
    """
    found = {"numpy": np.__version__, "pillow": PIL.__version__, "onnxruntime": onnxruntime.__version__}
    old = [name for name, needed in NEEDED.items() if _numbers(found[name])[: len(needed)] < needed]
    if old:
        needed = {name: ".".join(map(str, NEEDED[name])) for name in old}
        said = ", ".join(f"{name} {found[name]} is installed, {needed[name]} or newer is needed" for name in old)
        wanted = " ".join(f"'{name}>={needed[name]}'" for name in old)
        raise ConfigError(f"{said}: no image could be judged. Run: pip install --upgrade {wanted}")


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", version)))
