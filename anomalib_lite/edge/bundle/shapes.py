"""How large the results of standard operators are, and how many multiplications they take, before anything runs.

Every size is a number here, since a graph runs with one fixed batch; the few sizes that a graph computes (`Shape`,
`Concat`, then `Reshape`) are followed as numbers through `arithmetic`. An operator that is not listed is refused:
nobody could say what it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.bundle import arithmetic
from anomalib_lite.edge.bundle.windows import pooled, spread, windowed

Sizes: TypeAlias = tuple[int, ...]


class Uncounted(Exception):  # noqa: N818
    """What a node takes cannot be said; the reason is its text."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of which the sizes are known, and the numbers where they are few and known."""

    sizes: Sizes
    dtype: np.dtype[Any]
    numbers: NDArray[Any] | None = field(default=None, repr=False)
    constant: bool = False  # the same for every image: computed once, and kept

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.sizes)

    @property
    def bytes(self) -> int:
        """What it takes in memory."""
        return self.count * self.dtype.itemsize


class Node(NamedTuple):
    """A node as the file has it."""

    operator: str
    inputs: tuple[str, ...]  # "" where an optional one is left out
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]  # numbers, lists of numbers, text, tensors


class Result(NamedTuple):
    """What a node makes, and what that takes."""

    outputs: list[Tensor]
    work: int = 0  # multiplications and additions, beside one for each element read or written
    extra: int = 0  # bytes, while it runs


Given: TypeAlias = Sequence[Tensor | None]
Rule: TypeAlias = Callable[[Node, Given], Result]

FLOAT, INT64, BOOL = np.dtype(np.float32), np.dtype(np.int64), np.dtype(np.bool_)
QUANTISED = {"QuantizeLinear": np.uint8, "DequantizeLinear": np.float32, "ConvInteger": np.int32,
             "MatMulInteger": np.int32}  # fmt: skip
ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Abs", "Neg", "Exp", "Log", "Sqrt",
    "Reciprocal", "Sigmoid", "Tanh", "Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Mish", "HardSigmoid",
    "HardSwish", "Softplus", "Softsign", "ThresholdedRelu", "Erf", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan",
    "Sinh", "Cosh", "Asinh", "Acosh", "Atanh", "Floor", "Ceil", "Round", "Sign", "Clip", "Identity", "PRelu",
    "Shrink", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", "Swish",
)  # fmt: skip
COMPARISONS = (
    "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "And", "Or", "Xor", "Not", "IsNaN", "IsInf",
)  # fmt: skip
ALIKE = (
    "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LpNormalization",
    "MeanVarianceNormalization", "Softmax", "LogSoftmax", "Hardmax", "CumSum", "Trilu", "ScatterElements",
    "ScatterND", "QuantizeLinear", "DequantizeLinear",
)  # fmt: skip
REDUCTIONS = (
    "ReduceMax", "ReduceMin", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip
RULES: dict[str, Rule] = {}


def result(node: Node, given: Given) -> Result:
    """What a node makes of these inputs.

    Raises:
        Uncounted: The operator is not known, its inputs do not fit, or its size depends on the image.
    """
    if node.operator not in RULES:
        raise Uncounted(f"what the operator {node.operator} takes is not known")
    try:
        found = RULES[node.operator](node, given)
        if any(size < 0 for one in found.outputs for size in one.sizes):
            raise Uncounted(f"a result of the operator {node.operator} has a negative size")
        constant = all(one is None or one.constant for one in given)
        return found._replace(outputs=[_known(node, one, given, constant) for one in found.outputs])
    except Uncounted:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError, ArithmeticError) as error:
        raise Uncounted(f"the inputs of the operator {node.operator} do not fit ({error})") from error


def _known(node: Node, made: Tensor, given: Given, constant: bool) -> Tensor:
    """A result with its numbers, where they can be told."""
    numbers = made.numbers
    if numbers is None and made.count <= arithmetic.FEW and len(node.outputs) == 1:
        inputs = [None if one is None else one.numbers for one in given]
        if all(one is None or one.numbers is not None for one in given):
            numbers = arithmetic.computed(node.operator, inputs, node.attributes, made.sizes, made.dtype)
    return Tensor(made.sizes, made.dtype, numbers, constant)


