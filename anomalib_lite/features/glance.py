"""The graph that sees a whole image at a glance: pooled features of the first stages of a frozen EfficientNet-Lite0.

It is written node by node, not exported from torch: the same graph gives the features that are learnt from and, with
two nodes more, those of a device.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from torch import nn

from anomalib_lite.edge.images.thumbnail import SIDE
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.features.backbones import Backbone, backbone
from anomalib_lite.features.weights import ARCHITECTURE, PACKAGED

LAYERS = ("blocks.1", "blocks.2")  # of strides 4 and 8
OPSET = 18


@lru_cache(maxsize=2)
def glance(channels: int) -> bytes:
    """From `image` (N, SIDE, SIDE, 1 or 3), black 0 and white 1, to `features` (N, 64): the mean of each channel.

    Raises:
        MissingExtra: The weights are not installed.
        ConfigError: They are not those that were published.
    """
    network = backbone(ARCHITECTURE, PACKAGED, LAYERS, ImageSpec(SIDE, SIDE, channels, "float32", 1.0))
    network.load_pretrained()
    return _Writer(network).written(channels)


def whitened(graph: bytes, centre: NDArray[np.float64], whitening: NDArray[np.float64]) -> bytes:
    """The same graph with features less a centre (d,), times a matrix (d, d)."""
    model = onnx.load_from_string(graph)
    model.graph.node[-1].output[0] = "pooled"
    model.graph.node.extend(
        [
            helper.make_node("Sub", ["pooled", "centre"], ["centred"]),
            helper.make_node("MatMul", ["centred", "whitening"], ["features"]),
        ]
    )
    for name, value in (("centre", centre), ("whitening", whitening)):
        model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float32), name))
    return _checked(model)


def _checked(model: onnx.ModelProto) -> bytes:
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


class _Writer:
    """Nodes and weights of a network, whose BatchNorms are folded."""

    def __init__(self, network: Backbone) -> None:
        self._network = network
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def written(self, channels: int) -> bytes:
        """The graph of all that the network has."""
        inner: Any = self._network.network
        mean, spread = (self._constant(one[:, :channels].numpy()) for one in (self._network.mean, self._network.spread))
        x = self._add("Transpose", "image", perm=[0, 3, 1, 2])
        x = self._add("Div", self._add("Sub", x, mean), spread)
        x, size = self._convolved(x, SIDE, inner.conv_stem, grey=channels == 1, bounded=True)
        pooled = []
        for number, stage in enumerate(inner.blocks):
            for block in stage:
                x, size = self._block(x, size, block)
            if f"blocks.{number}" in LAYERS:
                pooled.append(self._add("GlobalAveragePool", x))
        self._add("Flatten", self._add("Concat", *pooled, axis=1), output="features")
        pixels = helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, ["N", SIDE, SIDE, channels])
        features = helper.make_tensor_value_info("features", onnx.TensorProto.FLOAT, ["N", sum(self._network.channels)])
        graph = helper.make_graph(self._nodes, "glance", [pixels], [features], self._weights)
        opset = helper.make_operatorsetid("", OPSET)
        return _checked(helper.make_model(graph, opset_imports=[opset], producer_name="anomalib-lite", ir_version=10))

    def _block(self, x: str, size: int, block: Any) -> tuple[str, int]:
        """Expanded, seen channel by channel and projected; added to what it was, as far as the block does that."""
        expands = hasattr(block, "conv_pwl")
        before = x
        if expands:
            x, size = self._convolved(x, size, block.conv_pw, bounded=True)
        x, size = self._convolved(x, size, block.conv_dw, bounded=True)
        x, size = self._convolved(x, size, block.conv_pwl if expands else block.conv_pw)
        return (self._add("Add", x, before) if block.has_skip else x), size

    def _convolved(
        self, x: str, size: int, layer: nn.Conv2d, *, grey: bool = False, bounded: bool = False
    ) -> tuple[str, int]:
        """A convolution padded as TensorFlow does, more behind than before; bounded to 0 to 6. Its side, too."""
        weight, stride, kernel = layer.weight.detach(), layer.stride[0], layer.kernel_size[0]
        weight = weight.sum(1, keepdim=True) if grey else weight
        assert layer.bias is not None  # that of the BatchNorm
        made = -(-size // stride)
        missing = max(0, (made - 1) * stride + kernel - size)
        before = missing // 2
        names = [self._constant(one.numpy()) for one in (weight, layer.bias.detach())]
        x = self._add(
            "Conv", x, *names, strides=[stride] * 2, group=layer.groups, pads=[before] * 2 + [missing - before] * 2
        )
        if bounded:
            x = self._add("Clip", x, *(self._constant(np.array(one, np.float32)) for one in (0.0, 6.0)))
        return x, made

    def _constant(self, value: NDArray[np.float32]) -> str:
        name = f"constant.{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(value.copy(), name))
        return name

    def _add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"value.{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], **attributes))
        return output
