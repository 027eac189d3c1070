"""The same in Python: train, load, evaluate."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict, Unpack

from anomalib_lite import registry
from anomalib_lite.data import Folders
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.evaluate import evaluate as run_evaluation
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

PathLike = str | os.PathLike[str]


class DataOptions(TypedDict, total=False):
    r"""What is said of a data set beside its files.

    group: Regular expression whose first capture is the physical part: r"part(\d+)".
    columns: Renamed CSV columns: {"group": "board"}.
    good: Folders of good images, where their names do not say so.
    defective: Folders of defective images: they are not trained on.
    all_good: All images are good, whatever folders they lie in.
    """

    group: str | None
    columns: Mapping[str, str]
    good: Sequence[str]
    defective: Sequence[str]
    all_good: bool


def train(
    detector: str,
    data: PathLike,
    *,
    out: PathLike,
    config: PathLike | None = None,
    settings: Mapping[str, Any] | None = None,
    golden: Sequence[PathLike] = (),
    golden_pattern: str | None = None,
    carry: Literal["training", "all"] = "training",
    simulate: int | None = None,
    session: str | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
    **described: Unpack[DataOptions],
) -> Model:
    r"""Learn from good images and certify the thresholds.

    Args:
        detector: Name of a detector: `anomalib-lite plugins list`.
        data: A folder of images, a folder in the MVTec layout, or a CSV file.
        out: The model to write, a folder.
        config: A YAML file.
        settings: Dotted options to values, over the file: {"training.minutes": 2, "score.sigma": 4}.
        golden: Golden images to compare with, where the data names none; of several, the smallest change counts.
        golden_pattern: Regular expression: only golden images whose name gives the same first capture are compared.
        carry: Which golden images of `data` travel with the model: those of training images, or all.
        simulate: `data` holds golden images alone: simulate as many inspections of each.
        session: Regular expression whose first capture is the session: the day, lot or camera.
        overwrite: Replace `out`.
        resume: Continue an interrupted training.
        progress: Show on standard error what is being done, and how far it is.
        described: See `DataOptions`.

    Raises:
        AnomalibLiteError: What is wrong and what to do about it.
    """
    said = {"golden_pattern": golden_pattern, "carry": carry, "simulate": simulate, "session": session}
    files = {"data": Path(data), "out": Path(out), "config": None if config is None else Path(config)}
    goldens = [Path(one) for one in golden]
    asked: dict[str, Any] = {**said, **_described(described), **files, "overrides": dict(settings or {})}
    asked |= {"overwrite": overwrite, "resume": resume, "show_progress": progress}
    run_training(Request(detector=detector, golden=goldens, **asked), say=_say if progress else lambda message: None)
    return load(out)


def _say(message: str) -> None:
    """One line on standard error, beside the bars."""
    sys.stderr.write(f"{message}\n")


def load(path: PathLike, *, provider: str = "cpu", threads: int = 0) -> Model:
    """A trained model, ready to `inspect`, with the readers of installed plugins. See `anomalib_lite.edge.Model`."""
    return Model(path, provider=provider, threads=threads, readers=registry.load().readers)


def evaluate(
    model: Model | PathLike,
    data: PathLike,
    *,
    out: PathLike | None = None,
    overwrite: bool = False,
    **described: Unpack[DataOptions],
) -> Mapping[str, Any]:
    """The metrics of a model on labelled images, as in metrics.json. See `anomalib_lite.pipeline.evaluate`."""
    loaded = model if isinstance(model, Model) else load(model)
    where = None if out is None else Path(out)
    return run_evaluation(loaded, Path(data), out=where, overwrite=overwrite, **_described(described)).metrics


def _described(options: DataOptions) -> dict[str, Any]:
    """The same, as the pipeline takes it."""
    folders = Folders(options.get("good", ()), options.get("defective", ()), options.get("all_good", False))
    return {"group": options.get("group"), "columns": options.get("columns") or {}, "folders": folders}
