"""The module that is exported: image in, raw image score and raw anomaly map out."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.config import ScoreConfig
from anomalib_lite.detector import Detector, ImageSpec
from anomalib_lite.edge.decision import TOLERANCE
from anomalib_lite.edge.manifest import normalised

ALIKE = TOLERANCE / 2  # slope of scores below `score.least`: all of them are within the tolerance of a threshold there


class Inspector(nn.Module):
    """A detector between the pixels of a file and the two numbers that are calibrated.

    `image` (N, H, W, C) -> black at 0, white at 1 -> `Detector.forward` -> resized to the input's
    resolution -> Gaussian smoothing -> `valid` -> reduction -> `least`. Returns `score` (N,) and `anomaly_map`
    (N, 1, H, W), both float32 and raw: higher is more anomalous.
    """

    fitted: Tensor

    def __init__(self, detector: Detector, spec: ImageSpec, score: ScoreConfig, *, reference: bool, valid: bool):
        super().__init__()
        self.detector = detector
        self.spec = spec
        self.inputs = ("image", *(("reference",) if reference else ()), *(("valid",) if valid else ()))
        self.top = max(1, round(score.top_share * spec.height * spec.width)) if score.reduction == "top" else 1
        self.least = score.least
        self.register_buffer("fitted", torch.zeros((), dtype=torch.bool))
        self.register_buffer("gaussian", gaussian_kernel(score.sigma), persistent=False)

    gaussian: Tensor

    def forward(
        self, image: Tensor, reference: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Measure a batch.

        Args:
            image: (N, H, W, C) of the spec's dtype.
            reference: Like `image`, where the detector compares with a golden image.
            valid: (N, H, W, 1) uint8; what is 0 takes no part in the score. The map is not masked.
        """
        pictures = [self._normalise(one) for one in (image, reference) if one is not None]
        prediction = self.detector(*pictures)
        anomaly_map, own_score = prediction if isinstance(prediction, tuple) else (prediction, None)
        anomaly_map = self._smooth(self._resize(anomaly_map))
        if valid is not None:
            score = self._masked_score(anomaly_map, valid.permute(0, 3, 1, 2) > 0)
        elif own_score is not None:
            score = own_score
        else:
            score = anomaly_map.flatten(1).topk(self.top, dim=1).values.mean(dim=1)
        return self._from_least(score), anomaly_map

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take over what was learnt; sizes of buffers come from it: a memory bank is as large as what was learnt.

        Raises:
            RuntimeError: Names or shapes of parameters are others.
        """
        for name, buffer in list(self.named_buffers()):
            if name in state and state[name].shape != buffer.shape:
                owner, _, last = name.rpartition(".")
                setattr(self.get_submodule(owner), last, torch.empty_like(state[name]))
        self.load_state_dict(dict(state))

    def _normalise(self, image: Tensor) -> Tensor:
        return normalised(image.to(torch.float32).permute(0, 3, 1, 2), self.spec.black, self.spec.white)

    def _resize(self, anomaly_map: Tensor) -> Tensor:
        size = (self.spec.height, self.spec.width)
        if anomaly_map.shape[-2:] == size:
            return anomaly_map
        return F.interpolate(anomaly_map, size=size, mode="bilinear", align_corners=False)

    def _smooth(self, anomaly_map: Tensor) -> Tensor:
        radius = len(self.gaussian) // 2
        if radius == 0:
            return anomaly_map
        padded = F.pad(anomaly_map, (radius,) * 4, mode="replicate")
        count, _, height, width = padded.shape
        # in one dimension: onnxruntime would spread a single channel over sixteen for a convolution in two
        columns = F.conv1d(padded.flatten(2), self.gaussian.view(1, 1, -1), dilation=width)
        both = F.conv1d(F.pad(columns, (0, 2 * radius)), self.gaussian.view(1, 1, -1))
        return both.view(count, 1, height - 2 * radius, width)[..., : width - 2 * radius]

    def _from_least(self, score: Tensor) -> Tensor:
        """Scores (N,) that are alike below `least`: nearly all of the way up to it, in their order."""
        if self.least is None:
            return score
        return torch.where(score < self.least, self.least - ALIKE * (self.least - score), score)

    def _masked_score(self, anomaly_map: Tensor, counted: Tensor) -> Tensor:
        """Mean of the k largest valid values, k fixed; invalid pixels sort last and weigh 0."""
        worst = torch.finfo(torch.float32).min
        values = torch.where(counted, anomaly_map, torch.full_like(anomaly_map, worst)).flatten(1)
        top = values.topk(self.top, dim=1).values
        present = top > worst
        total = torch.where(present, top, torch.zeros_like(top)).sum(1)
        return total / present.to(torch.float32).sum(1).clamp(min=1)


def gaussian_kernel(sigma: float) -> Tensor:
    """Sampled Gaussian of a standard deviation in pixels, cut at 3 sigma, sum 1; a single 1 for sigma 0."""
    radius = math.ceil(3 * sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float32)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2) if sigma > 0 else torch.ones(1)
    return kernel / kernel.sum()
