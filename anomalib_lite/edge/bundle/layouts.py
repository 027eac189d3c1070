"""Sizes of what moves numbers about: the rules of `shapes` for reshaping, cutting, filling and choosing."""

from __future__ import annotations

from math import ceil, floor, prod

import numpy as np

from anomalib_lite.edge.bundle import arithmetic
from anomalib_lite.edge.bundle.shapes import (
    INT64,
    Given,
    Node,
    Result,
    Tensor,
    Uncounted,
    axes_of,
    axis_of,
    first,
    integers,
    rule,
    second,
)


@rule("Constant")
def _constant(node: Node, given: Given) -> Result:
    (name, value), *others = node.attributes.items()
    if others:
        raise ValueError("several values")
    if isinstance(value, Tensor):
        return Result([value])
    numbers = np.array(value, np.int64 if name in ("value_int", "value_ints") else np.float32)
    return Result([Tensor(numbers.shape, numbers.dtype, numbers)])


@rule("ConstantOfShape")
def _filled(node: Node, given: Given) -> Result:
    value, sizes = node.attributes.get("value"), tuple(integers(given[0], "how large a constant is"))
    if not isinstance(value, Tensor):
        return Result([Tensor(sizes, np.dtype(np.float32))])
    followed = value.numbers is not None and 0 <= prod(sizes) <= arithmetic.FEW
    numbers = np.broadcast_to(value.numbers.ravel()[0], sizes) if value.numbers is not None and followed else None
    return Result([Tensor(sizes, value.dtype, numbers)])


@rule("Shape")
def _shape(node: Node, given: Given) -> Result:
    sizes = first(given).sizes
    numbers = np.array(sizes[node.attributes.get("start", 0) : node.attributes.get("end", len(sizes))], np.int64)
    return Result([Tensor(numbers.shape, INT64, numbers)])


@rule("Size")
def _size(node: Node, given: Given) -> Result:
    return Result([Tensor((), INT64, np.array(first(given).count))])


@rule("Range")
def _range(node: Node, given: Given) -> Result:
    if any(one is None or one.numbers is None for one in given):
        raise Uncounted("how long a Range is, is known only at run time")
    start, end, step = (float(one.numbers.ravel()[0]) for one in given if one is not None and one.numbers is not None)
    return Result([Tensor((max(0, ceil((end - start) / step)),), first(given).dtype)])


@rule("Reshape")
def _reshape(node: Node, given: Given) -> Result:
    taken, asked = first(given), integers(given[1], "the shape of a Reshape")
    if not node.attributes.get("allowzero"):
        asked = [taken.sizes[place] if size == 0 else size for place, size in enumerate(asked)]
    if -1 in asked:
        rest = prod(size for size in asked if size != -1)
        asked[asked.index(-1)] = taken.count // max(rest, 1)
    if prod(asked) != taken.count:
        raise ValueError(f"{taken.sizes} as {asked}")
    return Result([Tensor(tuple(asked), taken.dtype)])


@rule("Flatten")
def _flatten(node: Node, given: Given) -> Result:
    axis = node.attributes.get("axis", 1)
    sizes = first(given).sizes
    return Result([Tensor((prod(sizes[:axis]), prod(sizes[axis:])), first(given).dtype)])


@rule("Transpose")
def _transpose(node: Node, given: Given) -> Result:
    sizes = first(given).sizes
    order = node.attributes.get("perm") or range(len(sizes))[::-1]
    if sorted(order) != list(range(len(sizes))):
        raise ValueError(f"the order {list(order)}")
    return Result([Tensor(tuple(sizes[place] for place in order), first(given).dtype)])


@rule("Squeeze")
def _squeeze(node: Node, given: Given) -> Result:
    sizes, axes = first(given).sizes, axes_of(node, given)
    gone = (
        {axis_of(one, len(sizes)) for one in axes} if axes is not None else {p for p, s in enumerate(sizes) if s == 1}
    )
    if any(sizes[place] != 1 for place in gone):
        raise ValueError(f"axes {sorted(gone)} of {sizes}")
    return Result([Tensor(tuple(s for p, s in enumerate(sizes) if p not in gone), first(given).dtype)])


@rule("Unsqueeze")
def _unsqueeze(node: Node, given: Given) -> Result:
    sizes, axes = first(given).sizes, axes_of(node, given) or []
    new, rest = {axis_of(one, len(sizes) + len(axes)) for one in axes}, iter(sizes)
    made = tuple(1 if place in new else next(rest) for place in range(len(sizes) + len(axes)))
    return Result([Tensor(made, first(given).dtype)])


@rule("Concat")
def _concat(node: Node, given: Given) -> Result:
    parts = [first([one]) for one in given]
    axis = axis_of(node.attributes["axis"], len(parts[0].sizes))
    if len({(*one.sizes[:axis], *one.sizes[axis + 1 :]) for one in parts}) != 1:
        raise ValueError("parts of different sizes")
    sizes = parts[0].sizes
    whole = (*sizes[:axis], sum(one.sizes[axis] for one in parts), *sizes[axis + 1 :])
    return Result([Tensor(whole, parts[0].dtype)])


