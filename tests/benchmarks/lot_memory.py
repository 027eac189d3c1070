"""Memory that a lot of many images takes: `lot` on so many files, whose features are simulated.

usage: python tests/benchmarks/lot_memory.py [IMAGES ...] [--references N]

Writes IMAGES different files of 256 x 256 pixels (default 10,000) and ranks them as the command does, with random maps
in the place of those of the network, of the same shapes. Prints the largest memory of the process after each number.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from anomalib_lite import features, registry
from anomalib_lite.pipeline.lot import Lot, rank

SIDE, PATCHES = 256, 16


class Simulated:
    """In the place of the frozen network: maps of the shapes of its layers, with noise in them."""

    channels, strides = (112, 192), (16, 32)

    def load_pretrained(self) -> None:
        """Nothing is loaded."""

    def __call__(self, image: Tensor) -> list[Tensor]:
        """(1, C, H, W) to a map for each layer."""
        return [
            torch.randn(1, d, image.shape[2] // stride, image.shape[3] // stride)
            for d, stride in zip(self.channels, self.strides, strict=True)
        ]


def draw(folder: Path, number: int) -> None:
    """Files of different pictures."""
    random = np.random.default_rng(0)
    for one in range(number):
        small = random.integers(0, 256, (PATCHES, PATCHES), np.uint8)
        Image.fromarray(small.repeat(SIDE // PATCHES, 0).repeat(SIDE // PATCHES, 1)).save(folder / f"{one:05}.png")


def peak(images: int, references: int) -> float:
    """Largest memory of this process so far, in MB, after a lot of so many images."""
    setattr(features, "backbone", lambda *_: Simulated())  # noqa: B010
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "lot").mkdir()
        draw(Path(folder) / "lot", images)
        asked = Lot(data=Path(folder) / "lot", out=Path(folder) / "out", references=references)
        ranking = rank(asked, plugins=registry.load())
    assert len(ranking.images) == images
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def main() -> None:
    """Print a line for each number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("images", type=int, nargs="*", default=[10_000])
    parser.add_argument("--references", type=int, default=64)
    given = parser.parse_args()
    for images in given.images:
        print(f"{images} images: {peak(images, given.references):.0f} MB", flush=True)


if __name__ == "__main__":
    main()
