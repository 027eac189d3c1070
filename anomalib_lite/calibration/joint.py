"""Thresholds of a joint model: parts that set the unit of each member, and other parts that set the thresholds.

The two are kept apart because a unit that is taken of the same parts bends the scale towards just these, and the bound
breaks: for 30 parts, three members and the worst tenth as the unit, in 9 to 11 % of calibrations instead of 5 %
(`tests/calibration/test_joint_calibration.py`). With the units given, the joint score is a fixed function of what is
measured of a part, and the rule on it holds as for any other (`rule`).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256
from typing import TypeVar, Unpack

from anomalib_lite.calibration.joint_words import sentences
from anomalib_lite.calibration.rule import Facts, calibrate
from anomalib_lite.calibration.units import ScoredImage
from anomalib_lite.config import Rates
from anomalib_lite.data.samples import count
from anomalib_lite.edge import combining
from anomalib_lite.edge.manifest import (
    Calibration,
    Certified,
    CertifiedThresholds,
    Combined,
    ImagesPerUnit,
    JointManifest,
    MemberRecord,
    OperatingPoint,
    Unmeasured,
)
from anomalib_lite.errors import DataError

FEWEST = 4  # parts: two for the units, two for the thresholds
T = TypeVar("T", Certified, OperatingPoint)
SHARE, FEW = 5, 10  # a fifth of the parts set the units; at least so many, but no more than half


@dataclass(frozen=True)
class Part:
    """A good part that all members have measured and none was fitted on."""

    name: str
    scores: Mapping[str, float]  # member -> its score of the part; infinite where its gate refused a photograph
    photographs: Mapping[str, int]  # member -> how many it judged


@dataclass(frozen=True)
class Member:
    """What is said of a member before it is measured."""

    name: str
    view: str
    tol: float  # what its score may move by on another processor
    weight: float = 1.0


def divided(parts: Iterable[Part]) -> tuple[list[Part], list[Part]]:
    """The parts that set the units, and those that set the thresholds: drawn by their names alone.

    Raises:
        DataError: There are too few, or a member hardly measures any.
    """
    drawn = sorted(parts, key=lambda part: sha256(f"unit/{part.name}".encode("utf-8", "surrogatepass")).digest())
    if len(drawn) < FEWEST:
        raise DataError(
            f"{count(len(drawn), 'good part')} that every member has measured and none was fitted on, and at least "
            f"{FEWEST} are needed: some set the units of the members, the others the thresholds. Give more with --data."
        )
    number = max(len(drawn) // SHARE, min(FEW, len(drawn) // 2))
    return drawn[:number], drawn[number:]


Made = tuple[tuple[MemberRecord, ...], Calibration, dict[str, float | None]]
"""The members with their units; the thresholds; and what the parts scored that these rest on, None if refused."""


def certified(
    members: Sequence[Member],
    parts: Iterable[Part],
    rates: Rates,
    *,
    combined: Combined,
    errors: int = 0,
    row: int | None = None,
    **facts: Unpack[Facts],
) -> Made:
    """Units and thresholds.

    Args:
        members: At least two.
        parts: Good ones.
        rates: What is asked.
        combined: How the members' numbers become one.
        errors: Photographs that could not be measured; their parts are not among `parts`.
        row: Of the menu, chosen by a person.
        **facts: As of `rule.calibrate`.

    Raises:
        DataError: Too few parts, or the gates refused too many.
        ConfigError: The menu does not have that row.
    """
    setting, certifying = divided(parts)
    records = tuple(_record(one, setting, certifying) for one in members)
    scores = {part.name: _joined(part, records, combined) for part in certifying}
    views = {one.view: one.name for one in records}
    images = [sum(part.photographs[name] for name in views.values()) for part in certifying]
    calibration = replace(
        _calibrated(scores, records, combined, [one.tol for one in members], rates, row, facts),
        images=sum(images),
        images_per_unit=ImagesPerUnit(statistics.median(images), max(images), min(images)),
        errors=Unmeasured(errors, errors / (errors + sum(images))),
    )
    kept = {name: score if math.isfinite(score) else None for name, score in scores.items()}
    return records, replace(calibration, statement=sentences(calibration, records, combined)), kept


def another_row(manifest: JointManifest, tols: Sequence[float], row: int) -> Calibration:
    """The thresholds of a row of the menu that a joint model has: nothing is measured again.

    Args:
        manifest: Its.
        tols: What the scores of its members may move by.
        row: Of the menu.

    Raises:
        ConfigError: The menu does not have that row.
    """
    before = manifest.calibration
    rates = Rates.of(before.reject.asked, before.confidence, before.review.asked)
    scores = {name: math.inf if score is None else score for name, score in manifest.parts.items()}
    facts: Facts = {"gated": before.gated, "history": before.history}
    again = _calibrated(scores, manifest.members, manifest.combined, tols, rates, row, facts)
    again = replace(again, images=before.images, images_per_unit=before.images_per_unit, errors=before.errors)
    return replace(again, statement=sentences(again, manifest.members, manifest.combined))


def _calibrated(
    scores: Mapping[str, float], members: Sequence[MemberRecord], combined: Combined, tols: Sequence[float],
    rates: Rates, row: int | None, facts: Facts,
) -> Calibration:  # fmt: skip
    """The thresholds for joint scores of parts, raised by what these may move by where a member's score moves.

    A part has no map, whose peak its score stands for.
    """
    values = [ScoredImage(name, name, score, score) for name, score in scores.items()]
    found = calibrate(values, rates, grouped=True, per="part", row=row, **facts)
    moved = {one.name: tol / combining.Unit.of(one.values).size for one, tol in zip(members, tols, strict=True)}
    tol = combining.joined(combined, moved, members)
    raised = (_raised(getattr(found.thresholds, one.name), tol) for one in fields(found.thresholds))
    menu = tuple(_raised(point, tol) for point in found.menu)
    return replace(found, thresholds=CertifiedThresholds(*raised), menu=menu)


def _raised(one: T, tol: float) -> T:
    return replace(one, value=one.base + tol, tol=tol) if tol > one.tol else one


def _record(member: Member, setting: Sequence[Part], certifying: Sequence[Part]) -> MemberRecord:
    values = sorted(score for part in setting if math.isfinite(score := part.scores[member.name]))
    if not values:
        raise DataError(f"the gate of '{member.name}' refused every part that would set its unit. Look at its images.")
    number = [part.photographs[member.name] for part in certifying]
    each = ImagesPerUnit(statistics.median(number), max(number), min(number))
    return MemberRecord(member.name, member.view, tuple(values), each, member.weight)


def _joined(part: Part, records: Sequence[MemberRecord], combined: Combined) -> float:
    if math.inf in part.scores.values():
        return math.inf
    return combining.joined(combined, combining.numbers(combined, part.scores, records), records)
