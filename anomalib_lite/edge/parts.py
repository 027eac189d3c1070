"""One verdict for a part that is photographed several times, by the rule that its model was calibrated with."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np

from anomalib_lite.edge import decision
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.manifest import ONCE, Calibration, Joining
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import ConfigError, ErrorCode

COLUMNS = (
    "part", "verdict", "score", "p_value", "photographs", "reject_threshold", "review_threshold", "model_id",
    "error_code", "error", "note",
)  # fmt: skip
ROUNDED = 1e-9  # of a photograph: 10 % of 30 of them are 3, whatever a product of floats makes of it


@dataclass(frozen=True)
class PartResult:
    """The verdict on a part, and those on its photographs. Nothing that was not measured has a value."""

    part: str
    verdict: Verdict
    photographs: tuple[Result, ...]
    reject_threshold: float
    review_threshold: float
    model_id: str
    score: float | None = None  # what its photographs are joined to; None where it is ERROR
    p_value: float | None = None
    error_code: str | None = None  # those of `ImageError`, or incomplete_part
    error: str | None = None
    note: str = ""  # where the bound is not about a part that was photographed so often
    members: Mapping[str, float] = field(default_factory=dict)  # of a joint model: what each says, in its own unit

    def row(self) -> dict[str, Any]:
        """The values of `COLUMNS`, as JSON has them; of a joint model those of its members, too."""
        values = {name: getattr(self, name) for name in COLUMNS}
        values |= {"verdict": self.verdict.value, "photographs": len(self.photographs)}
        return values | ({"members": dict(self.members)} if self.members else {})


def joined(scores: Sequence[float], how: Joining) -> float:
    """The one score of a part that is compared with the thresholds.

    Args:
        scores: Of its photographs, in their order.
        how: As the model was calibrated.
    """
    return float(JOINED[how.per](scores, how))


def _top(scores: Sequence[float], how: Joining) -> float:
    """The mean of the highest scores, of a share of them."""
    number = max(1, math.ceil(how.top_share * len(scores) - ROUNDED))
    return statistics.fmean(sorted(scores, reverse=True)[:number])


def _cusum(scores: Sequence[float], how: Joining) -> float:
    """How far a stretch of photographs exceeds what good ones have, all together: the one that does so most.

    Page, "Continuous inspection schemes", Biometrika 1954: S_t = max(0, S_(t-1) + x_t - level), the largest of them,
    above the level: of a single photograph its score, so that it is compared with the threshold, too.
    """
    total = largest = 0.0
    for score in scores:
        total = max(0.0, total + score - how.level)
        largest = max(largest, total)
    return how.level + largest


JOINED: Mapping[str, Callable[[Sequence[float], Joining], float]] = MappingProxyType(
    {
        "photograph": lambda scores, how: max(scores),  # its only one
        "part": lambda scores, how: max(scores),
        "part-median": lambda scores, how: statistics.median(scores),
        "part-mean": lambda scores, how: statistics.fmean(scores),
        "part-top": _top,
        "part-cusum": _cusum,
    }
)


def refuse_photographs(calibration: Calibration, option: str = "--group") -> None:
    """Raise where a model decides on photographs, and one verdict for a part has no bound.

    Args:
        calibration: Of the model.
        option: What asked for that verdict.

    Raises:
        ConfigError: It does.
    """
    if calibration.per == "photograph":
        raise ConfigError(
            f"this model decides on each photograph, and its bound is about photographs: leave out {option}, or call "
            "`inspect`. For a verdict on parts, calibrate it with `calibrate MODEL DATA --per part`."
        )


def refuse_single(calibration: Calibration, what: str, *, joint: bool = False) -> None:
    """Raise where a model decides once for a part, and photographs come one by one.

    Args:
        calibration: Of the model.
        what: What the photographs would be given to.
        joint: Whether it is a joint one.

    Raises:
        ConfigError: It does.
    """
    if calibration.per in ONCE or joint:
        how = "all views of it" if joint else f"the {calibration.joining} of its photographs"
        other = "" if joint else ", or calibrate the model with `calibrate MODEL DATA --per photograph`"
        raise ConfigError(
            f"this model decides once for a part, by {how}, and {what} judges photographs one by one. Use `watch "
            "--group REGEX --photographs N`, `predict --group REGEX`, `Model.inspect_part` in a program"
            f"{other}."
        )


def judged(
    part: str, photographs: Sequence[Result], calibration: Calibration, model_id: str, *, incomplete: str = ""
) -> PartResult:
    """The verdict on a part.

    A photograph that could not be measured makes the part ERROR: with it, a median may lie anywhere. Only where any
    photograph decides, one that is NG makes the part NG whatever the others are.

    Args:
        part: What the result calls it.
        photographs: The results of `Model.inspect`, at least one.
        calibration: Of the model that gave them.
        model_id: Of that model.
        incomplete: Why these are not the photographs of one whole part, which is ERROR then.

    Raises:
        ConfigError: The model decides on photographs.
    """
    refuse_photographs(calibration)
    limits = calibration.limits
    result = PartResult(part, Verdict.ERROR, tuple(photographs), limits.reject, limits.review, model_id)
    if incomplete or not photographs:
        said = incomplete or f"{part}: no photograph of the part was given."
        return replace(result, error_code=ErrorCode.INCOMPLETE_PART, error=said)
    failed = [one for one in photographs if one.score is None]
    scores = [one.score for one in photographs if one.score is not None]
    certain = calibration.per == "part" and any(one.verdict is Verdict.NG for one in photographs)
    if failed and not certain:
        said = f"{len(failed)} of {len(photographs)} photographs could not be measured: {failed[0].error}"
        return replace(result, error_code=failed[0].error_code, error=said)
    score = joined(scores, calibration.joining)
    return replace(
        result,
        verdict=decision.decide(score, limits),
        score=score,
        p_value=decision.p_value(score, np.array(calibration.scores, np.float64), calibration.refused),
        note=_unlike(len(photographs), calibration),
    )


def _unlike(number: int, calibration: Calibration) -> str:
    """What is to be said where a part was photographed otherwise than those of the calibration."""
    fewest, most = calibration.images_per_unit.min or 1, calibration.images_per_unit.max
    fits = number <= most and (calibration.per == "part" or number >= fewest)
    times = f"{most}" if fewest == most else f"{fewest} to {most}"
    return "" if fits else f"{number} photographs, the bound is about parts with {times}"
