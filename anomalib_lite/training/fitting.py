"""Fits one detector to good images and turns it into a graph that is proved to compute the same."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from safetensors.torch import save

from anomalib_lite import registry
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.data import Sample
from anomalib_lite.detector import Detector
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import Parity
from anomalib_lite.edge.runtime import Feed, Runtime
from anomalib_lite.errors import AnomalibLiteError, PluginError
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry.plugin import reason
from anomalib_lite.training.batches import FrameBatches
from anomalib_lite.training.frames import TrainingFrames
from anomalib_lite.training.plan import Plan
from anomalib_lite.training.run import LightningRun

PARITY_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Fitted:
    """A graph that computes what torch computes, and how it came about."""

    graph: bytes
    runtime: Runtime  # the graph, loaded
    inputs: tuple[str, ...]
    parity: Parity
    weights: bytes  # safetensors of the inspector's state
    steps: int
    ended_early: bool  # before the time was over
    curve: list[tuple[int, float]]  # (step, loss)
    log: bytes  # training.csv
    device: str
    left_out: list[str]  # why training images could not be compared with a golden one


def fit(plan: Plan, samples: Sequence[Sample], run: LightningRun) -> Fitted | None:
    """Train the plan's detector on good images and export it.

    Args:
        plan: What was decided.
        samples: Good images, all readable.
        run: Where and how long; closed by the caller.

    Returns:
        The exported graph, or None in every process but the first.

    Raises:
        PluginError: The detector cannot be built.
        ExportError: It cannot be exported, or the graph does not compute what torch does.
    """
    framing = plan.intake.framing
    inspector = build(plan.info, plan.options, plan.config, framing)
    inspector.detector.to(run.device)
    frames = TrainingFrames(samples, plan.intake, plan.survey.facts)
    inspector.detector.fit(_batches(plan, frames, run), run)
    if not run.is_main:
        return None
    inspector.fitted.fill_(True)
    graph = to_onnx(inspector)
    runtime = Runtime(graph, framing, inspector.inputs)
    log = run.folder / "training.csv"
    return Fitted(
        graph=graph,
        runtime=runtime,
        inputs=inspector.inputs,
        parity=check_parity(inspector, runtime, _feeds(frames, inspector.inputs)),
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


def _batches(plan: Plan, frames: TrainingFrames, run: LightningRun) -> FrameBatches:
    return FrameBatches(
        frames,
        white=plan.intake.framing.spec.white,
        batch_size=plan.config.training.batch_size,
        seed=plan.config.training.seed,
        device=run.device,
        rank=run.rank,
        world=run.world,
        images=frames.images,
    )


def _feeds(frames: TrainingFrames, inputs: Sequence[str]) -> Iterator[Feed]:
    """A few of the frames that were learnt from, evenly over all, as inputs of the graph."""
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(PARITY_FRAMES, len(frames))).round().astype(int))
    for frame in (frames[int(index)] for index in chosen):
        valid = np.ones(frame.image.shape[:2], bool) if frame.valid is None else frame.valid
        known = {"image": frame.image, "reference": frame.reference, "valid": valid[..., None].view(np.uint8)}
        yield {name: np.ascontiguousarray(known[name])[None] for name in inputs}
