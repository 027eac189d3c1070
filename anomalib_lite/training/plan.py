"""From what the user asks to what can be trained: configuration, images, framing; every mistake is found here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from anomalib_lite import config as configuration
from anomalib_lite.config import Config, DetectorConfig, ImageConfig
from anomalib_lite.data import DataSet, Sample, Survey, find, look, split_for_calibration, survey, training_samples
from anomalib_lite.data.goldens import carried, refuse_without, without_goldens
from anomalib_lite.data.samples import CALIBRATE, count, groups
from anomalib_lite.data.simulation import simulate
from anomalib_lite.data.survey import Looked
from anomalib_lite.edge.golden.goldens import MAX_GOLDENS, Goldens
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import Limits
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.intake import Intake, region_of_interest
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import Reader, Registry, described
from anomalib_lite.registry.plugin import Provider
from anomalib_lite.training.request import Request

DEFAULT_SIZE = 256
LARGE = 2_000_000  # pixels of a golden image, above which it is cut into tiles
GOLDEN_TILE = 512
PIXELS, TIMES = 16_000_000, 2  # of images that a model reads by default: at least, and as a multiple of the largest one


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
    roi: bytes | None
    fit: list[Sample]  # good images to learn from
    held_out: list[Sample]  # good images to calibrate on; empty with cross-fitting
    survey: Survey
    readers: Mapping[str, Reader]  # for file types that the host does not read itself, by suffix

    @property
    def goldens(self) -> Goldens | None:
        """What the model carries, where the detector compares."""
        return self.intake.goldens if self.intake.compares else None

    @property
    def simulated(self) -> bool:
        """Whether the good images are simulated."""
        return bool(self.request.simulate)

    def notes(self) -> list[str]:
        """What the user should know before training starts."""
        lines = [f"{self.dataset.root}: {self.dataset.layout}, {count(len(self.fit), 'image')} to fit"]
        if self.held_out:
            parts = f" of {count(len(groups(self.held_out)), 'part')}" if self.dataset.grouped else ""
            lines[0] += f", {count(len(self.held_out), 'image')}{parts} to calibrate"
        lines += self.dataset.notes
        if self.goldens is not None and not self.goldens.names:
            many = f"more than {MAX_GOLDENS} golden images: " if self.info.align else ""
            lines.append(f"{many}the model carries no golden image, so each inspection has to be given one")
        if self.goldens is not None and self.intake.framing.mode == "tile":
            spec, context = self.intake.framing.spec, self.intake.framing.overlap
            lines.append(
                f"images are compared in tiles of {spec.width} x {spec.height}, {context} pixels of them context"
            )
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
    if not compares and (request.golden or request.golden_pattern or request.simulate):
        raise ConfigError(f"'{info.name}' compares with nothing: leave out --golden, --golden-pattern, --simulate.")
    opener = Opener(plugins.readers, Limits.of(config.image.max_pixels))
    dataset = find(request.data, group=request.group, columns=request.columns, opener=opener)
    good = replace(dataset, samples=training_samples(dataset))
    if request.simulate and compares:
        dataset = good = simulate(good, request.simulate, config.training.seed, scratch)
    goldens = _goldens(request, info, good) if compares else Goldens({})
    looked, unreadable = look(good.samples, dataset.opener)
    if config.image.mode == "tile" and info.positional:
        with_these = "" if plugins.detector(info.name).positional else " with these options"
        raise ConfigError(
            f"image.mode=tile: the map of '{info.name}'{with_these} depends on the place in the image. "
            "Use stretch or letterbox."
        )
    if compares and not request.simulate:
        looked, notes = without_goldens(good, looked, request.golden)
        dataset = replace(dataset, notes=dataset.notes + notes)
    found = survey(looked, unreadable, channels=config.image.channels, white=config.image.white)
    config, framing, roi = _framed(info, config, found, _golden_shapes(goldens, looked if compares else []))
    fit, held_out = _split(dataset, found.usable, config)
    return Plan(
        request=request,
        info=info,
        provider=plugins.providers[info.name],
        members=_members(info, plugins),
        options=options,
        config=config,
        dataset=dataset,
        intake=Intake(framing, Opener(opener.readers, Limits.of(config.image.max_pixels)), goldens, compares),
        roi=roi,
        fit=fit,
        held_out=held_out,
        survey=found,
        readers=plugins.readers,
    )


def _members(info: DetectorInfo, plugins: Registry) -> list[tuple[DetectorInfo, Provider]]:
    """The detectors that one is made of, and their packages.

    Raises:
        PluginError: One of them is not installed, or left out.
    """
    found = [plugins.detector(name) for name in info.members]
    return [(one, plugins.providers[one.name]) for one in found]


def _goldens(request: Request, info: DetectorInfo, good: DataSet) -> Goldens:
    refuse_without(good, request.golden)
    own = not (request.golden or request.simulate or info.align)
    return carried(good, request.golden, request.golden_pattern, own=own)


def _framed(
    info: DetectorInfo, config: Config, found: Survey, golden_shapes: Sequence[tuple[int, int]]
) -> tuple[Config, Framing, bytes | None]:
    """How images become inputs of the graph: the configuration with what follows for it, and the region's bytes."""
    largest = max((height * width for height, width in golden_shapes), default=0)
    image = _cut(config.image, largest, positional=info.positional)
    image = image.model_copy(update={"max_pixels": image.max_pixels or _enough_pixels(found, golden_shapes)})
    config = config.model_copy(update={"image": image})
    roi = _read_roi(config.image.roi)
    framing = Framing(
        spec=_image_spec(config, found, golden_shapes[0] if golden_shapes else (DEFAULT_SIZE, DEFAULT_SIZE)),
        mode=config.image.mode or "stretch",
        overlap=config.image.overlap,
        convert=config.image.channels is not None,
        roi=None if roi is None else region_of_interest(roi),
        align=info.align,
    )
    return config, framing, roi


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
        raise ConfigError(f"{request.config}: is for detector '{named}', not for '{info.name}'.")
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


