"""Small image files for tests."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
from PIL import Image


def write_image(path: Path, *, size: tuple[int, int] = (6, 8), value: int = 90, mode: str = "L") -> Path:
    """A plain image of `size` (height, width); mode L, RGB or I;16. Its first four pixels differ from file to file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*size, 3) if mode == "RGB" else size
    pixels = np.full(shape, value, np.uint16 if mode == "I;16" else np.uint8)
    code = np.frombuffer(zlib.crc32(path.as_posix().encode()).to_bytes(4), np.uint8) // 2
    pixels[0, :4] = code[:, None] if mode == "RGB" else code
    Image.fromarray(pixels).save(path)
    return path


def write_mask(path: Path, *, size: tuple[int, int] = (6, 8), marked: bool = True) -> Path:
    """A mask with one marked pixel, or none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros(size, np.uint8)
    pixels[2, 3] = 255 * marked
    Image.fromarray(pixels).save(path)
    return path