def rule(*operators: str) -> Callable[[Rule], Rule]:
    """Register the rule of these operators."""

    def register(one: Rule) -> Rule:
        RULES.update(dict.fromkeys(operators, one))
        return one

    return register


def first(given: Given) -> Tensor:
    """The first input."""
    found = given[0]
    if found is None:
        raise ValueError("the first one is left out")
    return found


def second(given: Given) -> Tensor:
    """The second input."""
    return first(given[1:])


def integers(tensor: Tensor | None, what: str) -> list[int]:
    """The numbers of a tensor that decides on sizes."""
    if tensor is None or tensor.numbers is None:
        raise Uncounted(f"{what} is known only at run time")
    return [int(one) for one in tensor.numbers.ravel()]


def axis_of(axis: int, rank: int) -> int:
    """An axis that may be counted from the end."""
    if not -rank <= axis < rank:
        raise ValueError(f"axis {axis} of {rank}")
    return axis % rank


def axes_of(node: Node, given: Given, place: int = 1) -> list[int] | None:
    """Axes, an attribute or an input; None where they are left out."""
    if "axes" in node.attributes:
        return list(node.attributes["axes"])
    return integers(given[place], "which axes") if len(given) > place and given[place] is not None else None


@rule(*ELEMENTWISE)
def _elementwise(node: Node, given: Given) -> Result:
    sizes = np.broadcast_shapes(*(one.sizes for one in given if one is not None))
    return Result([Tensor(sizes, first(given).dtype)])


@rule(*COMPARISONS)
def _comparison(node: Node, given: Given) -> Result:
    return Result([Tensor(_elementwise(node, given).outputs[0].sizes, BOOL)])


@rule("Where")
def _where(node: Node, given: Given) -> Result:
    return Result([Tensor(_elementwise(node, given).outputs[0].sizes, second(given).dtype)])


@rule(*ALIKE)
def _as_it_is(node: Node, given: Given) -> Result:
    if len(node.outputs) != 1:
        raise ValueError(f"{len(node.outputs)} results")
    made = QUANTISED.get(node.operator, first(given).dtype)
    if node.operator == "QuantizeLinear" and len(given) > 2:
        made = first(given[2:]).dtype
    return Result([Tensor(first(given).sizes, np.dtype(made))], work=8 * first(given).count)


@rule("LayerNormalization", "DynamicQuantizeLinear", "Dropout")
def _several(node: Node, given: Given) -> Result:
    made = FLOAT if node.operator != "DynamicQuantizeLinear" else np.dtype(np.uint8)
    return Result([Tensor(first(given).sizes, made) for _ in node.outputs], work=8 * first(given).count)


@rule("LRN")
def _neighbours(node: Node, given: Given) -> Result:
    return Result([Tensor(first(given).sizes, first(given).dtype)], first(given).count * node.attributes["size"])


@rule("Cast", "CastLike")
def _cast(node: Node, given: Given) -> Result:
    made = second(given).dtype if node.operator == "CastLike" else np.dtype(arithmetic.TYPES[node.attributes["to"]])
    return Result([Tensor(first(given).sizes, made)])


@rule("Conv", "ConvInteger", "QLinearConv")
def _conv(node: Node, given: Given) -> Result:
    image, kernel = first(given), first(given[3:] if node.operator == "QLinearConv" else given[1:])
    sizes = windowed(image.sizes[2:], kernel.sizes[2:], node.attributes)
    made = Tensor((image.sizes[0], kernel.sizes[0], *sizes), np.dtype(QUANTISED.get(node.operator, image.dtype)))
    unfolded = 0 if node.operator == "Conv" else prod(sizes) * prod(kernel.sizes[1:])
    return Result([made], made.count * prod(kernel.sizes[1:]), unfolded)


