"""Writes down what a model is: the manifest of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.scoring import Scored
from anomalib_lite.data import Sample
from anomalib_lite.edge.golden.goldens import FOLDER
from anomalib_lite.edge.images.readers import suffix_of
from anomalib_lite.edge.intake import ROI
from anomalib_lite.edge.manifest import (
    DataRecord,
    DetectorRecord,
    Expected,
    FramingRecord,
    GoldenRecord,
    GraphRecord,
    Manifest,
    ReaderRecord,
    TrainingRecord,
    now,
)
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import Provider
from anomalib_lite.version import __version__

if TYPE_CHECKING:
    from anomalib_lite.registry import Reader
    from anomalib_lite.training.fitting import Fitted
    from anomalib_lite.training.plan import Plan


def describe(
    plan: Plan, fitted: Fitted, scored: Scored, calibration: Calibration, selfcheck: Sequence[Expected]
) -> Manifest:
    """The manifest of a newly trained model.

    Args:
        plan: What was asked for.
        fitted: What came out.
        scored: What the thresholds rest on.
        calibration: The thresholds.
        selfcheck: The images for `verify`.
    """
    config = plan.config.model_dump(mode="json")
    config["options"] = plan.options.model_dump(mode="json")
    goldens = plan.goldens
    return Manifest(
        created=now(),
        created_with=__version__,
        detector=replace(
            _detector(plan.info, plan.provider), members=tuple(_detector(*member) for member in plan.members)
        ),
        config=config,
        image=plan.intake.framing.spec,
        framing=_framing(plan),
        graph=GraphRecord(fitted.inputs, fitted.parity),
        training=TrainingRecord(fitted.steps, fitted.device, len(plan.survey.fingerprint(plan.fit))),
        calibration=calibration,
        data=_data(plan, scored),
        selfcheck=tuple(selfcheck),
        reference=None
        if goldens is None
        else GoldenRecord(tuple(f"{FOLDER}/{name}" for name in goldens.names), goldens.pattern),
        readers=tuple(readers_of([*plan.fit, *plan.held_out], plan.readers, goldens.names if goldens else ())),
    )


def _detector(info: DetectorInfo, provider: Provider) -> DetectorRecord:
    return DetectorRecord(
        name=info.name,
        summary=info.summary,
        plugin=provider.package,
        version=provider.version,
        paper=info.paper,
        weights=info.weights,
    )


def _framing(plan: Plan) -> FramingRecord:
    framing = plan.intake.framing
    return FramingRecord(
        mode=framing.mode,
        overlap=framing.overlap,
        convert=framing.convert,
        roi=None if plan.region is None else ROI,
        align=framing.align,
        masked=framing.masked,
        max_pixels=plan.intake.opener.limits.pixels,
    )


def _data(plan: Plan, scored: Scored) -> DataRecord:
    dataset = plan.dataset
    return DataRecord(
        root=dataset.root.name,
        layout=dataset.layout,
        images=len(dataset.samples),
        grouped=dataset.grouped,
        groups=len({sample.group for sample in dataset.samples}),
        fit=plan.survey.fingerprint(plan.fit),
        simulated=plan.simulated,
        unreadable=tuple(plan.survey.unreadable),
        calibrated=scored.hashes,
        held_out=scored.record,
    )


def readers_of(
    samples: Iterable[Sample], readers: Mapping[str, Reader], goldens: Iterable[str] = ()
) -> list[ReaderRecord]:
    """Who reads these samples and golden images, where the host does not: for messages, never to be imported."""
    names = [path.name for sample in samples for path in (sample.path, sample.reference) if path is not None]
    used = sorted({suffix for name in (*names, *goldens) if (suffix := suffix_of(name, readers))})
    found = [(suffix, readers[suffix].provider) for suffix in used]
    return [ReaderRecord(suffix, one.package, one.version) for suffix, one in found]
