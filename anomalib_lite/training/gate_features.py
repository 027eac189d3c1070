"""Learns how far good images lie from each other in features of whole images: what the gate limits beside statistics.

Mahalanobis distance of pooled features of a frozen network, with the covariance that Ledoit and Wolf shrink ("A
well-conditioned estimator for large-dimensional covariance matrices", Journal of Multivariate Analysis 2004). The limit
is a multiple of the largest distance of images of parts that centre and covariance were not learnt from, and no less
than the largest of these with a patch as a defect might be: a defect is to be judged, not to be refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.config import GateConfig
from anomalib_lite.data import Sample, groups
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.thumbnail import SIDE, thumbnail
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.runtime import Glance
from anomalib_lite.errors import ImageError, MissingExtra
from anomalib_lite.features.weights import LITE0, WeightsInfo

Floats = NDArray[np.float64]

FEWEST = 8  # parts, to learn anything
MOST = 500  # images that are learnt from, evenly over all
FOLDS = 5
MARGIN = 1.5  # times the largest distance
PATCH = SIDE // 8  # cells of a side, as the patch of the self-check
SHIFTS = ((0, 0), (3, -5), (-4, 1))  # cells: each image is seen moved, too, for no part lies at one place to a pixel


class Learnt(NamedTuple):
    """The graph from a thumbnail to features in units of their spread, and how far from 0 they may lie."""

    graph: bytes
    limit: float
    weights: WeightsInfo


def learnt(asked: GateConfig, samples: Sequence[Sample], intake: Intake) -> Learnt | None:
    """What images like these are told from others by; None where that is off, not possible or not known.

    Args:
        asked: Whether there is to be a gate, and of what.
        samples: The images of the fit.
        intake: What opens them. Images that are compared with their golden one are not looked at.
    """
    spec, parts = intake.framing.spec, sorted(groups(samples))
    wanted = asked.enabled and asked.features == "auto" and not intake.compares
    if not wanted or spec.channels not in (1, 3) or len(parts) < FEWEST:
        return None
    try:
        from anomalib_lite.features.glance import glance, whitened

        graph = glance(spec.channels)
    except MissingExtra:
        return None
    seen = list(_features(Glance(graph, spec), samples[:: -(-len(samples) // MOST)], intake))
    values = np.stack([found for _, found in seen])  # (images, variants, d)
    good, patched = values[:, : len(SHIFTS)], values[:, len(SHIFTS) :]
    fold = {part: number % FOLDS for number, part in enumerate(parts)}
    folds = np.array([fold[part] for part, _ in seen])
    limits = []
    for one in set(folds):
        centre, whitening = _units(good[folds != one])
        far = [np.linalg.norm((kind[folds == one] - centre) @ whitening, axis=-1).max() for kind in (good, patched)]
        limits.append(max(MARGIN * far[0], far[1]))
    centre, whitening = _units(good)
    return Learnt(whitened(graph, centre, whitening), float(max(limits)), LITE0)


def _features(glance: Glance, samples: Sequence[Sample], intake: Intake) -> Iterator[tuple[str, Floats]]:
    """The part of each image, and the features (variants, d) of its variants."""
    framing, random = intake.framing, np.random.default_rng(0)
    for sample in samples:
        try:
            pixels = imaging.conform(intake.read(sample.path).pixels, framing.spec, convert=framing.convert)
        except ImageError:  # it is told of where it is learnt from
            continue
        seen = _variants(thumbnail(pixels), framing.spec, random)
        yield sample.group, np.stack([glance.features(one) for one in seen]).astype(np.float64)


def _variants(cells: Floats, spec: ImageSpec, random: np.random.Generator) -> Iterator[Floats]:
    """A thumbnail (SIDE, SIDE, C) at each of `SHIFTS`, and with a black and a white patch somewhere."""
    places = np.arange(SIDE)
    for down, right in SHIFTS:
        yield cells[(places - down).clip(0, SIDE - 1)][:, (places - right).clip(0, SIDE - 1)]
    for level in (spec.black, spec.white):
        patched, (top, left) = cells.copy(), random.integers(0, SIDE - PATCH, 2)
        patched[top : top + PATCH, left : left + PATCH] = level
        yield patched


def _units(values: Floats) -> tuple[Floats, Floats]:
    """The mean (d,) of features (n, variants, d), and the matrix (d, d) that makes their covariance the identity."""
    import torch

    from anomalib_lite.features import ledoit_wolf

    flat = values.reshape(-1, values.shape[-1])
    spread = flat.std(0) + 1e-6
    units = ledoit_wolf(torch.from_numpy(flat / spread))
    return units.mean.numpy() * spread, units.projection.numpy() / spread[:, None]
