"""Ranks the images of an unlabelled lot by each other: nothing is trained, no golden image needed, none certified."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from anomalib_lite.config import Config
from anomalib_lite.data import Folders, Sample, count, find, look, survey
from anomalib_lite.data.copies import near_copies
from anomalib_lite.data.survey import Looked
from anomalib_lite.edge import disk
from anomalib_lite.edge.bundle import MANIFEST
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import Limits
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.results import csv_line
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.metrics import auroc
from anomalib_lite.pipeline.check import configured
from anomalib_lite.pipeline.mutual import REFERENCES, Scored, groups_said, refuse_few, scored
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.result_folder import refuse_existing
from anomalib_lite.registry import Registry
from anomalib_lite.report import lot as page
from anomalib_lite.training.sizing import DEFAULT_SIZE, image_spec, made_smaller

PICTURES = 24
TABLE, REPORT = "lot.csv", "report.html"
COLUMNS = ("rank", "image", "part", "label", "score", "looks_like", "in_common", "near_copy_of")
MEANT = ("image.height", "image.width", "image.channels", "image.black", "image.white", "image.max_pixels", "readers")


@dataclass(frozen=True, kw_only=True)
class Lot:
    """What `lot` is asked, as the command line gives it."""

    data: Path
    out: Path
    split: str | None = None
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    settings: Sequence[str] = ()  # "image.channels=1"; of `MEANT`
    references: int = REFERENCES  # images that each is compared with, at most
    reweight: bool = False  # whether an image score is mixed with those of the images that look most like it
    seed: int = 0
    overwrite: bool = False


@dataclass(frozen=True)
class Ranking:
    """The whole lot, the strangest first, and what must be known of it."""

    images: list[Scored]
    copies: Mapping[str, str]  # name of an image, and that of another part's which it looks a copy of
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
    config = _configured(asked)
    opener = Opener(plugins.readers_with(config.readers), Limits.of(config.image.max_pixels))
    dataset = find(asked.data, group=asked.group, columns=asked.columns, folders=Folders(lot=True), opener=opener)
    samples = _of_split(dataset.samples, asked)
    looked, unreadable = look(samples, opener)
    looked, copies = _copies_as_one_part(looked)
    image = config.image
    if looked:
        refuse_few([one for one, _ in looked], grouped=dataset.grouped, copies=len(copies))
    found = survey(looked, unreadable, channels=image.channels, white=image.white, copies=False)
    spec = image_spec(config, found, (DEFAULT_SIZE, DEFAULT_SIZE))
    framing = Framing(spec, convert=image.channels is not None)
    images = scored(
        found.usable,
        framing,
        opener,
        references=asked.references,
        reweight=asked.reweight,
        seed=asked.seed,
        track=track,
    )
    pairs = near_copies(found.usable, [facts[0].thumbnail for _, facts in looked])
    copies = {second.name: first.name for first, second in pairs} | copies
    smaller = made_smaller(framing, found.facts.values())
    ranked = sorted(images, key=lambda one: -one.score)
    ranking = Ranking(ranked, copies, [*_notes(ranked, unreadable, len(copies), smaller)])
    _write(asked, ranking, spec, opener)
    return ranking


def _configured(asked: Lot) -> Config:
    """What is set of images and readers.

    Raises:
        ConfigError: It cannot be used, or something else is set.
    """
    for setting in asked.settings:
        key = setting.partition("=")[0].strip()
        if key not in MEANT and key.partition(".")[0] not in MEANT:
            raise ConfigError(
                f"--set {key}: means nothing to a lot. Expected one of {', '.join(MEANT[:-1])}, readers.NAME.KEY."
            )
    return configured(None, asked.settings, {}, "anomalib-lite lot --help")


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


def _notes(
    images: Sequence[Scored], unreadable: Sequence[tuple[str, str]], copies: int, smaller: Sequence[str]
) -> Iterator[str]:
    yield (
        "Not certified: scores compare within this lot alone, and tell how unlike the others an image is, not whether "
        "it is defective. What 30 % of the images or more have in common counts as usual: a defect that is on every "
        "third image is not found."
    )
    yield from groups_said(images)
    if copies:
        yield f"{count(copies, 'image')} looking like copies: 'near_copy_of' in the table names the others."
    yield from smaller
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
            csv_line(
                (
                    number,
                    sample.name,
                    sample.group,
                    sample.label,
                    f"{one.score:.6g}",
                    one.kind,
                    int(one.in_common),
                    ranking.copies.get(sample.name, ""),
                )
            )
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
