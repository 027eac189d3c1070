"""Several detectors in one graph: the sum of their maps, each in units of its good images' scores."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.detector import Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import DataError
from anomalib_lite.members import build
from anomalib_lite_fusion.config import FusionConfig

TOP = 0.01  # share of a map whose mean is the score that units are taken of
NORMAL = 1.4826  # of the median absolute deviation to the standard deviation, where scores are normal


class Fusion(Detector):
    """Fits its members one after the other, and measures them on parts that none was fitted on."""

    middle: Tensor  # (members,): median score of good images that were not learnt
    spread: Tensor  # (members,): their standard deviation, robustly
    share: Tensor  # (members,): what each counts; sums to 1
    config: FusionConfig

    def __init__(self, config: FusionConfig, image: ImageSpec) -> None:
        """Build the members."""
        super().__init__(config, image)
        self.names = [name.replace("-", "_") for name in config.members]
        self.members = nn.ModuleDict({name: build(name, config.options.get(name, {}), image) for name in self.names})
        weights = torch.tensor(config.weights or [1.0] * len(self.names))
        self.register_buffer("share", weights / weights.sum())
        self.register_buffer("middle", torch.zeros(len(self.names)))
        self.register_buffer("spread", torch.ones(len(self.names)))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Fit each member on most parts, then measure all on the rest.

        Raises:
            DataError: There are fewer than two parts.
        """
        apart, learnt = run.split(batches, self.config.apart)
        for name in self.names:
            member = self.members[name]
            assert isinstance(member, Detector)
            member.eval()
            member.fit(learnt, run)
        self.eval()
        scores = self._scores(apart, run)
        self.middle = scores.median(0).values
        deviation = NORMAL * (scores - self.middle).abs().median(0).values
        self.spread = torch.maximum(deviation, 1e-3 * scores.abs().amax(0)).clamp_min(1e-12)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Add up the members' maps.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H, W): 0 where all members say of a place what they say of the worst places of good images in the
            median; 1 where it is one standard deviation of these more, for the weighted mean of the members.
        """
        maps = self._maps(image)
        units = (self.share / self.spread)[:, None, None], (self.share * self.middle / self.spread).sum()
        return (maps * units[0]).sum(1, keepdim=True) - units[1]

    def _maps(self, image: Tensor) -> Tensor:
        """The members' maps (B, members, H, W)."""
        found = []
        for name in self.names:
            prediction = self.members[name](image)
            one = prediction[0] if isinstance(prediction, tuple) else prediction
            found.append(F.interpolate(one, image.shape[2:], mode="bilinear", align_corners=False))
        return torch.cat(found, 1)

    @torch.no_grad()
    def _scores(self, apart: Batches, run: TrainingRun) -> Tensor:
        """(N, members): scores of images that no member was fitted on."""
        scores = []
        for batch in run.progress(apart, "units"):
            maps = self._maps(batch.image)
            if batch.valid is not None:
                maps = maps.masked_fill(~batch.valid, float(maps.min()))
            values = maps.flatten(2)
            scores.append(values.topk(max(1, round(TOP * values.shape[2])), 2).values.mean(2))
        if not scores:
            raise DataError("no part is left to set the units of the members: add images of other parts.")
        return torch.cat(scores)
