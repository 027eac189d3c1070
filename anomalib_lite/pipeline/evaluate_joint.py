"""Measures a joint model on labelled parts, and beside it each of its members. Nothing is tuned."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.data import DataSet, Folders, Sample, evaluation_samples, find
from anomalib_lite.data.independence import overlap_notes
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Seen
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import ResultWriter
from anomalib_lite.errors import DataError
from anomalib_lite.metrics.bootstrap import auroc_interval
from anomalib_lite.metrics.scores import auroc
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.evaluate import WARNING, defective_parts, write_metrics
from anomalib_lite.pipeline.looking import Judging
from anomalib_lite.pipeline.parts import Collected
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.workers import Asked, Workers, number
from anomalib_lite.report.joint import InspectedParts

GOOD = "good"


@dataclass(frozen=True)
class EvaluatedParts:
    """Metrics of a joint model on labelled parts, and what must be known to read them."""

    parts: int
    metrics: Mapping[str, Any]
    notes: list[str]
    out: Path | None
    errors: list[tuple[str, str]]  # parts that could not be measured: name, reason

    @property
    def measured(self) -> int:
        """Parts that could be measured."""
        return self.parts - len(self.errors)


def evaluate(
    joint: Joint,
    data: Path,
    *,
    out: Path | None = None,
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    folders: Folders | None = None,
    overwrite: bool = False,
    workers: int = 1,
    judging: Judging | None = None,
    track: Track = untracked,
) -> EvaluatedParts:
    """Measure a joint model. A part is defective where any photograph of it is labelled so.

    Args:
        joint: The loaded model.
        data: A data set with labels and parts; its test split where it has splits.
        out: Gets metrics.json, results.csv and results.jsonl of photographs, parts.csv and report.html.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        folders: Which folders hold good images and which defective ones, where their names do not say so.
        overwrite: Replace an earlier result in `out`.
        workers: Processes that judge images; 0 for as many as pay: `workers.number`.
        judging: What judges them in place of these processes.
        track: Shows progress.

    Raises:
        ConfigError: `out` holds an earlier result.
        DataError: No labelled images, or their parts are not known.
    """
    result_folder.refuse_existing(out, overwrite=overwrite)
    dataset = find(data, group=group, columns=columns or {}, folders=folders, opener=joint.opener)
    samples = evaluation_samples(dataset)
    result_folder.refuse_own(out, (path for one in samples for path in (one.path, one.reference)))
    if not dataset.grouped:
        raise DataError(
            f"{data}: a joint model decides on parts, and nothing says which photographs show one part: give --group "
            "REGEX, or a column 'group'."
        )
    asked = [Asked(one.path, one.name, one.reference, one.view) for one in samples]
    judging = judging or Workers(joint, number(len(samples), joint, workers), whole=out is not None)
    with result_folder.taken(out, overwrite=overwrite), judging:
        return _measured(joint, dataset, samples, judging.look(track(asked, "evaluating")), out)


def _measured(
    joint: Joint, dataset: DataSet, samples: Sequence[Sample], looks: Iterable[Seen], out: Path | None
) -> EvaluatedParts:
    """The metrics of these samples; rows and metrics are written."""
    collected, hashes, judged, kinds = Collected(joint), list[str](), list[PartResult](), _kinds(samples)
    with InspectedParts(joint, out) as report:
        with ResultWriter(out, (result_folder.LABEL, result_folder.PART)) as writer:
            for sample, seen in zip(samples, looks, strict=True):
                hashes.append(seen.result.sha256)
                collected.add(sample.group, seen.result)
                writer.write(seen.result, sample.label, sample.group)
                report.add(seen.result, seen.pixels, sample.label)
        collected.judged(out, judged.append)
        for one in judged:
            report.add_part(one, kinds[one.part])
    metrics = _metrics(judged, samples, collected)
    notes = [*dataset.notes, *_overlaps(joint, samples, hashes, dataset)]
    told = {"warnings": [one.removeprefix(WARNING) for one in notes if one.startswith(WARNING)]}
    metrics |= told | {"model_id": joint.model_id, "statement": list(joint.bundle.manifest.calibration.statement)}
    write_metrics(out, metrics)
    errors = [(one.part, one.error) for one in judged if one.error is not None]
    return EvaluatedParts(len(judged), metrics, notes, out, errors)


def _metrics(judged: Sequence[PartResult], samples: Sequence[Sample], collected: Collected) -> dict[str, Any]:
    """The object of metrics.json."""
    kind = _kinds(samples)
    measured = [one for one in judged if one.verdict is not Verdict.ERROR]
    good = [one for one in measured if kind[one.part] == GOOD]
    kinds = sorted(set(kind.values()) - {GOOD})
    by_kind = {name: [one for one in measured if kind[one.part] == name] for name in kinds}
    bad = [one for some in by_kind.values() for one in some]
    rates = collected.rates(defective_parts(samples))
    rates.pop("decided_by")
    return {
        "parts": len(judged),
        "good": len(good),
        **_against(good, bad),
        "part_auroc_interval": _interval(good, bad),
        "per_kind": {name: _against(good, some) for name, some in by_kind.items()},
        **rates,
    }


def _kinds(samples: Sequence[Sample]) -> dict[str, str]:
    """Part -> the kind of its defect; good where no photograph shows one."""
    kinds = dict.fromkeys((sample.group for sample in samples), GOOD)
    return kinds | {sample.group: sample.label or "" for sample in samples if not sample.is_good}


def _against(good: Sequence[PartResult], bad: Sequence[PartResult]) -> dict[str, Any]:
    """How well defective parts are told from good ones: by the joint score, and by what each member says alone."""
    names = list(dict.fromkeys(name for one in (*good, *bad) for name in one.members))
    halves = ([[one.members[name] for one in half if name in one.members] for half in (good, bad)] for name in names)
    alone = {name: auroc(*half) for name, half in zip(names, halves, strict=True)}
    return {"n": len(bad), "part_auroc": auroc(_scores(good), _scores(bad)), "alone": alone}


def _interval(good: Sequence[PartResult], bad: Sequence[PartResult]) -> dict[str, Any] | None:
    found = auroc_interval(*((_scores(half), [one.part for one in half]) for half in (good, bad)))
    return None if found is None else found.to_json() | {"unit": "group"}


def _scores(parts: Sequence[PartResult]) -> list[float]:
    return [one.score for one in parts if one.score is not None]


def _overlaps(joint: Joint, samples: Sequence[Sample], hashes: Sequence[str], dataset: DataSet) -> list[str]:
    """Where the figures are not independent of the trainings and of the calibration."""
    said = [
        note.replace(WARNING, f"{WARNING}'{name}': ", 1)
        for name, model in joint.members.items()
        for note in overlap_notes(model.bundle.manifest.data, samples, hashes, dataset)
    ]
    known = {sample.group for sample in samples} & joint.bundle.manifest.parts.keys()
    if known:
        said.append(f"{WARNING}{len(known)} of these parts set the thresholds: they say nothing of new ones")
    return said
