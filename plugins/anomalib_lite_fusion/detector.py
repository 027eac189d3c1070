"""Several detectors in one graph: the sum of their maps, each in units of its good images' scores.

The unit of a member is how far the worst tenth of good images lies above the median. A member that finds some good
images far stranger than most of them tells less of a strange one: it counts less, by how far that is beyond what a
normal distribution has.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, Prediction, TrainingRun
from anomalib_lite.errors import DataError
from anomalib_lite.features import FirstRows
from anomalib_lite.members import build
from anomalib_lite_fusion.config import FusionConfig

MEASURED = 100_000  # images that set the units, at most
FEW = 10  # parts that set the units, below which these are luck
TOP = 0.01  # share of a map whose mean is the score that units are taken of
WORST = 0.9  # quantile of the scores of good images, whose distance from the median is the unit
NORMAL = 1.9  # that distance in median absolute deviations, where scores are normal: 1.2816 x 1.4826


class Fusion(Detector):
    """Fits its members one after the other, and measures them on parts that none was fitted on."""

    middle: Tensor  # (members,): median score of good images that were not learnt
    unit: Tensor  # (members,): from there to the worst tenth of them
    share: Tensor  # (members,): what each counts; sums to 1
    config: FusionConfig

    def __init__(self, config: FusionConfig, image: ImageSpec) -> None:
        """Build the members."""
        super().__init__(config, image)
        self.names = [name.replace("-", "_") for name in config.members]
        self.members = nn.ModuleDict({name: build(name, config.options.get(name, {}), image) for name in self.names})
        for name, value in (("share", 1 / len(self.names)), ("middle", 0.0), ("unit", 1.0)):
            self.register_buffer(name, torch.full((len(self.names),), value))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Fit each member on most parts, then measure all on the rest.

        Raises:
            DataError: There are fewer than two parts, or a member cannot be trained on them.
        """
        apart, learnt = run.split(batches, self.config.apart)
        _warn_of_few(apart)
        for name in self.names:
            member = self.members[name]
            assert isinstance(member, Detector)
            member.eval()
            try:
                member.fit(learnt, run)
            except DataError as error:
                raise DataError(
                    f"the member '{name}' of 'fusion': {error} Or leave it out of options.members."
                ) from error
        self.eval()
        self.middle, self.unit, counted = _units(self._scores(apart, run))
        weights = torch.tensor(self.config.weights).to(counted) if self.config.weights else counted
        self.share = weights / weights.sum()

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Prediction:
        """Add up what the members say.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H, W): 0 where all members say of a place what they say of the worst places of good images in the
            median; 1 where they say what they say of the worst tenth of them, for the weighted mean of the members.
            Where members score images by themselves, a score (B,), too: theirs, and the mean of the highest 1 % of the
            map of the others.
        """
        maps, own = self._said(image)
        units = self.share / self.unit
        fused = (maps * units[:, None, None]).sum(1, keepdim=True) - (units * self.middle).sum()
        if not own:
            return fused
        others = [place for place in range(len(self.names)) if place not in own]
        score = sum(units[place] * one for place, one in own.items()) - (units * self.middle).sum()
        if others:
            score = score + _top((maps[:, others] * units[others, None, None]).sum(1, keepdim=True))[:, 0]
        return fused, score

    def _said(self, image: Tensor) -> tuple[Tensor, dict[int, Tensor]]:
        """The members' maps (B, members, H, W), and scores (B,) of those that have their own, by their place."""
        maps, own = [], {}
        for place, name in enumerate(self.names):
            one = self.members[name](image)
            if isinstance(one, tuple):
                one, own[place] = one
            maps.append(F.interpolate(one, image.shape[2:], mode="bilinear", align_corners=False))
        return torch.cat(maps, 1), own

    @torch.no_grad()
    def _scores(self, apart: Batches, run: TrainingRun) -> Tensor:
        """(N, members): scores of images that no member was fitted on."""

        def measured(batch: Batch) -> tuple[Tensor]:
            maps, own = self._said(batch.image)
            if batch.valid is not None:
                maps = maps.masked_fill(~batch.valid, float(maps.min()))
            found = _top(maps)
            for place, one in own.items():
                found[:, place] = one
            return (found,)

        scores = FirstRows(MEASURED).fill(run.map(measured, apart, "units"))
        if not scores:
            raise DataError("no part is left to set the units of the members: add images of other parts.")
        return scores[0]


def _top(maps: Tensor) -> Tensor:
    """The mean of the highest 1 % of maps (B, n, H, W): (B, n)."""
    values = maps.flatten(2)
    return values.topk(max(1, round(TOP * values.shape[2])), 2).values.mean(2)


def _warn_of_few(apart: Batches) -> None:
    parts: set[int] = set()
    for batch in apart:
        parts |= set() if batch.parts is None else set(batch.parts.tolist())
        if len(parts) >= FEW:  # those that follow need not be read for it
            break
    if 0 < len(parts) < FEW:
        warnings.warn(
            f"what each member counts is learnt from {len(parts)} parts, and so a matter of luck; from {FEW} on it is "
            "less so: add good parts, raise options.apart, or give options.weights.",
            stacklevel=2,
        )


def _units(scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Median, unit and weight (members,) of scores of good images (N, members)."""
    middle = scores.median(0).values
    unit = torch.maximum(scores.quantile(WORST, 0) - middle, 1e-3 * scores.abs().amax(0)).clamp_min(1e-12)
    weight = NORMAL * (scores - middle).abs().median(0).values / unit
    return middle, unit, weight.clamp_min(0.1)
