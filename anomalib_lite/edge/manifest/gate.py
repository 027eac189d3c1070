"""What a model refuses to judge: limits of what whole images of its training look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from anomalib_lite.edge.manifest.certificate import NEWER
from anomalib_lite.edge.manifest.parsing import Rule

CELLS = 64  # of the coarse picture
STATISTICS = (
    "width", "height", "brightness", "dark", "bright", "darkest", "brightest", "middle", "detail", "blur", "coarseness",
    "grain", "direction", "quiet", "upper_lower", "left_right", "likeness", "red", "blue",
    "features",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class GateRecord:
    """Limits that an image must be within to be judged, learnt from the images of the fit.

    verdict: what an image beyond them gets: ERROR with the code `not_alike`, or REVIEW at least.
    images, parts: what the limits were learnt from.     limits: statistic -> lowest and highest value.
    That of `features`, the distance by the graph gate.onnx, stands there exactly where the bundle has that file.
    coarse: mean picture of 8 x 8 cells, row by row, in units of pixels; what `likeness` is measured against.
    weights: of the network in gate.onnx, whence they come and their licence; None without it.
    """

    enabled: bool
    verdict: Literal["error", "review"]
    images: int
    parts: int
    limits: Mapping[str, tuple[float, float]]
    coarse: tuple[float, ...] = field(repr=False)
    weights: str | None = field(default=None, metadata=NEWER)

    @classmethod
    def off(cls) -> Self:
        """That of a model that judges every image."""
        return cls(False, "error", 0, 0, {}, ())

    def rules(self) -> Iterator[Rule]:
        """What can be compared with."""
        for name, (low, high) in self.limits.items():
            yield Rule(f"limits.{name}", name, name in STATISTICS, "a statistic that this version knows")
            yield Rule(f"limits.{name}", (low, high), low <= high, "two numbers, the lower one first")
        yield Rule("limits", "none", bool(self.limits) or not self.enabled, "limits, where the gate is enabled")
        sized = len(self.coarse) == (CELLS if "likeness" in self.limits else 0)
        yield Rule("coarse", len(self.coarse), sized, f"{CELLS} numbers with limits of likeness, none without")
