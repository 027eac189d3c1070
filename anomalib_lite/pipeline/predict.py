"""Judges files and folders."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.modelset import ModelSet
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.inputs import Chosen, chosen
from anomalib_lite.pipeline.saving import Heatmaps, Saving
from anomalib_lite.pipeline.shards import Shard
from anomalib_lite.pipeline.workers import Asked, Workers, number
from anomalib_lite.pipeline.written import Writing, nothing_written, refused

Track = Callable[[Iterable[Any], str], Iterator[Any]]  # passes items through and shows how far they are


def untracked(items: Iterable[Any], label: str) -> Iterator[Any]:
    """Pass items through."""
    return iter(items)


@dataclass
class Predicted:
    """How many images got which verdict, where the results are, and what is to be said of the inputs."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    out: Path | str | None = None
    notes: list[str] = field(default_factory=list)
    parts: Counter[Verdict] | None = None  # verdict -> number of parts, where these are judged
    unwritten: Sequence[str] = ()  # files and series of which a writer made nothing, and why

    @property
    def decided(self) -> Mapping[Verdict, int]:
        """How many got which verdict of what the line decides on: parts where they are judged, else images."""
        return self.counts if self.parts is None else self.parts

    @property
    def measured(self) -> int:
        """Images that could be measured."""
        return sum(self.counts.values()) - self.counts[Verdict.ERROR]


def predict(
    model: Model | Joint | ModelSet, inputs: Sequence[Path], *,
    out: Path | None = None, heatmaps: Heatmaps | None = None, reference: Path | None = None,
    columns: Mapping[str, str] | None = None, group: str | None = None,
    writing: Sequence[Writing] = (), overwrite: bool = False, workers: int = 1, track: Track = untracked,
    shard: Shard | None = None, copied: Collection[Verdict] = (),
    each: Callable[[Result], None] = lambda result: None,
    each_part: Callable[[PartResult], None] = lambda result: None,
) -> Predicted:  # fmt: skip
    """Judge files and folders. Results come in the order of the images.

    Args:
        model: The loaded model.
        inputs: What `inputs.chosen` takes. A golden pattern looks at the name within the folder, as in `evaluate`.
        out: Gets results.csv, results.jsonl, report.html and, with `heatmaps`, pictures.
        heatmaps: Write pictures of these to OUT/heatmaps; a row names its own.
        reference: A golden image, where the model compares with one and a table names none.
        columns: Renamed CSV columns.
        group: A regular expression that finds the part in a name: there is a verdict for each part, too, in parts.csv.
        writing: Write results in formats of the field, each to OUT/NAME; a row names its own files.
        overwrite: Replace an earlier result in `out`.
        workers: Processes that judge images; 0 for as many as pay: `workers.number`.
        shard: Judge this share alone; `merge` joins them.
        copied: Verdicts whose images are copied to OUT/copies, with what is said of them; nothing is written over.
        each: Called with every result.
        each_part: Called with that of every part, after all images.
        track: Shows progress.

    Raises:
        AnomalibLiteError: `out` holds an earlier result, or is needed and not given; nothing was found.
    """
    saving = Saving(model, out, heatmaps, writing, divided=shard is not None, copied=copied)
    saving.refuse(overwrite=overwrite)
    images, notes = chosen(inputs, model.opener, columns, group=group, compares=model.bundle.manifest.compares)
    saving.of(images, group, reference)
    done, mine = Predicted(out=out), list(enumerate(images)) if shard is None else shard.of(images)
    work = saving.work(images, group=group, columns=dict(columns or {}), reference=reference)
    judging = Workers(model, number(len(mine), model, workers), bool(out))
    with result_folder.taken(out, overwrite=overwrite), work.recorded(shard, out, len(mine)), judging, saving.begun():
        for (place, one), seen in zip(track(mine, "inspecting"), _seen(judging, mine, reference), strict=False):
            done.counts[seen.result.verdict] += 1
            saving.add(place, one, seen)
            each(seen.result)
        done.parts = saving.judged(each_part)
    return replace(done, notes=notes + nothing_written(writing), unwritten=refused(writing))  # with the last file's


def _seen(judging: Workers, images: Sequence[tuple[int, Chosen]], reference: Path | None) -> Iterator[Seen]:
    """The verdict on each image; the row is called by its path."""
    asked = (Asked(one.path, one.name, one.reference or reference, one.view, one.product) for _, one in images)
    for (_, one), seen in zip(images, judging.look(asked), strict=True):
        yield seen._replace(result=replace(seen.result, image=os.fspath(one.path)))
