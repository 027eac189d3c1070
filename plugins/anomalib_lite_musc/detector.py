"""Mutual scoring with a frozen gallery: an image is measured as if it were one more of the lot that was fitted.

MuSc (Li et al., ICLR 2024) scores the images of a lot by each other: a place counts as usual where most like places of
30 % of the others are near. What is ours is that the others are kept: images of the lot, drawn by the seed, lie in the
graph, so that the score of an image does not depend on what is inspected beside it, and can be certified.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import MutualScoring, backbone, cells_that_count
from anomalib_lite_musc.config import MuscConfig

FEWEST = 5  # parts: with fewer than four others nothing is usual
MOST = 1 << 26  # numbers of the gallery: 256 MiB


class Musc(Detector):
    """Keeps what each place of some images of the lot looks like."""

    config: MuscConfig

    def __init__(self, config: MuscConfig, image: ImageSpec) -> None:
        """Build the layers.

        Raises:
            ConfigError: The backbone does not suit the images, or the gallery would take more than 256 MiB.
        """
        super().__init__(config, image)
        self.backbone = backbone(config.backbone, config.weights, config.layers, image)
        self.scoring = MutualScoring(self.backbone, image)
        shapes = [(h * w, d) for (h, w), d in zip(self.scoring.grids, self.scoring.channels, strict=True)]
        _check_size(image, sum(places * channels for places, channels in shapes), config.images)
        for number, shape in enumerate(shapes):
            self.register_buffer(f"gallery{number}", torch.zeros(config.images, *shape))

    @torch.no_grad()
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Keep images in one pass over the lot: one of each part before a second of any.

        Raises:
            DataError: No pixel of the images counts, or they are of fewer than five parts.
        """
        self.backbone.load_pretrained()
        self.backbone.to(run.device)
        turns: Counter[int] = Counter()
        kept: list[tuple[tuple[int, int], list[Tensor]]] = []
        for batch in run.progress(batches, "gallery"):
            described = self._described(batch)
            for place, part in enumerate(_parts(batch, sum(turns.values()))):
                turns[part] += 1
                kept.append(((turns[part], sum(turns.values())), [one[place].clone() for one in described]))
            kept = sorted(kept, key=lambda one: one[0])[: self.config.images]
        _refuse_few(len(turns), any(bool(one.any()) for _, places in kept for one in places))
        for number, places in enumerate(zip(*(places for _, places in kept), strict=True)):
            setattr(self, f"gallery{number}", torch.stack(places))

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how far each place is from the nearest places of the images of the lot that have the nearest ones.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H / stride, W / stride): Euclidean distances of unit vectors, 0 to 2.
        """
        places, _ = self.scoring.describe(image)
        return self.scoring.anomaly_maps(places, [getattr(self, f"gallery{number}") for number in range(len(places))])

    def _described(self, batch: Batch) -> list[Tensor]:
        """Unit vectors (B, places, d) for each layer and size; 0, which is near to nothing, where nothing counts."""
        described, _ = self.scoring.describe(batch.image)
        return [
            one * cells_that_count(batch.image, batch.valid, grid).flatten(1)[..., None]
            for one, grid in zip(described, self.scoring.grids, strict=True)
        ]


def _parts(batch: Batch, before: int) -> list[int]:
    """The part of each image; each its own where nobody knows."""
    return list(range(before, before + len(batch.image))) if batch.parts is None else batch.parts.tolist()


def _refuse_few(parts: int, counts: bool) -> None:
    if not counts:
        raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
    if parts < FEWEST:
        raise DataError(
            f"the lot has images of {parts} parts to compare others with: expected {FEWEST} at least, for what few "
            "have in common is not yet usual. Add images of other parts."
        )


def _check_size(image: ImageSpec, numbers: int, images: int) -> None:
    if images * numbers > MOST:
        fits = MOST // numbers
        smaller = "smaller images, such as image.height=256 and image.width=256"
        advice = f"options.images={fits} at most, or {smaller}" if fits >= FEWEST else smaller
        raise ConfigError(
            f"A gallery of {images} images of {image.height} x {image.width} pixels takes {images * numbers >> 18:,} "
            f"MiB, more than {MOST >> 18}. Use {advice}."
        )
