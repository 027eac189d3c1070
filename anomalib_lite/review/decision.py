"""A decision of a person on a result, as one line of a log."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self, TypeAlias

from anomalib_lite.data.samples import GOOD, UNCLEAR_LABELS
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import DataError

LONGEST_WORD, LONGEST_NOTE = 100, 2000  # letters
UNDECIDED = "undecided"  # the class of what nobody decided on

Key: TypeAlias = str
"""What tells an image from others: its SHA-256, so that copies are one image; its name where it could not be read."""


class Label(StrEnum):
    """What a person says of an image."""

    GOOD = "good"
    DEFECT = "defect"
    UNSURE = "unsure"  # the image is fine, the person cannot tell
    UNUSABLE = "unusable"  # the image shows no part, or not as it should


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person says of an image; the kind is that of a defect."""

    label: Label
    kind: str = ""  # "defect" where a defect has no better name; empty of what is none
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what could not be a label of a data set.

        Raises:
            DataError: A kind of what is no defect, one that means good or is no plain text, or a text that is too long.
        """
        kind = self.kind.strip()
        if self.label is Label.DEFECT:
            kind = kind or Label.DEFECT.value
        elif kind:
            raise DataError(f"'{shown(kind)}' is a kind of defect, and the decision is {self.label}. Leave it out.")
        object.__setattr__(self, "kind", kind)
        if kind.lower() in {GOOD, *UNCLEAR_LABELS, Label.UNSURE, Label.UNUSABLE, UNDECIDED}:
            raise DataError(f"'{kind}' is no kind of defect: it would be taken for another decision. Use another word.")
        _refuse_unlike_text(kind, "the kind of a defect", LONGEST_WORD)
        if len(self.note) > LONGEST_NOTE:
            raise DataError(f"the note has {len(self.note):,} letters. Write at most {LONGEST_NOTE:,}.")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a decision is on: an image, and what the model said of it."""

    image: str  # as the row of the results has it
    sha256: str  # as the row has it; empty where it could not be read
    model_id: str
    verdict: Verdict
    score: float | None  # raw; None where the verdict is ERROR
    reject_threshold: float | None
    review_threshold: float | None

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of results.

        Raises:
            DataError: It is none of an image.
        """
        image, sha256, model_id = (row.get(name) for name in ("image", "sha256", "model_id"))
        if not (isinstance(image, str) and image and isinstance(sha256, str) and isinstance(model_id, str)):
            raise DataError("this row has no image, sha256 and model_id as text: it is no result of an image.")
        try:
            verdict = Verdict(str(row.get("verdict")))
        except ValueError:
            raise DataError(f"{shown(image)}: {row.get('verdict')!r} is no verdict.") from None
        numbers = {name: _number(row.get(name), name) for name in ("score", "reject_threshold", "review_threshold")}
        return cls(image, sha256, model_id, verdict, **numbers)

    @property
    def key(self) -> Key:
        """What tells it from other images."""
        return key_of(self.image, self.sha256)


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a log: a decision, or that one is taken back."""

    number: int  # from 1
    time: datetime  # with the offset of the station's clock
    operator: str
    judged: Judged
    decision: Decision | None  # None: `undoes` is taken back
    undoes: int | None  # the number of a line
    before: str  # SHA-256 of the line before, without its end; zeros of the first

    @property
    def key(self) -> Key:
        """What tells its image from others."""
        return self.judged.key

    def encoded(self) -> bytes:
        """As JSON, with its end; whatever names are in it, it is ASCII."""
        said = self.decision
        values: dict[str, Any] = {"line": self.number, "time": self.time.isoformat(timespec="milliseconds")}
        values |= {"operator": self.operator}
        if said is None:
            values |= {"undoes": self.undoes}
        else:
            values |= {"decision": said.label.value, "kind": said.kind, "note": said.note}
        judged = self.judged
        values |= {name: getattr(judged, name) for name in Judged.__slots__}  # in their order
        return json.dumps(values | {"before": self.before}, allow_nan=False).encode("ascii") + b"\n"

    @classmethod
    def parsed(cls, line: bytes) -> Self:
        """From `encoded`.

        Raises:
            DataError: It is none; the message says why, and is one half of a sentence.
        """
        try:
            values = json.loads(line.decode("ascii"))
        except (ValueError, RecursionError):
            raise DataError("is no JSON object") from None
        if not isinstance(values, dict) or not isinstance(values.get("line"), int):
            raise DataError("is no line of a log of decisions")
        said, undoes = None, values.get("undoes")
        words = [values.get(name) for name in ("operator", "before")]
        if not all(isinstance(word, str) for word in words) or not isinstance(undoes, int | None):
            raise DataError("has no operator, or no digest of the line before")
        if undoes is None:
            said = _decision(values)
        time = _time(values.get("time"))
        return cls(values["line"], time, str(words[0]), Judged.of(values), said, undoes, str(words[1]))


def key_of(image: str, sha256: str) -> Key:
    """What tells an image from others, from the columns `image` and `sha256` of its row."""
    return sha256.lower() or f"name {image}"


def operator_named(name: str) -> str:
    """A name of a person, as a log takes it.

    Raises:
        DataError: It is blank, too long, or holds what cannot be seen.
    """
    name = name.strip()
    if not name:
        raise DataError("a decision needs the name of who decides.")
    _refuse_unlike_text(name, "the name of who decides", LONGEST_WORD)
    return name


def _refuse_unlike_text(text: str, what: str, longest: int) -> None:
    if len(text) > longest:
        raise DataError(f"{what} has {len(text):,} letters. Write at most {longest}.")
    if shown(text) != text:
        raise DataError(f"{what}, '{shown(text)}', holds what cannot be seen. Write it in letters.")


def _decision(values: Mapping[str, Any]) -> Decision:
    """The decision of a line.

    Raises:
        DataError: It is none.
    """
    label, kind, note = (values.get(name) for name in ("decision", "kind", "note"))
    if label not in list(Label) or not isinstance(kind, str) or not isinstance(note, str):
        raise DataError(f"has the decision {label!r}; expected {', '.join(Label)}, with a kind and a note")
    return Decision(Label(label), kind, note)


def _time(value: object) -> datetime:
    """A time with its offset.

    Raises:
        DataError: It is none.
    """
    try:
        time = datetime.fromisoformat(str(value))
    except ValueError:
        time = None
    if time is None or time.tzinfo is None:
        raise DataError(f"has the time {value!r}; expected one as 2026-01-31T13:05:00.000+01:00")
    return time


def _number(value: object, name: str) -> float | None:
    """A number of a row.

    Raises:
        DataError: It is neither a finite number nor missing.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise DataError(f"{name} is {value!r}, and no number.")
    return float(value)
