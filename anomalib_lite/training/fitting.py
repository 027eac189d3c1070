"""Fits one detector to good images and turns it into a graph that is proved to compute the same."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.torch import save

from anomalib_lite import registry
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.data import Sample
from anomalib_lite.detector import Detector
from anomalib_lite.edge.golden.pairing import Goldens
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.manifest import Parity
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import AnomalibLiteError, ImageError, PluginError
from anomalib_lite.graph.exporter import Picture, check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry.plugin import reason
from anomalib_lite.training.batches import FrameBatches
from anomalib_lite.training.frames import TrainingFrames, closest
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
    ended_early: bool  # before the time was over
    curve: list[tuple[int, float]]  # (step, loss)
    log: bytes  # training.csv
    device: str
    left_out: list[str]  # why training images could not be compared with a golden one


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
    frames = TrainingFrames(samples, framing, goldens, readers)
    batches = FrameBatches(
        frames,
        white=framing.spec.white,
        batch_size=config.training.batch_size,
        seed=config.training.seed,
        device=run.device,
        rank=run.rank,
        world=run.world,
        images=frames.images,
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
        ended_early=run.ended_early,
        curve=[(step, loss) for _, step, loss in run.curve],
        log=log.read_bytes() if log.is_file() else b"",
        device=str(run.device),
        left_out=frames.left_out,
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
            yield pixels, closest(framing, pixels, sample, goldens).golden


def _spread(samples: Sequence[Sample]) -> list[Sample]:
    """A few samples, evenly over the list."""
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(PARITY_IMAGES, len(samples))).round().astype(int))
    return [samples[index] for index in chosen]
