"""Trains and evaluates several detectors on one data set, and says which to take."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite import registry
from anomalib_lite.data import Folders, absolute, evaluation_samples, find
from anomalib_lite.data.samples import GOOD
from anomalib_lite.edge import disk
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import Engine, Local
from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError
from anomalib_lite.metrics.ranking import Rank, ranked
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.train import Say, train
from anomalib_lite.pipeline.train_many import bugs_of
from anomalib_lite.registry import Registry
from anomalib_lite.report.comparison import Line, write
from anomalib_lite.training import partial
from anomalib_lite.training.request import Request

ASKED, TABLE, REPORT = "asked.json", "comparison.json", "report.html"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What `compare` is asked, as the command line gives it."""

    data: Path
    out: Path
    detectors: Sequence[str]
    settings: Sequence[str] = ()  # for all of them
    overrides: Mapping[str, Any] = field(default_factory=dict)  # such as training.minutes, for each of them
    group: str | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    folders: Folders = field(default_factory=Folders)

    def to_json(self) -> dict[str, Any]:
        """What must be the same for a comparison to go on; detectors may be added."""
        named = {"settings": list(self.settings), "overrides": dict(self.overrides), "group": self.group}
        return named | {"data": self.data.resolve().name, "columns": dict(self.columns)}


@dataclass(frozen=True)
class Compared:
    """What came of each detector, the best first; those that failed with the reason."""

    lines: list[Line]
    failed: dict[str, str]
    advice: str


@dataclass(frozen=True)
class _Work:
    """What is asked of each detector, and what tells how far it is: beside each other, nothing does."""

    asked: Comparison
    threads: int
    say: Say
    track: Track


def _unheard(line: str) -> None:
    """Nobody is told."""


def compare(
    asked: Comparison, *, engine: Engine | None = None, threads: int = 0, plugins: Registry | None = None, say: Say,
    track: Track = untracked,
) -> Compared:  # fmt: skip
    """Train each detector on the same images, and evaluate it on the same others. Goes on where it was interrupted.

    Args:
        asked: What is asked.
        engine: Where detectors are trained and measured; None for one after the other, in this process.
        threads: That one image is measured with; 0 leaves it to onnxruntime.
        plugins: What is installed, where that was loaded already.
        say: Gets a line at each stage.
        track: Shows progress.

    Raises:
        ConfigError: Fewer than two detectors, one is unknown, or another comparison lies in `out`.
        DataError: There are no labelled images to evaluate on.
        AnomalibLiteError: No detector could be trained: the reason of the first.
    """
    installed = plugins or registry.load()
    names = [installed.detector(name).name for name in dict.fromkeys(asked.detectors)]
    if len(names) < 2:
        raise ConfigError("a comparison is of two detectors at least: --detectors draem,neighbours.")
    _refuse_unlabelled(asked, installed)
    _enter(asked)
    found: dict[str, dict[str, Any]] = {}
    failed: dict[str, AnomalibLiteError] = {}
    work = _Work(asked, threads, say, track)
    if engine is not None:
        there = replace(asked, data=absolute(asked.data), out=absolute(asked.out))
        work = _Work(there, threads, _unheard, untracked)
    for name, outcome in (engine or Local()).each(_measured, work, names):
        if isinstance(outcome, AnomalibLiteError):
            failed[name] = outcome
        else:
            found[name] = outcome
        say(f"{name}: {failed.get(name, 'measured')}")
    if not found:
        raise next(iter(failed.values()))
    done = {name: found[name] for name in names if name in found}  # in their order, whichever ended first
    ranks = ranked({name: _rows(asked.out / name) for name in done})
    lines = [Line(rank, done[rank.name]["metrics"], done[rank.name]["seconds"]) for rank in ranks]
    compared = Compared(lines, {name: str(error) for name, error in failed.items()}, _advice(ranks))
    _write(asked, compared)
    return compared


def _refuse_unlabelled(asked: Comparison, plugins: Registry) -> None:
    """Raise before hours of training where nothing could be compared after them."""
    dataset = find(
        asked.data, group=asked.group, columns=asked.columns, folders=asked.folders, opener=Opener(plugins.readers)
    )
    labels = {sample.label for sample in evaluation_samples(dataset)}
    if GOOD not in labels or len(labels) < 2:
        raise DataError(f"{asked.data}: comparing needs labelled test images, good ones and defective ones.")


