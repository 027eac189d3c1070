"""Follows results that were written for drift, draws it, and certifies what people decided on some of them."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from pathlib import Path

from anomalib_lite.edge import bundle, disk
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.drift import ALARM, Drift
from anomalib_lite.edge.following import Following, pattern
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.decisions import Live, certified, read
from anomalib_lite.report.drift import drawn
from anomalib_lite.review.results import Rows


@dataclass(frozen=True, eq=False)
class Monitored:
    """What became of the scores."""

    drift: Drift
    rows: int
    notes: list[str]
    live: Live | None = None  # what decisions of people say of the bound
    limit: float = ALARM


def monitor(
    results: Path,
    *,
    model: Path | None = None,
    group: str | None = None,
    decisions: Path | None = None,
    out: Path | None = None,
    overwrite: bool = False,
) -> Monitored:
    """Rank the scores of results among those before them.

    Args:
        results: A folder with results.jsonl, or such a file.
        model: The bundle that judged them; None to compare them among themselves.
        group: A regular expression for the part in the name of an image.
        decisions: What people say of images, as `decisions.read` takes it; needs `model`.
        out: Gets a page with a chart.
        overwrite: Replace it.

    Raises:
        DataError: There are no results, a line is none, or none is of the model; or there are no decisions.
        ConfigError: `group` is no such expression, the model does not tell what drift would be, decisions come without
            a model or for one that decides once for a part, or `out` exists.
    """
    if out is not None and out.exists() and not overwrite:
        raise ConfigError(f"{out} exists. Choose another --out, or replace it with --overwrite.")
    if decisions is not None and model is None:
        raise ConfigError("--decisions: what they are compared with is the bound of a model: give --model MODEL, too.")
    decided = read(decisions) if decisions is not None else None
    rows = Rows(results)
    loaded = bundle.load(model) if model is not None else None
    following = _following(loaded, group, rows, results)
    if following.why_not:
        raise ConfigError(f"{model}: {following.why_not}.")
    scores, money, told = _followed(following, rows, results)
    if model is None:
        told.append("compared among themselves: give --model to see a change from the first part on")
    live = None
    if loaded is not None and decided is not None:
        live, notes = certified(rows, decided, following, loaded.manifest.calibration)
        told += [*notes, *live.sentences()]
    if out is not None:
        _write(out, drawn(results.name, following.drift, scores, money, told))
    return Monitored(following.drift, rows.count, told, live)


def _followed(following: Following, rows: Rows, results: Path) -> tuple[array[float], array[float], list[str]]:
    """The scores of the parts that count, the money after each, and notes on what does not.

    Raises:
        DataError: None counts.
    """
    scores, money, drift, others = array("d"), array("d"), following.drift, 0
    for row in rows:
        before = drift.parts
        following.add(row)
        others += not following.counts(row)
        if drift.parts > before:
            scores.append(row["score"])
            money.append(drift.value)
    if not scores:
        raise DataError(
            f"{results}: no row of model {following.model_id} has a score. Give the model that judged them."
        )
    return scores, money, [f"{others:,} rows of other models are passed over"] if others else []


def _following(loaded: Bundle | None, group: str | None, rows: Rows, results: Path) -> Following:
    if loaded is not None:
        return Following.of(loaded.manifest, loaded.model_id, group)
    last = ""
    for row in rows:
        last = str(row.get("model_id") or last)
    if not last:
        raise DataError(f"{results}: no row names a model. Expected result rows, as `predict --out` writes them.")
    return Following(last, Drift((), last), pattern(group))


def _write(out: Path, page: bytes) -> None:
    try:
        disk.write(out, page)
    except OSError as error:
        raise DataError(f"{out}: cannot be written ({error.strerror}). Make room or choose another --out.") from error
