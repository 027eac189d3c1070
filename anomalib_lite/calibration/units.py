"""What a line decides on once: a photograph, or a part by its photographs; one value of it counts.

Any fixed function of the photographs of a part keeps the guarantee, since parts are independent and photographs of one
part are not: Dunn, Wasserman, Ramdas, "Distribution-free prediction sets for two-layer hierarchical models",
arXiv 1809.07441. Their largest: "any photograph". One of them, drawn by the seed: "a photograph of a new good part".
Their median, their mean, ... : one decision for the part.

CUSUM counts from a level, the mean and half a standard deviation of good photographs. Taken of the parts that set the
threshold, it would bend the scale to just these; so a few parts, drawn by the seed, set the level and nothing else.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from anomalib_lite.edge import parts as edge_parts
from anomalib_lite.edge.manifest import ONCE, Cusum, HeldOut, Joining, Per
from anomalib_lite.errors import DataError

SHARE, FEW = 10, 5  # a tenth of the parts set the level; at least so many, but no more than half
ALLOWANCE = 0.5  # standard deviations: half of the shift that is to be found fastest


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """A good image: its name, its part, its score, the largest pixel of its anomaly map (raw units), its session.

    Both are infinite where the gate refused it: no threshold lets it pass, and it is a false reject.
    """

    image: str
    group: str
    score: float
    map_peak: float
    session: str | None = field(default=None, kw_only=True)  # None where it is not known

    @property
    def is_refused(self) -> bool:
        """Whether the gate refused it."""
        return math.inf in (self.score, self.map_peak)


Value = Callable[[ScoredImage], float]


def remembered(record: HeldOut, group: str) -> ScoredImage:
    """An image of which a manifest says what was measured, of a part of this name."""
    score, peak = (math.inf if value is None else value for value in (record.score, record.map_peak))
    return ScoredImage(record.image, group, score, peak, session=record.session)


def unit_of(asked: Per | None, images: Iterable[ScoredImage], *, grouped: bool) -> Per:
    """What a line decides on where nobody says it: photographs, where parts have several of them."""
    if asked is not None:
        return asked
    several = grouped and any(number > 1 for number in Counter(image.group for image in images).values())
    return "photograph" if several else "part"


def refuse_unknown_parts(per: Per | None, *, grouped: bool) -> None:
    """Raise where parts are to be decided on, and are not known.

    Raises:
        DataError: So it is.
    """
    if per in ONCE and not grouped:
        raise DataError(
            f"Calibration: --per {per} decides once for a part, and nothing says which photographs show one part. Give "
            "--group REGEX or a column 'group', or leave --per out."
        )


def decided_on(images: Iterable[ScoredImage], per: Per, seed: int) -> list[list[ScoredImage]]:
    """The images of each part that count: all of them, or the one that is drawn.

    The draw of a part depends on the seed and the names of its images alone, so that it stays where parts are added.
    """
    parts: dict[str, list[ScoredImage]] = {}
    for image in images:
        parts.setdefault(image.group, []).append(image)
    if per != "photograph":
        return list(parts.values())
    return [[min(part, key=lambda image: _lot(image.image, seed))] for part in parts.values()]


def _lot(name: str, seed: int) -> bytes:
    return sha256(f"{seed}/{name}".encode("utf-8", "surrogatepass")).digest()


def joined(part: Sequence[ScoredImage], value: Value, how: Joining) -> float:
    """The one value of a part; infinite where the gate refused any of its photographs, since such a part is ERROR."""
    values = list(map(value, part))
    return math.inf if math.inf in values else edge_parts.joined(values, how)


def with_level(images: Sequence[ScoredImage], seed: int) -> tuple[Cusum, list[ScoredImage]]:
    """What CUSUM counts from, and the images of the parts that did not set it.

    Raises:
        DataError: There are too few parts, or the gate refused all images of those that would set it.
    """
    parts = sorted({image.group for image in images}, key=lambda part: _lot(part, seed))
    setting = set(parts[: max(len(parts) // SHARE, min(FEW, len(parts) // 2))])
    scores = [image.score for image in images if image.group in setting and not image.is_refused]
    if not scores:
        raise DataError(
            f"Calibration: CUSUM counts from what a few held-out good parts have that certify nothing, and of "
            f"{len(parts)} there are none that could be measured. Hold out more good parts."
        )
    level = statistics.fmean(scores) + ALLOWANCE * statistics.pstdev(scores)
    return Cusum(level, len(setting)), [image for image in images if image.group not in setting]
