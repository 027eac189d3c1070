"""Change against a golden image, in units of how much good parts differ from theirs at such a place.

After Fridman, Rusanovsky, Oren, "ChangeChip: a reference-based unsupervised change detection for PCB defect detection",
arXiv 2109.05746; `method: changechip` is that algorithm, `tolerance` ours. README.md says what each brought.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite_change import changechip, looks
from anomalib_lite_change.config import SMOOTHING, ChangeConfig
from anomalib_lite_change.tolerance import (
    CLASSES,
    between,
    changed,
    highest,
    kind,
    membership,
    smoothed,
    without_border,
)

PRIOR_PIXELS = 1000.0  # weight of the mean over all kinds of places in the spread of one kind
PRIOR_PAIRS = 4.0  # weight of the kind of place in the spread of one pixel, in pairs
OTHERWISE = 2.0  # of `floor`: from such a difference on a place looks otherwise
ENOUGH = 64  # pairs that tell how far good ones go
ONE_IN_A_HUNDRED = 2.33  # standard deviations
QUARTILES = 1.35  # standard deviations that lie between the quartiles of a normal distribution
LEAST = 0.1  # of floor + caution x spread: peaks are not taken for lower, so that equal pairs have a logarithm


class Change(Detector):
    """Compares an aligned image with its golden one. Nothing is learnt but the spread of good pairs."""

    config: ChangeConfig
    kinds: Tensor  # (CLASSES,) root mean square difference of good pairs, by kind of place
    remarkable: Tensor  # () value of the map, before it is divided by this, that one good pair in a hundred has
    looks: Tensor  # (K, C, H, W) other legal looks of places of the golden image, where all pairs share it
    place: Tensor  # (1, 1, H, W) likewise for each pixel where all pairs share one golden image, else (1, 1, 1, 1)

    def __init__(self, config: ChangeConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.register_buffer("kinds", torch.zeros(CLASSES))
        self.register_buffer("remarkable", torch.ones(()))
        self.register_buffer("looks", torch.zeros(0, 1, 1, 1))
        self.register_buffer("place", torch.zeros(1, 1, 1, 1))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Measure how much good pairs differ: for each kind of place and, with one golden image, for each pixel."""
        if self.config.method == "changechip":
            return
        if self.config.looks:
            pairs = _pairs(run.progress(batches, "looking for other looks"))
            far = OTHERWISE * self.config.floor
            self.looks = looks.learnt(pairs, most=self.config.looks, shift=self.config.shift, far=far)
            run.log("looks", len(self.looks))
        weights, squares = torch.zeros(2, CLASSES, dtype=torch.float64)
        golden: Tensor | None = None
        single = True
        total, seen = torch.zeros(2, 1, 1, self.image.height, self.image.width).unbind()
        for batch in run.progress(batches, "measuring good pairs"):
            square, counted, reference = self._squares(batch)
            share = membership(kind(reference, self.config.shift))
            weights += (share * counted).sum((0, 2, 3), dtype=torch.float64).cpu()
            squares += (share * square).sum((0, 2, 3), dtype=torch.float64).cpu()
            golden = reference[:1] if golden is None else golden
            single = single and bool((reference == golden).all())
            total += highest(square, 1).sum(0, keepdim=True).cpu()
            seen += highest(counted, 1).sum(0, keepdim=True).cpu()  # a place out of view says nothing
        mean = squares.sum() / weights.sum().clamp_min(1)
        variance = (squares + PRIOR_PIXELS * mean) / (weights + PRIOR_PIXELS)
        self.kinds = variance.sqrt().to(torch.float32).to(run.device)
        if single and golden is not None:
            usual = PRIOR_PAIRS * self._of_kind(golden).square().cpu()
            total, seen = (total + usual).to(run.device), (seen + PRIOR_PAIRS).to(run.device)
            self.place = (total / seen).sqrt()
        self.remarkable = self._beyond(batches, run, total, seen)
        run.log("spread", mean.sqrt())

    def _beyond(self, batches: Batches, run: TrainingRun, total: Tensor, seen: Tensor) -> Tensor:
        """How high a value of the map is that one good pair in a hundred reaches, were the peaks of pairs log-normal.

        By median and quartiles, so that a defect among them hardly counts. No more than `ENOUGH` pairs are looked at,
        each as if its own difference were in no spread of a pixel.
        """
        peaks: dict[int, float] = {}
        for batch in run.progress(batches, "measuring how far good pairs go"):
            square, counted, reference = self._squares(batch)
            if self.place.numel() > 1:
                others = (total - highest(square, 1)).clamp_min(0) / (seen - highest(counted, 1)).clamp_min(1)
                spread = others.sqrt()
            else:
                spread = self._of_kind(reference)
            found = counted * smoothed(square.sqrt() / (self.config.floor + self.config.caution * spread), SMOOTHING)
            owners = range(len(peaks), len(peaks) + len(found)) if batch.images is None else batch.images.tolist()
            for owner, peak in zip(owners, found.flatten(1).amax(1).tolist(), strict=True):
                peaks[owner] = max(peaks.get(owner, 0.0), peak)
            if len(peaks) >= ENOUGH:
                break
        logarithms = torch.tensor(list(peaks.values())).clamp_min(LEAST).log()
        low, middle, high = torch.quantile(logarithms, torch.tensor([0.25, 0.5, 0.75])).unbind()
        return torch.exp(middle + ONE_IN_A_HUNDRED * (high - low) / QUARTILES).to(run.device)

    def _squares(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Squared differences, 0 where a place is out of view, and whether it is in view, (B, 1, H, W); references."""
        assert batch.reference is not None
        square = self._difference(batch.image, batch.reference).square()
        counted = _counted(batch)
        return square * counted, counted, batch.reference

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how far each place differs from the golden image.

        Args:
            image: (B, C, H, W) in [0, 1], in the golden frame.
            reference: The golden image, of the same shape.

        Returns:
            (B, 1, H, W), at least 0, and 0 everywhere for two equal images. tolerance: difference beyond `shift`
            pixels, over floor + caution x spread of good pairs there, in units of what one good pair in a hundred has
            anywhere; 0 within `shift` pixels of the border.
        """
        assert reference is not None
        if self.config.method == "changechip":
            return changechip.change(image, reference, window=self.config.window, clusters=self.config.clusters)
        spread = self.place if self.place.numel() > 1 else self._of_kind(reference)
        scale = self.remarkable * (self.config.floor + self.config.caution * spread)
        return self._difference(image, reference) / scale

    def _difference(self, image: Tensor, reference: Tensor) -> Tensor:
        shift = self.config.shift
        apart = changed(image, reference, shift)
        for look in self.looks:
            apart = torch.minimum(apart, changed(image, look.expand_as(image), shift))
        return without_border(apart, shift)

    def _of_kind(self, reference: Tensor) -> Tensor:
        """Spread of good pairs at places of the same kind, (B, 1, H, W)."""
        return between(self.kinds, kind(reference, self.config.shift))


def _counted(batch: Batch) -> Tensor:
    """Where images are in view, (B, 1, H, W), 1 or 0."""
    return torch.ones_like(batch.image[:, :1]) if batch.valid is None else batch.valid.to(batch.image.dtype)


def _pairs(batches: Iterable[Batch]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Images, golden images, and where they are in view."""
    for batch in batches:
        assert batch.reference is not None
        yield batch.image, batch.reference, _counted(batch)
