"""Certifies new thresholds for a trained model, from good images that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from anomalib_lite import registry
from anomalib_lite.calibration import CalibrationRequest, Exclusion
from anomalib_lite.calibration import calibrate as calibrate_scores
from anomalib_lite.calibration.scoring import score
from anomalib_lite.data import find, training_samples
from anomalib_lite.data.independence import refuse_dependent
from anomalib_lite.edge import bundle
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.predict import Watch, _unwatched
from anomalib_lite.pipeline.recalibration import recalibrate
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Registry


def calibrate(
    model: Path,
    data: Path,
    *,
    out: Path | None = None,
    max_false_reject: float | None = None,
    confidence: float | None = None,
    review: float | None = None,
    exclusions: Sequence[Exclusion] = (),
    group: str | None = None,
    columns: Mapping[str, str] | None = None,
    overwrite: bool = False,
    plugins: Registry | None = None,
    watch: Watch = _unwatched,
) -> Trained:
    """New thresholds for a trained model, from good images that it has not seen. The graph is not touched.

    Args:
        model: The bundle.
        data: Good images.
        out: The new bundle; default: the same place.
        max_false_reject: Default: as in the last calibration.
        confidence: Default: as in the last calibration.
        review: Default: max(5 %, 5 x max_false_reject).
        exclusions: Images left out, and why; recorded.
        group: Regular expression for the physical part.
        columns: Renamed CSV columns.
        overwrite: Replace `out`.
        plugins: What is installed, where that was loaded already.
        watch: Shows progress.

    Raises:
        DataError: The model was fitted on some of these images or parts, their parts are not known while those of the
            training are, an image is there twice, or none is usable.
    """
    installed = (plugins or registry.load()).readers
    loaded = Model(model, readers=installed)
    if out is not None:
        bundle.refuse_existing(out, overwrite=overwrite)
    dataset = find(data, group=group, columns=columns or {}, readers=loaded.readers)
    samples = training_samples(dataset)
    scored = score(
        loaded.runtime,
        watch(samples, "measuring"),
        loaded.goldens,
        readers=loaded.readers,
        refuse=refuse_dependent(loaded.bundle.manifest.data, dataset),
    )
    before = loaded.bundle.manifest.calibration
    calibration = calibrate_scores(
        scored.images,
        CalibrationRequest(
            max_false_reject=max_false_reject or before.reject.asked,
            confidence=confidence or before.confidence,
            review=review,
        ),
        grouped=dataset.grouped,
        errors=len(scored.errors),
        exclusions=exclusions,
        history=before.as_history(),
    )
    scored = scored.without({one.image for one in exclusions})
    written = recalibrate(loaded, calibration, scored, installed, out or model)
    return Trained(written, calibration, scored.errors)
