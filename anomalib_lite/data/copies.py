"""Copies of images under another part: byte by byte, and near ones, as of a burst or of another encoding.

Counted as parts of their own, copies promise more than the images can carry. Near copies are a hint: two images whose
thumbnails differ from the mean of the data set in the same way (correlation of what is left of 16 x 16 cells), and
which, each brought to the same mean and contrast, hardly differ over larger cells (8 x 8), where noise averages out.
Pairs are found by random signs of projections (locality-sensitive hashing: Charikar, "Similarity estimation techniques
from rounding algorithms", STOC 2002), each image compared with its few neighbours of each order: work is linear in n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.samples import Sample, count, some

CELLS = 16  # of a thumbnail, either way
LARGE_CELLS = 8
LOOKED_AT = 2 << 20  # pixels of an image; of larger ones every second, third, ... row and column is
ALIKE = 0.95  # correlation of what differs from the mean of all images
DIFFERENT = 0.03  # root mean square over the large cells, in units of an image's contrast
ORDERS = 24  # in which images are sorted; from random directions each
NEIGHBOURS = 6  # in each of them
AT_ONCE = 1 << 16  # pairs that are compared
FLAT = 1e-3  # contrast below which an image shows nothing, in units of its range


def thumbnail(pixels: NDArray[Any]) -> NDArray[np.float16]:
    """An image (H, W, C) as the means of 16 x 16 cells, brought to mean 0 and variance 1; all 0 where it is flat."""
    step = max(1, isqrt(pixels.shape[0] * pixels.shape[1] // LOOKED_AT))
    plane = pixels[::step, ::step, pixels.shape[2] // 2]
    means = _averages(plane.shape[0]) @ plane.astype(np.float32) @ _averages(plane.shape[1]).T
    means -= means.mean()
    contrast = float(means.std())
    flat = contrast <= FLAT * (np.iinfo(plane.dtype).max if plane.dtype.kind == "u" else float(np.abs(plane).max()))
    return np.asarray(0 * means if flat else means / contrast, np.float16).ravel()


def _averages(length: int) -> NDArray[np.float32]:
    """The matrix (16, length) of averages over neighbouring places."""
    edges = np.arange(CELLS + 1) * length / CELLS
    first, last = np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)
    places = np.arange(length)
    inside = (places >= first[:, None]) & (places < last[:, None])
    return np.asarray(inside / inside.sum(axis=1, keepdims=True), np.float32)


def near_copies(samples: Sequence[Sample], thumbnails: Sequence[NDArray[np.float16]]) -> list[tuple[Sample, Sample]]:
    """Pairs of images that look like one, under different groups; the most alike first.

    Args:
        samples: Images.
        thumbnails: Of each of them.
    """
    if len(samples) < 3:  # no mean that would tell what all have in common
        return []
    seen = np.array(thumbnails, np.float32)
    large = seen.reshape(len(seen), LARGE_CELLS, CELLS // LARGE_CELLS, LARGE_CELLS, -1).mean(axis=(2, 4))
    unlike = np.subtract(seen, seen.mean(axis=0), out=seen)
    size = np.linalg.norm(unlike, axis=1, keepdims=True)
    unlike /= np.where(size > 0, size, 1)
    groups = np.unique([sample.group for sample in samples], return_inverse=True)[1]
    found: dict[tuple[int, int], float] = {}
    for first, second in _neighbours(unlike):
        alike = np.einsum("ij,ij->i", unlike[first], unlike[second])
        difference = np.sqrt(((large[first] - large[second]) ** 2).mean(axis=(1, 2)))
        near = (alike >= ALIKE) & (difference <= DIFFERENT) & (groups[first] != groups[second])
        for place in np.flatnonzero(near):
            pair = sorted((int(first[place]), int(second[place])))
            found[pair[0], pair[1]] = float(alike[place])
    ranked = sorted(found, key=lambda pair: (-found[pair], pair))
    return [(samples[one], samples[other]) for one, other in ranked]


def _neighbours(vectors: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Pairs of unit vectors (n, d) that may be alike: neighbours in orders that sort what is alike together."""
    random = np.random.default_rng(0)
    bits = max(1, int(np.log2(len(vectors))))
    for _ in range(ORDERS):
        projected = vectors @ random.normal(size=(vectors.shape[1], bits + 1)).astype(np.float32)
        signs = (projected[:, :bits] > 0) @ (1 << np.arange(bits))
        order = np.lexsort((projected[:, bits], signs))
        for step in range(1, NEIGHBOURS + 1):
            first, second = order[:-step], order[step:]
            together = np.flatnonzero(signs[first] == signs[second])
            for some_of in np.split(together, range(AT_ONCE, len(together), AT_ONCE)):
                yield first[some_of], second[some_of]


def near_copies_hint(samples: Sequence[Sample], thumbnails: Sequence[NDArray[np.float16]]) -> str | None:
    """What to say of near copies; None where there are none."""
    pairs = near_copies(samples, thumbnails)
    if not pairs:
        return None
    images = len({second.name for _, second in pairs})
    examples = some([f"{second.name} of {first.name}" for first, second in pairs])
    return (
        f"{count(images, 'image')} near copies, as of a burst or another encoding, under another part: {examples}. If "
        "they show the same part the bound is void: give --group REGEX so that they are one part, or remove them"
    )


def copied(samples: Sequence[Sample], hashes: Sequence[str]) -> str | None:
    """Which images are copies of others under another group, and what to do; None where there are none."""
    first: dict[str, Sample] = {}
    copies = []
    for sample, sha256 in zip(samples, hashes, strict=True):
        original = first.setdefault(sha256, sample)
        if original.group != sample.group:
            copies.append(f"{sample.name} of {original.name}")
    if not copies:
        return None
    return (
        f"{count(len(copies), 'image')} copied byte by byte under another group: {some(copies, 3)}. Remove the copies: "
        "counted as parts of their own they would promise more than the images can carry."
    )
