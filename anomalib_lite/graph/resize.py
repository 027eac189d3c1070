"""Puts the resize of one camera's images into the graph, for integrators who have no Pillow.

The resize is Pillow's antialiased bilinear one as two constant matrix products, since the runtimes of other vendors
mishandle ONNX's `Resize` with antialias. Of 8-bit images it gives Pillow's result bit for bit: Pillow rounds the
weights to 22 bits and sums in integers, one axis after the other; here each weight is split into 14 high and 8 low
bits, so that every sum is an integer below 2^24, which float32 holds exactly, in whatever order it is summed. 16-bit
images are within one grey level of 65,535.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, MissingExtra

if TYPE_CHECKING:
    import onnx

PRECISION = 22  # bits of Pillow's weights: Resample.c, PRECISION_BITS
LOW = 8  # bits of the low part
MAX_TAPS = 127  # 255 x taps x 2^8 + 2^21 < 2^24


def embed_resize(graph: bytes, spec: ImageSpec, height: int, width: int) -> bytes:
    """The graph with an input `image` of (N, height, width, C), resized within to what the spec says.

    Args:
        graph: The ONNX file; other inputs are left alone.
        spec: What the model takes.
        height: Of the camera's images.
        width: Likewise.

    Raises:
        ConfigError: The images are so large that the sums would not be exact.
        MissingExtra: The package onnx is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise MissingExtra("onnx", "train", "export --source-size") from error
    model = onnx.load_from_string(graph)
    for node in model.graph.node:
        for index, name in enumerate(node.input):
            if name == "image":
                node.input[index] = "resize.image"
    image = next(one for one in model.graph.input if one.name == "image")
    for axis, size in ((1, height), (2, width)):
        image.type.tensor_type.shape.dim[axis].dim_value = size
    resize, before = _Resize(spec, height, width), list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend([*resize.nodes, *before])
    model.graph.initializer.extend(resize.constants)
    onnx.checker.check_model(model, full_check=True)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def weights(source: int, target: int) -> NDArray[np.float64]:
    """Pillow's weights of a bilinear resize of one axis, (target, source); each row sums to 1."""
    scale = source / target
    support = max(scale, 1.0)
    matrix = np.zeros((target, source))
    for row in range(target):
        centre = (row + 0.5) * scale
        first, last = max(int(centre - support + 0.5), 0), min(int(centre + support + 0.5), source)
        distance = np.abs((np.arange(first, last) - centre + 0.5) * (1 / support))
        taps = np.maximum(1 - distance, 0)
        matrix[row, first:last] = taps / np.add.accumulate(taps)[-1]  # the order of Resample.c, to the last bit
    return matrix


def _whole_weights(source: int, target: int) -> NDArray[np.float64]:
    return np.asarray(np.floor(weights(source, target) * 2**PRECISION + 0.5))


def _rows_first(spec: ImageSpec, height: int, width: int) -> bool:
    """Which axis Pillow takes first, which its versions decide by costs of their own: asked, with images of noise."""
    random, half = np.random.default_rng(0), 2 ** (PRECISION - 1)
    rows, columns = _whole_weights(width, spec.width).T, _whole_weights(height, spec.height)
    for _ in range(1 + 4096 // (spec.height * spec.width)):  # a small result may be the same in either order
        noise = random.integers(0, 256, (height, width), dtype=np.uint8)
        first = np.floor((noise @ rows + half) / 2**PRECISION)
        both = np.floor((columns @ first + half) / 2**PRECISION)
        if not np.array_equal(both, imaging.resize(noise[..., None], spec.height, spec.width)[..., 0]):
            return False
    return True


class _Resize:
    """The nodes from `image` to `resize.image`."""

    def __init__(self, spec: ImageSpec, height: int, width: int) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self._exact = spec.dtype == "uint8"
        pixels = self._add("Cast", "image", to=1)  # float
        pixels = self._add("Transpose", pixels, perm=[0, 3, 1, 2])
        axes = [(width, spec.width, 3), (height, spec.height, 2)]
        for length, target, axis in axes if not self._exact or _rows_first(spec, height, width) else reversed(axes):
            if self._exact:
                pixels = self._whole_product(pixels, _whole_weights(length, target), axis)
            else:
                pixels = self._product(pixels, weights(length, target), axis)
        if not self._exact:
            pixels = self._add("Floor", self._add("Add", pixels, self._constant(0.5)))
        pixels = self._add("Transpose", pixels, perm=[0, 2, 3, 1])
        self._add("Cast", pixels, output="resize.image", to=2 if self._exact else 4)  # uint8, uint16

    def _whole_product(self, pixels: str, matrix: NDArray[np.float64], axis: int) -> str:
        """Whole numbers in and out: (high + (low + half) // 2^8) // 2^14, as (sum + half) >> 22 is in Pillow."""
        high, low = np.divmod(matrix, 2**LOW)
        if np.count_nonzero(matrix, axis=1).max() > MAX_TAPS:
            raise ConfigError(
                f"--source-size: {matrix.shape[1]} pixels are more than {MAX_TAPS // 2} times the model's "
                f"{matrix.shape[0]}. Let the camera bin its pixels, or train a larger model."
            )
        half = self._constant(2 ** (PRECISION - 1))
        carried = self._shift(self._add("Add", self._product(pixels, low, axis), half), LOW)
        return self._shift(self._add("Add", self._product(pixels, high, axis), carried), PRECISION - LOW)

    def _product(self, pixels: str, matrix: NDArray[np.float64], axis: int) -> str:
        """(N, C, H, W) times a matrix (target, source) along an axis."""
        if axis == 3:
            return self._add("MatMul", pixels, self._constant(matrix.T))
        return self._add("MatMul", self._constant(matrix), pixels)

    def _shift(self, numbers: str, bits: int) -> str:
        return self._add("Floor", self._add("Mul", numbers, self._constant(2.0**-bits)))

    def _constant(self, value: NDArray[np.float64] | float) -> str:
        from onnx import numpy_helper

        name = f"resize.constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, np.float32, order="C"), name))
        return name

    def _add(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        from onnx import helper

        output = output or f"resize.{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [output], output, **attributes))
        return output
