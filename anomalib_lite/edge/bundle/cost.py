"""What a graph takes where it runs, counted from its sizes before onnxruntime sees it, and how much it may.

Memory: results are kept until the last node that reads them, in the order of the file; those that are the same for
every image are computed once, and kept. Work: multiplications and additions, and one for each element read or written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anomalib_lite.edge.bundle import layouts  # noqa: F401 - whose rules are added to those of `shapes`
from anomalib_lite.edge.bundle.messages import refuse
from anomalib_lite.edge.bundle.shapes import Node, Tensor, Uncounted, result

MAX_MEMORY = 2 * 2**30  # bytes of results at once, beside what the file stores
MAX_WORK = 4 * 10**12  # for one run: a minute or two on two cores
MAX_RANK = 16


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run takes, at most."""

    memory: int  # bytes
    work: int  # multiplications and additions


def refuse_costly(nodes: Sequence[Node], given: Mapping[str, Tensor], outputs: Mapping[str, Tensor]) -> None:
    """Refuse a graph that takes more than it may, or makes something else than it says.

    Args:
        nodes: In the order of the file, in which each reads what was made before it.
        given: Inputs and stored tensors.
        outputs: What is read from outside, as the graph describes it.

    Raises:
        ModelError: It takes more, or what it takes cannot be counted.
    """
    last = {name: place for place, node in enumerate(nodes) for name in node.inputs}
    last |= dict.fromkeys(outputs, len(nodes))
    known, work, held = dict(given), 0, 0
    for place, node in enumerate(nodes):
        made, taken, extra = _run(node, known)
        work += taken
        held += sum(one.bytes for one in made)
        _refuse_beyond(node, Cost(held + extra, work))
        if len(node.outputs) > len(made):
            refuse(f"the operator {node.operator} has {len(node.outputs)} results, expected at most {len(made)}")
        for name, one in zip(node.outputs, made, strict=False):
            if name in known:
                refuse(f"'{name}' is made twice")
            if name:
                known[name] = one
        for name in {*node.inputs, *node.outputs} - given.keys():
            if name and last.get(name, place) == place and not known[name].constant:
                held -= known[name].bytes
    for name, described in outputs.items():
        if name not in known or (known[name].sizes, known[name].dtype) != (described.sizes, described.dtype):
            found = f"{known[name].dtype} {known[name].sizes}" if name in known else "made by nothing"
            refuse(f"the output '{name}' is described as {described.dtype} {described.sizes}, and is {found}")


def _run(node: Node, known: Mapping[str, Tensor]) -> tuple[list[Tensor], int, int]:
    """What a node makes, its work, and the memory that it takes beside that."""
    try:
        given = [known[name] if name else None for name in node.inputs]
        made, work, extra = result(node, given)
    except KeyError as missing:
        refuse(f"the operator {node.operator} reads {missing}, which nothing before it makes")
    except Uncounted as reason:
        refuse(f"{reason}, so that memory and time cannot be bounded")
    if any(len(one.sizes) > MAX_RANK for one in made):
        refuse(f"a result of the operator {node.operator} has more than {MAX_RANK} dimensions")
    touched = sum(one.count for one in (*given, *made) if one is not None)
    return made, work + touched, extra


def _refuse_beyond(node: Node, cost: Cost) -> None:
    smaller = "train with image.mode=tile or a smaller image.height"
    if cost.memory > MAX_MEMORY:
        refuse(
            f"up to the operator {node.operator} it takes {cost.memory:,} bytes at once, more than {MAX_MEMORY:,}: "
            f"{smaller}"
        )
    if cost.work > MAX_WORK:
        refuse(
            f"up to the operator {node.operator} it takes {cost.work:,} multiplications, more than {MAX_WORK:,}: "
            f"{smaller}"
        )
