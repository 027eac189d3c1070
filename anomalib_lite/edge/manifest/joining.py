"""How the scores of the photographs of a part become one: what a line decides on, and what that needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from anomalib_lite.edge.manifest.parsing import Rule

Per: TypeAlias = Literal["photograph", "part", "part-median", "part-mean", "part-top", "part-cusum"]
PER: tuple[Per, ...] = get_args(Per)
"""What a line decides on: each photograph, a part by any of its photographs, or a part once, by all of them."""
ONCE: tuple[Per, ...] = tuple(one for one in PER if one.startswith("part-"))
"""Where no photograph alone decides."""
TOP_SHARE = 0.1  # of the photographs of a part, whose mean is taken


@dataclass(frozen=True, slots=True)
class Cusum:
    """What cumulative sums count from, in units of the score, and how many held-out good parts say so.

    They are parts that certify nothing: the rule is fixed before any part is counted by it.
    """

    level: float
    parts: int

    def rules(self) -> Iterator[Rule]:
        """What can be counted."""
        yield Rule("parts", self.parts, self.parts >= 1, "a whole number above 0")


@dataclass(frozen=True, slots=True)
class Joining:
    """What a line decides on, and the numbers that this needs."""

    per: Per = "part"
    top_share: float = TOP_SHARE  # part-top
    level: float = 0.0  # part-cusum

    def __str__(self) -> str:
        """In words, behind "by the"."""
        words = {"part-top": f"mean of the highest {100 * self.top_share:g} %", "part-cusum": "CUSUM"}
        return words.get(self.per, self.per.removeprefix("part-"))


def needs(per: Per, top_share: float | None, cusum: Cusum | None) -> Iterator[Rule]:
    """What belongs to a rule, and to no other."""
    share = per != "part-top" if top_share is None else 0 < top_share <= 1
    yield Rule("top_share", top_share, share, "a share above 0, where per is part-top")
    sums = (per == "part-cusum") == (cusum is not None)
    yield Rule("cusum", cusum, sums, "what sums count from, where per is part-cusum")
