"""From what the user asks to what can be trained: configuration, images, framing; every mistake is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anomalib_lite import config as configuration
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.data import DataSet, Sample, Survey, find, look, survey
from anomalib_lite.data.goldens import carriage, carried, distinct, refuse_without, without_goldens
from anomalib_lite.data.simulation import simulate
from anomalib_lite.data.survey import Looked
from anomalib_lite.edge.golden.goldens import MAX_GOLDENS, Goldens
from anomalib_lite.edge.images.imaging import Limits
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.intake import Intake
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import Registry, described
from anomalib_lite.registry.plugin import Provider
from anomalib_lite.training.choice import Choice, choose, good_images, mixed_lot, summary
from anomalib_lite.training.poses import with_pose
from anomalib_lite.training.request import Request
from anomalib_lite.training.sizing import Region, framed, made_smaller


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request that can be carried out."""

    request: Request
    info: DetectorInfo
    provider: Provider
    members: list[tuple[DetectorInfo, Provider]]  # what it is made of, where it is made of other detectors
    options: DetectorConfig
    config: Config
    dataset: DataSet
    intake: Intake
    region: Region | None
    fit: list[Sample]  # good images to learn from
    held_out: list[Sample]  # good images to calibrate on; empty with cross-fitting
    survey: Survey

    @property
    def goldens(self) -> Goldens | None:
        """What the model carries, where the detector compares."""
        return self.intake.goldens if self.intake.compares else None

    @property
    def choice(self) -> Choice:
        """Which images are fitted, and which are held out."""
        return Choice(self.fit, self.held_out)

    @property
    def simulated(self) -> bool:
        """Whether the good images are simulated."""
        return bool(self.request.simulate)

    @property
    def unlabelled(self) -> int:
        """Images of the fit of which nothing says that they are good, where the detector takes such."""
        return sum(not sample.is_good for sample in self.fit) if self.info.fit_on == "unlabelled" else 0

    def notes(self) -> list[str]:
        """What the user should know before training starts."""
        lines = [summary(self.dataset, self.choice), *self.dataset.notes]
        if self.goldens is not None and not self.goldens.names:
            many = f"more than {MAX_GOLDENS} golden images: " if self.info.align else ""
            lines.append(f"{many}the model carries no golden image, so each inspection has to be given one")
        if self.goldens is not None and self.intake.framing.mode == "tile":
            spec, context = self.intake.framing.spec, self.intake.framing.overlap
            lines.append(
                f"images are compared in tiles of {spec.width} x {spec.height}, {context} pixels of them context"
            )
        lines += made_smaller(self.intake.framing, self.survey.facts.values())
        lines += self.region.notes if self.region else []
        lines += [f"left out, cannot be read: {reason}" for _, reason in self.survey.unreadable]
        return lines + [f"warning: {warning}" for warning in self.survey.warnings]


def prepare(request: Request, plugins: Registry, scratch: Path) -> Plan:
    """Check everything that can be checked before training.

    Args:
        request: What is asked.
        plugins: What is installed.
        scratch: An empty folder for simulated images, which must outlive the plan.

    Raises:
        ConfigError: An unknown or illegal option.
        PluginError: No such detector.
        DataError: No usable images, mixed images, a defect among the training images, too few groups.
    """
    info, options, config = configure(request, plugins)
    compares = "reference" in info.inputs
    if not compares:
        _refuse_goldens(request, info.name)
    opener = Opener(plugins.readers_with(config.readers), Limits.of(config.image.max_pixels))
    dataset, good = _found(request, info, opener)
    named = distinct(sample.reference for sample in dataset.samples)
    if request.simulate and compares:
        dataset = good = simulate(good, request.simulate, config.training.seed, scratch)
    goldens, notes = _goldens(request, info, good, named) if compares else (Goldens({}), [])
    _refuse_together(config, info, plugins)
    looked, found, more = _surveyed(request, good, config, compares=compares)
    dataset = replace(dataset, notes=[*dataset.notes, *notes, *more])
    config, framing, region = framed(info, config, found, _golden_shapes(goldens, looked if compares else []))
    choice = choose(good, found.usable, config, lot=info.fit_on == "unlabelled")
    intake = Intake(framing, replace(opener, limits=Limits.of(config.image.max_pixels)), goldens, compares)
    intake, told = with_pose(intake, [*choice.fit, *choice.held_out], info, simulated=bool(request.simulate))
    dataset = replace(dataset, notes=[*dataset.notes, *told])
    return Plan(
        request=request,
        info=info,
        provider=plugins.providers[info.name],
        members=_members(info, plugins),
        options=options,
        config=config,
        dataset=dataset,
        intake=intake,
        region=region,
        fit=choice.fit,
        held_out=choice.held_out,
        survey=found,
    )


def _found(request: Request, info: DetectorInfo, opener: Opener) -> tuple[DataSet, DataSet]:
    """All that there is, and of it what is trained on."""
    lot = info.fit_on == "unlabelled"
    folders = replace(request.folders, lot=lot)
    dataset = find(
        request.data,
        group=request.group,
        session=request.session,
        columns=request.columns,
        folders=folders,
        opener=opener,
    )
    good = mixed_lot(dataset, info.name) if lot else good_images(dataset)
    return replace(dataset, notes=good.notes), good


