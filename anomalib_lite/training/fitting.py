"""Fits one detector to good images and turns it into a graph that is proved to compute the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save

from anomalib_lite import registry
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.data import Sample
from anomalib_lite.detector import Detector
from anomalib_lite.edge import imaging
from anomalib_lite.edge.comparison import Goldens, Pair, pairs
from anomalib_lite.edge.framing import Framing
from anomalib_lite.edge.readers import NO_READERS, Readers
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import AnomalibLiteError, DataError, ImageError, PluginError
from anomalib_lite.export import Parity, Picture, check_parity, to_onnx
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.inspector import Inspector
from anomalib_lite.plugin import reason
from anomalib_lite.training.batches import Frame, FrameBatches, FrameCache, Frames
from anomalib_lite.training.run import LightningRun

PARITY_IMAGES = 8


@dataclass(frozen=True, eq=False)
class Fitted:
    """A graph that computes what torch computes, and how it came about."""

    graph: bytes
    inputs: tuple[str, ...]
    parity: Parity
    weights: bytes  # safetensors of the inspector's state
    steps: int
    curve: list[tuple[int, float]]  # (step, loss)
    log: bytes  # training.csv
    device: str
    left_out: list[str]  # why training images could not be compared with a golden one


class TrainingFrames:
    """The frames of all training images by index; with tiles, an image gives several."""

    def __init__(
        self, samples: Sequence[Sample], framing: Framing, goldens: Goldens | None, readers: Readers = NO_READERS
    ) -> None:
        self._framing = framing
        self._goldens = goldens
        self._readers = readers
        self._samples = list(samples)
        self._places = [
            (number, part)
            for number, sample in enumerate(samples)
            for part in range(self._count(sample) if framing.mode == "tile" else 1)
        ]
        self._cut = lru_cache(maxsize=2)(self._cut_image)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int, /) -> Frame:
        number, part = self._places[index]
        frames, references = self._cut(number)
        frame = frames[part]
        reference = references[part].image if references else None
        return frame.image, reference, frame.region if self._framing.masks else None

    def _cut_image(self, number: int) -> tuple[list[Any], list[Any]]:
        sample = self._samples[number]
        pixels = imaging.read(sample.path, readers=self._readers).pixels
        if self._goldens is None:
            return self._framing.frames(pixels), []
        pair = _closest(self._framing, pixels, sample, self._goldens)
        return pair.frames, pair.references

    def _count(self, sample: Sample) -> int:
        if self._goldens is not None:
            height, width = self._goldens.candidates(sample.name, sample.reference)[0].pixels.shape[:2]
        else:
            header = imaging.read_header(sample.path, readers=self._readers)
            height, width = header.height, header.width
        return self._framing.count(height, width)


class ChosenFrames:
    """Some of the frames."""

    def __init__(self, frames: Frames, indices: Sequence[int]) -> None:
        self._frames = frames
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> Frame:
        return self._frames[self._indices[index]]


def measurable(frames: Frames) -> tuple[Frames, list[str]]:
    """The frames that can be made, and why others cannot: a good image that cannot be aligned teaches nothing.

    Raises:
        DataError: There is none.
    """
    kept, reasons = [], []
    for index in range(len(frames)):
        try:
            frames[index]
            kept.append(index)
        except ImageError as error:
            reasons.append(str(error))
    if not kept:
        raise DataError(f"none of {len(frames)} training images can be compared with a golden one: {reasons[0]}")
    return (ChosenFrames(frames, kept) if reasons else frames), reasons


def _closest(framing: Framing, pixels: NDArray[Any], sample: Sample, goldens: Goldens) -> Pair:
    """The image beside that golden one which it differs least from."""
    found = pairs(framing, pixels, goldens.candidates(sample.name, sample.reference))
    return min(found, key=lambda pair: pair.difference)


def fit(
    info: DetectorInfo,
    options: DetectorConfig,
    config: Config,
    framing: Framing,
    samples: Sequence[Sample],
    goldens: Goldens | None,
    run: LightningRun,
    readers: Readers = NO_READERS,
) -> Fitted | None:
    """Train a detector on good images and export it.

    Args:
        info: The detector.
        options: Its validated options.
        config: The host's configuration: score and training are read.
        framing: How images become frames.
        samples: Good images, all readable.
        goldens: What they are compared with, where the detector compares.
        run: Where and how long; closed by the caller.
        readers: For file types that the host does not read itself.

    Returns:
        The exported graph, or None in every process but the first.

    Raises:
        PluginError: The detector cannot be built.
        ExportError: It cannot be exported, or the graph does not compute what torch does.
    """
    inspector = build(info, options, config, framing)
    inspector.detector.to(run.device)
    frames: Frames = FrameCache(TrainingFrames(samples, framing, goldens, readers))
    frames, left_out = measurable(frames) if goldens else (frames, [])
    batches = FrameBatches(
        frames,
        white=framing.spec.white,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        device=run.device,
        rank=run.rank,
        world=run.world,
    )
    inspector.detector.fit(batches, run)
    if not run.is_main:
        return None
    inspector.fitted.fill_(True)
    graph = to_onnx(inspector)
    runtime = Runtime(graph, framing, inspector.inputs)
    parity = check_parity(inspector, runtime, _pictures(_spread(samples), framing, goldens, readers))
    log = run.folder / "training.csv"
    return Fitted(
        graph=graph,
        inputs=inspector.inputs,
        parity=parity,
        weights=save({name: tensor.contiguous() for name, tensor in inspector.state_dict().items()}),
        steps=run.steps_done,
        curve=[(step, loss) for _, step, loss in run.curve],
        log=log.read_bytes() if log.is_file() else b"",
        device=str(run.device),
        left_out=left_out,
    )


def build(info: DetectorInfo, options: DetectorConfig, config: Config, framing: Framing) -> Inspector:
    """The untrained inspector around a new detector.

    Raises:
        PluginError: The plugin's class cannot be imported, raises, or is no Detector.
    """
    factory = registry.resolve(info.target, f"detector '{info.name}'")
    try:
        detector = factory(options, framing.spec)
    except AnomalibLiteError:
        raise
    except Exception as error:
        raise PluginError(f"detector '{info.name}' cannot be built: {reason(error, info.target)}") from error
    if not isinstance(detector, Detector):
        raise PluginError(f"detector '{info.name}': {info.target} is not an anomalib_lite.Detector.")
    return Inspector(
        detector, framing.spec, config.score, reference="reference" in info.inputs, valid=framing.masks or info.align
    )


def _pictures(
    samples: Sequence[Sample], framing: Framing, goldens: Goldens | None, readers: Readers
) -> Iterator[Picture]:
    """Images to compare torch and graph on, each with its golden one; those that cannot be aligned are passed over."""
    for sample in samples:
        pixels = imaging.read(sample.path, readers=readers).pixels
        if goldens is None:
            yield pixels, None
            continue
        with contextlib.suppress(ImageError):
            yield pixels, _closest(framing, pixels, sample, goldens).golden


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """A few samples, evenly over the list."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(PARITY_IMAGES, len(samples))).round().astype(int))
    return [samples[index] for index in chosen]
