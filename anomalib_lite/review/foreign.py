"""What a file of another tool says of an image: one decision, or nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import DataError
from anomalib_lite.review.decision import LONGEST_NOTE, UNDECIDED, Decision, Label


@dataclass(frozen=True, slots=True)
class Said:
    """What is said of an image."""

    image: str  # its name there
    sha256: str  # empty where the file does not tell
    decision: Decision | None  # None where nothing is said
    operator: str = ""  # empty where the file does not tell


def decided(given: Iterable[str], shapes: Sequence[tuple[str, float]], note: str) -> Decision | None:
    """What classes of an image and of its shapes mean.

    Args:
        given: Classes of the image; one of them counts.
        shapes: Class and area of each shape: those of the largest counts where the image has no class.
        note: What a person wrote.

    Raises:
        DataError: The image has several classes, or shapes with another one, or a class is none.
    """
    marked = {kind: area for kind, area in sorted(shapes, key=lambda one: one[1]) if kind != UNDECIDED}
    classes = {one for one in given if one and one != UNDECIDED}
    if len(classes) > 1:
        raise DataError(f"has several classes, {', '.join(sorted(map(shown, classes)))}")
    label = next(iter(classes), "")
    if label in (Label.GOOD, Label.UNSURE, Label.UNUSABLE):
        if marked and label == Label.GOOD:
            raise DataError(f"is good, and '{shown(next(iter(marked)))}' is marked in it")
        return Decision(Label(label), note=note[:LONGEST_NOTE])
    kind = label or (list(marked)[-1] if marked else "")
    others = sorted(set(marked) - {kind})
    note = "; ".join(filter(None, [note, f"also {', '.join(map(shown, others))}" if others else ""]))
    return Decision(Label.DEFECT, kind, note[:LONGEST_NOTE]) if kind else None


def text(value: object) -> str:
    """Text of a document.

    Raises:
        ValueError: It is none.
    """
    if not isinstance(value, str):
        raise ValueError(f"{value!r:.40} is no text")
    return value


def storable(name: str) -> str:
    """A name as XML can hold it: what cannot be seen is written as an escape."""
    return shown(name)
