"""A graph anew from the weights that a bundle keeps, with another way from the map to the score."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from safetensors.torch import load

from anomalib_lite import config as configuration
from anomalib_lite.config import Config
from anomalib_lite.edge.manifest import Parity
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import ConfigError
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import described
from anomalib_lite.training.fitting import build


class Rebuilt(NamedTuple):
    """A new graph of a fitted detector."""

    graph: bytes
    runtime: Runtime
    parity: Parity


def rebuilt(
    model: Model, config: Config, info: DetectorInfo, feeds: Iterable[tuple[str, Feed]], weights: str
) -> Rebuilt:
    """Export a detector once more.

    Args:
        model: The bundle that keeps its weights.
        config: The configuration, its `score` changed.
        info: The detector as it is installed.
        feeds: Names and inputs of images to compare graph and torch on.
        weights: Name of the file in the bundle.

    Raises:
        ConfigError: The detector that is installed has other parameters or options than this one had, or the model is
            cross-fitted.
        ExportError: It cannot be exported, or the graph does not compute what torch does.
        PluginError: The plugin's class cannot be imported.
    """
    manifest, state = model.bundle.manifest, load(model.bundle.read(weights))
    if any(name.startswith("heads.") for name in state):
        raise ConfigError("this model is made of several siblings, by cross-fitting: train it again instead.")
    options = configuration.validate(
        info.config,
        dict(manifest.options),
        where=f"options of '{info.name}'",
        help_command="anomalib-lite plugins list",
    )
    inspector = build(described(info, options), options, config, model.framing)
    try:
        inspector.load(state)
    except RuntimeError as error:
        said = str(error).splitlines()[-1].strip()
        raise ConfigError(
            f"the model was trained with {info.name} {manifest.detector.version}, and what is installed has other "
            f"parameters ({said}): install that version."
        ) from error
    inspector.eval()
    graph = to_onnx(inspector)
    runtime = Runtime(graph, model.framing, inspector.inputs, threads=model.runtime.threads)
    return Rebuilt(graph, runtime, check_parity(inspector, runtime, feeds))
