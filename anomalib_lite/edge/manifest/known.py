"""Defects that a model must not pass, and what a person decided about a model after its training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from anomalib_lite.edge.manifest.certificate import NEWER
from anomalib_lite.edge.manifest.parsing import Rule


@dataclass(frozen=True, slots=True)
class KnownDefect:
    """An image with a defect that a person has seen, and what the graph says of it; None where it is ERROR."""

    image: str
    sha256: str
    kind: str
    score: float | None  # raw


@dataclass(frozen=True, slots=True)
class Choice:
    """What a person chose after looking, and why.

    time: ISO 8601, with the offset of the person's clock.     what: such as "row 2 of the menu instead of row 0".
    passed: SHA-256 of the known defects that are OK by it, which the person accepts.
    """

    time: str
    operator: str
    what: str
    because: str
    passed: tuple[str, ...] = field(default=(), metadata=NEWER)

    def rules(self) -> Iterator[Rule]:
        """What a record of a choice needs."""
        yield Rule("because", self.because, bool(self.because.strip()), "a reason")
