"""One sound detector, and one for each rule that breaks it and, as far as possible, no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.detector import Batches, Detector, ImageSpec, Prediction, TrainingRun
from anomalib_lite.errors import DataError


class Sound(Detector):
    """Distance from the local mean, in units of what is usual on good images. Knows nothing of the place."""

    usual: Tensor

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.register_buffer("usual", torch.ones(1, image.channels, 1, 1))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        seen = [self.contrast(batch.image).mean((0, 2, 3), keepdim=True) for batch in run.progress(batches, "contrast")]
        self.usual = torch.stack(seen).mean(0).clamp_min(1e-3)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image)

    def contrast(self, image: Tensor) -> Tensor:
        window = self.config.window
        return (image - F.avg_pool2d(image, window, 1, window // 2, count_include_pad=False)).abs()

    def map(self, image: Tensor) -> Tensor:
        """What a sound detector returns."""
        return (self.contrast(image) / self.usual).mean(1, keepdim=True)


class ReadsWhenBuilt(Sound):
    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.note = Path(__file__).read_text("utf-8")[:1]


class MapWithoutChannel(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image)[:, 0]


class ScorePerPixel(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image), self.map(image).amax((2, 3))


class DoublePrecision(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image).double()


class OnlyEvenSizes(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        halved = F.pixel_unshuffle(self.map(image), 2)
        return F.pixel_shuffle(halved, 2)


class AnySize(Sound):
    def __call__(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        fitting = F.interpolate(image, size=(self.image.height, self.image.width), mode="bilinear")
        return super().__call__(fitting.expand(-1, self.image.channels, -1, -1))


class DividesByZero(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image) / image.std((1, 2, 3), keepdim=True)


class LooksAtTheBatch(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image) - self.map(image).mean()


class RemembersWhatItSaw(Sound):
    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.register_buffer("seen", torch.zeros(()))

    seen: Tensor

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        if not torch.compiler.is_exporting():
            self.seen = self.seen + 1
        return self.map(image)


class RandomWhenPredicting(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image) * (1 + 0.2 * F.dropout(torch.ones_like(image[:, :1]), training=True))


class Unseeded(Sound):
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        super().fit(batches, run)
        self.usual = self.usual * float(1 + 0.01 * np.random.default_rng().random())


class KeepsItForItself(Sound):
    """Learns into a plain attribute, which no file keeps."""

    scale: Tensor | float = 1.0

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        super().fit(batches, run)
        self.scale = float(5 * self.usual.mean())

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image) * self.scale


class GrowsALayer(Sound):
    """Has weights after fitting that a new detector lacks."""

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        super().fit(batches, run)
        self.gain = nn.Parameter(torch.ones(1))


class UpsideDown(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return 10 - self.map(image)


class PointsElsewhere(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        found = self.map(image)
        return found.flip(3), found.amax((1, 2, 3))


class Saturated(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return torch.sigmoid(40 * (self.map(image) - 2))


class KnowsThePlace(Sound):
    """A mean per pixel, and does not say so."""

    mean: Tensor

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.register_buffer("mean", torch.zeros(1, image.channels, image.height, image.width))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        self.mean = torch.cat([batch.image for batch in batches]).mean(0, keepdim=True)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return (image - self.mean).abs().mean(1, keepdim=True)


class NeedsMany(Sound):
    """The fifth nearest of two images: torch's own error, which helps nobody."""

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        super().fit(batches, run)
        levels = torch.cat([batch.image.mean((1, 2, 3)) for batch in batches])
        self.usual = self.usual * levels.topk(5).values.mean().clamp(1, 1)


class RefusesWithoutANumber(NeedsMany):
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        if sum(len(batch.image) for batch in batches) < 5:
            raise DataError("Too few images: add more.")
        super().fit(batches, run)


class IgnoresMasks(Sound):
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        for batch in batches:
            if batch.valid is not None:
                raise NotImplementedError("valid")
        super().fit(batches, run)


@torch.library.custom_op("faulty::twice", mutates_args=())
def twice(image: Tensor) -> Tensor:
    return image * 2


@twice.register_fake
def _(image: Tensor) -> Tensor:
    return torch.empty_like(image)


class OwnOperator(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return torch.as_tensor(twice(self.map(image)))


class BranchesOnValues(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        if float(image.mean()) > 2:
            return self.map(image) * 2
        return self.map(image)


class ExportsSomethingElse(Sound):
    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        return self.map(image) * (1.01 if torch.compiler.is_exporting() else 1.0)


class OverwritesStatistics(Sound):
    """Puts a frozen layer into training mode to run it: its statistics become those of the images."""

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.frozen = nn.BatchNorm2d(image.channels).requires_grad_(False)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        self.frozen.train()
        for batch in batches:
            self.frozen(batch.image)
        self.frozen.eval()
        super().fit(batches, run)


class RootNearZero(Sound):
    """A root of a difference that is 0 on what was learnt: there the last bits of two runtimes are far apart."""

    learnt: Tensor

    def __init__(self, config: Any, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.register_buffer("learnt", torch.zeros(1, 16))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        super().fit(batches, run)
        self.learnt = torch.cat([self.summary(batch.image) for batch in batches])

    def summary(self, image: Tensor) -> Tensor:
        return 1e3 * F.adaptive_avg_pool2d(image.mean(1, keepdim=True), 4).flatten(1)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        summary = self.summary(image)
        squared = summary.square().sum(1, keepdim=True) + self.learnt.square().sum(1) - 2 * summary @ self.learnt.T
        near = squared.clamp_min(0).sqrt().amin(1).view(-1, 1, 1, 1)
        return self.map(image) + near