def _split(dataset: DataSet, usable: list[Sample], config: Config) -> tuple[list[Sample], list[Sample]]:
    """Samples to fit on, and those to calibrate on: none with cross-fitting. What is marked for either stays there."""
    marked = sum(sample.split == CALIBRATE for sample in dataset.samples)
    if config.calibration.crossfit:
        if marked:
            raise ConfigError(
                f"{count(marked, 'image')} marked split=calibrate, and calibration.crossfit would fit on them, too: "
                "leave --crossfit out, or mark them split=train."
            )
        return usable, []
    if marked and not any(sample.split == CALIBRATE for sample in usable):
        raise DataError(
            f"none of {count(marked, 'image')} marked split=calibrate can be used: they cannot be read (see "
            "`anomalib-lite data check`), or are golden images. Restore them, or mark others."
        )
    return split_for_calibration(usable, config.calibration.holdout, config.training.seed)


def _read_roi(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"image.roi: {path} cannot be read ({error.strerror}). Give a mask image, or leave it out."
        ) from error


def _golden_shapes(goldens: Goldens, looked: Looked) -> list[tuple[int, int]]:
    """Height and width of the first image's golden one, then of all that the model carries; empty without any."""
    first = [(facts[1].height, facts[1].width) for _, facts in looked[:1] if facts[1:]]
    if looked and not first:
        shape = goldens.named(looked[0][0].name)[0].pixels.shape
        first = [(shape[0], shape[1])]
    return first + [(view.pixels.shape[0], view.pixels.shape[1]) for view in goldens.views]


def _cut(image: ImageConfig, golden: int, *, positional: bool) -> ImageConfig:
    """How images are cut where nothing says how: large golden images in tiles, or each would need much memory.

    Args:
        image: What is asked for.
        golden: Pixels of the largest golden image; 0 where the detector does not compare.
        positional: Whether tiles are out of the question.

    Raises:
        ConfigError: The tiles would have no core.
    """
    sized = image.height or image.width
    mode = image.mode or ("tile" if golden > LARGE and not (sized or positional) else "stretch")
    if mode != "tile" or sized or not golden:
        return image.model_copy(update={"mode": mode})
    if 2 * image.overlap >= GOLDEN_TILE:
        raise ConfigError(
            f"image.overlap={image.overlap} leaves no core in tiles of {GOLDEN_TILE} pixels: use less than half of it, "
            "or set image.height and image.width."
        )
    return image.model_copy(update={"mode": mode, "height": GOLDEN_TILE, "width": GOLDEN_TILE})


def _enough_pixels(found: Survey, golden_shapes: Sequence[tuple[int, int]]) -> int:
    """The largest image that the model reads where nobody says it: what a device has the memory for."""
    sizes = [(facts.height, facts.width) for facts in found.facts.values()]
    return max(PIXELS, TIMES * max(height * width for height, width in [*sizes, *golden_shapes]))


def _image_spec(config: Config, found: Survey, size: tuple[int, int]) -> ImageSpec:
    """What the graph takes: `size` (height, width) where the configuration names none."""
    height = config.image.height or config.image.width or size[0]
    white = config.image.white or (255 if found.dtype == "uint8" else 65535)
    return ImageSpec(
        height=height,
        width=config.image.width or config.image.height or size[1],
        channels=config.image.channels or found.channels,
        dtype=found.dtype,
        white=float(white),
    )
