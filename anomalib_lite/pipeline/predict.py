"""Judges files and folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.errors import ConfigError
from anomalib_lite.pipeline import parts, result_folder
from anomalib_lite.pipeline.inputs import Chosen, chosen, common_root
from anomalib_lite.pipeline.workers import Asked, Workers, number
from anomalib_lite.pipeline.written import Writing
from anomalib_lite.report.heatmaps import write_heatmap
from anomalib_lite.report.writing import Inspected

Track = Callable[[Iterable[Any], str], Iterator[Any]]  # passes items through and shows how far they are


def untracked(items: Iterable[Any], label: str) -> Iterator[Any]:
    """Pass items through."""
    return iter(items)


class Heatmaps(StrEnum):
    """Which images get a heat map: those that are NG, those that are not OK, or all that could be measured."""

    NG = "ng"
    REVIEW = "review"
    ALL = "all"

    @property
    def verdicts(self) -> set[Verdict]:
        """The verdicts of these images."""
        others = {"ng": (), "review": (Verdict.REVIEW,), "all": (Verdict.REVIEW, Verdict.OK)}
        return {Verdict.NG, *others[self]}


@dataclass
class Predicted:
    """How many images got which verdict, where the results are, and what is to be said of the inputs."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    out: Path | None = None
    notes: list[str] = field(default_factory=list)
    parts: Counter[Verdict] | None = None  # verdict -> number of parts, where these are judged

    @property
    def decided(self) -> Mapping[Verdict, int]:
        """How many got which verdict of what the line decides on: parts where they are judged, else images."""
        return self.counts if self.parts is None else self.parts

    @property
    def measured(self) -> int:
        """Images that could be measured."""
        return sum(self.counts.values()) - self.counts[Verdict.ERROR]


def predict(
    model: Model | Joint, inputs: Sequence[Path], *,
    out: Path | None = None, heatmaps: Heatmaps | None = None, reference: Path | None = None,
    columns: Mapping[str, str] | None = None, group: str | None = None,
    writing: Writing | None = None, overwrite: bool = False, workers: int = 1,
    each: Callable[[Result], None] = lambda result: None,
    each_part: Callable[[PartResult], None] = lambda result: None,
    track: Track = untracked,
) -> Predicted:  # fmt: skip
    """Judge files and folders. Results come in the order of the images.

    Args:
        model: The loaded model.
        inputs: What `inputs.chosen` takes. A golden pattern looks at the name within the folder, as in `evaluate`.
        out: Gets results.csv, results.jsonl, report.html but of a joint model, and, with `heatmaps`, pictures.
        heatmaps: Write pictures of these to OUT/heatmaps; a row names its own.
        reference: A golden image, where the model compares with one and a table names none.
        columns: Renamed CSV columns.
        group: A regular expression that finds the part in a name: there is a verdict for each part, too, in parts.csv.
        writing: Writes results in a format of the field to OUT/NAME; a row names its own file.
        overwrite: Replace an earlier result in `out`.
        workers: Processes that judge images; 0 for as many as pay: `workers.number`.
        each: Called with every result.
        each_part: Called with that of every part, after all images.
        track: Shows progress.

    Raises:
        AnomalibLiteError: `out` holds an earlier result, or is needed and not given; nothing was found.
    """
    _refuse(out, heatmaps, writing, overwrite=overwrite)
    images, notes = chosen(inputs, model.opener, columns, group=group, compares=model.bundle.manifest.compares)
    by_parts, collected = parts.refuse(model, images, group), parts.Collected(model)
    done, root, shown = Predicted(out=out, notes=notes), common_root(images), heatmaps.verdicts if heatmaps else ()
    report, judging = _report(model, out), Workers(model, workers or number(len(images), model), bool(out))
    with result_folder.taken(out, overwrite=overwrite), judging, _rows(out, writing, by_parts) as writer, report:
        for one, seen in _seen(judging, images, reference, track):
            done.counts[seen.result.verdict] += 1
            picture = result_folder.place(out, one.path, root) if out and seen.result.verdict in shown else None
            more = [writing(seen, one.path, root, out) if out else None] if writing else []
            writer.write(seen.result, picture, *more, *([one.part] if by_parts else []))
            collected.add(one.part if by_parts else None, seen.result)
            _show(model, seen, out / picture if out and picture else None, report)
            each(seen.result)
        done.parts = collected.judged(out, each_part)
    return done


def _report(model: Model | Joint, out: Path | None) -> Inspected | nullcontext[None]:
    """What gathers a report; of a joint model there is none."""
    return nullcontext() if isinstance(model, Joint) else Inspected(model, out)


def _show(model: Model | Joint, seen: Seen, picture: Path | None, report: Inspected | nullcontext[None]) -> None:
    """A result in the report, and its heat map where it gets one."""
    if isinstance(report, Inspected):
        report.add(seen.result, seen.pixels)
    if picture and seen.pixels is not None:
        own = model.members[seen.result.member] if isinstance(model, Joint) else model
        write_heatmap(own, seen.result, seen.pixels, picture)


@contextmanager
def _rows(out: Path | None, writing: Writing | None, by_parts: bool) -> Iterator[ResultWriter]:
    """What rows are written to, with a column for each kind of file that they name, and for the part."""
    more = ["written"] if writing else []
    with ResultWriter(out, (result_folder.HEATMAP, *more, *([result_folder.PART] if by_parts else []))) as writer:
        yield writer
        if writing:
            writing.finish()


def _refuse(out: Path | None, heatmaps: Heatmaps | None, writing: Writing | None, *, overwrite: bool) -> None:
    """Raise where files would be written, and no folder is named, or one that may not be written to."""
    if out is None and (heatmaps or writing):
        option = "--heatmaps" if heatmaps else f"--write {writing.info.name}" if writing else ""
        raise ConfigError(f"{option} needs a folder to write to: add --out DIR.")
    result_folder.refuse_existing(out, overwrite=overwrite)


def _seen(
    judging: Workers, images: Sequence[Chosen], reference: Path | None, track: Track
) -> Iterator[tuple[Chosen, Seen]]:
    """The verdict on each image; the row is called by its path."""
    asked = (Asked(one.path, one.name, one.reference or reference, one.view) for one in images)
    for one, seen in zip(track(images, "inspecting"), judging.look(asked), strict=False):
        yield one, seen._replace(result=replace(seen.result, image=os.fspath(one.path)))
