"""Sizes of what slides a window over an image: convolutions and pooling, with the padding of the ONNX standard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

Sizes: TypeAlias = tuple[int, ...]
MAX_SIDES = 3  # sides of an image that a window slides over


def windowed(sizes: Sizes, kernel: Sizes, attributes: Mapping[str, Any]) -> Sizes:
    """Sizes after a convolution of an image of these sizes, batch and channels apart."""
    return _slid(sizes, kernel, attributes, rounds_up=False)


def pooled(sizes: Sizes, kernel: Sizes, attributes: Mapping[str, Any]) -> Sizes:
    """Sizes after pooling."""
    return _slid(sizes, kernel, attributes, rounds_up=bool(attributes.get("ceil_mode")))


def _slid(sizes: Sizes, kernel: Sizes, attributes: Mapping[str, Any], *, rounds_up: bool) -> Sizes:
    strides, dilations, pads = _options(sizes, kernel, attributes)
    automatic, found = attributes.get("auto_pad", "NOTSET"), []
    for side, size in enumerate(sizes):
        if automatic.startswith("SAME"):
            found.append(-(-size // strides[side]))
            continue
        padding = 0 if automatic == "VALID" else pads[side] + pads[side + len(sizes)]
        room = size + padding - ((kernel[side] - 1) * dilations[side] + 1)
        if room < 0:
            raise ValueError(f"a window of {kernel} over {sizes}")
        found.append((-(-room // strides[side]) if rounds_up else room // strides[side]) + 1)
    return tuple(found)


def spread(sizes: Sizes, kernel: Sizes, attributes: Mapping[str, Any]) -> Sizes:
    """Sizes after a transposed convolution."""
    if attributes.get("output_shape"):
        return tuple(attributes["output_shape"])
    strides, dilations, pads = _options(sizes, kernel, attributes)
    if attributes.get("auto_pad", "NOTSET").startswith("SAME"):
        return tuple(size * stride for size, stride in zip(sizes, strides, strict=True))
    more = attributes.get("output_padding") or [0] * len(sizes)
    return tuple(
        strides[side] * (size - 1) + more[side] + (kernel[side] - 1) * dilations[side] + 1
        - pads[side] - pads[side + len(sizes)]
        for side, size in enumerate(sizes)
    )  # fmt: skip


def _options(
    sizes: Sizes, kernel: Sizes, attributes: Mapping[str, Any]
) -> tuple[Sequence[int], Sequence[int], Sequence[int]]:
    """Strides, dilations and pads."""
    sides = len(sizes)
    if not 1 <= sides <= MAX_SIDES or len(kernel) != sides:
        raise ValueError(f"a window of {len(kernel)} sides over an image of {sides}")
    strides = attributes.get("strides") or [1] * sides
    dilations = attributes.get("dilations") or [1] * sides
    pads = attributes.get("pads") or [0] * 2 * sides
    if min(*strides, *dilations, *kernel) < 1 or (len(strides), len(dilations), len(pads)) != (sides, sides, 2 * sides):
        raise ValueError(f"strides {strides}, dilations {dilations}, pads {pads}")
    return strides, dilations, pads