def _enter(asked: Comparison) -> None:
    """Make the folder, or enter that of the same comparison."""
    file, wanted = asked.out / ASKED, asked.to_json()
    if file.is_file():
        before = json.loads(file.read_bytes())
        changed = sorted(key for key in wanted if before.get(key) != wanted[key])
        if changed:
            raise ConfigError(
                f"{asked.out} holds a comparison with another {' and '.join(changed)}: give the same command, or "
                "another --out."
            )
        return
    if asked.out.exists() and any(asked.out.iterdir()):
        raise ConfigError(f"{asked.out} is not empty, and holds no comparison: choose another --out.")
    try:
        asked.out.mkdir(parents=True, exist_ok=True)
        disk.write(file, json.dumps(wanted, indent=1).encode())
    except OSError as error:
        raise ConfigError(f"{asked.out} cannot be written ({error.strerror}): choose another --out.") from error


def _measured(work: _Work, name: str) -> dict[str, Any]:
    """Metrics of a detector, and how long its training took; from the folder where they are there already.

    Raises:
        AnomalibLiteError: It cannot be trained or measured, wherever this runs.
    """
    asked, place = work.asked, work.asked.out / name
    model, evaluation, record = place / "model", place / "evaluation", place / "seconds.json"
    if not asked.out.is_dir():
        raise ConfigError(f"{asked.out} is not there on this machine: give an --out that all machines share.")
    with bugs_of(name):
        if not record.is_file():
            begun = time.monotonic()
            work.say(f"{name}: training")
            _trained(work, name, model)
            disk.write(record, json.dumps({"training": time.monotonic() - begun}).encode())
        if not (evaluation / "metrics.json").is_file():
            work.say(f"{name}: evaluating")
            evaluate(
                Model(model, threads=work.threads, readers=registry.load().readers),
                asked.data,
                out=evaluation,
                group=asked.group,
                columns=asked.columns,
                folders=asked.folders,
                overwrite=True,
                track=work.track,
            )
    seconds = json.loads(record.read_bytes())["training"]
    return {"metrics": json.loads((evaluation / "metrics.json").read_bytes()), "seconds": seconds}


def _trained(work: _Work, name: str, model: Path) -> None:
    asked, started = work.asked, partial.folder(model).exists()
    request = Request(
        detector=name,
        data=asked.data,
        out=model,
        settings=asked.settings,
        overrides=asked.overrides,
        group=asked.group,
        columns=asked.columns,
        folders=asked.folders,
        threads=work.threads,
        resume=started,
        overwrite=not started,
    )
    train(request, plugins=registry.load(), say=lambda line: work.say(f"{name}: {line}"))


def _rows(place: Path) -> list[Mapping[str, Any]]:
    lines = (place / "evaluation" / "results.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def _advice(ranks: Sequence[Rank]) -> str:
    best, *others = ranks
    alike = [one.name for one in others if one.may_be_best]
    if not others:
        return f"Only {best.name} could be measured."
    if not alike:
        return f"Take {best.name}: the others find less, beyond what these images leave to chance."
    names = " and ".join([", ".join(alike[:-1]), alike[-1]] if len(alike) > 1 else alike)
    return (
        f"{best.name} has the highest AUROC, and these images do not tell {names} from it: take what is quicker or "
        "smaller, or add test images of other parts."
    )


def _write(asked: Comparison, compared: Compared) -> None:
    table = {
        "advice": compared.advice,
        "failed": compared.failed,
        "detectors": [one.to_json() for one in compared.lines],
    }
    try:
        disk.write(asked.out / TABLE, json.dumps(table, indent=1, allow_nan=False).encode() + b"\n")
        write(asked.out / REPORT, asked.data.name, compared.lines, compared.failed, compared.advice)
    except OSError as error:
        raise DataError(
            f"{asked.out} cannot be written ({error.strerror}). Make room, and repeat the command."
        ) from error
