"""The manifest of a joint model: several models, each a bundle of its own, that decide once for a part."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Literal, TypeAlias, get_args

from anomalib_lite.edge.manifest.certificate import Calibration, ImagesPerUnit
from anomalib_lite.edge.manifest.document import JOINT_VERSION, MEMBERS, Document
from anomalib_lite.edge.manifest.parsing import Rule, finite

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
Combined: TypeAlias = Literal["maximum", "mean", "fisher"]
COMBINED: tuple[Combined, ...] = get_args(Combined)
"""How the numbers of the members become one: the largest, the mean, or the sum of how surprising each is (Fisher)."""
Lacking: TypeAlias = Literal["error", "judged"]
LACKING: tuple[Lacking, ...] = get_args(Lacking)
"""What becomes of a part that a view lacks of: ERROR, or judged without it, which the result says."""


@dataclass(frozen=True, slots=True)
class MemberRecord:
    """One model of a joint one, in the folder `members/NAME`.

    view: the photographs that it judges; several members may share one.
    values: its scores of the good parts that set its unit, ascending; no threshold rests on these parts.
    weight: what its number is multiplied by.
    photographs: how many of its view the parts had that the thresholds rest on.
    """

    name: str
    view: str
    values: tuple[float, ...]
    photographs: ImagesPerUnit
    weight: float = 1.0

    @property
    def folder(self) -> str:
        """Where its bundle lies, with a slash at the end."""
        return f"{MEMBERS}/{self.name}/"

    def rules(self) -> Iterator[Rule]:
        """What a number can be put into units by."""
        yield Rule("name", self.name, NAME.fullmatch(self.name) is not None, "letters, digits, '.', '_' and '-'")
        yield Rule("view", self.view, self.view != "", "a name")
        numbers = len(self.values) > 0 and all(map(finite, self.values))
        yield Rule("values", self.values, numbers, "a list of at least one finite number")
        yield Rule("values", self.values, all(a <= b for a, b in pairwise(self.values)), "a list in ascending order")
        yield Rule("weight", self.weight, finite(self.weight) and self.weight > 0, "a number above 0")


@dataclass(frozen=True, kw_only=True)
class JointManifest(Document):
    """All that a joint bundle says of itself; its members say the rest."""

    created: str  # ISO 8601, UTC
    created_with: str  # version of the host
    members: tuple[MemberRecord, ...]
    pattern: str  # its first parentheses find the view in the name of an image
    calibration: Calibration  # of parts, by the joint score; that has no map, so its map thresholds are none
    combined: Combined = "maximum"
    lacking: Lacking = "error"
    parts: Mapping[str, float | None] = field(default_factory=dict)  # that the thresholds rest on, and what they scored
    calibrated: str | None = None  # when, where that was after the models were joined
    files: Mapping[str, str] = field(default_factory=dict)  # name -> SHA-256, those of the members' bundles
    schema_version: int = JOINT_VERSION

    @property
    def views(self) -> tuple[str, ...]:
        """What a part is photographed in, each once."""
        return tuple(dict.fromkeys(one.view for one in self.members))

    def rules(self) -> Iterator[Rule]:
        """What members must be to each other."""
        version, names = self.schema_version, [one.name for one in self.members]
        yield Rule("schema_version", version, version >= JOINT_VERSION, f"{JOINT_VERSION}, which older versions refuse")
        yield Rule("members", names, len(names) > 1 and len(names) == len(set(names)), "at least two, each named once")
        for one in self.members:
            listed = f"{one.folder}manifest.json" in self.files
            yield Rule("members", one.name, listed, "a member whose manifest is listed")
        yield Rule("pattern", self.pattern, _finds(self.pattern), "a regular expression with parentheses")


def _finds(pattern: str) -> bool:
    try:
        return re.compile(pattern).groups > 0
    except (re.error, RecursionError, OverflowError):
        return False
