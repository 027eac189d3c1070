"""Computes with the few numbers that decide on sizes in a graph, as onnxruntime will."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

FEW = 256  # numbers that are followed: a shape has up to 16
TYPES = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64",
}  # fmt: skip

Numbers = NDArray[Any]


def computed(
    operator: str, given: Sequence[Numbers | None], attributes: Mapping[str, Any], sizes: tuple[int, ...], dtype: Any
) -> Numbers | None:
    """The numbers that an operator makes of these, in the sizes that it makes; None where that is not known here."""
    present = [one for one in given if one is not None]
    if operator in MOVED:
        made = np.asarray(MOVED[operator](present, attributes))
    elif operator in ALIKE and present:
        made = present[0]
    elif operator in COMPUTED:
        with np.errstate(all="ignore"):
            made = np.asarray(COMPUTED[operator](*present))
    else:
        return None
    return np.broadcast_to(made, sizes).astype(dtype) if operator == "Expand" else made.reshape(sizes).astype(dtype)


def _quotient(a: Numbers, b: Numbers) -> Numbers:
    """As ONNX divides: whole numbers towards zero."""
    return np.trunc(a / b) if a.dtype.kind in "iu" else a / b


def _sliced(given: Sequence[Numbers], attributes: Mapping[str, Any]) -> Numbers:
    data, starts, ends, *others = given
    axes = others[0] if others else range(len(starts))
    steps = others[1] if len(others) > 1 else [1] * len(starts)
    chosen = [slice(None)] * data.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        chosen[int(axis)] = slice(int(start), int(end), int(step))
    return data[tuple(chosen)]


ALIKE = {"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Expand"}  # the same numbers
MOVED: dict[str, Callable[[Sequence[Numbers], Mapping[str, Any]], Numbers]] = {
    "Concat": lambda given, attributes: np.concatenate(given, attributes["axis"]),
    "Gather": lambda given, attributes: np.take(given[0], given[1], attributes.get("axis", 0)),
    "Slice": _sliced,
}
COMPUTED: dict[str, Callable[..., Any]] = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": _quotient,
    "Max": lambda *given: reduce(np.maximum, given),
    "Min": lambda *given: reduce(np.minimum, given),
    "Neg": np.negative, "Abs": np.abs, "Floor": np.floor, "Ceil": np.ceil, "Sqrt": np.sqrt, "Equal": np.equal,
    "Greater": np.greater, "Less": np.less, "Where": np.where, "Not": np.logical_not,
    "Range": lambda start, end, step: np.arange(start.item(), end.item(), step.item()),
}  # fmt: skip
