"""Which results a list shows, and in which order: parsed from what the page asks, answered with numbers of results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.errors import ConfigError
from anomalib_lite.station.results import Entry, number

DECIDED = ("any", "yes", "no", "good", "defect", "unsure", "unusable")
ORDERS: dict[str, Callable[[Entry], Any]] = {
    "row": lambda one: one.number,
    "score": lambda one: one.score,
    "time": lambda one: one.when,
    "image": lambda one: one.image,
    "part": lambda one: one.part or None,
}
LONGEST = 300  # letters of a text that is looked for


@dataclass(frozen=True)
class Query:
    """A filter and an order; what is not asked for is not filtered by."""

    verdicts: frozenset[str] = frozenset()
    kind: str = ""
    lot: str = ""
    text: str = ""  # in the name of the image, or of its part
    decided: str = "any"
    low: float | None = None  # scores from here
    high: float | None = None  # to here
    since: float | None = None  # seconds since 1970
    until: float | None = None
    order: str = "row"
    falling: bool = False

    @classmethod
    def parsed(cls, asked: Mapping[str, str]) -> Self:
        """From the query of an address.

        Raises:
            ConfigError: A value is none that a filter takes.
        """
        verdicts = frozenset(filter(None, asked.get("verdict", "").split(",")))
        order, decided = asked.get("order", "row"), asked.get("decided", "any")
        if verdicts - set(Verdict) or order.lstrip("-") not in ORDERS or decided not in DECIDED:
            raise ConfigError("a filter names a verdict, an order or a decision that there is not.")
        return cls(
            verdicts,
            kind=_text("kind", asked),
            lot=_text("lot", asked),
            text=_text("text", asked),
            decided=decided,
            low=_number("low", asked),
            high=_number("high", asked),
            since=_number("since", asked),
            until=_number("until", asked),
            order=order.lstrip("-"),
            falling=order.startswith("-"),
        )

    def answer(self, entries: Sequence[Entry], label_of: Callable[[Entry], str]) -> list[int]:
        """The numbers of the results that it names, in its order; those without what it orders by come last."""
        found = [one for one in entries if self._takes(one, label_of)]
        key = ORDERS[self.order]
        told = [one for one in found if key(one) is not None]
        told.sort(key=key, reverse=self.falling)
        return [one.number for one in (*told, *(one for one in found if key(one) is None))]

    def _takes(self, one: Entry, label_of: Callable[[Entry], str]) -> bool:
        if self.verdicts and one.verdict not in self.verdicts:
            return False
        if (self.kind and one.kind != self.kind) or (self.lot and one.lot != self.lot):
            return False
        if not (_within(one.score, self.low, self.high) and _within(one.when, self.since, self.until)):
            return False
        if self.text and self.text.casefold() not in f"{one.image}\n{one.part}".casefold():
            return False
        if self.decided == "any":
            return True
        label = label_of(one)
        return bool(label) == (self.decided == "yes") if self.decided in ("yes", "no") else label == self.decided


def _within(value: float | None, low: float | None, high: float | None) -> bool:
    """Whether a value lies between two, where either is given; what has none does not."""
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def _text(name: str, asked: Mapping[str, str]) -> str:
    text = asked.get(name, "")
    if len(text) > LONGEST:
        raise ConfigError(f"the filter '{name}' takes at most {LONGEST} letters.")
    return text


def _number(name: str, asked: Mapping[str, str]) -> float | None:
    text = asked.get(name, "")
    try:
        value = number(float(text)) if text else None
    except ValueError:
        value = None
    if text and value is None:
        raise ConfigError(f"the filter '{name}' takes a number.")
    return value