@rule("Split")
def _split(node: Node, given: Given) -> Result:
    sizes, number = first(given).sizes, len(node.outputs)
    axis = axis_of(node.attributes.get("axis", 0), len(sizes))
    lengths = node.attributes.get("split")
    if len(given) > 1 and given[1] is not None:
        lengths = integers(given[1], "the lengths of a Split")
    each = -(-sizes[axis] // number)
    lengths = lengths or [max(0, min(each, sizes[axis] - each * place)) for place in range(number)]
    if len(lengths) != number or sum(lengths) != sizes[axis]:
        raise ValueError(f"{sizes[axis]} into {lengths}")
    return Result([Tensor((*sizes[:axis], one, *sizes[axis + 1 :]), first(given).dtype) for one in lengths])


@rule("Slice")
def _slice(node: Node, given: Given) -> Result:
    sizes = list(first(given).sizes)
    starts, ends = integers(given[1], "the start of a Slice"), integers(given[2], "the end of a Slice")
    axes = axes_of(node, given, 3) or list(range(len(starts)))
    stepped = len(given) > 4 and given[4] is not None
    steps = integers(given[4], "the step of a Slice") if stepped else [1] * len(axes)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis_of(axis, len(sizes))
        sizes[place] = len(range(*slice(start, end, step).indices(sizes[place])))
    return Result([Tensor(tuple(sizes), first(given).dtype)])


@rule("Gather")
def _gather(node: Node, given: Given) -> Result:
    sizes = first(given).sizes
    axis = axis_of(node.attributes.get("axis", 0), len(sizes))
    return Result([Tensor((*sizes[:axis], *second(given).sizes, *sizes[axis + 1 :]), first(given).dtype)])


@rule("GatherElements")
def _gather_elements(node: Node, given: Given) -> Result:
    return Result([Tensor(second(given).sizes, first(given).dtype)])


@rule("GatherND")
def _gather_many(node: Node, given: Given) -> Result:
    sizes, places = first(given).sizes, second(given).sizes
    rest = sizes[node.attributes.get("batch_dims", 0) + places[-1] :]
    return Result([Tensor((*places[:-1], *rest), first(given).dtype)])


@rule("Expand")
def _expand(node: Node, given: Given) -> Result:
    asked = tuple(integers(given[1], "the shape of an Expand"))
    return Result([Tensor(np.broadcast_shapes(first(given).sizes, asked), first(given).dtype)])


@rule("Tile")
def _tile(node: Node, given: Given) -> Result:
    times = integers(given[1], "how often a Tile repeats")
    sizes = tuple(size * one for size, one in zip(first(given).sizes, times, strict=True))
    return Result([Tensor(sizes, first(given).dtype)])


@rule("Pad")
def _pad(node: Node, given: Given) -> Result:
    sizes, pads = list(first(given).sizes), integers(given[1], "the widths of a Pad")
    axes = axes_of(node, given, 3) or list(range(len(sizes)))
    if len(pads) != 2 * len(axes):
        raise ValueError(f"{len(pads)} widths for {len(axes)} axes")
    for number, axis in enumerate(axes):
        sizes[axis_of(axis, len(sizes))] += pads[number] + pads[number + len(axes)]
    return Result([Tensor(tuple(sizes), first(given).dtype)])


@rule("Resize")
def _resize(node: Node, given: Given) -> Result:
    taken, attributes = first(given), node.attributes
    if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Uncounted("a Resize that keeps the aspect cannot be counted")
    sizes = list(taken.sizes)
    axes = attributes.get("axes") or list(range(len(sizes)))
    if len(given) > 3 and given[3] is not None:
        asked = integers(given[3], "the sizes of a Resize")
    else:
        scales = given[2]
        if scales is None or scales.numbers is None:
            raise Uncounted("the scales of a Resize are known only at run time")
        asked = [floor(sizes[axis] * float(one)) for axis, one in zip(axes, scales.numbers.ravel(), strict=True)]
    for axis, size in zip(axes, asked, strict=True):
        sizes[axis_of(axis, len(sizes))] = size
    made = Tensor(tuple(sizes), taken.dtype)
    return Result([made], 16 * max(made.count, taken.count))


@rule("DepthToSpace", "SpaceToDepth")
def _blocks(node: Node, given: Given) -> Result:
    n, c, h, w = first(given).sizes
    side = node.attributes["blocksize"]
    deep = node.operator == "DepthToSpace"
    sizes = (n, c // side**2, h * side, w * side) if deep else (n, c * side**2, h // side, w // side)
    if prod(sizes) != first(given).count:
        raise ValueError(f"{first(given).sizes} in blocks of {side}")
    return Result([Tensor(sizes, first(given).dtype)])


@rule("OneHot")
def _one_hot(node: Node, given: Given) -> Result:
    sizes, (depth,) = first(given).sizes, integers(given[1], "the depth of a OneHot")
    axis = axis_of(node.attributes.get("axis", -1), len(sizes) + 1)
    return Result([Tensor((*sizes[:axis], depth, *sizes[axis:]), first(given[2:]).dtype)])


@rule("TopK")
def _largest(node: Node, given: Given) -> Result:
    taken = first(given)
    axis = axis_of(node.attributes.get("axis", -1), len(taken.sizes))
    (number,) = integers(given[1], "how many are the largest")
    sizes = (*taken.sizes[:axis], number, *taken.sizes[axis + 1 :])
    logarithm = max(1, ceil(np.log2(taken.sizes[axis] + 1)))
    return Result([Tensor(sizes, taken.dtype), Tensor(sizes, INT64)], taken.count * logarithm, 16 * taken.count)


@rule("GridSample")
def _sampled(node: Node, given: Given) -> Result:
    made = Tensor((*first(given).sizes[:2], *second(given).sizes[1:-1]), first(given).dtype)
    return Result([made], 16 * made.count)


@rule("NonZero")
def _places(node: Node, given: Given) -> Result:
    return Result([Tensor((len(first(given).sizes), first(given).count), INT64)])  # at most
