"""PGM and PPM: read here, since Pillow scales 10- and 12-bit values to 16 bit, and slowly."""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from anomalib_lite.edge.images.formats.stored import (
    Raster,
    Stored,
    made,
    refused,
    several_frames,
    truncated,
)


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a PGM and PPM file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    gap = rb"(?:\s|#[^\r\n]*[\r\n])+"
    head = re.match(rb"P([56])" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})" + gap + rb"(\d{1,9})\s", file.read(4096))
    if head is None:
        raise refused(name, "a PBM, PFM, PAM or text PGM", "save it as binary PGM (P5) or PPM (P6)")
    kind, width, height, largest = (int(field) for field in head.groups())
    channels = 1 if kind == 5 else 3
    if not 0 < largest < 65536 or (largest > 255 and channels == 3):
        raise refused(name, f"a netpbm file with {channels} channels and a largest value of {largest}")
    dtype = np.dtype(">u2" if largest > 255 else "u1")
    start, count = head.end(), width * height * channels
    end = start + count * dtype.itemsize

    def pixels(data: bytes) -> Raster:
        if end > len(data):
            raise truncated(name)
        if re.match(rb"P[1-7]\s", data[end : end + 3]):
            raise several_frames(name)
        values = np.frombuffer(data, dtype, count, start).astype(dtype.newbyteorder("="))
        return values.reshape((height, width) if channels == 1 else (height, width, 3))

    mode = "RGB" if channels == 3 else "I;16" if largest > 255 else "L"
    return made("PPM", (width, height), mode, 1, pixels)