@rule("ConvTranspose")
def _spread(node: Node, given: Given) -> Result:
    image, kernel = first(given), second(given)
    sizes = spread(image.sizes[2:], kernel.sizes[2:], node.attributes)
    made = Tensor((image.sizes[0], kernel.sizes[1] * node.attributes.get("group", 1), *sizes), image.dtype)
    unfolded = prod(image.sizes[2:]) * prod(kernel.sizes[1:])
    return Result([made], image.count * prod(kernel.sizes[1:]), image.dtype.itemsize * unfolded)


@rule("MaxPool", "AveragePool", "LpPool")
def _pool(node: Node, given: Given) -> Result:
    image, kernel = first(given), tuple(node.attributes["kernel_shape"])
    sizes = (*image.sizes[:2], *pooled(image.sizes[2:], kernel, node.attributes))
    made = [Tensor(sizes, dtype) for dtype in (image.dtype, INT64)[: len(node.outputs)]]
    return Result(made, made[0].count * prod(kernel))


@rule("GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool")
def _pool_all(node: Node, given: Given) -> Result:
    image = first(given)
    return Result([Tensor((*image.sizes[:2], *(1 for _ in image.sizes[2:])), image.dtype)])


@rule("MatMul", "MatMulInteger", "QLinearMatMul")
def _product(node: Node, given: Given) -> Result:
    left, right = first(given), first(given[3:] if node.operator == "QLinearMatMul" else given[1:])
    a = left.sizes if len(left.sizes) > 1 else (1, *left.sizes)
    b = right.sizes if len(right.sizes) > 1 else (*right.sizes, 1)
    if a[-1] != b[-2]:
        raise ValueError(f"{left.sizes} times {right.sizes}")
    ends = (a[-2:-1] if len(left.sizes) > 1 else ()) + (b[-1:] if len(right.sizes) > 1 else ())
    made = Tensor((*np.broadcast_shapes(a[:-2], b[:-2]), *ends), np.dtype(QUANTISED.get(node.operator, left.dtype)))
    return Result([made], made.count * a[-1])


@rule("Gemm")
def _gemm(node: Node, given: Given) -> Result:
    a, b = first(given).sizes, second(given).sizes
    a = a[::-1] if node.attributes.get("transA") else a
    b = b[::-1] if node.attributes.get("transB") else b
    if len(a) != 2 or len(b) != 2 or a[1] != b[0]:
        raise ValueError(f"{a} times {b}")
    return Result([Tensor((a[0], b[1]), first(given).dtype)], a[0] * a[1] * b[1])


@rule("Einsum")
def _einsum(node: Node, given: Given) -> Result:
    terms, arrow, made = node.attributes["equation"].replace(" ", "").partition("->")
    named: dict[str, int] = {}
    for term, one in zip(terms.split(","), given, strict=True):
        for letter, size in zip(term, first([one]).sizes, strict=True):
            named[letter] = max(named.get(letter, 1), size)
    if not arrow or "." in terms:
        raise Uncounted("an Einsum without named axes cannot be counted")
    work = prod(named.values())
    return Result([Tensor(tuple(named[letter] for letter in made), first(given).dtype)], work, 4 * work)


@rule(
    *(f"Reduce{name}" for name in ["Max", "Min", "Sum", "Mean", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare"])
)
def _reduce(node: Node, given: Given) -> Result:
    taken, axes = first(given), axes_of(node, given)
    rank = len(taken.sizes)
    if not axes:
        axes = [] if node.attributes.get("noop_with_empty_axes") else list(range(rank))
    return Result([Tensor(_without(taken.sizes, axes, node.attributes.get("keepdims", 1)), taken.dtype)])


@rule("ArgMax", "ArgMin")
def _position(node: Node, given: Given) -> Result:
    axes, keep = [node.attributes.get("axis", 0)], node.attributes.get("keepdims", 1)
    return Result([Tensor(_without(first(given).sizes, axes, keep), INT64)])


def _without(sizes: Sizes, axes: Sequence[int], keep: int) -> Sizes:
    gone = {axis_of(axis, len(sizes)) for axis in axes}
    return tuple(1 if place in gone else size for place, size in enumerate(sizes) if keep or place not in gone)
