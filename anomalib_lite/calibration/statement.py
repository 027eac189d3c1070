"""The guarantee in plain words: what screen, manifest and report print, and nothing that the data cannot carry."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from anomalib_lite.calibration import average
from anomalib_lite.calibration.binomial import in_all, needed, paid
from anomalib_lite.calibration.once_words import decided_once
from anomalib_lite.data.samples import count
from anomalib_lite.edge.manifest import Calibration, Certified, SessionLeftOut

NAMED = 3  # images or sessions named in a sentence; all of them are in the manifest
APART = 0.05  # probability, over all sessions, of numbers from which on one is said to be unlike the others


def percent_up(rate: float) -> str:
    """A share in percent, three digits, rounded up: an upper bound stays one. 0.08203 -> '8.21 %'."""
    return _percent(rate, ROUND_CEILING)


def percent_down(rate: float) -> str:
    """A share in percent, rounded down to three digits, four where it is close to all: 0.95 -> '95 %'."""
    return _percent(rate, ROUND_FLOOR)


def _percent(rate: float, rounding: str) -> str:
    exact = Decimal(repr(float(rate))) * 100  # the shortest decimal, so that 0.07 is 7 and not 7.000000000000001
    if exact == 0:
        return "0 %"
    digits = 2 - exact.adjusted() if exact < 99 else 2
    rounded = exact.quantize(Decimal(1).scaleb(-digits), rounding=rounding)
    return f"{rounded.normalize():f} %"


def sentences(calibration: Calibration) -> list[str]:
    """All that has to be said of a calibration, most important first; one sentence or two per entry."""
    said = [_bound(calibration), *chosen(calibration), *decided(calibration), scope(calibration)]
    said += [review_band(calibration), *_sessions(calibration)]
    if calibration.unlabelled:
        said.append(
            f"Fitted on a mixed lot: of {count(calibration.unlabelled, 'image')} nobody said that they are good. The "
            "thresholds rest on images that are known to be good."
        )
    if calibration.simulated:
        said.insert(
            0,
            "Simulated: the good images are golden ones, moved, lit, blurred and with noise added. The bound is about "
            "such simulations; calibrate on photographs of good parts for one about parts.",
        )
    said += _setters(calibration)
    said += unmeasured(calibration)
    for exclusion in calibration.exclusions:
        said.append(f"Excluded: {exclusion.image}, because {exclusion.because}.")
    if calibration.exclusions:
        said.append("The bound holds if the excluded are confirmed not good.")
    return [*said, *repeated(calibration)]


def unmeasured(calibration: Calibration) -> list[str]:
    """That images could not be measured, where there are such."""
    if not calibration.errors.count:
        return []
    return [
        f"{count(calibration.errors.count, 'further image')} could not be measured (ERROR, "
        f"{percent_up(calibration.errors.rate)} of all): the bound is about images that could be measured."
    ]


def _bound(calibration: Calibration) -> str:
    reject, unit = calibration.reject, unit_of(calibration)
    condition = "" if calibration.unit == "group" else " if images are independent"
    one_each = ", one photograph of each" if calibration.per == "photograph" and calibration.unit == "group" else ""
    text = (
        f"At most {percent_up(reject.bound)} of {subject(calibration)} are {_rejected(calibration)}{condition} "
        f"(confidence {percent_down(calibration.confidence)}), from {count(calibration.n, f'held-out {unit}')}"
        f"{one_each}, {above(reject.allowed)}"
    )
    return f"{text}; asked for {percent_up(reject.asked)}: {remedy(calibration)}." if reject.missing else f"{text}."


def _rejected(calibration: Calibration) -> str:
    return "rejected, or refused by the gate," if calibration.gated or calibration.refused else "rejected"


def subject(calibration: Calibration) -> str:
    """What the bounds count."""
    if calibration.unit == "image":
        return "good images"
    return "photographs of good parts" if calibration.per == "photograph" else "good parts"


def chosen(calibration: Calibration) -> list[str]:
    """Which row of the menu was taken, and why that may be done after looking."""
    refused = count(calibration.refused, f"good {unit_of(calibration)}")
    together = "its bound holds together with those of all other rows"
    if calibration.row is not None:
        taken = [f"Row {calibration.row} of the menu was chosen; {together}, so it may be chosen after looking."]
    elif calibration.reject.simultaneous:
        taken = [
            f"Row {calibration.reject.allowed} of the menu is taken, the first with a finite threshold; {together}."
        ]
    else:
        taken = []
    if calibration.refused:
        taken.append(
            f"The gate refused {refused} of the {calibration.n:,}: counted as rejected, above every threshold."
        )
    return taken


def decided(calibration: Calibration) -> list[str]:
    """What is decided on once, where parts have several photographs."""
    if calibration.unit == "image" or (calibration.per == "part" and calibration.images_per_unit.max == 1):
        return []
    if calibration.per == "photograph":
        return [
            "Counted per photograph: of each held-out part one was drawn by the seed. A part that is photographed "
            "several times has one among them that is NG at least as often: `--per part` bounds that."
        ]
    if calibration.per == "part":
        return ["Counted per part: it is rejected where any of its photographs is."]
    return decided_once(calibration)


def remedy(calibration: Calibration) -> str:
    """How many parts are needed for the rate that was asked for, by either way of adding them."""
    return ways(
        calibration.n,
        unit_of(calibration),
        calibration.reject.asked,
        calibration.confidence,
        repetition=len(calibration.history),
        holdout=calibration.holdout,
        folds=calibration.folds,
        simulated=calibration.simulated or calibration.approximate,
    )


def ways(
    n: int, unit: str, asked: float, confidence: float, *, repetition: int = 0, holdout: float | None = None,
    folds: int | None = None, simulated: bool = False,
) -> str:  # fmt: skip
    """How parts that are missing may be added, with their numbers.

    Args:
        n: Parts that are held out.
        unit: "part", or "image" where parts are not known.
        asked: The rate to certify.
        confidence: Of a first calibration.
        repetition: Calibrations of this model before the one at hand; one more needs more parts.
        holdout: Share of the parts that a training holds out; None where it is not by a share.
        folds: Of cross-fitting, where every part is held out once.
        simulated: Whether the images are simulated, so that photographs cannot be added to them.
    """
    if folds is not None:
        every = average.needed(asked, folds)
        return f"{every - n:,} more good {unit}s are needed, {every:,} in all"
    first, again = needed(asked, confidence), needed(asked, paid(confidence, repetition + 1))
    ways = []
    if holdout is not None:
        whole, share = in_all(first, holdout), percent_down(holdout)
        ways.append(f"train again with {whole:,} good {unit}s in all, of which {share} are held out")
    if not simulated:
        ways.append(f"give {again - n:,} new ones to `calibrate --add` (a repeated calibration needs {again:,})")
    return f"{first:,} held-out {unit}s are needed" + (f": {', or '.join(ways)}" if ways else f", {first - n:,} more")


def repeated(calibration: Calibration) -> list[str]:
    """What was calibrated or trained before on the way to this one, and how that is paid for."""
    said, times = [], len(calibration.history)
    if times:
        level = percent_down(paid(calibration.confidence, times))
        said.append(f"Calibrated {count(times, 'time')} before: to pay for that, this one is held to {level}.")
        if all("menu" in earlier for earlier in calibration.history[1:]):  # older versions did not pay
            failing = round(1 - calibration.confidence, 12)
            first = f", with the first calibration in at most {percent_up(2 * failing)}"
            first = "" if calibration.history[0].get("approximate") else first  # which had no bound to break
            said[0] += f" All repetitions together break a bound in at most {percent_up(failing)} of cases{first}."
    if calibration.retrained:
        said.append(
            f"Trained {count(calibration.retrained, 'time')} before and calibrated on some of the same images: the "
            "bound is about each training, not about the best of them."
        )
    return said


def scope(calibration: Calibration) -> str:
    """What parts it is about."""
    like = "For parts made and photographed like these"
    fewest, most = calibration.images_per_unit.min, calibration.images_per_unit.max
    if calibration.unit == "image":
        return f"{like}."
    if calibration.per == "photograph":
        return f"{like}, each part counting once, however often it is photographed."
    once = calibration.per != "part"  # a median or a mean of fewer is not on the safe side
    if fewest == most:
        other = (
            "with other numbers there is no bound"
            if once
            else "fewer images per part are on the safe side, more void the bound"
        )
        return f"{like}, {count(most, 'image')} each: {other}."
    safe = "" if fewest is None or once else f"; safe is at most {count(fewest, 'image')} each"
    return (
        f"{like}, in the same proportions ({'up' if fewest is None else fewest} to {most} images each, median "
        f"{calibration.images_per_unit.median:g}){safe}."
    )


def review_band(calibration: Calibration) -> str:
    """What the threshold of REVIEW promises, or that there is no such band."""
    review = calibration.review
    if not calibration.has_review_band:
        unit = count(calibration.n, unit_of(calibration))
        return f"No review band: with {unit} the review threshold is the reject threshold."
    jointly = (
        "Both are rows of the menu and hold jointly."
        if review.simultaneous and calibration.reject.simultaneous
        else "Each of the two statements holds at its confidence, not both jointly."
    )
    refused = "REVIEW, NG or refused" if calibration.gated or calibration.refused else "REVIEW or NG"
    one = f"the threshold for {percent_up(review.asked)} would not lie below that of NG"
    why = f": row {review.allowed} of the menu, since {one}" if review.simultaneous else ""
    return (
        f"At most {percent_up(review.bound)} of {subject(calibration)} are not OK, that is {refused} "
        f"(confidence {percent_down(calibration.confidence)}), {above(review.allowed)}{why}. {jointly}"
    )


def _sessions(calibration: Calibration) -> list[str]:
    """How sessions fare that the threshold has not seen; what that is not."""
    sessions, unit = calibration.sessions, unit_of(calibration)
    if len(sessions) == 1:
        return [
            f"All held-out {unit}s are of one session, '{sessions[0].name}': the bound is about it alone, and another "
            "day, lot or camera may reject many times more."
        ]
    tried = sorted((one for one in sessions if one.rejected is not None), key=lambda one: one.chance)
    if not tried:
        return ["Sessions overlap, or are too small, so none can be left out."] if sessions else []
    rejected, parts = sum(one.rejected or 0 for one in tried), sum(one.parts for one in tried)
    worst = ", ".join(f"{one.rejected:,} of {one.parts:,} of '{one.name}'" for one in tried[:NAMED])
    more = f" and {count(len(tried) - NAMED, 'further one')}" if len(tried) > NAMED else ""
    said = (
        f"Leaving one session out in turn: by the threshold of the others {rejected:,} of {count(parts, unit)} of "
        f"{count(len(tried), 'session')} are rejected: {worst}{more}. That is a measurement and no bound: a further "
        "session may fare worse, the more so as the detector may have learnt from these."
    )
    apart = [one for one in tried if one.chance * len(tried) <= APART]
    return [said, *(_apart(one, len(tried)) for one in apart[:NAMED])]


def _apart(one: SessionLeftOut, sessions: int) -> str:
    return (
        f"Session '{one.name}' is not like the others: of alike ones {percent_up(one.expected)} are rejected on "
        f"average, and so many of any session in at most {percent_up(min(1.0, one.chance * sessions))} of cases. The "
        "bound is about a mix of sessions like this one, and not about each of them: find what differs, or take parts "
        "of many sessions."
    )


def _setters(calibration: Calibration) -> list[str]:
    thresholds = calibration.thresholds
    named = [("reject", thresholds.reject), ("map reject", thresholds.map_reject)]
    if calibration.has_review_band:
        named.insert(1, ("review", thresholds.review))
    if thresholds.map_review.value < thresholds.map_reject.value:
        named.append(("map review", thresholds.map_review))
    return [setter(name, threshold) for name, threshold in named]


def setter(name: str, threshold: Certified) -> str:
    """Which images or parts set a threshold, and what it would be without them."""
    shown = ", ".join(threshold.set_by[:NAMED])
    if len(threshold.set_by) > NAMED:
        shown += f" and {len(threshold.set_by) - NAMED} more"
    without = "there would be none" if threshold.without is None else f"it would be {threshold.without:.6g}"
    them = "it" if len(threshold.set_by) == 1 else "them"
    return f"The {name} threshold {threshold.value:.6g} is set by {shown}; without {them} {without}."


def above(allowed: int) -> str:
    """How many held-out parts may lie above the threshold, in words."""
    return f"{allowed} of them allowed above the threshold" if allowed else "none above the threshold"


def unit_of(calibration: Calibration) -> str:
    """What is counted: "part", or "image" where parts are not known."""
    return "part" if calibration.unit == "group" else "image"
