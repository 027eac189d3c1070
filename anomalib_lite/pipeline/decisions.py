"""What people decided on images that were not OK, and what that says of the bound: `monitor --decisions`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from anomalib_lite.calibration import live
from anomalib_lite.calibration.statement import percent_down, percent_up
from anomalib_lite.data.samples import count, some
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.following import Following
from anomalib_lite.edge.manifest import ONCE, Calibration
from anomalib_lite.errors import ConfigError, DataError, ErrorCode
from anomalib_lite.review import tables
from anomalib_lite.review.decision import Key, key_of
from anomalib_lite.review.log import FIRST, LOG, DecisionLog

Decision: TypeAlias = Literal["good", "defect"]
DECISIONS: tuple[Decision, ...] = get_args(Decision)
EXPECTED = (
    f"expected {LOG}, a CSV file with the columns image and decision, or such objects as JSON lines; decision: "
    f"{' or '.join(DECISIONS)}"
)


@dataclass(frozen=True)
class Decided:
    """What people say of images."""

    said: Mapping[Key, Decision]
    names: Mapping[Key, str]  # of the images
    hashed: bool = False  # whether images are told by their hashes, and not by their names alone

    def key(self, row: Mapping[str, Any]) -> Key:
        """What a result is called by here."""
        return key_of(str(row.get("image")), str(row.get("sha256") or "") if self.hashed else "")


@dataclass(frozen=True)
class Live:
    """Good parts that were inspected, and those of them that were rejected; undecided ones on the safe side."""

    calibration: Calibration
    accepted: int  # that are OK and nobody decided on, or REVIEW and good: taken as good
    taken: int  # of these, those that nobody decided on
    rejected: int  # that are NG, or refused by the gate, and good
    undecided: int  # rejected, too, and nobody decided on: counted as good
    left_out: int  # REVIEW, and nobody decided on: not counted

    @property
    def parts(self) -> int:
        """That the bound rests on."""
        return self.accepted + self.rejected + self.undecided

    @property
    def promised(self) -> float:
        """The rate that the calibration certifies."""
        return self.calibration.reject.bound

    @property
    def bound(self) -> float:
        """The rate of rejected good parts, at most."""
        return live.at_most(self.rejected + self.undecided, self.parts, self.calibration.confidence)

    @property
    def is_broken(self) -> bool:
        """Whether more good parts are rejected than was certified: what is undecided is not counted against that."""
        parts = self.accepted + self.left_out + self.rejected
        return live.at_least(self.rejected, parts, self.calibration.confidence) > self.promised

    def sentences(self) -> list[str]:
        """What is certified by it, and on which condition."""
        certain, promised = percent_down(self.calibration.confidence), percent_up(self.promised)
        unit = "part" if self.calibration.per == "part" else "photograph"
        good = f"good {unit}s"
        kept = "within" if self.bound <= self.promised else "not yet within"
        promises = "promises on average" if self.calibration.approximate else "certifies"
        said = [
            f"live certificate: of {count(self.parts, f'good {unit}')} since the first row, "
            f"{self.rejected + self.undecided:,} rejected: at most {percent_up(self.bound)} of {good} are (confidence "
            f"{certain}, whenever one looks), {kept} the {promised} that the calibration {promises}.",
            f"It holds as long as parts stay alike, for what is good among those that were OK: {self.taken:,} of them "
            "nobody decided on, and they are taken as good. Defective ones among them make the rate look lower than "
            "it is, by their share.",
        ]
        if self.undecided:
            said.append(f"{self.undecided:,} rejected and not decided: counted as good ones, until they are.")
        if self.left_out:
            said.append(f"{self.left_out:,} REVIEW and not decided: not counted, until they are.")
        return said

    def alarm(self) -> str:
        """That the bound of the calibration is broken."""
        return (
            f"more good parts are rejected than certified: {self.rejected:,} that people found good. A rate of "
            f"{percent_up(self.promised)} or less is ruled out at a confidence of "
            f"{percent_down(self.calibration.confidence)}, whenever one looks: calibrate anew on parts that are good."
        )


def certified(
    rows: Iterable[Mapping[str, Any]], decided: Decided, following: Following, calibration: Calibration
) -> tuple[Live, list[str]]:
    """Count good parts in results, in the unit of the calibration.

    Args:
        rows: Results, in their order.
        decided: What people say of their images.
        following: Tells the rows of the model, and the part of an image.
        calibration: Of the model.

    Returns:
        The counts, and notes on decisions that could not be used.

    Raises:
        ConfigError: The model decides once for a part, which rows of photographs do not tell.
    """
    if calibration.per in ONCE:
        raise ConfigError(
            "--decisions: this model decides once for a part, and results are of photographs: leave --decisions out."
        )
    own = [row for row in rows if following.counts(row)]
    times = Counter(map(decided.key, own))
    twice = sorted(decided.names[key] for key in decided.said if times[key] > 1)
    unknown = sorted(decided.names[key] for key in decided.said if not times[key])
    notes = [f"decisions on {count(len(unknown), 'image')} without a result: {some(unknown, 3)}"] if unknown else []
    if twice:
        what = "image" if decided.hashed else "name"
        notes.append(f"decisions on {count(len(twice), what)} of several results, not used: {some(twice, 3)}")
    known = replace(decided, said={key: one for key, one in decided.said.items() if times[key] == 1})
    outcomes = Counter(_outcome(part, known) for part in _parts(own, following, whole=calibration.per == "part"))
    accepted = outcomes["ok"] + outcomes["accepted"]
    return Live(
        calibration, accepted, outcomes["ok"], outcomes["rejected"], outcomes["undecided"], outcomes["open"]
    ), notes


Outcome: TypeAlias = Literal["ok", "accepted", "rejected", "undecided", "open", "none"]


def _parts(
    rows: Sequence[Mapping[str, Any]], following: Following, *, whole: bool
) -> Iterator[list[Mapping[str, Any]]]:
    """The results of each part: all of them, or the first, as the calibration counts one photograph of each."""
    parts: dict[str, list[Mapping[str, Any]]] = {}
    for place, row in enumerate(rows):
        name = following.part(str(row.get("image")))
        parts.setdefault(f"#{place}" if name is None else f"part {name}", []).append(row)
    for part in parts.values():
        yield part if whole else part[:1]


def _outcome(part: Sequence[Mapping[str, Any]], decided: Decided) -> Outcome:
    """What became of a part, if it is good; "none" where it is not, or could not be measured."""
    said = [decided.said.get(decided.key(row)) for row in part]
    if "defect" in said:
        return "none"
    rejected = [one for row, one in zip(part, said, strict=True) if _is_rejected(row)]
    if rejected:
        return "rejected" if "good" in rejected else "undecided"
    verdicts = {row.get("verdict") for row in part}
    if Verdict.ERROR in verdicts:
        return "none"
    open_ = [row for row, one in zip(part, said, strict=True) if one is None and row.get("verdict") == Verdict.REVIEW]
    if open_:
        return "open"
    return "accepted" if None not in said else "ok"


def _is_rejected(row: Mapping[str, Any]) -> bool:
    """Whether a result counts as rejected: NG, or refused by the gate, as in the calibration."""
    return row.get("verdict") == Verdict.NG or row.get("error_code") == ErrorCode.NOT_ALIKE


def read(path: Path) -> Decided:
    """What people say of images; of a log, what is in force, and nothing of what is unsure or unusable.

    Raises:
        DataError: The file cannot be read, says something else, or two things of one image; the line is named. The
            chain of a log is broken.
    """
    text = tables.text_of(path, EXPECTED)
    if FIRST in text.partition("\n")[0]:
        return _log(path)
    rows = _json_lines(path, text) if text.lstrip().startswith("{") else _table(path, text)
    decided, names = dict[Key, Decision](), dict[Key, str]()
    for line, image, said in rows:
        decision = next((one for one in DECISIONS if isinstance(said, str) and said.strip().lower() == one), None)
        if not isinstance(image, str) or not image or decision is None:
            raise DataError(f"{path}, line {line}: image {image!r}, decision {said!r}; {EXPECTED}. Correct it.")
        names[key := key_of(image, "")] = image
        if decided.setdefault(key, decision) != decision:
            raise DataError(f"{path}, line {line}: {image} is decided good and defect. Keep one of them.")
    if not decided:
        raise _none(path)
    return Decided(decided, names)


def _log(path: Path) -> Decided:
    """Of a log, by the hashes of images: a camera may call each photograph the same."""
    current = DecisionLog(path).current()
    said = {
        key: decision
        for key, line in current.items()
        for decision in DECISIONS
        if line.decision is not None and line.decision.label == decision
    }
    if not said:
        raise _none(path)
    return Decided(said, {key: current[key].judged.image for key in said}, hashed=True)


def _none(path: Path) -> DataError:
    return DataError(f"{path}: holds no decision; {EXPECTED}.")


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, object, object]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            one = None
        if not isinstance(one, dict):
            raise DataError(f"{path}, line {number}: is no JSON object; {EXPECTED}.")
        yield number, one.get("image"), one.get("decision")


def _table(path: Path, text: str) -> Iterator[tuple[int, object, object]]:
    for row in tables.rows_of(path, text, ("image", "decision"), EXPECTED):
        yield int(row["line"]), row.get("image"), row.get("decision")
