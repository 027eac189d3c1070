"""Known defects as a gate: what a person has seen to be defective must not become OK, unless somebody says why.

A model records the scores of its known defects, so that every other threshold of it is checked without their images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from anomalib_lite.data.samples import GOOD
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
    kind: str
    sha256: str  # empty where the table does not tell


def listed(path: Path) -> list[Listed]:
    """The rows of a table of known defects: image, label and, so that nobody changes an image unnoticed, sha256.

    Raises:
        DataError: It cannot be read, names no image or a good one, or an image twice; the line is named.
    """
    found: dict[Path, Listed] = {}
    for row in tables.read(path, COLUMNS[:2]):
        name, kind, place = row["image"], row.get("label", ""), path.parent / row["image"]
        if not name or not kind or kind.lower() == GOOD:
            raise DataError(
                f"{path}, line {row['line']}: image '{name}', label '{kind}'. Expected an image and its kind of defect."
            )
        if found.setdefault(place, one := Listed(place, name, kind, row.get("sha256", "").lower())) is not one:
            raise DataError(f"{path}, line {row['line']}: {name} is there twice. Keep one of the rows.")
    if not found:
        raise DataError(f"{path}: names no known defect. Add a row for each: {', '.join(COLUMNS)}.")
    return list(found.values())


def measured(model: Model, path: Path) -> tuple[KnownDefect, ...]:
    """What a model says of the known defects of a table.

    Args:
        model: It.
        path: A table as `listed` takes it.

    Raises:
        DataError: An image is gone, or is another than it was: a gate that looks at fewer defects is none.
        ConfigError: The model decides once for a part.
    """
    if model.bundle.manifest.calibration.per in ONCE:
        raise ConfigError(
            "--known: this model decides once for a part, and known defects are single photographs: leave it out."
        )
    known = []
    for one in listed(path):
        result = model.inspect(one.path, name=one.image)
        if not result.sha256:
            raise DataError(f"{path}: the known defect {one.image} cannot be read ({result.error}). Put it back.")
        if one.sha256 not in ("", result.sha256):
            raise DataError(
                f"{path}: the known defect {one.image} has changed since it was listed (SHA-256 {result.sha256[:12]}, "
                f"listed {one.sha256[:12]}). Put the image back, or list this one."
            )
        known.append(KnownDefect(one.image, result.sha256, one.kind, result.score))
    return tuple(known)


def with_known(manifest: Manifest, defects: Sequence[KnownDefect]) -> Manifest:
    """The manifest with further known defects; of an image that it knows already, what is said now counts."""
    known = {key_of(one.image, one.sha256): one for one in (*manifest.known, *defects)}
    return replace(manifest, known=tuple(known.values()))


def guarded(manifest: Manifest, said: Said, row: str = "") -> Manifest:
    """The manifest, with what a person chose on record.

    Args:
        manifest: Of a model under the thresholds that it will have.
        said: Who takes it, and why.
        row: What was chosen, where `said.because` is about that.

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
    if not made:
        return manifest
    try:
        operator = operator_named(said.operator)
    except DataError as error:
        raise ConfigError(f"--operator: {error}") from error
    time = datetime.now().astimezone().isoformat(timespec="seconds")
    choices = [Choice(time, operator, what, because.strip(), by) for what, because, by in made]
    return replace(manifest, choices=(*manifest.choices, *choices))
