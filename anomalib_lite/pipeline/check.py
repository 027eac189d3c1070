"""The dry run of a training: what is found, what `train` would refuse, and what it could certify. Nothing is fitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite import config as configuration
from anomalib_lite.calibration.forecast import forecast
from anomalib_lite.calibration.units import refuse_unknown_parts
from anomalib_lite.config import Config
from anomalib_lite.data import (
    TEST,
    DataSet,
    Images,
    Sample,
    Survey,
    check_masks,
    describe,
    groups,
    look,
    survey,
)
from anomalib_lite.data.masks import smallest
from anomalib_lite.data.samples import TRAIN
from anomalib_lite.data.survey import Looked
from anomalib_lite.data.turning import drawn_unturned
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import Limits
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import AnomalibLiteError, DataError
from anomalib_lite.pipeline.mutual import groups_said, refuse_few, scored, strangest
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.registry import Registry
from anomalib_lite.training.choice import Choice, choose, good_images, held_out_share, summary
from anomalib_lite.training.sizing import DEFAULT_SIZE, image_spec, made_smaller, read_region

ANY = "any"  # what stands for the detector in a configuration that names none


@dataclass(frozen=True, kw_only=True)
class Check(Images):
    """What `data check` is asked, as the command line gives it."""

    config: Path | None = None
    settings: Sequence[str] = ()  # "image.height=512"
    overrides: Mapping[str, Any] = field(default_factory=dict)  # dotted keys from options such as --holdout
    lot: bool = False  # whether the images to train on are scored by each other, too


@dataclass(frozen=True)
class Checked:
    """What was found, in lines, and the exit code of a training that is asked the same."""

    lines: list[str]
    exit_code: int


def check(asked: Check, *, plugins: Registry, track: Track = untracked) -> Checked:
    """Look at a data set as `train` does, and say what it would do with it.

    Raises:
        DataError: There is nothing to look at, or nothing says which images are good.
        ConfigError: An option has no meaning.
    """
    config = configured(asked.config, asked.settings, asked.overrides, "anomalib-lite data check --help")
    opener = Opener(plugins.readers_with(config.readers), Limits.of(config.image.max_pixels))
    dataset = asked.found(opener)
    looked, unreadable = look(dataset.samples, opener)
    good, problems = _good(dataset)
    names = {one.name for one in good.samples}
    mine = [(sample, facts) for sample, facts in looked if sample.name in names]
    planned, more = _dry_run(dataset, good, mine, unreadable, config)
    problems += more
    lines = [*describe(dataset, looked, unreadable), *_for_evaluation(dataset), *(f"plan: {line}" for line in planned)]
    if asked.lot and not problems:
        try:
            lines += [f"lot: {line}" for line in _among_themselves(good, mine, config, track)]
        except AnomalibLiteError as error:
            problems.append(error)
    elif asked.lot:
        lines.append("lot: not scored before the problems are mended")
    lines += [f"problem: {problem}" for problem in problems]
    return Checked(lines, problems[0].exit_code if problems else 0)


def configured(file: Path | None, settings: Sequence[str], overrides: Mapping[str, Any], helped_by: str) -> Config:
    """The configuration as far as it does not depend on the detector.

    Args:
        file: A YAML file.
        settings: "image.height=512".
        overrides: Dotted keys from options such as --holdout.
        helped_by: The command that explains them.

    Raises:
        ConfigError: The file or an option cannot be used.
    """
    merged = configuration.load(file, settings)
    for key, value in overrides.items():
        configuration.put(merged, key, value)
    merged.setdefault("detector", ANY)
    where = str(file) if file else "configuration"
    return configuration.validate(Config, merged, where=where, help_command=helped_by)


def _good(dataset: DataSet) -> tuple[DataSet, list[AnomalibLiteError]]:
    """What a training takes as good, and why it would refuse that."""
    try:
        return good_images(dataset), []
    except DataError as error:
        rest = [one for one in dataset.samples if one.split != TEST and one.is_good is not False]
        return replace(dataset, samples=rest), [error]


def _dry_run(
    dataset: DataSet, good: DataSet, looked: Looked, unreadable: Sequence[tuple[str, str]], config: Config
) -> tuple[list[str], list[AnomalibLiteError]]:
    """What a training on good images would do, and all that it would refuse, the first reason first."""
    problems: list[AnomalibLiteError] = []
    if not good.samples:
        return [], problems
    names = {sample.name for sample in good.samples}
    lost = [(name, reason) for name, reason in unreadable if name in names]
    lines: list[str] = []
    try:
        found = survey(looked, lost, channels=config.image.channels, white=config.image.white, copies=False)
        lines += made_smaller(_framing(looked, found, config), found.facts.values(), smallest(dataset))
    except AnomalibLiteError as error:
        problems.append(error)
    try:
        region = read_region(config.image.roi)
        lines += region.notes if region else []
    except DataError as error:
        problems.append(error)
    try:
        lines += _divided(good, [sample for sample, _ in looked], config)
    except AnomalibLiteError as error:
        problems.append(error)
    return lines, problems


def _among_themselves(good: DataSet, looked: Looked, config: Config, track: Track) -> list[str]:
    """Which of the images to train on do not belong among the others.

    Raises:
        DataError: They are of fewer than five parts, or neither grey nor colour.
        ConfigError: Their size does not suit the network.
        MissingExtra: What it needs is not installed.
    """
    samples = [sample for sample, _ in looked]
    refuse_few(samples, grouped=good.grouped)
    found = survey(looked, [], channels=config.image.channels, white=config.image.white, copies=False)
    spec = image_spec(config, found, (DEFAULT_SIZE, DEFAULT_SIZE))
    framing = Framing(spec, convert=config.image.channels is not None)
    images = scored(samples, framing, good.opener, seed=config.training.seed, track=track)
    return [strangest(images), *groups_said(images)]


def _divided(good: DataSet, usable: Sequence[Sample], config: Config) -> list[str]:
    """How many images and parts would be fitted and held out, and what these can certify."""
    if not usable:
        return []  # said already
    choice = choose(good, usable, config)
    return [summary(good, choice), carried(choice, config, grouped=good.grouped)]


def carried(choice: Choice, config: Config, *, grouped: bool) -> str:
    """What the images that are held out can certify, in words.

    Raises:
        ConfigError: A row that the menu will not have.
        DataError: Parts are to be decided on, and are not known.
    """
    refuse_unknown_parts(config.calibration.per, grouped=grouped)
    n = len(groups(choice.held_out or choice.fit))
    unit, share = "part" if grouped else "image", held_out_share(config, choice)
    asked = config.calibration
    return forecast(n, unit, asked, share, row=asked.row, folds=asked.crossfit)


def _framing(looked: Looked, found: Survey, config: Config) -> Framing:
    """How images would become inputs of the graph; with golden images, in their size."""
    size = next(((facts[1].height, facts[1].width) for _, facts in looked if facts[1:]), (DEFAULT_SIZE, DEFAULT_SIZE))
    return Framing(image_spec(config, found, size), config.image.mode or "stretch", config.image.overlap)


def _for_evaluation(dataset: DataSet) -> list[str]:
    """What an evaluation would refuse of the same data, and what it would say of masks."""
    refused = [f"for an evaluation: {dataset.unclear}"] if dataset.unclear else []
    tested = [sample for sample in dataset.samples if sample.split != TRAIN]
    try:
        tested, notes = check_masks(tested, dataset.opener)
    except DataError as error:
        return [*refused, f"for an evaluation: {error}"]
    _, unturned = drawn_unturned(tested, dataset.opener)
    return refused + [f"note: {note}" for note in notes] + ([f"warning: {unturned}"] if unturned else [])
