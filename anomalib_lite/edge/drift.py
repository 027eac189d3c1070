"""Whether the scores of new parts are still like those of the good parts that the thresholds rest on, and since when.

A conformal test martingale (Vovk, Gammerman, Shafer, Algorithmic learning in a random world, 2022, chapter 8): each new
score is ranked among all before it, those of the calibration first. As long as parts are like these, ranks are uniform
and independent, and money bet against that does not grow: it exceeds 20 times its beginning with a probability of at
most 1 / 20, however long one looks. The simple jumper bets on high, on low and on no ranks in turn.

Money shrinks slowly while nothing happens. So a second bet begins after every `STRETCH` parts, with a share of the
money: what comes after months is found nearly as soon, and all bets together keep the 1 / 20.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

ALARM = 20.0
JUMP = 0.01  # share of the money that is dealt anew at each part
BETS = (-1.0, 0.0, 1.0)  # on low p-values (high scores), on neither, on high ones
STRETCH = 1000  # parts after which another bet begins
FIRST = 0.9  # of the money, on the first
MOST = 1e300  # money that is counted: where it could reach infinity, nothing more is told by it
REMEMBERED = 100_000  # scores that ranks are taken among; more tell nothing new
NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Alarm:
    """That scores have changed."""

    at: int  # parts after which it was seen
    since: int  # the part, counted from 1, from which on they seem to be other ones
    when: str  # what that part was labelled with, such as its time
    higher: bool  # whether scores are higher than before: parts look worse; else lower

    def __str__(self) -> str:
        when = f" ({self.when})" if self.when else ""
        return (
            f"drift: since part {self.since:,}{when} scores are {'higher' if self.higher else 'lower'} than before, "
            f"seen after {self.at:,} parts. Without a change that is said of at most one line in {ALARM:.0f}. The "
            "bound may no longer hold: look at light, camera and parts, and calibrate anew on parts that are good."
        )


@dataclass
class _Change:
    """Since when scores may be higher, or lower, by a standard deviation: the likeliest part (Page, 1954)."""

    sign: int  # 1 for higher, -1 for lower
    sum: float = 0.0  # log-likelihood ratio since then
    since: int = 1
    when: str = ""

    def add(self, p: float, number: int, when: str) -> None:
        if number == self.since:
            self.when = when
        self.sum += self.sign * NORMAL.inv_cdf(1 - p) - 0.5
        if self.sum <= 0:
            self.sum, self.since = 0.0, number + 1


@dataclass
class Drift:
    """Follows the scores of one model. Not to be used from several threads at once.

    Args:
        good: Scores of good parts, counted in the unit of those that follow; without any, these are compared among
            themselves, and nothing tells whether they are other ones from the beginning.
        seed: Text that ties are broken by, so that the same scores always give the same.
    """

    good: Sequence[float] = ()
    seed: str = ""
    parts: int = 0  # that were added
    highest: float = 1.0  # that the money ever was
    alarm: Alarm | None = None  # the first one
    value: float = 1.0  # the money now
    _sorted: list[float] = field(default_factory=list, repr=False)
    _bets: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, len(BETS))), repr=False)  # of each start
    _changes: list[_Change] = field(default_factory=list, repr=False)

    def __post_init__(self) -> None:
        self._sorted = sorted(self.good)
        self._changes = [_Change(1), _Change(-1)]

    def add(self, score: float, when: str = "") -> None:
        """The score of a further part, and its time; one that could not be measured has none.

        Raises:
            ValueError: It is no number.
        """
        if not math.isfinite(score):
            raise ValueError(f"a score of {score} has no rank")
        p = self._rank(score)
        if self.parts % STRETCH == 0:
            self._bets = np.vstack([self._bets, np.full((1, len(BETS)), _share(len(self._bets)) / len(BETS))])
        self.parts += 1
        self._bets = np.minimum(_after(self._bets, p), MOST)
        self.value = min(float(self._bets.sum()) + _unspent(len(self._bets)), MOST)
        self.highest = max(self.highest, self.value)
        for change in self._changes:
            change.add(p, self.parts, when)
        if self.alarm is None and self.value >= ALARM:
            change = max(self._changes, key=lambda one: one.sum)
            self.alarm = Alarm(self.parts, change.since, change.when, higher=change.sign > 0)

    def _rank(self, score: float) -> float:
        """The smoothed p-value of a score among those before it, itself among them; and keep it."""
        low, high = bisect_left(self._sorted, score), bisect_right(self._sorted, score)
        n = len(self._sorted)
        p = (n - high + _uniform(self.seed, self.parts) * (high - low + 1)) / (n + 1)
        if n < REMEMBERED:
            insort(self._sorted, score)
        return p


def _after(money: NDArray[np.float64], p: float) -> NDArray[np.float64]:
    """What the bets (starts, 3) are worth after a part."""
    dealt = JUMP / len(BETS) * money.sum(1, keepdims=True)
    return np.asarray(((1 - JUMP) * money + dealt) * (1 + (p - 0.5) * np.array(BETS)))


def _share(start: int) -> float:
    """The money that a start begins with; of all starts together 1."""
    return FIRST if start == 0 else (1 - FIRST) / (start * (start + 1))


def _unspent(starts: int) -> float:
    """The money of the starts still to come."""
    return 1 - FIRST if starts == 1 else (1 - FIRST) / starts


def _uniform(seed: str, number: int) -> float:
    """A number in (0, 1) that depends on both alone."""
    digest = hashlib.blake2b(f"{seed}/{number}".encode(), digest_size=7).digest()
    return (int.from_bytes(digest) + 0.5) / 2**56
