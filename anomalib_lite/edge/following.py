"""Follows the results of one model for drift: one photograph of each part, in the order in which they come."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from anomalib_lite.edge.drift import Alarm, Drift
from anomalib_lite.edge.manifest import Manifest
from anomalib_lite.errors import ConfigError

RECENT = 10_000  # parts of which further photographs are known as such
UNKNOWN = (
    "drift is not followed: parts were photographed several times each, and photographs of one part are not "
    "independent. Give --group REGEX, which tells the part by the name of an image"
)


@dataclass
class Following:
    """Drift of a stream of results; nothing where `why_not` says why it cannot be told."""

    model_id: str
    drift: Drift
    group: re.Pattern[str] | None = None  # its first parentheses tell the part by the name of an image
    why_not: str = ""
    origin: str = ""  # the model that it was exported from: its results count, too
    _recent: dict[str, None] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, manifest: Manifest, model_id: str, group: str | None = None) -> Self:
        """For results of a model.

        Args:
            manifest: Its.
            model_id: Of the results that count.
            group: A regular expression with the part in its first parentheses; None where each image is of another.

        Raises:
            ConfigError: The pattern is none, or has no parentheses.
        """
        once = manifest.calibration.images_per_unit.max == 1
        good = one_of_each_part(manifest)
        why_not = UNKNOWN if not once and group is None else ""
        if manifest.calibration.approximate:
            good = []  # their ranks are those of single siblings: results are compared among themselves
        elif not good:
            why_not = "drift is not followed: this model does not record the scores of its single images; train it anew"
        exported = manifest.exported
        origin = exported.origin if exported is not None and exported.int8 is None else ""
        return cls(model_id, Drift(good, model_id), pattern(group), why_not, origin)

    def counts(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is of this model, whatever its score."""
        return row.get("model_id") in (self.model_id, self.origin or self.model_id)

    def add(self, row: Mapping[str, Any]) -> Alarm | None:
        """A result as a row; the alarm where this one raises it.

        ERROR, results of other models, rows of parts and further photographs of a part are passed over.
        """
        score = row.get("score")
        measured = isinstance(score, (int, float)) and math.isfinite(score)
        if self.why_not or not self.counts(row) or not measured or "image" not in row:
            return None
        if self.group is not None and self._seen(str(row.get("image"))):
            return None
        before = self.drift.alarm
        self.drift.add(float(row["score"]), str(row.get("time", "")))
        return self.drift.alarm if before is None else None

    def part(self, name: str) -> str | None:
        """The part that an image of this name shows; None where that is not known, and it is one of its own."""
        found = self.group.search(name) if self.group else None
        return found[1] if found else None

    def _seen(self, name: str) -> bool:
        """Whether another photograph of the same part came before."""
        part = self.part(name)
        if part is None:
            return False
        if part in self._recent:
            return True
        self._recent[part] = None
        if len(self._recent) > RECENT:
            del self._recent[next(iter(self._recent))]
        return False


def pattern(group: str | None) -> re.Pattern[str] | None:
    """What tells the part by a name.

    Raises:
        ConfigError: It is no regular expression, or has no parentheses.
    """
    try:
        found = None if group is None else re.compile(group)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"--group {group}: is no regular expression ({error}). Expected one as 'part(\\d+)'."
        ) from error
    if found is not None and found.groups < 1:
        raise ConfigError(f"--group {group}: has no parentheses around the part. Expected one as 'part(\\d+)'.")
    return found


def one_of_each_part(manifest: Manifest) -> list[float]:
    """Scores that the calibration rests on, one photograph of each part: the unit that single results come in."""
    calibration = manifest.calibration
    if calibration.images_per_unit.max == 1:
        return list(calibration.scores)
    left_out = {one.image for one in calibration.exclusions}
    chosen: dict[str, tuple[str, float]] = {}
    for one in manifest.data.held_out:
        if one.image not in left_out and one.score is not None:
            drawn = hashlib.sha256(one.sha256.encode()).hexdigest()  # of a part, not the first: it may be a special one
            chosen[one.group] = min(chosen.get(one.group, ("~", 0.0)), (drawn, one.score))
    return [score for _, score in chosen.values()]
