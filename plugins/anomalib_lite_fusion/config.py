"""Options of the detector `fusion`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from anomalib_lite.config import DetectorConfig, validate
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.members import detectors

Weight = Annotated[float, Field(gt=0, le=1000)]


class FusionConfig(DetectorConfig):
    """Which detectors, with which options, and what each counts."""

    members: tuple[str, ...] = Field(("draem", "neighbours"), min_length=2, max_length=8)
    """Names of detectors that look at one image. Each once."""
    weights: tuple[Weight, ...] = ()
    """What the map of each member counts, in its order. Default: less where the scores of good images have a long
    tail."""
    options: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options of members by their names: {"neighbours": {"gallery": 2000}}."""
    apart: float = Field(0.25, gt=0, lt=1)
    """Share of the parts that no member is fitted on: they set the units."""

    def describe(self, info: DetectorInfo) -> DetectorInfo:
        """Of its members: whether any knows the place, whose weights are pretrained, and what they make up.

        Raises:
            ConfigError: One is not installed, is named twice, compares with a golden image, is fitted on a mixed lot,
                or has other options; or weights or options are those of nobody.
        """
        known = detectors()
        names = [name.replace("-", "_") for name in self.members]
        missing = [name for name in names if name not in known]
        if missing:
            there = ", ".join(sorted(set(known) - {info.name}))
            raise ConfigError(f"options.members: '{missing[0]}' is not installed. There are: {there}.")
        self._check(info.name, names)
        found = [self._described(known[name]) for name in names]
        unsuitable = [one.name for one in found if one.inputs != ("image",) or one.fit_on != "good"]
        if unsuitable:
            raise ConfigError(
                f"options.members: '{unsuitable[0]}' does more than look at single images of good parts, so it cannot "
                "be added to others: leave it out."
            )
        weights = "; ".join(f"{one.name}: {one.weights}" for one in found if one.weights)
        positional = any(one.positional for one in found)
        plants = tuple(sorted({kind for one in found for kind in one.plants}))
        return replace(info, members=tuple(names), positional=positional, weights=weights or None, plants=plants)

    def _check(self, own: str, names: list[str]) -> None:
        if len(set(names)) < len(names) or own in names:
            raise ConfigError(f"options.members {names}: expected other detectors than '{own}', each once.")
        if self.weights and len(self.weights) != len(names):
            raise ConfigError(f"options.weights: expected {len(names)}, one for each of {names}, or none.")
        if strange := sorted(set(self.options) - set(names)):
            raise ConfigError(f"options.options: '{strange[0]}' is none of the members {names}.")

    def _described(self, member: DetectorInfo) -> DetectorInfo:
        """A member with its options."""
        given: Mapping[str, Any] = self.options.get(member.name, {})
        show = f"anomalib-lite plugins show {member.name}"
        options: DetectorConfig = validate(member.config, given, where=f"options of '{member.name}'", help_command=show)
        described: DetectorInfo = options.describe(member)
        return described
