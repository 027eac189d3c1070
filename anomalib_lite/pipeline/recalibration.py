"""The same bundle with another calibration: the graph is kept as it is, the report is written anew."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.scoring import Scored
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import FOLDER
from anomalib_lite.pipeline import record as manifests
from anomalib_lite.pipeline import selfcheck
from anomalib_lite.registry import Reader
from anomalib_lite.report import writing as reporting


def recalibrate(
    model: Model, calibration: Calibration, scored: Scored, readers: Mapping[str, Reader], out: Path
) -> Bundle:
    """Write a model with new thresholds.

    Args:
        model: The model as it was.
        calibration: The new one, with the old one in its history.
        scored: What it rests on.
        readers: What is installed; the manifest names those that read the images of this calibration, too.
        out: Where; replaced.

    Raises:
        ModelError: The disk does not take it.
    """
    before = model.bundle
    expected = selfcheck.judged_again(before.manifest.selfcheck, calibration.limits)
    manifest = before.manifest.recalibrated(
        calibration,
        images=scored.hashes,
        selfcheck=expected,
        readers=manifests.readers_of(scored.samples, readers),
    )
    replayed = {name for one in expected for name in one.files}
    kept = [
        name
        for name in before.manifest.files
        if name != "report.html" and (name in replayed or not name.startswith(f"{FOLDER}/"))
    ]
    files = {name: before.read(name) for name in kept}
    unwritten = Model(Bundle(out, manifest, "", files), readers=readers)
    files["report.html"] = reporting.training(unwritten, scored, _curve(files.get("training.csv", b"")), [])
    return bundle.write(out, manifest, files, overwrite=True)


def _curve(log: bytes) -> list[tuple[int, float]]:
    """(step, loss) of a training.csv."""
    rows = csv.DictReader(log.decode("utf-8").splitlines())
    return [(int(row["step"]), float(row["loss"])) for row in rows if row.get("step") and row.get("loss")]
