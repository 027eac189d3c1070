"""Labels written for other tools, and decisions taken over from what these tools wrote."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.review import coco, cvat, fiftyone, label_studio, tables
from anomalib_lite.review.decision import Decision, Key, Label
from anomalib_lite.review.foreign import Said, storable
from anomalib_lite.review.labels import Labelled, names, said_of, usable
from anomalib_lite.review.log import DecisionLog

COLUMNS = (
    *("image", "sha256", "label", "decision", "kind", "note", "operator", "time", "verdict", "score", "model_id"),
    "regions",
)


class Format(StrEnum):
    """What labels are written as."""

    CSV = "csv"
    COCO = "coco"
    LABEL_STUDIO = "label-studio"
    CVAT = "cvat"
    FIFTYONE = "fiftyone"


@dataclass(frozen=True)
class Exported:
    """What was written."""

    images: int
    notes: list[str]  # on what was left out, and what has to be done to read it


@dataclass
class Imported:
    """What became of decisions that another tool wrote."""

    added: int = 0
    same: int = 0  # in force already
    silent: int = 0  # images that the file says nothing of
    notes: list[str] = field(default_factory=list)


def export(found: Iterable[Labelled], out: Path, form: Format, *, overwrite: bool = False) -> Exported:
    """Write labels.

    Args:
        found: What is known of the images of a folder of results.
        out: A file; with `Format.FIFTYONE` a folder.
        form: For which tool.
        overwrite: Replace `out`.

    Raises:
        ConfigError: `out` exists.
        DataError: The disk does not take it, or no image is what was judged.
    """
    beside = out.with_suffix(".xml") if form is Format.LABEL_STUDIO else None
    for path in filter(None, (out, beside)):
        if path.exists() and not overwrite:
            raise ConfigError(f"{path} exists. Choose another --out, or replace it with --overwrite.")
    if form is Format.CSV:
        rows = [_row(one) for one in found]
        tables.write(out, COLUMNS, rows)
        return Exported(len(rows), [])
    kept, notes = usable(found)
    if not kept:
        raise DataError(f"no image is what was judged: {'; '.join(notes)}. Say with --images where they lie.")
    for path, content in _files(kept, out, form).items():
        tables.put(path, content)
    root = names(kept)[0]
    if beside is not None:
        notes.append(
            f"{beside.name} is the labelling configuration; let Label Studio serve files with "
            f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={shown(str(root))}"
        )
    if form is Format.CVAT:
        notes.append(f"upload the images with their names below {shown(str(root))}; notes are not in this format")
    return Exported(len(kept), notes)


def _files(kept: Sequence[Labelled], out: Path, form: Format) -> dict[Path, bytes]:
    if form is Format.COCO:
        return {out: _json(coco.document(kept))}
    if form is Format.CVAT:
        return {out: cvat.document(kept)}
    if form is Format.LABEL_STUDIO:
        return {
            out.with_suffix(".xml"): label_studio.configuration(kept).encode(),
            out: _json(label_studio.document(kept)),
        }
    return {out / name: _json(one) for name, one in fiftyone.documents(kept).items()}


def _row(one: Labelled) -> dict[str, object]:
    """A row of the table: `label` is what `train` reads, good or a kind of defect."""
    said = one.line.decision if one.line else None
    row: dict[str, object] = {name: getattr(one.judged, name) for name in ("image", "sha256", "score", "model_id")}
    row |= {"verdict": one.judged.verdict.value, "regions": [region.to_json() for region in one.found]}
    if said is None or one.line is None:
        return row
    label = one.label if said.label in (Label.GOOD, Label.DEFECT) else None
    row |= {"label": label, "decision": said.label.value, "kind": said.kind, "note": said.note}
    return row | {"operator": one.line.operator, "time": one.line.time.isoformat(timespec="milliseconds")}


def take_over(found: Iterable[Labelled], path: Path, form: Format, log: DecisionLog, operator: str) -> Imported:
    """Add the decisions of a file to the log: those that differ from what is in force.

    Args:
        found: What is known of the images of the folder of results.
        path: What another tool, or `export`, wrote.
        form: Which tool; not `Format.FIFTYONE`.
        log: Of that folder.
        operator: Who decided, where the file does not tell.

    Raises:
        DataError: The file cannot be read, or the log not be added to. Nothing of the file is added where it is at
            fault.
        ConfigError: The format is none that is read.
    """
    known = list(found)
    said = list(read(path, form))
    by_hash, by_name = {one.judged.key: one for one in known}, defaultdict[str, list[Labelled]](list)
    for mine in known:
        by_name[_last(mine.judged.image)].append(mine)
    done, refused = Imported(), defaultdict[str, list[str]](list)
    matched: list[tuple[Labelled, Said, Decision]] = []
    for one in said:
        matches = _matches(one, by_hash, by_name)
        if len(matches) != 1:
            refused[_why_not(one, matches, by_name)].append(one.image)
        elif one.decision is None:
            done.silent += 1
        elif _is_in_force(one.decision, matches[0], form):
            done.same += 1
        else:
            matched.append((matches[0], one, one.decision))
    for image, one, decision in matched:
        log.append(one.operator or operator, image.judged, decision)
        done.added += 1
    done.notes += [said_of(images, why) for why, images in refused.items()]
    return done


def read(path: Path, form: Format) -> Iterator[Said]:
    """What a file says of each image.

    Raises:
        DataError: It cannot be read, or says what is no decision.
        ConfigError: The format is none that is read.
    """
    if form is Format.FIFTYONE:
        raise ConfigError("--format fiftyone is written, not read: export from FiftyOne as COCO, and import that.")
    what = f"expected a file as {form} writes it"
    if form is Format.CSV:
        yield from _of_table(path)
        return
    text = tables.text_of(path, what)
    try:
        if form is Format.CVAT:
            yield from cvat.read(text.encode())
        elif form is Format.COCO:
            yield from coco.read(json.loads(text))
        else:
            yield from label_studio.read(json.loads(text))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, DataError) as error:
        said = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise DataError(f"{path}: {said}; {what}. Nothing was taken over.") from error


def _of_table(path: Path) -> Iterator[Said]:
    for row in tables.read(path, ("image", "decision")):
        try:
            label = row["decision"].lower()
            if label and label not in list(Label):
                raise DataError(f"decision '{shown(label)}'; expected {', '.join(Label)}")
            decision = Decision(Label(label), row.get("kind", ""), row.get("note", "")) if label else None
        except DataError as error:
            raise DataError(f"{path}, line {row['line']}: {error} Nothing was taken over.") from error
        yield Said(row["image"], row.get("sha256", ""), decision, row.get("operator", ""))


def _matches(
    one: Said, by_hash: Mapping[str, Labelled], by_name: Mapping[str, Sequence[Labelled]]
) -> Sequence[Labelled]:
    """The results that a file speaks of: by the hash, else those whose name ends as its name, or is the end of it.

    Of these the ones with the longest end in common. `crack/005.png` is another image than `good/005.png`.
    """
    if (key := one.sha256.lower()) in by_hash:
        return [by_hash[key]]
    if one.sha256:
        return []  # of another image, whatever it is called
    asked = _parts(one.image)
    alike: dict[Key, tuple[int, Labelled]] = {}  # a copy of an image is the same image
    for mine in by_name.get(_last(one.image), ()):
        theirs = _parts(mine.judged.image)
        number = min(len(asked), len(theirs))
        if asked[:number] == theirs[:number] and number > alike.get(mine.judged.key, (0,))[0]:
            alike[mine.judged.key] = (number, mine)
    most = max((number for number, _ in alike.values()), default=0)
    return [mine for number, mine in alike.values() if number == most]


def _why_not(one: Said, matches: Sequence[Labelled], by_name: Mapping[str, Sequence[Labelled]]) -> str:
    """Why what is said of an image is said of none, or of several."""
    if matches:
        return "not taken over: several results are called so"
    if not one.sha256 and _last(one.image) in by_name:
        return "not taken over: results of this name lie in another folder, and no sha256 tells that they are the same"
    return "not in these results"


def _is_in_force(decision: Decision, found: Labelled, form: Format) -> bool:
    """Whether a decision is what was decided already; of a format without notes, whatever was noted."""
    before = found.line.decision if found.line else None
    if before is None or (before.label, before.kind) != (decision.label, decision.kind):
        return False
    return form is Format.CVAT or before.note == decision.note


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a name, the last one first, as every format can hold them."""
    return PurePosixPath(storable(name).replace("\\", "/")).parts[::-1]


def _last(name: str) -> str:
    return next(iter(_parts(name)), "")


def _json(document: Any) -> bytes:
    return json.dumps(document, indent=1, allow_nan=False).encode("ascii") + b"\n"
