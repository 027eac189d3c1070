"""How far a vector is from good ones: by Mahalanobis, and by what a network that preserves volumes finds constant."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from anomalib_lite.features import Whitening, principal_components

COMPONENTS = 128  # principal components that the network works on, at most
BLOCKS = 4
HIDDEN = 3  # layers of a coupling
NARROWEST = 16  # of them
BEGINNING = 0.01  # spread of the generators: the network begins near the identity
TINY = 1e-30  # variance of vectors that are all alike
FLOOR = 1e-4  # of the mean square of a component: what varies less over good vectors counts as if it varied so much


class Mahalanobis(nn.Module):
    """Distance from the mean, in units of the covariance that Ledoit and Wolf shrink.

    Args:
        dimensions: d of the vectors.
        places: With a mean and a covariance each; 1 for the same everywhere.
    """

    mean: Tensor  # (places, d)
    projection: Tensor  # (places, d, d)

    def __init__(self, dimensions: int, places: int = 1) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(places, dimensions))
        self.register_buffer("projection", torch.eye(dimensions).repeat(places, 1, 1))

    def take(self, whitening: Whitening, place: int = 0) -> None:
        """Measure a place by what was learnt of good vectors there."""
        self.mean[place], self.projection[place] = whitening.mean, whitening.projection

    def forward(self, vectors: Tensor) -> Tensor:
        """(B, places, d) to (B, places); any number of places where all are measured alike."""
        whitened = (vectors - self.mean).transpose(0, 1) @ self.projection
        return whitened.square().sum(-1).sqrt().transpose(0, 1)


class Coupling(nn.Module):
    """Adds to one half of the components what a perceptron makes of the other half."""

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.kept = dimensions - dimensions // 2
        width = max(NARROWEST, dimensions // 2)
        layers: list[nn.Module] = []
        for before in (self.kept, *[width] * (HIDDEN - 1)):
            layers += [nn.Linear(before, width), nn.ReLU()]
        self.perceptron = nn.Sequential(*layers, nn.Linear(width, dimensions // 2))

    def forward(self, vectors: Tensor, sign: int = 1) -> Tensor:
        """(..., d) to (..., d); with sign -1 from what it returns to what it was given."""
        kept, other = vectors[..., : self.kept], vectors[..., self.kept :]
        return torch.cat([kept, other + sign * self.perceptron(kept)], -1)


class VolumePreserving(nn.Module):
    """An invertible network whose Jacobian has determinant 1: it cannot make all alike by shrinking everything.

    Rotations, exponentials of skew-symmetric matrices, and couplings in turn: Doorenbos, Sznitman and Márquez-Neila,
    ECCV 2024 (arXiv 2407.04022). `bake` makes the rotations constants, since the exponential cannot be exported.

    Args:
        dimensions: d, at least 2.
    """

    baked: Tensor  # (BLOCKS + 1, d, d)

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        self.generators = nn.Parameter(BEGINNING * torch.randn(BLOCKS + 1, dimensions, dimensions))
        self.biases = nn.Parameter(torch.zeros(BLOCKS, dimensions))
        self.couplings = nn.ModuleList(Coupling(dimensions) for _ in range(BLOCKS))
        self.register_buffer("baked", torch.eye(dimensions).repeat(BLOCKS + 1, 1, 1))

    def rotations(self) -> Tensor:
        """(BLOCKS + 1, d, d) orthogonal, as the generators have them."""
        return torch.matrix_exp(self.generators - self.generators.transpose(1, 2))

    @torch.no_grad()
    def bake(self) -> None:
        """Keep the rotations as they are."""
        self.baked.copy_(self.rotations())

    def forward(self, vectors: Tensor, rotations: Tensor | None = None) -> Tensor:
        """(..., d) to (..., d), by the rotations that were baked unless others are given."""
        turn = self.baked if rotations is None else rotations
        for number, coupling in enumerate(self.couplings):
            vectors = coupling(vectors @ turn[number] + self.biases[number])
        return vectors @ turn[-1]

    def inverse(self, vectors: Tensor, rotations: Tensor | None = None) -> Tensor:
        """From what `forward` returns to what it was given."""
        turn = self.baked if rotations is None else rotations
        vectors = vectors @ turn[-1].T
        for number in reversed(range(BLOCKS)):
            vectors = (self.couplings[number](vectors, -1) - self.biases[number]) @ turn[number].T
        return vectors

    def loss(self, vectors: Tensor, invariants: int) -> Tensor:
        """How much the last components vary, and how much of the vectors is lost without them.

        Args:
            vectors: (n, d) of good data, about 0.
            invariants: How many components are to be constant, fewer than d.
        """
        rotations = self.rotations()
        code: Tensor = self(vectors, rotations)
        varied, constant = code[:, :-invariants], code[:, -invariants:]
        rebuilt: Tensor = self.inverse(torch.cat([varied.detach(), torch.zeros_like(constant)], 1), rotations)
        return constant.square().mean() + (rebuilt - vectors).square().mean()


class Nonlinear(nn.Module):
    """Distance from what is constant over good vectors: invariants in units of what good vectors have there.

    Vectors are first turned to their principal components, 128 at most; what these leave of a vector is an invariant,
    too. Of the network's components as many become invariants as principal components are left when the largest ones
    have a share of the variance. (The authors' code takes one more, and has no closed curve then.)

    Args:
        dimensions: d of the vectors, at least 2.
        share: Of the variance.
    """

    mean: Tensor  # (d,)
    scale: Tensor  # (): 1 / the spread of a component
    axes: Tensor  # (d, k): orthonormal columns; columns of 0 where the data has fewer directions
    weight: Tensor  # (k,): 1 / (K times the mean square) for each of K invariants, 0 for the other components
    beyond: Tensor  # (): 1 / the mean square of what the components leave

    def __init__(self, dimensions: int, share: float) -> None:
        super().__init__()
        self.share = share
        components = min(dimensions, COMPONENTS)
        self.network = VolumePreserving(components)
        self.register_buffer("mean", torch.zeros(dimensions))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("axes", torch.zeros(dimensions, components))
        self.register_buffer("weight", torch.zeros(components))
        self.register_buffer("beyond", torch.zeros(()))

    def begin(self, vectors: Tensor) -> int:
        """Learn the principal components of good vectors (n, d). How many invariants the network is to find."""
        data = vectors.double()
        mean = data.mean(0)
        found = principal_components(mean, (data - mean).T.cov(correction=0), self.axes.shape[1])
        columns = F.normalize(found.projection, dim=0)  # as long as they were: whitened, none would vary more
        variances = ((data - mean) @ columns).square().mean(0)
        self.mean.copy_(mean)
        self.scale.copy_(variances.mean().clamp_min(TINY).rsqrt())
        self.axes.zero_()
        self.axes[:, : columns.shape[1]] = columns
        varied = 1 + int((variances.cumsum(0) < self.share * variances.sum()).sum())
        return max(1, self.axes.shape[1] - varied)

    @torch.no_grad()
    def end(self, vectors: Tensor, invariants: int) -> None:
        """Make the rotations constants, and learn how large the invariants of good vectors (n, d) are."""
        self.network.bake()
        code, left = self._parts(vectors)
        self.weight.zero_()
        self.weight[-invariants:] = 1 / (code[:, -invariants:].square().mean(0) + FLOOR) / invariants
        self.beyond.copy_(1 / (left.mean() + FLOOR))

    def components(self, vectors: Tensor) -> Tensor:
        """(..., d) to principal components (..., k), whose mean square over good vectors is 1."""
        return (vectors - self.mean) * self.scale @ self.axes

    def forward(self, vectors: Tensor) -> Tensor:
        """(..., d) to (...): about 1 for good vectors."""
        code, left = self._parts(vectors)
        return ((code.square() * self.weight).sum(-1) + left * self.beyond).sqrt()

    def _parts(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """What the network makes of the components (..., k), and the square of what these leave (...)."""
        components = self.components(vectors)
        left = (vectors - self.mean) * self.scale - components @ self.axes.T
        return self.network(components), left.square().sum(-1)
