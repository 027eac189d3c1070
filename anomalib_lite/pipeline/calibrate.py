"""Certifies new thresholds for a trained model, from good images that it has not seen. The graph is not touched."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_lite import registry
from anomalib_lite.calibration import Calibration, Exclusion
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.scoring import Scored, score
from anomalib_lite.config import Rates
from anomalib_lite.data import DataSet, find, training_samples
from anomalib_lite.data.independence import refuse_dependent
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.record import readers_of
from anomalib_lite.pipeline.selfcheck import judged_again
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Reader, Registry
from anomalib_lite.report import writing as reporting


@dataclass(frozen=True, kw_only=True)
class Recalibration:
    """What `calibrate` is asked, as the command line gives it."""

    model: Path
    data: Path  # good images
    out: Path | None = None  # the new bundle; default: the same place
    max_false_reject: float | None = None  # default: as in the last calibration
    confidence: float | None = None  # default: as in the last calibration
    review: float | None = None  # default: that of `config.Rates`
    exclusions: Sequence[Exclusion] = ()  # images left out, and why; recorded
    group: str | None = None  # regular expression for the physical part
    columns: Mapping[str, str] = field(default_factory=dict)  # renamed CSV columns
    overwrite: bool = False

    def rates(self, before: Calibration) -> Rates:
        """What is asked of the thresholds, given the last calibration.

        Raises:
            ConfigError: A value outside its range, or review below max_false_reject.
        """
        rejected = before.reject.asked if self.max_false_reject is None else self.max_false_reject
        return Rates.of(rejected, before.confidence if self.confidence is None else self.confidence, self.review)


def calibrate(asked: Recalibration, *, plugins: Registry | None = None, track: Track = untracked) -> Trained:
    """New thresholds for a trained model.

    Args:
        asked: What is asked.
        plugins: What is installed, where that was loaded already.
        track: Shows progress.

    Raises:
        DataError: The model was fitted on some of these images or parts, their parts are not known while those of the
            training are, an image is there twice, or none is usable.
    """
    installed = (plugins or registry.load()).readers
    model = Model(asked.model, readers=installed)
    before = model.bundle.manifest.calibration
    rates = asked.rates(before)
    if asked.out is not None:
        bundle.refuse_existing(asked.out, overwrite=asked.overwrite)
    dataset = find(asked.data, group=asked.group, columns=asked.columns, opener=model.opener)
    scored = _measured(model, dataset, track)
    calibration = calibrate_scores(
        scored.images,
        rates,
        grouped=dataset.grouped,
        errors=len(scored.errors),
        exclusions=asked.exclusions,
        history=before.as_history(),
    )
    scored = scored.without({one.image for one in asked.exclusions})
    written = _write(model, calibration, scored, installed, asked.out or asked.model)
    return Trained(written, calibration, scored.errors)


def _measured(model: Model, dataset: DataSet, track: Track) -> Scored:
    refuse = refuse_dependent(model.bundle.manifest.data, dataset)
    return score(model.runtime, track(training_samples(dataset), "measuring"), model.intake, refuse=refuse)


def _write(model: Model, calibration: Calibration, scored: Scored, readers: Mapping[str, Reader], out: Path) -> Bundle:
    """The same bundle with another calibration and a new report."""
    before = model.bundle
    expected = judged_again(before.manifest.selfcheck, calibration.limits)
    samples = [image.sample for image in scored.images]
    manifest = before.manifest.recalibrated(
        calibration, images=scored.hashes, selfcheck=expected, readers=readers_of(samples, readers)
    )
    replayed = {name for one in expected for name in one.files}
    files = {
        name: before.read(name)
        for name in before.manifest.files
        if name != "report.html" and (name in replayed or not name.startswith(f"{FOLDER}/"))
    }
    unwritten = Model.around(Bundle(out, manifest, "", files), model.intake, model.runtime)
    files["report.html"] = reporting.training(unwritten, scored, _curve(files.get("training.csv", b"")), [])
    return bundle.write(out, manifest, files, overwrite=True)


def _curve(log: bytes) -> list[tuple[int, float]]:
    """(step, loss) of a training.csv."""
    rows = csv.DictReader(log.decode("utf-8").splitlines())
    return [(int(row["step"]), float(row["loss"])) for row in rows if row.get("step") and row.get("loss")]
