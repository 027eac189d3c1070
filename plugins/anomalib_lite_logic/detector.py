"""A bag of visual words that knows where they lie: how many places look like each word, and their mean position.

Places are described by a frozen network, and told apart as words, the centres of k-means; how many places are like each
word, and where, are compared with good images by a Mahalanobis distance. A place is shared between the words that it
lies near (van Gemert et al., Visual word ambiguity, PAMI 2010), so that nothing jumps where it lies between two. The
map says what of an image makes up the distance, to first order: words that are too many, and places that lack theirs.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.errors import DataError
from anomalib_lite.features import KEPT, FirstRows, backbone, cells_that_count, farthest_first, ledoit_wolf, on_one_grid
from anomalib_lite_logic.config import LogicConfig

POOL = 20_000  # places of good images, of which those that differ most are kept
DIFFERENT = 3_000  # of these, of which the words are learnt: most places show the same ground
SKETCH = 32  # dimensions of the random projection in which they are chosen
PRIOR = 0.25  # of the usual number of a word: places at its usual position that its mean position is drawn to
LEAST = 1e-3  # spread of a count or a position


class Logic(Detector):
    """Keeps the words, and how often and where good images show them."""

    centres: Tensor  # (words, d): in units of good places
    bias: Tensor  # (words,): half of their squared lengths
    sharpness: Tensor  # (): of the difference of squared distances
    inside: Tensor  # (1, 1, h, w): 1 where places count
    expected: Tensor  # (words, h, w): what good images show, in the mean
    config: LogicConfig

    def __init__(self, config: LogicConfig, image: ImageSpec) -> None:
        """Build the layers.

        Raises:
            ConfigError: The backbone does not suit the images.
        """
        super().__init__(config, image)
        self.backbone = backbone(config.backbone, config.weights, config.layers, image)
        stride, features, words = self.backbone.strides[0], sum(self.backbone.channels), config.words
        h, w = self.grid = (image.height // stride, image.width // stride)
        numbers = words * (3 if config.positions else 1)
        for name, shape in {
            "mean": (features, 1, 1), "spread": (features, 1, 1), "centres": (words, features), "bias": (words,),
            "sharpness": (), "inside": (1, 1, h, w), "expected": (words, h, w), "usual": (2, words), "prior": (words,),
            "centre": (numbers,), "unit": (numbers,), "shift": (numbers,), "whitening": (numbers, numbers),
            "distance": (),
        }.items():  # fmt: skip
            self.register_buffer(name, torch.ones(shape))
        row, column = torch.meshgrid(torch.arange(h) / h, torch.arange(w) / w, indexing="ij")
        self.places = nn.Buffer(torch.stack([torch.ones(h, w), row, column]), persistent=False)  # (3, h, w), 0 to 1

    mean: Tensor  # (d, 1, 1) of the features of good places
    spread: Tensor
    usual: Tensor  # (2, words): mean row and column of each
    prior: Tensor  # (words,): places
    centre: Tensor  # (numbers,): of the counts and positions of good images
    unit: Tensor  # (numbers,): their spreads
    shift: Tensor  # (numbers,), of the Mahalanobis distance
    whitening: Tensor  # (numbers, numbers)
    distance: Tensor  # (): of good images, in the median

    @torch.no_grad()
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn the words in one pass over good images, and in a second one how often and where they show them.

        Raises:
            DataError: No pixel of the images counts.
        """
        self.backbone.load_pretrained()
        self.to(run.device)
        self._learn_words(self._pool(batches, run), run.seed)
        maps = torch.zeros_like(self.expected)

        def counted() -> Iterator[tuple[Tensor]]:
            for shown in run.map(lambda batch: self._words(batch.image), batches, "counts"):
                maps.add_(shown.sum(0))
                yield (self._sums(shown),)

        (sums,) = FirstRows(KEPT // (3 * self.config.words)).fill(counted())
        self.expected = maps / len(sums)
        if not self.config.positions:
            self.expected = self.expected.mean((1, 2), keepdim=True) * self.inside[0] / self.inside.mean()
        counts, where = sums.split([1, 2], 1)  # (N, 1, words), (N, 2, words)
        self.usual = where.sum(0) / counts.sum(0).clamp_min(1e-6)
        self.prior = PRIOR * counts.mean((0, 1)) + 0.5
        vectors = self._numbers(sums)
        self.centre, self.unit = vectors.mean(0), vectors.std(0, correction=0) + LEAST
        whitening = ledoit_wolf((vectors - self.centre) / self.unit)
        self.shift, self.whitening = whitening.mean, whitening.projection
        self.distance = self._whitened(vectors).norm(dim=1).median().clamp_min(1e-6)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Tell how far counts and positions are from those of good images, and what of the image makes it so.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H / stride, W / stride): the score where most of it comes from, less elsewhere, 0 where the image is
            as expected; and the score (B,): the Mahalanobis distance, 1 for good images in the median.
        """
        shown = self._words(image)
        sums = self._sums(shown)
        far = self._whitened(self._numbers(sums))
        score = far.square().sum(1).clamp_min(1e-12).sqrt() / self.distance
        share = self._shares(shown, sums, far @ self.whitening.T / self.unit).clamp_min(0)
        share = F.avg_pool2d(share, 3, 1, 1)
        return share / share.amax((2, 3), keepdim=True).clamp_min(1e-12) * score[:, None, None, None], score

    def _words(self, image: Tensor) -> Tensor:
        """How like each word each place is, (B, words, h, w), 0 to 1; their sum is 1 where places count, else 0."""
        features = (on_one_grid(self.backbone(image)) - self.mean) / self.spread
        near = F.conv2d(features, self.centres[:, :, None, None], -self.bias)
        return torch.softmax(2 * self.sharpness * near, 1) * self.inside

    def _sums(self, shown: Tensor) -> Tensor:
        """(B, 3, words): how many places are like each word, and the sums of their rows and of their columns."""
        return torch.einsum("bwp,kp->bkw", shown.flatten(2), self.places.flatten(1))

    def _numbers(self, sums: Tensor) -> Tensor:
        """(B, 3, words) to (B, numbers): log counts, and how far the mean positions are from the usual ones."""
        counts = sums[:, 0]
        found = [torch.log1p(counts)]
        if self.config.positions:
            found += [(sums[:, axis + 1] - self.usual[axis] * counts) / (counts + self.prior) for axis in (0, 1)]
        return torch.cat(found, 1)

    def _whitened(self, numbers: Tensor) -> Tensor:
        """(B, numbers) to a vector whose length is the Mahalanobis distance."""
        return ((numbers - self.centre) / self.unit - self.shift) @ self.whitening

    def _shares(self, shown: Tensor, sums: Tensor, slope: Tensor) -> Tensor:
        """What each place makes of half the squared distance, to first order, (B, 1, h, w).

        Args:
            shown: (B, words, h, w).
            sums: (B, 3, words).
            slope: (B, numbers), of half the squared distance.
        """
        counts = sums[:, 0]
        of_count, *of_place = slope.split(self.config.words, 1)
        factors = [of_count / (1 + counts)]
        if of_place:
            heavier = counts + self.prior
            away = [(sums[:, axis + 1] - self.usual[axis] * counts) / heavier + self.usual[axis] for axis in (0, 1)]
            factors += [one / heavier for one in of_place]
            factors[0] = factors[0] - sum(one * other for one, other in zip(factors[1:], away, strict=True))
        each = torch.einsum("bkw,kp->bwp", torch.stack(factors, 1), self.places[: len(factors)].flatten(1))
        shares: Tensor = ((shown - self.expected) * each.unflatten(2, self.grid)).sum(1, keepdim=True)
        return shares

    def _pool(self, batches: Batches, run: TrainingRun) -> Tensor:
        """Random places (n, d) of good images, as many of each batch; marks where any counts, and sets the units."""
        most = max(1, POOL // len(batches))
        self.inside.zero_()

        def features(batch: Batch) -> tuple[Tensor, Tensor]:
            counted = cells_that_count(batch.image, batch.valid, self.grid)
            return on_one_grid(self.backbone(batch.image)).movedim(1, -1)[counted], counted

        def some() -> Iterator[tuple[Tensor]]:
            for found, counted in run.map(features, batches, "features"):
                self.inside = torch.maximum(self.inside, counted.amax(0)[None, None].to(self.inside))
                yield (found[torch.randperm(len(found))[:most].to(found.device)],)

        kept = FirstRows(POOL).fill(some())
        if not kept:
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        (places,) = kept
        mean, spread = places.mean(0), places.std(0, correction=0) + 1e-6
        self.mean, self.spread = mean[:, None, None], spread[:, None, None]
        return (places - mean) / spread

    def _learn_words(self, pool: Tensor, seed: int) -> None:
        """Centres of k-means over the places that differ most, and how sharply places are told apart."""
        from sklearn.cluster import KMeans

        sketch = pool @ torch.randn(pool.shape[1], SKETCH).to(pool)
        chosen = pool[list(islice(farthest_first(sketch), DIFFERENT))]
        words = min(self.config.words, len(chosen))
        found = KMeans(words, n_init=1, random_state=seed).fit(chosen.cpu().numpy())
        centres = torch.from_numpy(found.cluster_centers_).to(pool)
        self.centres = torch.cat([centres, centres[:1].expand(self.config.words - words, -1)])
        self.bias = self.centres.square().sum(1) / 2
        gaps = torch.cdist(chosen, centres).square().topk(min(2, words), 1, largest=False).values
        self.sharpness = 1 / (gaps[:, -1] - gaps[:, 0]).median().clamp_min(1e-3)
