"""Scale learning: a network learns how many features a projected sub-vector is made of.

Xu, Wang, Wei, Jian, Li, Pang, Wang: Fascinating supervisory signals and where to find them: deep anomaly detection with
scale learning (SLAD), ICML 2023, arXiv 2305.16114.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from sklearn.utils import check_random_state
from torch import Tensor, nn

from anomalib_lite_vectors.base import VectorEstimator, reduction

SUBSPACES = 10  # of a member: c of the paper
PROJECTED = 128  # dimensions that sub-vectors of any length are brought to: h
LENGTHS = 50  # of sub-vectors, at most
PUBLISHED_LABEL = 200 / PROJECTED  # of a feature that weighs 1, in a label: that of 20 features or more leaves no other
LARGEST_LABEL = 5.0  # of a sub-vector of all features, however many there are
WEIGHED = 50  # features, from which on all weigh alike
HIDDEN = 100
BATCH = 128
FEWEST = 10  # vectors that a member draws
DRAWN = ((500, 50), (1000, 20), (5000, 5), (100_001, 2))  # below so many vectors so often as there are; once above
ROWS = 128  # scored at a time


class ScaleLearner(VectorEstimator):
    """How badly a network tells from the sub-vectors of an input how many features each is made of.

    A member draws 10 sub-vectors of random features; frozen random projections bring them to one size. One network
    learns the distribution of their lengths, features counted by how much they correlate with others. Inputs are
    standardised by the training set, and projected onto whitened principal components where there are more than 128
    features. The score is the divergence from the true distribution, mean of the members: from 0 to ln 2.

    Args:
        published: Compute what the authors' code computes: it takes the softmax of distributions again in the
            divergence, whose least value is not where both agree. No projection, and as many steps as `epochs` asks
            for.
        n_members: Draws of 10 sub-vectors. All are trained side by side.
        epochs: Passes over the vectors that the members draw.
        max_steps: Gradient steps of 128 vectors at most; large data sets get fewer passes then.
        random_state: Seeds everything random; None for another result each time.

    Attributes:
        n_features_in_: Features of the training set.
        projections_: (members, d, 10 x 128): from vectors to projected sub-vectors. Frozen.
        labels_: (members, 10): logits of the true distributions.
        network_: The trained network.
    """

    _whole = ("n_members", "epochs", "max_steps")

    def __init__(
        self,
        *,
        published: bool = False,
        n_members: int = 20,
        epochs: int = 100,
        max_steps: int = 15_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.published = published
        self.n_members = n_members
        self.epochs = epochs
        self.max_steps = max_steps
        self.random_state = random_state

    def _check_features(self, features: int) -> None:
        if features < 2:
            raise ValueError(
                f"vectors of {features} feature(s) have no sub-vectors of different lengths to tell apart: give 2 or "
                "more features, or use another estimator."
            )

    def _learn(self, vectors: Tensor) -> None:
        self.whitening_ = None if self.published else reduction(vectors)
        if self.whitening_ is not None:
            vectors = self.whitening_(vectors)
        random = check_random_state(self.random_state)
        weights = feature_weights(vectors)
        weights *= PUBLISHED_LABEL if self.published else LARGEST_LABEL / weights.sum()
        self.projections_, self.labels_ = _drawn(weights, self.n_members, random)
        times = next((times for limit, times in DRAWN if len(vectors) < limit), 1)
        each = max(FEWEST, len(vectors) // self.n_members * times)
        rows = torch.from_numpy(random.randint(len(vectors), size=(self.n_members, each)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(random.randint(2**31 - 1)))
            self.network_ = self._trained(vectors.float(), rows)

    def _score(self, vectors: Tensor) -> Tensor:
        if self.whitening_ is not None:
            vectors = self.whitening_(vectors)
        rows = vectors.float()
        padded = F.pad(rows, (0, 0, 0, -len(rows) % ROWS))  # always as many: few are multiplied to other last bits
        with torch.inference_mode():
            parts = [self._divergence(part.expand(self.n_members, -1, -1)) for part in torch.split(padded, ROWS)]
        return torch.cat([part.double().mean(0) for part in parts])[: len(rows)]

    def _trained(self, vectors: Tensor, rows: Tensor) -> nn.Module:
        """The network, from the vectors (n, d) that each member has drawn: rows (members, each)."""
        self.network_ = nn.Sequential(
            nn.Linear(PROJECTED, HIDDEN, bias=False), nn.LeakyReLU(), nn.Linear(HIDDEN, 1, bias=False)
        )
        share = max(1, BATCH // self.n_members)  # of a batch, for each member
        batches = -(-rows.shape[1] // share)
        epochs = self.epochs if self.published else min(self.epochs, -(-self.max_steps // batches))
        optimiser = torch.optim.Adam(self.network_.parameters(), lr=1e-3, weight_decay=1e-5, fused=True)
        for _ in range(epochs):
            order = torch.rand(rows.shape).argsort(1)
            for chosen in torch.split(rows.gather(1, order), share, 1):
                optimiser.zero_grad()
                self._divergence(vectors[chosen]).mean().backward()
                optimiser.step()
        return self.network_

    def _divergence(self, vectors: Tensor) -> Tensor:
        """Between the told and the true lengths: vectors (members, n, d) to (members, n)."""
        projected = torch.bmm(vectors, self.projections_).unflatten(2, (SUBSPACES, PROJECTED))
        told = self.network_(projected).squeeze(3)
        true = self.labels_.unsqueeze(1).expand_as(told)
        return published_divergence(told, true) if self.published else divergence(told, true)


def feature_weights(vectors: Tensor) -> Tensor:
    """How much a feature counts in the length of a sub-vector: its mean correlation with all, from 0 to 1.

    All count 1 from 50 features on, and where all correlate alike, which the authors' code divides 0 by 0 for.

    Args:
        vectors: (n, d), of mean 0 and spread 1; constant features are 0.

    Returns:
        (d,).
    """
    mean = (vectors.T @ vectors / len(vectors)).abs().mean(1)
    lowest, highest = mean.aminmax()
    if len(mean) >= WEIGHED or highest - lowest <= 1e-9:
        return torch.ones_like(mean)
    return (mean - lowest) / (highest - lowest)


def divergence(told: Tensor, true: Tensor) -> Tensor:
    """Jensen-Shannon, in nats: logits (..., c) of two distributions to (...), 0 where they agree, ln 2 at most."""
    one, other = told.log_softmax(-1), true.log_softmax(-1)
    middle = torch.logaddexp(one, other) - np.log(2)
    pointwise: Tensor = (one - middle) * one.exp() + (other - middle) * other.exp()
    return pointwise.sum(-1) / 2


def published_divergence(told: Tensor, true: Tensor) -> Tensor:
    """What the authors' code takes for it: from the mean to the softmax of each distribution, which is one already."""
    one, other = told.softmax(-1), true.softmax(-1)
    middle = (one + other) / 2
    logarithm = torch.xlogy(middle, middle)
    return (2 * logarithm - middle * (one.log_softmax(-1) + other.log_softmax(-1))).sum(-1)


def _drawn(weights: Tensor, members: int, random: np.random.RandomState) -> tuple[Tensor, Tensor]:
    """Projections (members, d, 10 x 128), a frozen one for each length of sub-vectors, and labels (members, 10)."""
    features = len(weights)
    lengths = random.choice(np.arange(1, features + 1), min(LENGTHS, features), replace=False)
    frozen = {int(one): _projection(int(one), random) for one in lengths}
    projections = torch.zeros(members, SUBSPACES, features, PROJECTED)
    labels = torch.zeros(members, SUBSPACES)
    for member in range(members):
        for subspace in range(SUBSPACES):
            length = int(random.choice(lengths))
            chosen = torch.from_numpy(random.choice(features, length, replace=features <= 10))
            projections[member, subspace].index_add_(0, chosen, torch.from_numpy(frozen[length]).float())
            labels[member, subspace] = weights[chosen].sum()
    return projections.transpose(1, 2).flatten(2).contiguous(), labels


def _projection(length: int, random: np.random.RandomState) -> NDArray[np.float64]:
    """(length, 128): from a sub-vector of this length, uniform as the weights of a layer of torch."""
    return np.asarray(random.uniform(-1, 1, (length, PROJECTED)) / np.sqrt(length))
