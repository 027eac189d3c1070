"""JPEG."""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO

from PIL.JpegImagePlugin import JpegImageFile

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.stored import (
    Raster,
    Stored,
    array,
    made,
    orient,
    refused,
    truncated,
)


class _Jpeg(JpegImageFile):
    def _read_dpi_from_exif(self) -> None:
        """The resolution is not needed, and reading it warns where EXIF is damaged."""


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a JPEG file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    image = _Jpeg(file)
    if image.mode not in ("L", "RGB"):
        raise refused(name, f"a JPEG in {image.mode} colours")
    orientation = containers.exif_orientation(image.info.get("exif", b""))

    def pixels(data: bytes) -> Raster:
        if data.find(b"\xff\xd9", containers.jpeg_scan(data)) < 0:
            raise truncated(name)
        return orient(array(_Jpeg(BytesIO(data)), name), orientation)

    note = "primary picture of several (MPO)" if "mp" in image.info else ""
    return made("JPEG", image.size, image.mode, orientation, pixels, note)
