"""Judges files and folders, one image after the other."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite.data import absolute, images_of
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.errors import ConfigError
from anomalib_lite.report import writing as reporting
from anomalib_lite.report.heatmaps import write_heatmap

Track = Callable[[Iterable[Any], str], Iterator[Any]]  # passes items through and shows how far they are


def untracked(items: Iterable[Any], label: str) -> Iterator[Any]:
    """Pass items through."""
    return iter(items)


@dataclass
class Predicted:
    """How many images got which verdict, and where the results are."""

    counts: dict[Verdict, int] = field(default_factory=lambda: dict.fromkeys(Verdict, 0))
    out: Path | None = None

    @property
    def measured(self) -> int:
        """Images that could be measured."""
        return sum(self.counts.values()) - self.counts[Verdict.ERROR]


def predict(
    model: Model,
    inputs: Sequence[Path],
    *,
    out: Path | None = None,
    heatmaps: bool = False,
    reference: Path | None = None,
    each: Callable[[Result], None] = lambda result: None,
    track: Track = untracked,
) -> Predicted:
    """Judge files and folders, one image after the other.

    Args:
        model: The loaded model.
        inputs: Image files, or folders searched for images. A golden pattern looks at the name within the folder, as it
            does in `calibrate` and `evaluate`; of a file, at the file's name.
        out: Gets results.csv, results.jsonl, report.html and, with `heatmaps`, a picture for each image.
        heatmaps: Write overlays to OUT/heatmaps.
        reference: A golden image, where the model compares with one.
        each: Called with every result.
        track: Shows progress.

    Raises:
        DataError: An input does not exist, or nothing was found.
    """
    if heatmaps and out is None:
        raise ConfigError("--heatmaps needs a folder to write to: add --out DIR.")
    images = [(path, name) for one in inputs for path, name in _named(one, model.opener)]
    done, root = Predicted(out=out), _root(inputs)
    with ResultWriter(out) as writer, reporting.Inspected(model, out) as report:
        for path, name in track(images, "inspecting"):
            seen = model.look(path, reference=reference, name=name)
            result = replace(seen.result, image=os.fspath(path))
            done.counts[result.verdict] += 1
            writer.write(result)
            report.add(result, seen.pixels)
            if heatmaps and out is not None:
                write_heatmap(model, result, seen.pixels, out / "heatmaps" / absolute(path).relative_to(root))
            each(result)
    return done


def _named(one: Path, opener: Opener) -> list[tuple[Path, str]]:
    """The images of an input, each with its name: that within the folder, or a file's own."""
    root = one if one.is_dir() else one.parent
    return [(path, path.relative_to(root).as_posix()) for path in images_of(one, opener)]


def _root(inputs: Sequence[Path]) -> Path:
    """The folder that all inputs lie in, absolute and without '..'; links are kept as they are."""
    return Path(os.path.commonpath([absolute(one if one.is_dir() else one.parent) for one in inputs]))
