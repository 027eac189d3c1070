"""From a fitted inspector to an ONNX file that computes the same, or to an error."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, DeduplicateInitializersPass

from anomalib_lite.detector import MAP_TOLERANCE, SCORE_TOLERANCE
from anomalib_lite.edge.manifest import Parity
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import ExportError, ParityFailed
from anomalib_lite.graph.ensemble import Ensemble
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.output.loggers import quiet_loggers

OPSET = 18


def to_onnx(inspector: Inspector | Ensemble) -> bytes:
    """Export as one ONNX file: opset 18, standard operators, symbolic batch, no build path, no time.

    Raises:
        ExportError: The detector is not fitted, uses an operation that cannot be traced, or a custom operator.
    """
    if not bool(inspector.fitted):
        raise ExportError("the detector was not fitted: train it before exporting it.")
    example = _example(inspector)
    batch = torch.export.Dim("N", min=1)
    log = io.StringIO()
    try:
        with _quiet(log), torch.no_grad():
            program = torch.onnx.export(
                inspector.cpu().eval(),
                (),
                kwargs=example,
                dynamo=True,
                opset_version=OPSET,
                external_data=False,
                input_names=list(example),
                output_names=["score", "anomaly_map"],
                dynamic_shapes={name: {0: batch} for name in example},
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise ExportError(
            f"{type(inspector.detector).__name__} cannot be exported: {_cause(error)}. "
            "Compute what cannot be traced in fit and keep it as a buffer."
        ) from error
    assert program is not None
    if isinstance(inspector, Ensemble):
        _share(program.model)
    return _stripped(program.model_proto)


def _share(model: ir.Model) -> None:
    """Let siblings on one frozen network have it once: its weights, and what it computes of an image."""
    DeduplicateInitializersPass(size_limit=sys.maxsize)(model)
    CommonSubexpressionEliminationPass()(model)


def check_parity(inspector: Inspector | Ensemble, runtime: Runtime, feeds: Iterable[tuple[str, Feed]]) -> Parity:
    """Compare torch with the exported graph on real images.

    Args:
        inspector: What was exported.
        runtime: The exported graph, loaded.
        feeds: Names of images, for messages, and the graph's inputs for each.

    Raises:
        ParityFailed: A score or a map differs by more than the tolerances of `detector.py`; it says how far and where.
    """
    names, scores, maps = [], [], []
    for name, feed in feeds:
        with torch.no_grad():
            expected = inspector(**{name: torch.from_numpy(array) for name, array in feed.items()})
        found = runtime.run(feed)
        names.append(name)
        scores.append((found[0], expected[0].numpy()))
        maps.append((found[1], expected[1].numpy()))
    parity = Parity(len(scores), max(_relative(scores, magnitude=True)), max(_relative(maps, magnitude=False)))
    for what, pairs, magnitude, allowed in (
        ("score", scores, True, SCORE_TOLERANCE),
        ("anomaly map", maps, False, MAP_TOLERANCE),
    ):
        differences = _relative(pairs, magnitude=magnitude)
        worst = int(np.nanargmax([one if np.isfinite(one) else np.inf for one in differences]))
        if not differences[worst] <= allowed:
            raise ParityFailed(
                f"the exported graph differs from torch by {differences[worst]:.1e} of the range of the {what}s, on "
                f"{names[worst]} (allowed {allowed:g}; SCORE_TOLERANCE and MAP_TOLERANCE in anomalib_lite.detector). "
                "Look for randomness, training mode, or an inexact operation in forward, such as a root near 0."
            )
    return parity


def _relative(pairs: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]], *, magnitude: bool) -> list[float]:
    """Largest difference of each pair, relative to the range of all that was expected (or its magnitude, if larger)."""
    expected = np.concatenate([one for _, one in pairs])
    unit = float(np.ptp(expected))
    if magnitude:
        unit = max(unit, float(np.abs(expected).max()))
    return [float(np.abs(found - one).max()) / max(unit, 1e-12) for found, one in pairs]


def _example(inspector: Inspector | Ensemble) -> dict[str, torch.Tensor]:
    spec = inspector.spec
    shape = (2, spec.height, spec.width)
    pixels = torch.zeros((*shape, spec.channels), dtype=getattr(torch, spec.dtype))
    tensors = {
        "image": pixels,
        "reference": pixels.clone(),  # the same tensor twice would be exported as one input
        "valid": torch.ones((*shape, 1), dtype=torch.uint8),
    }
    return {name: tensors[name] for name in inspector.inputs}


def _stripped(model: onnx.ModelProto) -> bytes:
    """Without what tells of the build: stack traces, paths, doc strings, producer; checked for custom operators."""
    custom = {node.domain for node in model.graph.node} - {""}
    if custom or model.functions:
        raise ExportError(f"the graph uses operators outside the ONNX standard ({sorted(custom)}): no device has them.")
    del model.opset_import[:]
    model.opset_import.append(onnx.helper.make_operatorsetid("", OPSET))
    del model.metadata_props[:]
    model.producer_name, model.producer_version, model.doc_string = "anomalib-lite", "", ""
    graph = model.graph
    graph.doc_string = ""
    del graph.metadata_props[:]
    for item in (*graph.node, *graph.input, *graph.output, *graph.initializer, *graph.value_info):
        del item.metadata_props[:]
        item.doc_string = ""
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the exported graph is not valid: {error}. Are all tensors of forward float32?") from error
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _cause(error: BaseException) -> str:
    """The exporter's first sentence, and the line of the detector that it is about, of a page of advice."""
    text = str(error.__cause__ or error)
    sentence = text.strip().partition("\n")[0].strip().rstrip(".")
    place = re.search(r'File "[^"]*?([^"/\\]+)", line (\d+), in forward\n\s*(.+)', text)
    return f"{sentence}, in {place[1]}, line {place[2]}: {place[3].strip()}" if place else sentence


@contextlib.contextmanager
def _quiet(log: io.StringIO) -> Iterator[None]:
    """The exporter prints progress and warns of its own internals; none of it is for the user."""
    with (
        quiet_loggers("torch.onnx", "onnxscript", "onnx_ir", "torch.export"),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        warnings.simplefilter("ignore")
        yield