def _members(info: DetectorInfo, plugins: Registry) -> list[tuple[DetectorInfo, Provider]]:
    """The detectors that one is made of, and their packages.

    Raises:
        PluginError: One of them is not installed, or left out.
    """
    found = [plugins.detector(name) for name in info.members]
    return [(one, plugins.providers[one.name]) for one in found]


def _refuse_goldens(request: Request, detector: str) -> None:
    if request.golden or request.golden_pattern or request.simulate or request.carry == "all":
        raise ConfigError(
            f"'{detector}' compares with nothing: leave out --golden, --golden-pattern, --simulate, --carry."
        )


def _refuse_together(config: Config, info: DetectorInfo, plugins: Registry) -> None:
    if config.calibration.crossfit and "reference" in info.inputs:
        raise ConfigError(
            f"'{info.name}' compares with golden images, of which the one that differs least counts: siblings may take "
            "different ones, and crossfit would promise nothing. Hold parts out instead: leave --crossfit out."
        )
    if config.image.mode == "tile" and info.positional:
        with_these = "" if plugins.detector(info.name).positional else " with these options"
        raise ConfigError(
            f"image.mode=tile: the map of '{info.name}'{with_these} depends on the place in the image. "
            "Use stretch or letterbox."
        )


def _surveyed(request: Request, good: DataSet, config: Config, *, compares: bool) -> tuple[Looked, Survey, list[str]]:
    """What good images are like, without those that are golden images themselves, and notes on these."""
    looked, unreadable = look(good.samples, good.opener)
    notes: list[str] = []
    if compares and not request.simulate:
        looked, notes = without_goldens(good, looked, request.golden)
    image = config.image
    found = survey(looked, unreadable, channels=image.channels, white=image.white, copies=not request.simulate)
    return looked, found, notes


def _goldens(request: Request, info: DetectorInfo, good: DataSet, named: Sequence[Path]) -> tuple[Goldens, list[str]]:
    """What the model will carry, and what there is to say of it: nothing where each image brings its own.

    That is where the detector does not align, or there are more than `MAX_GOLDENS`.

    Args:
        request: What is asked.
        info: The detector.
        good: Good images, with their golden ones where the data set names them.
        named: All golden images that the data set names, for tests, too.
    """
    refuse_without(good, request.golden)
    needed = distinct(sample.reference for sample in good.samples)
    files = list(request.golden) or (list(named) if request.carry == "all" else needed)
    if not (request.golden or request.simulate or info.align) or (len(files) > MAX_GOLDENS and not request.golden):
        return Goldens({}, opener=good.opener), []
    notes = [] if request.golden else carriage(files, distinct([*files, *named]))
    return carried(files, request.golden_pattern, good.opener), notes


def configure(request: Request, plugins: Registry) -> tuple[DetectorInfo, DetectorConfig, Config]:
    """The detector with its options, and the configuration: its defaults, then the file, settings, command line."""
    stated = plugins.detector(request.detector)
    where = str(request.config) if request.config else "configuration"
    show = f"anomalib-lite plugins show {stated.name}"
    given = _merged(request, {}).get("options", {})  # they may change what the detector prefers of the host's
    own = f"{where}: options of '{stated.name}'"
    if not isinstance(given, dict):
        raise ConfigError(f"{own}: expected `name: value` lines, found {given!r}. See: {show}")
    options = configuration.validate(stated.config, given, where=own, help_command=show, prefix=("options",))
    info = described(stated, options)
    merged = _merged(request, info.defaults)
    named = merged.setdefault("detector", info.name)
    if str(named).replace("-", "_") != info.name:
        raise ConfigError(
            f"{request.config}: is for detector '{named}', not for '{info.name}'. Name that one, or give another file."
        )
    return info, options, configuration.validate(Config, merged, where=where, help_command=show)


def _merged(request: Request, defaults: Mapping[str, Any]) -> dict[str, Any]:
    merged = configuration.load(request.config, request.settings, defaults)
    for key, other in (("training.minutes", "steps"), ("training.steps", "minutes")):
        section = merged.get("training")
        if key in request.overrides and isinstance(section, dict):
            section.pop(other, None)  # the command line chooses between the two
    for key, value in request.overrides.items():
        configuration.put(merged, key, value)
    return merged


def _golden_shapes(goldens: Goldens, looked: Looked) -> list[tuple[int, int]]:
    """Height and width of the first image's golden one, then of all that the model carries; empty without any."""
    first = [(facts[1].height, facts[1].width) for _, facts in looked[:1] if facts[1:]]
    if looked and not first:
        shape = goldens.named(looked[0][0].name)[0].pixels.shape
        first = [(shape[0], shape[1])]
    return first + [(view.pixels.shape[0], view.pixels.shape[1]) for view in goldens.views]
