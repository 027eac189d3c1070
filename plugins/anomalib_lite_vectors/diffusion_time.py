"""Diffusion time estimation on vectors, as a scikit-learn estimator.

Livernoche, Jain, Hezaveh, Ravanbakhsh: On diffusion modeling for anomaly detection, ICLR 2024, arXiv 2305.18593.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.utils import check_random_state
from torch import Tensor

from anomalib_lite_vectors.base import MAX_DIMENSIONS, ROWS, VectorEstimator, reduction
from anomalib_lite_vectors.closed_form import nearest_squared_distances, time_posterior
from anomalib_lite_vectors.diffusion import BINS, STEPS, variances
from anomalib_lite_vectors.time_network import TimeNetwork, bin_loss, expected_bin, inverse_gamma_loss

__all__ = ["BATCH", "MAX_DIMENSIONS", "DiffusionTimeEstimator"]

VARIANTS = ("np", "c", "ig")
HEADS = ("bounded", "logits")
PUBLISHED_NP_STEPS = 300
BATCH = 64

Loss = Callable[[TimeNetwork, Tensor], Tensor]


class DiffusionTimeEstimator(VectorEstimator):
    """How long good data would have to diffuse to come to lie where an input lies.

    Inputs are standardised by the training set, and projected onto whitened principal components where there are more
    than 128 features. The defaults mend what the authors' code gets wrong; `published` goes back to it.

    The score, for "np": m / d, the most probable variance of the noise on an unbounded time axis, m the mean squared
    distance to the neighbours (published: a time in 0..299). "c": the expected bin, 0..6. "ig": the scale of the
    variance's distribution, at least 0 (published: its root, of either sign).

    Args:
        variant: "np": closed form from the distance to the nearest training vectors; nothing is trained. "c": a network
            tells in which seventh of the diffusion an input is. "ig": a network tells the scale of an inverse gamma
            distribution of the variance; needs more than 2 features.
        published: Compute what the authors' code computes. np: the most probable of 300 times, which ties; ig: the root
            of the scale, whose sign is arbitrary. No projection, and as many steps as `epochs` asks for.
        head: For "c": "bounded" takes the softmax twice in training, as does `published`; "logits" does so once, and is
            better on some small sets only.
        n_neighbors: For "np": how many training vectors the distance is averaged over; all, where there are fewer.
        n_members: For "c" and "ig": networks, each from a seed of its own, whose scores are averaged.
        epochs: For "c" and "ig": passes over the training set.
        max_steps: For "c" and "ig": gradient steps of 64 vectors at most; large data sets get fewer passes then.
        random_state: Seeds everything random; None for another result each time.

    Attributes:
        n_features_in_: Features of the training set.
        gallery_: For "np": the standardised training set, (n, k) float64.
        networks_: For "c" and "ig": the trained networks.
    """

    _whole = ("n_neighbors", "n_members", "epochs", "max_steps")

    def __init__(
        self,
        variant: Literal["np", "c", "ig"] = "np",
        *,
        published: bool = False,
        head: Literal["bounded", "logits"] = "bounded",
        n_neighbors: int = 5,
        n_members: int = 1,
        epochs: int = 400,
        max_steps: int = 15_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.variant = variant
        self.published = published
        self.head = head
        self.n_neighbors = n_neighbors
        self.n_members = n_members
        self.epochs = epochs
        self.max_steps = max_steps
        self.random_state = random_state

    def _check_parameters(self) -> None:
        super()._check_parameters()
        for name, value, legal in (("variant", self.variant, VARIANTS), ("head", self.head, HEADS)):
            if value not in legal:
                raise ValueError(f"{name}={value!r} is not known: expected {', '.join(map(repr, legal))}.")

    def _check_features(self, features: int) -> None:
        if self.variant == "ig" and features <= 2:
            raise ValueError(
                f"variant 'ig' is not defined for vectors of {features} feature(s): the inverse gamma "
                "distribution has the shape d / 2 - 1. Give 3 or more features, or use variant 'np' or 'c'."
            )

    def _learn(self, vectors: Tensor) -> None:
        self.whitening_ = None if self.published else reduction(vectors)
        if self.whitening_ is not None:
            vectors = self.whitening_(vectors)
        if self.variant == "np":
            self.gallery_ = vectors
        else:
            seeds = check_random_state(self.random_state).randint(2**31 - 1, size=self.n_members)
            self.networks_ = [self._train(vectors.float(), int(seed)) for seed in seeds]

    def _score(self, vectors: Tensor) -> Tensor:
        if self.whitening_ is not None:
            vectors = self.whitening_(vectors)
        if self.variant == "np":
            return self._distance_score(vectors)
        members = [self._network_score(network, vectors.float()) for network in self.networks_]
        return torch.stack(members).double().mean(0)

    def _distance_score(self, vectors: Tensor) -> Tensor:
        k = min(self.n_neighbors, len(self.gallery_))
        distance = nearest_squared_distances(vectors, self.gallery_, k).mean(1)
        dimensions = vectors.shape[1]
        if self.published:
            return torch.cat(
                [time_posterior(part, dimensions, PUBLISHED_NP_STEPS).argmax(1) for part in torch.split(distance, ROWS)]
            )
        return distance / dimensions

    def _network_score(self, network: TimeNetwork, vectors: Tensor) -> Tensor:
        with torch.inference_mode():  # always as many rows: few of them are multiplied otherwise, to other last bits
            padded = F.pad(vectors, (0, 0, 0, -len(vectors) % ROWS))
            outputs = torch.cat([network(part) for part in torch.split(padded, ROWS)])[: len(vectors)]
        if self.variant == "c":
            return expected_bin(outputs)
        root = outputs.squeeze(1)
        return root if self.published else root.square()

    def _train(self, vectors: Tensor, seed: int) -> TimeNetwork:
        """One network, from fresh noise in every step (section 4.2 of the paper)."""
        batches = -(-len(vectors) // BATCH)
        epochs = self.epochs if self.published else min(self.epochs, -(-self.max_steps // batches))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = TimeNetwork(vectors.shape[1], BINS if self.variant == "c" else 1)
            optimiser = torch.optim.Adam(network.parameters(), lr=1e-4, weight_decay=5e-4, fused=True)
            loss = self._loss(vectors.shape[1])
            for _ in range(epochs):
                for index in torch.split(torch.randperm(len(vectors)), BATCH):
                    optimiser.zero_grad()
                    loss(network, vectors[index]).backward()
                    optimiser.step()
        return network.eval()

    def _loss(self, dimensions: int) -> Loss:
        variance = variances(STEPS).float()
        bounded = self.published or self.head == "bounded"

        def loss(network: TimeNetwork, vectors: Tensor) -> Tensor:
            time = torch.randint(STEPS, (len(vectors),))
            outputs = network(vectors + variance[time].sqrt().unsqueeze(1) * torch.randn_like(vectors))
            if self.variant == "c":
                return bin_loss(outputs, time, bounded=bounded)
            return inverse_gamma_loss(outputs, variance[time], dimensions)

        return loss
