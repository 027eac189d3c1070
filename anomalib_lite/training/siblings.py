"""From siblings that were fitted one by one to the one graph that is shipped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from safetensors.torch import save

from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.graph.ensemble import Ensemble, Standing
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.training.fitting import Fitted, feeds
from anomalib_lite.training.frames import TrainingFrames
from anomalib_lite.training.plan import Plan


def joined(plan: Plan, siblings: Sequence[Fitted], standings: Sequence[Standing]) -> Fitted:
    """The siblings as one model.

    Args:
        plan: What was decided.
        siblings: One for each fold.
        standings: What each says of its fold.

    Raises:
        ExportError: They cannot be exported as one, or the graph does not compute what torch does.
    """
    heads = [one.inspector for one in siblings if isinstance(one.inspector, Inspector)]
    ensemble = Ensemble(heads, standings).eval()
    graph = to_onnx(ensemble)
    runtime = Runtime(graph, plan.intake.framing, ensemble.inputs, threads=plan.request.threads)
    frames = TrainingFrames(plan.fit, plan.intake, plan.survey.facts)
    return replace(
        siblings[0],
        graph=graph,
        inspector=ensemble,
        runtime=runtime,
        parity=check_parity(ensemble, runtime, feeds(frames, ensemble.inputs)),
        weights=save({name: tensor.contiguous().clone() for name, tensor in ensemble.state_dict().items()}),
        steps=sum(one.steps for one in siblings),
        ended_early=any(one.ended_early for one in siblings),
        left_out=list(dict.fromkeys(reason for one in siblings for reason in one.left_out)),
    )
