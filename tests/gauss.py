"""The smallest detector: a Gaussian per pixel. A plugin of the tests, found as any other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor

from anomalib_lite import build
from anomalib_lite.config import DetectorConfig
from anomalib_lite.detector import Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.hookspecs import DetectorInfo, hookimpl


class GaussConfig(DetectorConfig):
    floor: float = Field(0.02, gt=0)
    """Smallest standard deviation, share of white."""
    steps: int = Field(0, ge=0)
    """Steps of gradient descent on a scale that changes nothing; only to train for a while."""


class AlignedConfig(GaussConfig):
    aligned: bool = True
    """Whether every part lies in the same place."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        return replace(info, positional=self.aligned)


class Gauss(Detector):
    mean: Tensor
    spread: Tensor

    def __init__(self, config: GaussConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        shape = (1, image.channels, image.height, image.width)
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("spread", torch.ones(shape))
        self.idle = torch.nn.Linear(1, 1)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        images = torch.cat([batch.image for batch in run.progress(batches, "mean")])
        self.mean = images.mean(0, keepdim=True)
        self.spread = images.std(0, keepdim=True, unbiased=False).clamp(min=self.config.floor)
        if self.config.steps:
            run.minimise(lambda batch: (self.idle(batch.image.mean().view(1, 1)) - 1).square().mean(), self.idle,
                         batches, steps=self.config.steps)  # fmt: skip

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        return ((image - self.mean) / self.spread).square().mean(1, keepdim=True)


class Broken(Gauss):
    """Its result depends on the mode, so the exported graph cannot agree with what torch says in training."""

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        return super().forward(image) * float("nan")


class Contrast(Detector):
    """Distance from the local mean: knows nothing, and does not care for the place."""

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        blurred = torch.nn.functional.avg_pool2d(image, 25, 1, 12, count_include_pad=False)
        return (image - blurred).abs().amax(1, keepdim=True)


class Sightless(Detector):
    """The level of one corner, everywhere: nothing else is seen."""

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        return image[:, :1, :1, :1].expand(-1, 1, self.image.height, self.image.width)


class Difference(Detector):
    """Distance from the golden image."""

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        assert reference is not None
        return (image - reference).abs().amax(1, keepdim=True)


class Twice(Detector):
    """A member's map, doubled."""

    def __init__(self, config: DetectorConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.member = build("gauss", {"floor": 0.05}, image)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        self.member.fit(batches, run)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        anomaly_map = self.member(image)
        assert isinstance(anomaly_map, Tensor)
        return 2 * anomaly_map


class Drifting(Gauss):
    """Its graph is a constant off until the file `mended` lies in the working directory."""

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        anomaly_map = super().forward(image)
        exporting = torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export()
        return anomaly_map + (1.0 if exporting and not Path("mended").exists() else 0.0)


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    return [
        DetectorInfo(name="gauss", api=2, summary="A Gaussian per pixel.", target="gauss:Gauss", config=GaussConfig,
                     defaults={"score.sigma": 1.0}),
        DetectorInfo(name="broken", api=2, summary="Not a number.", target="gauss:Broken", config=GaussConfig),
        DetectorInfo(name="contrast", api=2, summary="Local contrast.", target="gauss:Contrast", config=DetectorConfig),
        DetectorInfo(name="placed", api=2, summary="Knows its place.", target="gauss:Gauss", config=GaussConfig,
                     positional=True),
        DetectorInfo(name="aligned", api=2, summary="Knows its place, if told.", target="gauss:Gauss",
                     config=AlignedConfig),
        DetectorInfo(name="difference", api=2, summary="Compares.", target="gauss:Difference", config=DetectorConfig,
                     inputs=("image", "reference")),
        DetectorInfo(name="lot", api=2, summary="Takes a mixed lot.", target="gauss:Gauss", config=GaussConfig,
                     fit_on="unlabelled", defaults={"score.sigma": 1.0}),
        DetectorInfo(name="twice", api=2, summary="Of another.", target="gauss:Twice", config=DetectorConfig,
                     members=("gauss",), positional=True),
        DetectorInfo(name="sightless", api=2, summary="Sees nothing.", target="gauss:Sightless", config=GaussConfig),
        DetectorInfo(name="planter", api=2, summary="Makes up defects.", target="gauss:Gauss", config=GaussConfig,
                     plants=("blur", "dark spot", "bright spot", "swap", "scratch"), finds=("scratch",)),
        DetectorInfo(name="drifting", api=2, summary="Differs when exported.", target="gauss:Drifting",
                     config=GaussConfig),
    ]  # fmt: skip
