"""What a model is taught by decisions: golden images, known defects, and what must not count among the good images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from anomalib_lite.data.samples import CALIBRATE, GOOD, TRAIN, count
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.manifest import Exclusion, Manifest
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.review import tables
from anomalib_lite.review.decision import Label
from anomalib_lite.review.labels import Labelled, said_of, usable
from anomalib_lite.review.results import State

GOLDEN, KNOWN = "golden.csv", "known.csv"
KNOWN_COLUMNS = ("image", "label", "sha256")
SHOWN = 5  # lots in notes

Split: TypeAlias = Literal["calibrate", "train"]
SPLITS: tuple[Split, ...] = (CALIBRATE, TRAIN)  # type: ignore[assignment]


@dataclass(frozen=True)
class Taught:
    """What was written, and what a calibration has to leave out."""

    golden: Path | None  # a table of good images, for `calibrate --add` or `train`; None where there are none
    known: Path | None  # a table of known defects, and of those that are none any more, for `--known`; None without any
    good: int
    defects: int
    exclusions: tuple[Exclusion, ...] = ()  # held-out images of the model that are not good, and why
    notes: list[str] = field(default_factory=list)


def teach(
    found: Iterable[Labelled],
    out: Path,
    *,
    manifest: Manifest | None = None,
    split: Split = "calibrate",
    overwrite: bool = False,
) -> Taught:
    """Write tables of what was decided good and defective.

    Good images are held out only of lots of which every measured result is decided: who decides on the images that a
    model calls OK, and leaves the others, would get a bound that is too small.

    Args:
        found: What is known of the images of a folder of results.
        out: The folder for golden.csv and known.csv; paths in them are absolute.
        manifest: Of the model that is to be taught: tells which of its images were found not to be good.
        split: Whether the good images are held out, for thresholds, or learnt from.
        overwrite: Replace the tables.

    Raises:
        ConfigError: The tables exist.
        DataError: Nothing is decided of an image that is there, or the disk does not take it.
    """
    _refuse_existing(out, overwrite=overwrite)
    found = list(found)
    decided = [one for one in found if one.line is not None]
    kept, notes = usable(decided)
    good, defects = _of(kept, Label.GOOD), _of(kept, Label.DEFECT)
    back = _known_to_be_good(good, manifest) if split == CALIBRATE else []
    good, said = _of_whole_lots(found, good) if split == CALIBRATE else (good, [])
    good, unknown = _of_known_parts(good, manifest)
    notes += [*said, *unknown, *_told(good, manifest)]
    good = _new(good, manifest) if split == CALIBRATE else good
    exclusions = _exclusions(decided, manifest) if manifest is not None else ()
    if not (good or defects or exclusions or back):
        why = "; ".join(notes) or "no image is decided to be good or defective."
        raise DataError(f"nothing to teach: {why}")
    if good:
        _write_golden(out / GOLDEN, good, split, manifest)
    if defects or back:
        _write_known(out / KNOWN, [*defects, *back])
    notes += [said_of([one.judged.image for one in back], "no known defect any more")] if back else []
    golden, known = out / GOLDEN if good else None, out / KNOWN if defects or back else None
    return Taught(golden, known, len(good), len(defects), exclusions, notes)


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    for path in (out / GOLDEN, out / KNOWN):
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists. Choose another --out, or replace it with --overwrite.")


def _write_known(path: Path, defects: Iterable[Labelled]) -> None:
    known = [(one.path.absolute().as_posix(), one.label, one.judged.sha256) for one in defects]
    tables.write(path, KNOWN_COLUMNS, (dict(zip(KNOWN_COLUMNS, row, strict=True)) for row in known))


def _of(found: Iterable[Labelled], label: Label) -> list[Labelled]:
    return [one for one in found if one.line and one.line.decision and one.line.decision.label is label]


def _known_to_be_good(good: Iterable[Labelled], manifest: Manifest | None) -> list[Labelled]:
    """Those of good images that a model knows as defects: a person took that back."""
    known = {one.sha256 for one in manifest.known} if manifest is not None else set()
    return [one for one in good if one.judged.sha256 in known]


def _new(good: Iterable[Labelled], manifest: Manifest | None) -> list[Labelled]:
    """Good images that a model was neither fitted nor calibrated on."""
    data = manifest.data if manifest is not None else None
    seen = {*data.fit, *data.calibrated, *(one.sha256 for one in data.held_out)} if data is not None else set()
    return [one for one in good if one.judged.sha256 not in seen]


def _of_whole_lots(found: Iterable[Labelled], good: Collection[Labelled]) -> tuple[list[Labelled], list[str]]:
    """The good images of lots that are decided wholly, and what is said of the other lots that hold some.

    A result counts as decided where its image is defective or unusable, or good and there.
    """
    every, decided = Counter[str](), Counter[str]()
    for one in found:
        if one.measured:
            every[one.lot] += 1
            decided[one.lot] += one.label not in ("", Label.UNSURE) and (
                one.label != Label.GOOD or one.behind.state is State.THERE
            )
    selected = sorted(lot for lot, number in every.items() if decided[lot] < number)
    told = [
        f"{f'lot {shown(lot)}' if lot else 'no lot' if len(every) > 1 else 'these results'}: {decided[lot]:,} of "
        f"{every[lot]:,} decided, so its good images set no threshold; a selection would make the bound too small: "
        "decide on all of a lot, or on all of a drawn sample"
        for lot in selected
        if lot in {one.lot for one in good}
    ]
    return [one for one in good if one.lot not in selected], [
        *told[:SHOWN],
        *([f"and {count(len(told) - SHOWN, 'more lot')}"] * (len(told) > SHOWN)),
    ]


def _of_known_parts(good: list[Labelled], manifest: Manifest | None) -> tuple[list[Labelled], list[str]]:
    """The good images of known parts, where a model counts these, and a note on the others."""
    grouped = manifest.data.grouped if manifest is not None else any(one.part for one in good)
    unknown = [one.judged.image for one in good if not one.part] if grouped else []
    if not unknown:
        return good, []
    said = said_of(unknown, "left out, since nothing tells which part they show: give --group REGEX")
    return [one for one in good if one.part], [said]


def _write_golden(path: Path, good: Sequence[Labelled], split: Split, manifest: Manifest | None) -> None:
    """The table of good images; with their parts, where these are counted."""
    grouped = manifest.data.grouped if manifest is not None else any(one.part for one in good)
    rows: list[dict[str, object]] = [
        {"image": one.path.absolute().as_posix(), "label": GOOD, "split": split, "group": one.part} for one in good
    ]
    tables.write(path, ["image", "label", "split", *(["group"] if grouped else [])], rows)


def _exclusions(decided: Iterable[Labelled], manifest: Manifest) -> tuple[Exclusion, ...]:
    """Images that the thresholds of a model rest on, and that a person decided not to be good, with the reason."""
    not_good = {
        one.judged.sha256: one for one in decided if one.label not in ("", Label.GOOD, Label.UNSURE) and one.line
    }
    left_out = {one.image for one in manifest.calibration.exclusions}
    found = []
    for one in manifest.data.held_out:
        said = not_good.get(one.sha256)
        if said is not None and said.line is not None and one.image not in left_out:
            because = f"{said.label}, decided by {said.line.operator} on {said.line.time.date().isoformat()}"
            found.append(Exclusion(one.image, f"{because}: {said.note}" if said.note else because))
    return tuple(found)


def _told(good: Sequence[Labelled], manifest: Manifest | None) -> list[str]:
    """Notes on the good images: what a model knows already, and what it means that they were not drawn at random."""
    notes = []
    if manifest is not None:
        known = {*manifest.data.fit, *manifest.data.calibrated}
        if again := [one.judged.image for one in good if one.judged.sha256 in known]:
            notes.append(said_of(again, "known to the model already, and passed over by it"))
    if rejected := [one for one in good if one.judged.verdict is not Verdict.OK]:
        notes.append(
            f"{len(rejected):,} of {len(good):,} good images were rejected or doubtful, and looked at for that: they "
            "raise the threshold, so that the bound on rejected good parts holds, and more defects may pass"
        )
    return notes
