"""From pixels to other sizes and channels: the one resize of training, calibration and device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge.images.picture import Pixels
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ErrorCode, ImageError


def conform(pixels: Pixels, spec: ImageSpec, *, convert: bool) -> Pixels:
    """Check an image (H, W, C) against what a model takes; its size is not compared.

    Args:
        pixels: As `read` gives them.
        spec: What the model takes.
        convert: Whether grey may become RGB (three copies) and RGB grey (ITU-R BT.601 luma, rounded): where the user
            has set `image.channels`.

    Raises:
        ImageError: `wrong_dtype` or `wrong_channels`.
    """
    if pixels.dtype != np.dtype(spec.dtype):
        raise ImageError(
            f"the image is {pixels.dtype}, the model takes {spec.dtype}; record it with that depth",
            ErrorCode.WRONG_DTYPE,
        )
    channels = pixels.shape[2]
    if channels == spec.channels:
        return pixels
    if not {channels, spec.channels} <= {1, 3}:
        raise ImageError(
            f"the image has {channels} channels, the model takes {spec.channels}; record it with as many",
            ErrorCode.WRONG_CHANNELS,
        )
    if not convert:
        found, needed = ("grey" if count == 1 else "colour" for count in (channels, spec.channels))
        raise ImageError(
            f"the image is {found}, the model takes {needed}; set image.channels to allow it", ErrorCode.WRONG_CHANNELS
        )
    return np.repeat(pixels, 3, axis=2) if channels == 1 else luma(pixels)


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize an image (H, W, C) with Pillow's antialiased bilinear filter, each channel by itself.

    uint8 as Pillow rounds it; all else in float32, whole numbers rounded half up. An image of that size already is
    returned as it is.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    if pixels.dtype == np.uint8 and pixels.shape[2] not in (1, 3):  # Pillow would take a fourth one for alpha
        return np.concatenate([resize(plane[..., None], height, width) for plane in np.moveaxis(pixels, 2, 0)], axis=2)
    if pixels.dtype == np.uint8:
        image = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
        resized = np.array(image.resize((width, height), Image.Resampling.BILINEAR), dtype=np.uint8)
        return resized.reshape(height, width, pixels.shape[2])
    planes = [resize_map(plane.astype(np.float32), height, width) for plane in np.moveaxis(pixels, 2, 0)]
    resized = np.stack(planes, axis=2)
    return resized if pixels.dtype.kind == "f" else np.asarray(np.floor(resized + np.float32(0.5)), pixels.dtype)


def resize_map(anomaly_map: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resize an anomaly map (h, w) with the same filter, in float32."""
    if anomaly_map.shape == (height, width):
        return anomaly_map
    resized = Image.fromarray(anomaly_map).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized, dtype=np.float32)


def luma(pixels: Pixels) -> Pixels:
    """The grey (H, W, 1) of an RGB image: ITU-R BT.601 in 16-bit fixed point, rounded, as in Pillow."""
    if pixels.dtype.kind != "u":
        mixed = pixels.astype(np.float32) @ (np.array([19595, 38470, 7471], np.float32) / 65536)
        return (mixed if pixels.dtype.kind == "f" else np.rint(mixed)).astype(pixels.dtype)[..., None]
    red, green, blue = (pixels[..., channel].astype(np.uint32) for channel in range(3))
    luma = (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16
    return luma.astype(pixels.dtype)[..., None]
