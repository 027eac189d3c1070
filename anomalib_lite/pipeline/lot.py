"""Scores the images of an unlabelled lot by each other: nothing is trained, no golden image needed, nothing certified.

Each image is compared with a random set of the others, in two passes over the files: what stays in memory is a small
map and a vector for each image, and what is known of the places of those that all are compared with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data import Folders, Sample, Survey, count, find, groups, look, survey
from anomalib_lite.data.copies import near_copies
from anomalib_lite.data.survey import Looked
from anomalib_lite.edge import disk
from anomalib_lite.edge.bundle import MANIFEST
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.results import csv_line
from anomalib_lite.errors import ConfigError, DataError, MissingExtra
from anomalib_lite.metrics import auroc
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.result_folder import refuse_existing
from anomalib_lite.registry import Registry
from anomalib_lite.report import lot as page
from anomalib_lite.training.sizing import DEFAULT_SIZE, WHITE

if TYPE_CHECKING:
    from torch import Tensor

FEWEST = 5  # parts: with fewer than four others nothing is usual
LAYERS = ("blocks.4", "blocks.5")  # of strides 16 and 32
LEAST = 5  # images that make a kind of their own
PICTURES = 24
TABLE, REPORT = "lot.csv", "report.html"
COLUMNS = ("rank", "image", "part", "label", "score", "looks_like", "near_copy_of")


@dataclass(frozen=True, kw_only=True)
class Lot:
    """What `lot` is asked, as the command line gives it."""

    data: Path
    out: Path
    split: str | None = None
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    references: int = 64  # images that each is compared with, at most
    reweight: bool = False  # whether an image score is mixed with those of the images that look most like it
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True, eq=False)
class Scored:
    """An image of the lot."""

    sample: Sample
    score: float
    anomaly_map: NDArray[np.float32]  # (h, w): distances, 0 to 2
    kind: int = 0  # number of the images that it looks like; 0 where it looks like no others
    copy_of: str = ""  # the image of another part that it looks a copy of


@dataclass(frozen=True)
class Ranking:
    """The whole lot, the strangest first, and what must be known of it."""

    images: list[Scored]
    notes: list[str]


def rank(asked: Lot, *, plugins: Registry, track: Track = untracked) -> Ranking:
    """Score every image by the others; write the table and the report.

    Raises:
        ConfigError: An earlier result lies in `out`, or files of somebody else under its names.
        DataError: A model lies there, or it cannot be written to; there are images of fewer than five parts, or such
            that cannot be compared.
        MissingExtra: What the features need is not installed.
    """
    _refuse_existing(asked)
    opener = Opener(plugins.readers)
    dataset = find(asked.data, group=asked.group, columns=asked.columns, folders=Folders(lot=True), opener=opener)
    samples = _of_split(dataset.samples, asked)
    looked, unreadable = look(samples, opener)
    looked, copies = _copies_as_one_part(looked)
    _refuse_few([one for one, _ in looked], dataset.grouped)
    found = survey(looked, unreadable, copies=False)
    framing = Framing(ImageSpec(DEFAULT_SIZE, DEFAULT_SIZE, found.channels, found.dtype, WHITE[found.dtype]))
    images = _scored(asked, found, framing, opener, track)
    pairs = near_copies(found.usable, [facts[0].thumbnail for _, facts in looked])
    copies = {second.name: first.name for first, second in pairs} | copies
    images = [replace(one, copy_of=copies.get(one.sample.name, "")) for one in images]
    ranking = Ranking(sorted(images, key=lambda one: -one.score), [*_notes(images, unreadable, len(copies))])
    _write(asked, ranking, framing.spec, opener)
    return ranking


def _refuse_existing(asked: Lot) -> None:
    """Raise where writing would take something away: only an earlier result of this command can be replaced."""
    if asked.out.exists() and not asked.out.is_dir():
        raise ConfigError(f"{asked.out} is a file: --out is a folder. Choose another.")
    earlier = _is_table(asked.out / TABLE)
    if earlier and not asked.overwrite:
        raise ConfigError(f"{asked.out} holds an earlier result. Choose another --out, or give --overwrite.")
    if not earlier or (asked.out / MANIFEST).exists():
        refuse_existing(asked.out, overwrite=False)


def _is_table(path: Path) -> bool:
    """Whether a file is a table that this command wrote."""
    try:
        with path.open("rb") as file:
            return file.readline() == csv_line(COLUMNS).encode()
    except OSError:
        return False


def _of_split(samples: Sequence[Sample], asked: Lot) -> list[Sample]:
    chosen = [one for one in samples if asked.split in (None, one.split)]
    if not chosen:
        there = ", ".join(sorted({one.split for one in samples if one.split})) or "none"
        raise DataError(f"{asked.data}: no image is of the split '{asked.split}'. Splits there: {there}.")
    return chosen


def _copies_as_one_part(looked: Looked) -> tuple[Looked, dict[str, str]]:
    """Copies byte by byte as images of one part, which do not judge each other; name of each, and of what it copies."""
    first: dict[str, Sample] = {}
    found, copies = [], {}
    for sample, facts in looked:
        original = first.setdefault(facts[0].sha256, sample)
        if original is not sample:
            copies[sample.name] = original.name
        found.append((replace(sample, group=original.group), facts))
    return found, copies


def _refuse_few(readable: Sequence[Sample], grouped: bool) -> None:
    parts = len(groups(readable))
    if parts < FEWEST:
        hint = " Photographs of one part do not judge each other." if grouped else ""
        raise DataError(
            f"{count(len(readable), 'readable image')} of {count(parts, 'part')}: a lot is scored by itself, which "
            f"takes {FEWEST} parts at least.{hint} Add images of others."
        )


def _scored(asked: Lot, found: Survey, framing: Framing, opener: Opener, track: Track) -> list[Scored]:
    """The images in their order, scored by those that a draw has chosen."""
    try:
        import torch

        from anomalib_lite.features import backbone
        from anomalib_lite.features.mutual import MutualScoring, reweighted
    except ModuleNotFoundError as error:
        raise MissingExtra(str(error.name), "train", "A lot") from error
    network = backbone("tf_efficientnet_lite0", "packaged", LAYERS, framing.spec)
    network.load_pretrained()
    scoring = MutualScoring(network, framing.spec)

    def described(sample: Sample) -> tuple[list[Tensor], Tensor]:
        pixels = framing.frames(opener.read(sample.path).pixels)[0].image.astype(np.float32)
        return scoring.describe(torch.from_numpy(pixels / framing.spec.white).movedim(-1, 0)[None])

    chosen = _references(found.usable, asked.references, asked.seed)
    parts = np.array([one.group for one in chosen])
    maps, embeddings = [], []
    with torch.inference_mode():
        seen = [described(one)[0] for one in track(chosen, "references")]
        others = [torch.cat(layer) for layer in zip(*seen, strict=True)]
        for sample in track(found.usable, "lot"):
            mine, embedding = described(sample)
            foreign = torch.from_numpy(parts != sample.group)
            maps.append(scoring.anomaly_maps(mine, [layer[foreign] for layer in others])[0, 0].numpy())
            embeddings.append(embedding)
    scores, vectors = torch.tensor([float(one.max()) for one in maps]), torch.cat(embeddings)
    if asked.reweight:
        numbers = {part: number for number, part in enumerate(sorted(groups(found.usable)))}
        scores = reweighted(scores, vectors, torch.tensor([numbers[one.group] for one in found.usable]))
    kinds = _kinds(vectors.numpy())
    return [Scored(*one) for one in zip(found.usable, scores.tolist(), maps, kinds, strict=True)]


def _references(samples: Sequence[Sample], number: int, seed: int) -> list[Sample]:
    """Images that the others are compared with: one of each part before a second of any."""
    order = np.random.default_rng(seed).permutation(len(samples))
    before: Counter[str] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place in order:
        before[samples[place].group] += 1
        turns.append((before[samples[place].group], len(turns), int(place)))
    return [samples[place] for _, _, place in sorted(turns)[: max(number, FEWEST)]]


def _kinds(embeddings: NDArray[np.float32]) -> list[int]:
    """Numbers of groups of images that look alike, from 1; 0 for those that look like no others.

    HDBSCAN (Campello, Moulavi, Sander, 2013) on unit vectors.
    """
    from sklearn.cluster import HDBSCAN

    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True).clip(1e-12)
    least = max(LEAST, len(unit) // 20)
    if len(unit) < 2 * least:
        return [1] * len(unit)
    found = HDBSCAN(min_cluster_size=least, allow_single_cluster=True, copy=True).fit_predict(unit)
    return [int(one) + 1 for one in found]


def _notes(images: Sequence[Scored], unreadable: Sequence[tuple[str, str]], copies: int) -> Iterator[str]:
    yield (
        "Not certified: scores compare within this lot alone, and tell how unlike the others an image is, not whether "
        "it is defective. What 30 % of the images or more have in common counts as usual: a defect that is on every "
        "third image is not found."
    )
    kinds = Counter(one.kind for one in images if one.kind)
    if len(kinds) > 1:
        yield (
            f"{len(kinds)} kinds of images that look alike: {', '.join(str(n) for _, n in kinds.most_common())}. Where "
            "these are several products, score each by itself: a rare one stands out as a whole."
        )
    if copies:
        yield f"{count(copies, 'image')} looking like copies: 'near_copy_of' in the table names the others."
    for name, reason in unreadable[:3]:
        yield f"not read: {name}: {reason}"
    if len(unreadable) > 3:
        yield f"not read: {len(unreadable) - 3} further images"
    labels = [(one.score, one.sample.is_good) for one in images if one.sample.is_good is not None]
    good, bad = ([score for score, said in labels if said is side] for side in (True, False))
    if good and bad:
        area = auroc(good, bad)
        yield f"By the labels, which took no part: image AUROC {area:.3f} of {len(good)} good and {len(bad)} others."


def _write(asked: Lot, ranking: Ranking, spec: ImageSpec, opener: Opener) -> None:
    rows = [csv_line(COLUMNS)]
    for number, one in enumerate(ranking.images, 1):
        sample = one.sample
        rows.append(
            csv_line((number, sample.name, sample.group, sample.label, f"{one.score:.6g}", one.kind, one.copy_of))
        )
    of_each_part: dict[str, tuple[int, Scored]] = {}
    for number, one in enumerate(ranking.images, 1):
        of_each_part.setdefault(one.sample.group, (number, one))
    shown = [
        page.Picture(number, one.sample.name, one.score, opener.read(one.sample.path).pixels, one.anomaly_map)
        for number, one in list(of_each_part.values())[:PICTURES]
    ]
    limits = np.quantile([one.anomaly_map.max() for one in ranking.images], (0.1, 0.9))
    scores = [one.score for one in ranking.images]
    drawn = page.drawn(asked.data.name, scores, shown, ranking.notes, limits, spec)
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        disk.write(asked.out / TABLE, "".join(rows).encode("utf-8", "surrogateescape"))
        disk.write(asked.out / REPORT, drawn)
    except OSError as error:
        raise DataError(f"{asked.out}: cannot be written ({error.strerror}). Choose another --out.") from error
