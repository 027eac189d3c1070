"""Fits one detector to good images and turns it into a graph that is proved to compute the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.data import Sample
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import Parity
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import ConfigError, ExportError
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry.building import construct
from anomalib_lite.training.batches import FrameBatches
from anomalib_lite.training.files import KeptFit
from anomalib_lite.training.frames import TrainingFrames
from anomalib_lite.training.plan import Plan
from anomalib_lite.training.run import LightningRun

PARITY_FRAMES = 8


@dataclass(frozen=True, eq=False)
class Fitted:
    """A graph that computes what torch computes, and how it came about."""

    graph: bytes
    inspector: torch.nn.Module  # what was exported
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


def fit(
    plan: Plan, samples: Sequence[Sample], run: LightningRun, say: Callable[[str], None] = lambda message: None
) -> Fitted | None:
    """Train the plan's detector on good images and export it.

    Args:
        plan: What was decided.
        samples: Good images, all readable.
        run: Where and how long; closed by the caller.
        say: Gets a line where something begins that takes a while and shows no bar.

    Returns:
        The exported graph, or None in every process but the first.

    Raises:
        PluginError: The detector cannot be built.
        ExportError: It cannot be exported, or the graph does not compute what torch does.
    """
    inspector = build(plan.info, plan.options, plan.config, plan.intake.framing)
    frames = TrainingFrames(samples, plan.intake, plan.survey.facts)
    kept = KeptFit.load(run.folder) if run.resume else None
    if kept is None:
        kept = _learnt(plan, inspector, frames, run)
    elif run.is_main:
        _restore(inspector, kept)
    if not run.is_main:
        return None
    say("exporting the graph, and comparing it with torch")
    graph, runtime, parity = _exported(plan, inspector, frames, run.folder)
    frames.forget()  # gigabytes, which what follows has no use for
    log = run.folder / "training.csv"
    return Fitted(
        graph=graph,
        inspector=inspector,
        runtime=runtime,
        inputs=inspector.inputs,
        parity=parity,
        weights=save({name: tensor.contiguous() for name, tensor in inspector.state_dict().items()}),
        steps=kept.steps,
        ended_early=kept.ended_early,
        curve=[(step, loss) for _, step, loss in run.curve],
        log=log.read_bytes() if log.is_file() else b"",
        device=str(run.device),
        left_out=frames.left_out,
    )


def _exported(plan: Plan, inspector: Inspector, frames: TrainingFrames, folder: Path) -> tuple[bytes, Runtime, Parity]:
    """The graph, loaded, and how far it is from torch.

    Raises:
        ExportError: There is none, or it is too far; what was learnt is kept in `folder`.
    """
    try:
        graph = to_onnx(inspector)
        runtime = Runtime(graph, plan.intake.framing, inspector.inputs, threads=plan.request.threads)
        return graph, runtime, check_parity(inspector, runtime, feeds(frames, inspector.inputs))
    except ExportError as error:
        raise type(error)(
            f"{error} Nothing was written, and the fit is kept in {folder}: mend the detector, and go on with --resume."
        ) from error


def _learnt(plan: Plan, inspector: Inspector, frames: TrainingFrames, run: LightningRun) -> KeptFit:
    """Fit the detector, and keep what it learnt."""
    inspector.detector.to(run.device)
    inspector.eval()
    inspector.detector.fit(_batches(plan, frames, run), run)
    inspector.fitted.fill_(True)
    kept = KeptFit(inspector.state_dict(), run.steps_done, run.ended_early)
    if run.is_main:
        kept.save(run.folder)
    return kept


def _restore(inspector: Inspector, kept: KeptFit) -> None:
    """Take over a fit that was kept.

    Raises:
        ConfigError: The detector has other parameters now.
    """
    try:
        inspector.load(kept.state)
    except RuntimeError as error:
        said = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"the fit that was kept is of other parameters than the detector has now ({said}): put them back, or train "
            "anew with --overwrite."
        ) from error


def build(info: DetectorInfo, options: DetectorConfig, config: Config, framing: Framing) -> Inspector:
    """The untrained inspector around a new detector.

    Raises:
        PluginError: The plugin's class cannot be imported, raises, or is no Detector.
    """
    detector = construct(info, options, framing.spec)
    return Inspector(
        detector, framing.spec, config.score, reference="reference" in info.inputs, valid=framing.masks or info.align
    )


def _batches(plan: Plan, frames: TrainingFrames, run: LightningRun) -> FrameBatches:
    return FrameBatches(
        frames,
        white=plan.intake.framing.spec.white,
        black=plan.intake.framing.spec.black,
        batch_size=plan.config.training.batch_size,
        seed=plan.config.training.seed,
        device=run.device,
        rank=run.rank,
        world=run.world,
        images=frames.images,
        parts=frames.parts,
    )


def feeds(frames: TrainingFrames, inputs: Sequence[str]) -> Iterator[tuple[str, Feed]]:
    """A few of the frames that were learnt from, evenly over all, as they are and upside down: name, and inputs.

    What is learnt by heart scores next to nothing: a difference has a scale beside what was not learnt.
    """
    chosen = np.unique(np.linspace(0, len(frames) - 1, min(PARITY_FRAMES, len(frames))).round().astype(int))
    for index in map(int, chosen):
        frame = frames[index]
        valid = np.ones(frame.image.shape[:2], bool) if frame.valid is None else frame.valid
        known = {"image": frame.image, "valid": valid[..., None].view(np.uint8)}
        if frame.reference is not None:
            known["reference"] = frame.reference
        for turn in (slice(None), slice(None, None, -1)):
            yield frames.name(index), {name: np.ascontiguousarray(known[name][turn, turn])[None] for name in inputs}
