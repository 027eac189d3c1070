"""What is said of a joint calibration: what statement says of one model, but for photographs and maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from anomalib_lite.calibration import statement
from anomalib_lite.calibration.statement import percent_down, percent_up
from anomalib_lite.data.samples import count
from anomalib_lite.edge.manifest import Calibration, Combined, ImagesPerUnit, MemberRecord

HOW: Mapping[Combined, str] = {
    "maximum": "the largest of what its members say",
    "mean": "the mean of what its members say",
    "fisher": "Fisher's rule, the sum of how surprising what each member says is",
}


def sentences(calibration: Calibration, members: Sequence[MemberRecord], combined: Combined) -> tuple[str, ...]:
    """All that has to be said, most important first.

    Args:
        calibration: Of the joint score.
        members: All.
        combined: How their numbers become one.
    """
    said = [_bound(calibration), *statement.chosen(calibration), _decided(members, combined), _scope(members)]
    said += [statement.review_band(calibration), statement.setter("reject", calibration.reject)]
    if calibration.has_review_band:
        said.append(statement.setter("review", calibration.review))
    return (*said, *statement.unmeasured(calibration), *statement.repeated(calibration))


def _bound(calibration: Calibration) -> str:
    reject = calibration.reject
    rejected = "rejected, or refused by a gate," if calibration.gated or calibration.refused else "rejected"
    missing = f"; asked for {percent_up(reject.asked)}: {count(reject.missing, 'more good part')} needed"
    return (
        f"At most {percent_up(reject.bound)} of good parts are {rejected} (confidence "
        f"{percent_down(calibration.confidence)}), from {count(calibration.n, 'held-out part')}, "
        f"{statement.above(reject.allowed)}{missing if reject.missing else ''}."
    )


def _decided(members: Sequence[MemberRecord], combined: Combined) -> str:
    setting = max(len(one.values) for one in members)
    weighted = "" if len({one.weight for one in members}) == 1 else ", by their weights"
    return (
        f"Decided once for a part, by {HOW[combined]}{weighted}: {', '.join(one.name for one in members)}. Each counts "
        f"in a unit of its good parts, set by {count(setting, 'other part')} that no threshold rests on."
    )


def _scope(members: Sequence[MemberRecord]) -> str:
    views = {one.view: one.photographs for one in members}
    each = ", ".join(f"{_range(number)} of {view}" for view, number in views.items())
    alike = all(number.min == number.max for number in views.values())
    mixed = "" if alike else ", in the same proportions"
    return f"For parts made and photographed like these, {each}{mixed}: with other numbers there is no bound."


def _range(number: ImagesPerUnit) -> str:
    return f"{number.max}" if number.min == number.max else f"{number.min} to {number.max}"
