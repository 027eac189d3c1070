"""Images as a bundle keeps them: what was read and no file of a foreign type, as PNG or, where PNG cannot, as .npy."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.picture import Corners, Picture, Pixels
from anomalib_lite.errors import ErrorCode, ImageError

NPY = ".npy"
MAGIC = b"\x93NUMPY"


@dataclass(frozen=True, slots=True)
class Kept(FileBytes):
    """A file of a bundle; `valid` is a PNG of what of the image is to be inspected, `corners` is where it lies."""

    valid: bytes | None = None
    corners: Corners | None = None


def encode(pixels: Pixels) -> tuple[str, bytes]:
    """Suffix and bytes of a lossless file of an image (H, W, C)."""
    buffer = BytesIO()
    if (pixels.dtype.name, pixels.shape[2]) in (("uint8", 1), ("uint8", 3), ("uint16", 1)):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG")
        return ".png", buffer.getvalue()
    np.save(buffer, pixels, allow_pickle=False)
    return NPY, buffer.getvalue()


def beside(name: str) -> str:
    """The name of the mask beside a file of a bundle: what of the image is to be inspected."""
    return f"{name}-valid.png"


def of(picture: Picture, name: str) -> Kept:
    """A picture as a bundle keeps it; `name` gets the suffix of the file."""
    suffix, content = encode(picture.pixels)
    valid = None if picture.valid is None else encode(picture.valid[..., None].astype(np.uint8) * 255)[1]
    return Kept(name + suffix, content, valid, picture.corners)


def decode(name: str, content: bytes) -> Pixels:
    """The pixels of such an .npy file. Nothing in it is run, and it is as large as it says before it is read.

    Raises:
        ImageError: It is damaged.
    """
    buffer = BytesIO(content)
    try:
        if np.lib.format.read_magic(buffer) != (1, 0):
            raise ValueError("of another version")
        shape, transposed, dtype = np.lib.format.read_array_header_1_0(buffer)
        if transposed or dtype.hasobject or len(content) - buffer.tell() != dtype.itemsize * int(np.prod(shape)):
            raise ValueError("its size is not the one that it says")
        return np.frombuffer(content, dtype, offset=buffer.tell()).reshape(shape)
    except Exception as error:  # damaged files raise nearly anything
        raise ImageError(f"{name}: cannot be decoded ({error}); restore the bundle", ErrorCode.UNREADABLE) from error
