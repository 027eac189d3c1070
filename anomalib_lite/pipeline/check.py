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
    Folders,
    Sample,
    Survey,
    check_masks,
    describe,
    find,
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
from anomalib_lite.registry import Registry
from anomalib_lite.training.choice import Choice, choose, good_images, held_out_share, summary
from anomalib_lite.training.sizing import DEFAULT_SIZE, image_spec, made_smaller, read_region

ANY = "any"  # what stands for the detector in a configuration that names none


@dataclass(frozen=True, kw_only=True)
class Check:
    """What `data check` is asked, as the command line gives it."""

    data: Path
    config: Path | None = None
    settings: Sequence[str] = ()  # "image.height=512"
    overrides: Mapping[str, Any] = field(default_factory=dict)  # dotted keys from options such as --holdout
    group: str | None = None
    session: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    folders: Folders = field(default_factory=Folders)


@dataclass(frozen=True)
class Checked:
    """What was found, in lines, and the exit code of a training that is asked the same."""

    lines: list[str]
    exit_code: int


def check(asked: Check, *, plugins: Registry) -> Checked:
    """Look at a data set as `train` does, and say what it would do with it.

    Raises:
        DataError: There is nothing to look at, or nothing says which images are good.
        ConfigError: An option has no meaning.
    """
    config = _configured(asked)
    opener = Opener(plugins.readers_with(config.readers), Limits.of(config.image.max_pixels))
    dataset = find(
        asked.data,
        group=asked.group,
        session=asked.session,
        columns=asked.columns,
        folders=asked.folders,
        opener=opener,
    )
    looked, unreadable = look(dataset.samples, opener)
    planned, problems = _dry_run(dataset, looked, unreadable, config)
    lines = [*describe(dataset, looked, unreadable), *_for_evaluation(dataset), *(f"plan: {line}" for line in planned)]
    lines += [f"problem: {problem}" for problem in problems]
    return Checked(lines, problems[0].exit_code if problems else 0)


def _configured(asked: Check) -> Config:
    """The configuration as far as it does not depend on the detector.

    Raises:
        ConfigError: The file or an option cannot be used.
    """
    merged = configuration.load(asked.config, asked.settings)
    for key, value in asked.overrides.items():
        configuration.put(merged, key, value)
    merged.setdefault("detector", ANY)
    where = str(asked.config) if asked.config else "configuration"
    return configuration.validate(Config, merged, where=where, help_command="anomalib-lite data check --help")


def _dry_run(
    dataset: DataSet, looked: Looked, unreadable: Sequence[tuple[str, str]], config: Config
) -> tuple[list[str], list[AnomalibLiteError]]:
    """What a training would do, and all that it would refuse, the first reason first."""
    problems: list[AnomalibLiteError] = []
    try:
        good = good_images(dataset)
    except DataError as error:
        problems.append(error)
        good = replace(dataset, samples=[s for s in dataset.samples if s.split != TEST and s.is_good is not False])
        if not good.samples:
            return [], problems
    names = {sample.name for sample in good.samples}
    mine = [(sample, facts) for sample, facts in looked if sample.name in names]
    lost = [(name, reason) for name, reason in unreadable if name in names]
    lines: list[str] = []
    try:
        found = survey(mine, lost, channels=config.image.channels, white=config.image.white, copies=False)
        lines += made_smaller(_framing(mine, found, config), found.facts.values(), smallest(dataset))
    except AnomalibLiteError as error:
        problems.append(error)
    try:
        region = read_region(config.image.roi)
        lines += region.notes if region else []
    except DataError as error:
        problems.append(error)
    try:
        lines += _divided(good, [sample for sample, _ in mine], config)
    except AnomalibLiteError as error:
        problems.append(error)
    return lines, problems


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
