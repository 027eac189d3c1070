"""The int8 form of a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from anomalib_lite.edge import disk
from anomalib_lite.edge.sessions import Feed
from anomalib_lite.errors import MissingExtra
from anomalib_lite.output.loggers import quiet_loggers

if TYPE_CHECKING:
    import onnx

OPERATORS = ("Conv", "ConvTranspose", "Gemm", "MatMul")


def quantise(graph: bytes, feeds: Sequence[Feed]) -> bytes:
    """Static QDQ form of a graph: 8-bit activations, 7-bit weights per channel, the final smoothing left in float.

    Seven bits, since processors without VNNI saturate on eight: the result would depend on the machine.

    Args:
        graph: The ONNX file.
        feeds: Inputs from which the ranges are taken.

    Raises:
        MissingExtra: The package onnx is not installed.
    """
    try:
        import onnx
        from onnxruntime import quantization
    except ImportError as error:
        raise MissingExtra("onnx", "train", "export --int8") from error

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rest = iter(feeds)

        def get_next(self) -> Feed | None:
            return next(self._rest, None)

    with disk.scratch() as folder, quiet_loggers():
        source, target = folder / "float.onnx", folder / "int8.onnx"
        source.write_bytes(graph)
        quantization.quantize_static(
            source, target, Reader(), quant_format=quantization.QuantFormat.QDQ, per_channel=True, reduce_range=True,
            activation_type=quantization.QuantType.QUInt8, weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=list(OPERATORS), nodes_to_exclude=_smoothing(onnx.load_from_string(graph)),
        )  # fmt: skip
        return _plain(onnx.load(target))


def _plain(model: onnx.ModelProto) -> bytes:
    """Without what the quantiser tells of itself."""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "anomalib-lite", ""
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _smoothing(model: onnx.ModelProto) -> list[str]:
    """Convolutions of one channel along one axis: the Gaussian that ends a graph, where rounding would show.

    They have one dimension, or two in the graphs of older versions.
    """
    single = [one for one in model.graph.initializer if list(one.dims[:2]) == [1, 1]]
    lines = {one.name for one in single if len(one.dims) == 3 or 1 in one.dims[2:]}
    return [node.name for node in model.graph.node if node.op_type == "Conv" and node.input[1] in lines]
