"""Sessions, such as days, lots, cameras, scanners: how each fares by a threshold that the others set.

The bound is about parts like those held out, and they are of the sessions at hand; of another day it promises nothing.
So each session in turn is left out: the rule on the parts of all others, and how many parts of this one lie above.

Where sessions are alike, parts are exchangeable, and that number has a known distribution, whatever the scores are
like: of n others with r above their threshold and m of this session, K lie above with the probability
C(K + r, r) C(m - K + n - r - 1, m - K) / C(n + m, m), and at most so many where scores tie. A number that is too
high for it shows that sessions differ.

What it is not: a bound for a further session. That would take dozens of sessions, counted as parts are. And all that
is left out is the calibration: a detector that was fitted on the same sessions has seen the one that is left out.
"""

from __future__ import annotations

from dataclasses import replace
from math import comb

import numpy as np

from anomalib_lite.calibration.thresholds import Counted
from anomalib_lite.config import Rates
from anomalib_lite.edge.decision import above
from anomalib_lite.edge.manifest import SessionLeftOut
from anomalib_lite.errors import ConfigError, DataError

MOST = 200  # sessions; with more, what is called one is a part or a photograph


def left_out(counted: Counted, rates: Rates, row: int | None) -> tuple[SessionLeftOut, ...]:
    """Each session by the threshold of all others; nothing where that of some image is not known, or above `MOST`.

    A part that is in several sessions counts in each by its photographs there, and among the others of none of them.

    Args:
        counted: All parts.
        rates: What is asked of the threshold.
        row: The row of the menu that is taken instead.
    """
    named = {image.session for image in counted.images}
    names = sorted(name for name in named if name is not None)
    told = len(names) == len(named) and len(names) <= MOST
    return tuple(_one(counted, name, rates, row) for name in names) if told else ()


def _one(counted: Counted, name: str, rates: Rates, row: int | None) -> SessionLeftOut:
    own = replace(counted, images=[image for image in counted.images if image.session == name])
    parts = {image.group for image in own.images}
    others = replace(counted, images=[image for image in counted.images if image.group not in parts])
    m, n = len(own.values), len(others.values)
    try:
        reject = others.reject(rates, row) if n else None
    except (DataError, ConfigError):  # too many refused, or too few parts for that row
        reject = None
    if reject is None:
        return SessionLeftOut(name, m, n)
    rejected, allowed = int(above(np.array(own.values), reject.value).sum()), reject.allowed
    return SessionLeftOut(
        name, m, n, rejected, expected=(allowed + 1) / (n + 1), chance=chance_of(rejected, m, n, allowed)
    )


def chance_of(rejected: int, m: int, n: int, allowed: int) -> float:
    """The probability that so many or more of m parts lie above s_(n - allowed) of n others that are like them."""
    if not rejected:
        return 1.0
    ways = sum(comb(k + allowed, allowed) * comb(m - k + n - allowed - 1, m - k) for k in range(rejected, m + 1))
    return ways / comb(n + m, m)
