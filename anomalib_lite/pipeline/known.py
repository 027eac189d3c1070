"""Known defects as a gate: what a person has seen to be defective must not become OK, unless somebody says why.

A model records the scores of its known defects, so that every other threshold of it is checked without their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from anomalib_lite.data.samples import GOOD, count, some
from anomalib_lite.edge.manifest import ONCE, Choice, KnownDefect, Manifest
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.evidence.known import named, passing
from anomalib_lite.review import tables
from anomalib_lite.review.decision import key_of, operator_named

COLUMNS = ("image", "label", "sha256")  # of a table of known defects; `label` is the kind


@dataclass(frozen=True, slots=True)
class Said:
    """Who takes a model as it is, and why."""

    operator: str = ""
    because: str = ""  # for another row of the menu
    accept: str = ""  # why known defects may pass
    seen: frozenset[str] | None = None  # SHA-256 of those that the person was shown; None where that is not known


class KnownDefectError(DataError):
    """Known defects are OK, and nobody who was shown all of them has said why that may be."""

    def __init__(self, message: str, passed: frozenset[str]) -> None:
        super().__init__(message)
        self.passed = passed  # their SHA-256


NOBODY = Said()


@dataclass(frozen=True, slots=True)
class Listed:
    """A row of a table of known defects."""

    path: Path
    image: str  # as the table names it
    kind: str  # "good" takes a known defect back
    sha256: str  # empty where the table does not tell
    where: str  # in the table, for messages

    @property
    def is_good(self) -> bool:
        """Whether it takes back what was known."""
        return self.kind.lower() == GOOD

    @property
    def refused(self) -> DataError:
        """The error that says that it is no known defect."""
        return DataError(
            f"{self.where}: image '{self.image}', label '{self.kind}'. Expected an image and its kind of defect; a "
            "good one takes back a known defect of the model that is calibrated, and this is none of it."
        )


def listed(path: Path, *, back: bool = False) -> list[Listed]:
    """The rows of a table of known defects: image, label and, so that nobody changes an image unnoticed, sha256.

    Args:
        path: The table.
        back: Whether good images are allowed, which take back defects that a model knows.

    Raises:
        DataError: It cannot be read, names no image or a good one, or an image twice; the line is named.
    """
    found: dict[Path, Listed] = {}
    for row in tables.read(path, COLUMNS[:2]):
        name, kind, place = row["image"], row.get("label", ""), path.parent / row["image"]
        one = Listed(place, name, kind, row.get("sha256", "").lower(), f"{path}, line {row['line']}")
        if not name or not kind or (one.is_good and not back):
            raise one.refused
        if found.setdefault(place, one) is not one:
            raise DataError(f"{one.where}: {name} is there twice. Keep one of the rows.")
    if not found:
        raise DataError(f"{path}: names no known defect. Add a row for each: {', '.join(COLUMNS)}.")
    return list(found.values())


def measured(model: Model, path: Path) -> tuple[KnownDefect, ...]:
    """What a model says of the known defects of a table, and of those that it takes back.

    Args:
        model: It.
        path: A table as `listed` takes it.

    Raises:
        DataError: An image is gone, or is another than it was: a gate that looks at fewer defects is none. Or a good
            one is no known defect of the model.
        ConfigError: The model decides once for a part.
    """
    if model.bundle.manifest.calibration.per in ONCE:
        raise ConfigError(
            "--known: this model decides once for a part, and known defects are single photographs: leave it out."
        )
    before = {one.sha256 for one in model.bundle.manifest.known}
    known = []
    for one in listed(path, back=bool(before)):
        result = model.inspect(one.path, name=one.image)
        if not result.sha256:
            raise DataError(f"{path}: the known defect {one.image} cannot be read ({result.error}). Put it back.")
        if one.sha256 not in ("", result.sha256):
            raise DataError(
                f"{path}: the known defect {one.image} has changed since it was listed (SHA-256 {result.sha256[:12]}, "
                f"listed {one.sha256[:12]}). Put the image back, or list this one."
            )
        if one.is_good and result.sha256 not in before:
            raise one.refused
        known.append(KnownDefect(one.image, result.sha256, one.kind, result.score))
    return tuple(known)


def with_known(manifest: Manifest, defects: Sequence[KnownDefect]) -> Manifest:
    """The manifest with further known defects; of an image that it knows already, what is said now counts.

    One that is said to be good is no known defect any more, and not left out of the calibration either.
    """
    known = {key_of(one.image, one.sha256): one for one in (*manifest.known, *defects)}
    good = {one.sha256 for one in known.values() if one.kind.lower() == GOOD}
    back = {one.image for one in manifest.data.held_out if one.sha256 in good}
    left_out = tuple(one for one in manifest.calibration.exclusions if one.image not in back)
    return replace(
        manifest,
        known=tuple(one for one in known.values() if one.sha256 not in good),
        calibration=replace(manifest.calibration, exclusions=left_out),
    )


def guarded(manifest: Manifest, said: Said, row: str = "", *, before: Sequence[KnownDefect] = ()) -> Manifest:
    """The manifest, with what a person chose on record.

    Args:
        manifest: Of a model under the thresholds that it will have.
        said: Who takes it, and why.
        row: What was chosen, where `said.because` is about that.
        before: The known defects of the model of before: those that are none any more were taken back.

    Raises:
        KnownDefectError: Known defects are OK, and no reason is given, or one by who was not shown all of them.
        ConfigError: A reason is given, and nothing needs one; or nobody stands for it.
    """
    passed = passing(manifest)
    hashes = frozenset(one.sha256 for one in passed)
    if passed and not (said.accept.strip() and (said.seen is None or hashes <= said.seen)):
        raise KnownDefectError(
            f"{named(passed)}. Take another row, or say why they may pass: --accept REASON. Nothing changed.", hashes
        )
    if said.accept.strip() and not passed:
        raise ConfigError("--accept: no known defect is OK by these thresholds, so nothing is to be accepted.")
    made = [(named(passed), said.accept, tuple(one.sha256 for one in passed))] if passed else []
    made += [(row, said.because, ())] if row and said.because.strip() else []
    kept = {one.sha256 for one in manifest.known}
    if back := [one.image for one in before if one.sha256 not in kept]:
        made.append((f"{count(len(back), 'known defect')} taken back: {some(back)}", "said to be good", ()))
    if not made:
        return manifest
    try:
        operator = operator_named(said.operator)
    except DataError as error:
        raise ConfigError(f"--operator: {error}") from error
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    choices = [Choice(time, operator, what, because.strip(), by) for what, because, by in made]
    return replace(manifest, choices=(*manifest.choices, *choices))
