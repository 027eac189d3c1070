"""What a calibration leaves behind: thresholds, the bound they carry, the data behind them; as JSON too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from anomalib_lite.calibration import statement
from anomalib_lite.edge.decision import Thresholds
from anomalib_lite.errors import ModelError

NAMES = ("reject", "review", "map_reject", "map_review")


@dataclass(frozen=True, slots=True)
class Exclusion:
    """An image left out of the calibration by a person, and why."""

    image: str
    because: str


@dataclass(frozen=True, slots=True)
class Threshold:
    """One calibrated threshold and what it is worth.

    value: the stored threshold, `base` + `tol`.       base: the order statistic s_(n-r).
    asked, bound: the rate asked for and the one certified, equal unless parts are missing.
    allowed: r, the parts that may lie above.          missing: parts still needed for what was asked, 0 if none.
    set_by: the images whose value is `base`.          without: the value without these images, None if none are left.
    """

    value: float
    base: float
    tol: float
    asked: float
    bound: float
    allowed: int
    missing: int
    set_by: tuple[str, ...]
    without: float | None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self) | {"set_by": list(self.set_by)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From `to_json`."""
        return cls(**{**data, "set_by": tuple(data["set_by"])})


@dataclass(frozen=True, slots=True)
class Calibration:
    """Thresholds of score and map, the statement they carry, and the data behind them.

    sorted_scores: one per part (its largest), ascending; what p-values are computed from.
    unit: "group" (physical parts are known) or "image" (each image counts as its own part).
    images: number of images measured.                 errors: number that could not be measured, counted apart.
    median_images, max_images, min_images: per part (min_images None in calibrations of older versions).
    approximate: thresholds come from sibling models (cross-fitting), so the bound is not exact.
    simulated: the good images were simulated from golden ones, so the bound is one on simulations.
    history: earlier calibrations of the same model as JSON, oldest first.
    """

    reject: Threshold
    review: Threshold
    map_reject: Threshold
    map_review: Threshold
    confidence: float
    unit: str
    sorted_scores: tuple[float, ...]
    images: int
    median_images: float
    max_images: int
    min_images: int | None = None
    errors: int = 0
    approximate: bool = False
    simulated: bool = False
    exclusions: tuple[Exclusion, ...] = ()
    history: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def n(self) -> int:
        """Number of parts (images where parts are not known) behind the thresholds."""
        return len(self.sorted_scores)

    @property
    def error_rate(self) -> float:
        """Share of the calibration images that could not be measured."""
        return self.errors / (self.errors + self.images)

    @property
    def has_review_band(self) -> bool:
        """Whether a score can be above review and not above reject."""
        return self.review.value < self.reject.value

    @property
    def thresholds(self) -> Thresholds:
        """What a device compares with."""
        return Thresholds(
            reject=self.reject.value,
            review=self.review.value,
            map_reject=self.map_reject.value,
            map_review=self.map_review.value,
            tol=min(self.reject.tol, self.review.tol),
        )

    def sentences(self) -> list[str]:
        """The statement in plain words, the bound first; rates are rounded so that they never claim too much."""
        return statement.sentences(self)

    def to_json(self) -> dict[str, Any]:
        """As a JSON object (strict: no NaN), which the manifest holds under "calibration"."""
        return {
            "confidence": self.confidence,
            "unit": self.unit,
            "n": self.n,
            "images": self.images,
            "images_per_unit": {"min": self.min_images, "median": self.median_images, "max": self.max_images},
            "errors": {"count": self.errors, "rate": self.error_rate},
            "approximate": self.approximate,
            "simulated": self.simulated,
            "thresholds": {name: getattr(self, name).to_json() for name in NAMES},
            "exclusions": [asdict(exclusion) for exclusion in self.exclusions],
            "statement": self.sentences(),
            "scores": list(self.sorted_scores),
            "history": [dict(earlier) for earlier in self.history],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """From `to_json`.

        Raises:
            ModelError: a field is missing or has another type.
        """
        try:
            return cls(
                **{name: Threshold.from_json(data["thresholds"][name]) for name in NAMES},
                confidence=data["confidence"],
                unit=data["unit"],
                sorted_scores=tuple(data["scores"]),
                images=data["images"],
                median_images=data["images_per_unit"]["median"],
                max_images=data["images_per_unit"]["max"],
                min_images=data["images_per_unit"].get("min"),
                errors=data["errors"]["count"],
                approximate=data["approximate"],
                simulated=data.get("simulated", False),
                exclusions=tuple(Exclusion(**exclusion) for exclusion in data["exclusions"]),
                history=tuple(data["history"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelError(
                f"The calibration in the manifest is not readable ({error!r}): calibrate the model again."
            ) from error

    def as_history(self) -> tuple[dict[str, Any], ...]:
        """What the next calibration of this model carries along: the earlier ones, and this one."""
        return (*self.history, {key: value for key, value in self.to_json().items() if key != "history"})
