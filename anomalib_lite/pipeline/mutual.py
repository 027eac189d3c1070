"""Images scored by each other: how unlike most of the others each is, which look alike, and what few have in common.

Each image is compared with a random set of the others, in two passes over the files: what stays in memory is a small
map and a vector for each image, and what is known of the places of those that all are compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data import Sample, count, groups
from anomalib_lite.data.samples import some
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.manifest import ImageSpec, normalised
from anomalib_lite.errors import DataError, MissingExtra
from anomalib_lite.pipeline.predict import Track, untracked

if TYPE_CHECKING:
    from torch import Tensor

    from anomalib_lite.features import MutualScoring

FEWEST = 5  # parts: with fewer than four others nothing is usual
REFERENCES = 64  # images that each is compared with
LAYERS = ("blocks.4", "blocks.5")  # of strides 16 and 32
USUAL, WIDER = 0.3, 0.7  # shares of the others: what is near in the first and not in the second, few have in common
LEAST = 5  # images that make a kind of their own, or have something in common
FAR = 5.0  # deviations from the median, beyond which an image is not like the others
NORMAL = 1.4826  # of the median absolute deviation to the standard deviation, where values are normal


@dataclass(frozen=True, eq=False)
class Scored:
    """An image, and what the others say of it."""

    sample: Sample
    score: float
    anomaly_map: NDArray[np.float32]  # (h, w): distances, 0 to 2
    kind: int = 0  # number of the images that it looks like; 0 where it looks like no others
    in_common: bool = False  # whether it has something that some of the others have, and most have not


def refuse_few(readable: Sequence[Sample], *, grouped: bool, copies: int = 0) -> None:
    """Refuse images that are too few to say what is usual.

    Args:
        readable: All of them.
        grouped: Whether it is known which show the same part.
        copies: How many of them are copies of others, byte by byte, and so count as the same part.

    Raises:
        DataError: They are of fewer than five parts.
    """
    parts = len(groups(readable))
    if parts < FEWEST:
        hint = " Photographs of one part do not judge each other." if grouped else ""
        hint += f" {copies} are copies of others, byte by byte." if copies else ""
        raise DataError(
            f"{count(len(readable), 'readable image')} of {count(parts, 'part')}: a lot is scored by itself, which "
            f"takes {FEWEST} parts at least.{hint} Add images of others."
        )


def scored(
    samples: Sequence[Sample],
    framing: Framing,
    opener: Opener,
    *,
    references: int = REFERENCES,
    reweight: bool = False,
    seed: int = 0,
    track: Track = untracked,
) -> list[Scored]:
    """Score images by those that a draw has chosen of the others; images of one part do not judge each other.

    Args:
        samples: Readable images of five parts at least.
        framing: What size they are seen in.
        opener: Opens them.
        references: Images that each is compared with, at most.
        reweight: Whether an image score is mixed with those of the images that look most like it.
        seed: Of the draw.
        track: Follows the passes.

    Returns:
        One for each, in their order.

    Raises:
        MissingExtra: What the features need is not installed.
        DataError: They are neither grey nor colour.
        ConfigError: Their size does not suit the network.
    """
    scoring = _scoring(framing.spec)
    import torch

    from anomalib_lite.features.mutual import reweighted

    chosen = drawn(samples, references, seed)
    with torch.inference_mode():
        maps, few, embeddings = _compared(scoring, samples, chosen, framing, opener, track)
        vectors, scores = torch.cat(embeddings), torch.tensor([float(one.max()) for one in maps])
        if reweight:
            numbers = {part: number for number, part in enumerate(sorted(groups(samples)))}
            scores = reweighted(scores, vectors, torch.tensor([numbers[one.group] for one in samples]))
    found = zip(samples, scores.tolist(), maps, kinds(vectors.numpy()), (deviations(few) > FAR).tolist(), strict=True)
    return [Scored(*one) for one in found]


def _scoring(spec: ImageSpec) -> MutualScoring:
    """What describes and compares images."""
    if spec.channels not in (1, 3):
        raise DataError(
            f"the images have {spec.channels} channels, and are compared by a network that was trained on photographs: "
            "expected 1 (grey) or 3 (colour). Save the channel, or the three, that show most, as images of their own."
        )
    try:
        from anomalib_lite.features import MutualScoring, backbone
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "train", "A lot") from error
    network = backbone("tf_efficientnet_lite0", "packaged", LAYERS, spec)
    network.load_pretrained()
    return MutualScoring(network, spec)


def _compared(
    scoring: MutualScoring,
    samples: Sequence[Sample],
    chosen: Sequence[Sample],
    framing: Framing,
    opener: Opener,
    track: Track,
) -> tuple[list[NDArray[np.float32]], list[float], list[Tensor]]:
    """Of each image its map, how much nearer what is near in few images is than in most, and its embedding (1, d)."""
    import torch

    def described(sample: Sample) -> tuple[list[Tensor], Tensor]:
        pixels = framing.frames(opener.read(sample.path).pixels)[0].image.astype(np.float32)
        scaled = normalised(pixels, framing.spec.black, framing.spec.white)
        return scoring.describe(torch.from_numpy(scaled).movedim(-1, 0)[None])

    seen = [described(one)[0] for one in track(chosen, "references")]
    others = [torch.cat(layer) for layer in zip(*seen, strict=True)]
    parts = np.array([one.group for one in chosen])
    maps, few, embeddings = [], [], []
    for sample in track(samples, "lot"):
        mine, embedding = described(sample)
        foreign = torch.from_numpy(parts != sample.group)
        usual, wider = scoring.anomaly_maps(mine, [layer[foreign] for layer in others], (USUAL, WIDER))[0]
        maps.append(usual.numpy())
        few.append(float((wider - usual).max()))
        embeddings.append(embedding)
    return maps, few, embeddings


def drawn(samples: Sequence[Sample], number: int, seed: int) -> list[Sample]:
    """Images that the others are compared with: one of each part before a second of any."""
    order = np.random.default_rng(seed).permutation(len(samples))
    before: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place in order:
        before[samples[place].group] += 1
        turns.append((before[samples[place].group], len(turns), int(place)))
    return [samples[place] for _, _, place in sorted(turns)[: max(number, FEWEST)]]


def kinds(embeddings: NDArray[np.float32]) -> list[int]:
    """Numbers of groups of images that look alike, from 1; 0 for those that look like no others.

    HDBSCAN (Campello, Moulavi, Sander, 2013) on unit vectors.

    Args:
        embeddings: (N, d).
    """
    from sklearn.cluster import HDBSCAN

    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
    least = max(LEAST, len(unit) // 20)
    if len(unit) < 2 * least:
        return [1] * len(unit)
    found = HDBSCAN(min_cluster_size=least, allow_single_cluster=True, copy=True).fit_predict(unit)
    return [int(one) + 1 for one in found]


def deviations(values: Sequence[float]) -> NDArray[np.float64]:
    """How far each value lies above the median, in standard deviations that the median absolute one estimates."""
    above = np.asarray(values, np.float64) - np.median(values)
    spread: float = NORMAL * float(np.median(np.abs(above)))
    return above / max(spread, 1e-6)


def strangest(images: Sequence[Scored], shown: int = 5) -> str:
    """Which images do not belong among the others, in words; the first ones to look at where none stands out."""
    above = deviations([one.score for one in images])
    order = np.argsort(-above, kind="stable")
    apart = int((above > FAR).sum())
    named = [f"{images[place].sample.name} ({above[place]:.1f})" for place in order]
    if apart:
        said = f"{apart} of {count(len(images), 'image')} stand out: {some(named[:apart], 2 * shown)}"
    else:
        said = f"none of {count(len(images), 'image')} stands out; the strangest are {', '.join(named[:shown])}"
    return (
        f"{said} (in deviations of the scores above their median, from {FAR:.0f} on). Look at them: a defect among "
        "good images hides others like it."
    )


def groups_said(images: Sequence[Scored]) -> Iterator[str]:
    """What is to be said of several kinds of images, and of what some of them have in common."""
    found = Counter(one.kind for one in images if one.kind)
    if len(found) > 1:
        first = {kind: next(one.sample.name for one in images if one.kind == kind) for kind in found}
        named = ", ".join(f"{number} like {first[kind]}" for kind, number in found.most_common())
        alone = sum(one.kind == 0 for one in images)
        others = f", {alone} like no others" if alone else ""
        yield (
            f"{len(found)} kinds of images that look alike: {named}{others}. Where "
            "these are several products, score each by itself: a rare one stands out as a whole."
        )
    common = [one.sample.name for one in images if one.in_common]
    if LEAST <= len(common) < len(images) / 2:
        yield (
            f"{len(common)} of {len(images)} images have something in common that most have not: {some(common, 3)}. "
            "Another variant, or the same defect on all of them, for which they do not rank higher: look at some."
        )
