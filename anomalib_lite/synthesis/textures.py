"""Textures from a folder of images, altered as DRAEM alters them."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomalib_lite.data import images_below
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.readers import IMAGE_SUFFIXES
from anomalib_lite.errors import DataError, ImageError, MissingExtra
from anomalib_lite.synthesis.draw import Draw

__all__ = ["TextureFolder"]

_KEPT = 512  # decoded textures


class TextureFolder:
    """Draws textures at random from all images below a folder, each with three of ten alterations.

    The ten are those of Zavrtanik et al., DRAEM, 2021, section 3.3: gamma, brightness, sharpness, hue and saturation,
    solarise, posterise, invert, stretch of the contrast, equalise, rotation by up to 45 degrees.

    Raises:
        DataError: The folder is not there, holds no image, or one that cannot be read.
        MissingExtra: albumentations is not installed.
    """

    def __init__(self, folder: Path) -> None:
        names, _ = images_below(folder) if folder.is_dir() else ([], [])
        files = [folder / name for name in names]
        if not files:
            raise DataError(
                f"{folder} holds no texture image: expected {', '.join(IMAGE_SUFFIXES)} at any depth. "
                "Without a folder, textures are made up."
            )
        for file in files:  # now, and not when it is drawn, hours into a training
            try:
                imaging.read_header(file)
            except ImageError as error:
                raise DataError(f"{error}. Textures are read from all images below {folder}: remove it.") from error
        self._files = files
        self._alter = _alterations()
        self._read = lru_cache(_KEPT)(self._read_file)

    def __len__(self) -> int:
        return len(self._files)

    def __call__(self, draw: Draw, count: int, channels: int, height: int, width: int) -> Tensor:
        """Textures (count, channels, height, width) float32 in [0, 1]; averaged over colours where channels is not 3.

        Raises:
            DataError: A file cannot be read.
        """
        files = draw.integers(0, len(self._files) - 1, count).tolist()
        seeds = draw.integers(0, 2**31 - 1, count).tolist()
        made = []
        for file, seed in zip(files, seeds, strict=True):
            self._alter.set_random_seed(seed)
            made.append(self._alter(image=self._read(file, height, width))["image"])
        textures = torch.from_numpy(np.stack(made)).to(draw.device).permute(0, 3, 1, 2).to(torch.float32) / 255
        if channels != 3:
            textures = textures.mean(1, keepdim=True).expand(-1, channels, -1, -1)
        return textures.contiguous()

    def _read_file(self, number: int, height: int, width: int) -> NDArray[np.uint8]:
        """(height, width, 3)."""
        picture = imaging.read(self._files[number]).pixels
        eight = picture if picture.dtype == np.uint8 else (picture // 257).astype(np.uint8)
        resized = imaging.resize(eight, height, width)
        return np.ascontiguousarray(np.broadcast_to(resized, (height, width, 3)), dtype=np.uint8)


def _alterations() -> Any:
    """Three distinct alterations of ten, seeded by `set_random_seed`."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # the import asks the network otherwise
    try:
        import albumentations as al
    except ImportError as error:
        raise MissingExtra("albumentations", "train", "A folder of textures") from error
    ten = [
        al.RandomGamma((50, 200), p=1),
        al.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=1),
        al.Sharpen(p=1),
        al.HueSaturationValue(hue_shift_limit=50, sat_shift_limit=50, val_shift_limit=0, p=1),
        al.Solarize(threshold_range=(0.125, 0.5), p=1),
        al.Posterize(p=1),
        al.InvertImg(p=1),
        al.AutoContrast(p=1),
        al.Equalize(p=1),
        al.Affine(rotate=(-45, 45), p=1),
    ]
    return al.Compose([al.SomeOf(ten, n=3, replace=False, p=1)])
