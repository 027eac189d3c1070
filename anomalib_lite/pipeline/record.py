"""Writes down what a model is: the manifest of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.scoring import Scored
from anomalib_lite.config import RegionsConfig
from anomalib_lite.data import Sample
from anomalib_lite.data.goldens import distinct
from anomalib_lite.edge.golden.goldens import FOLDER
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import whole
from anomalib_lite.edge.intake import ROI
from anomalib_lite.edge.manifest import (
    DataRecord,
    DetectorRecord,
    EvidenceRecord,
    Expected,
    FramingRecord,
    GateRecord,
    GoldenRecord,
    GraphRecord,
    Manifest,
    Range,
    ReaderRecord,
    RegionsRecord,
    TrainingRecord,
    now,
)
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import Provider, Reader
from anomalib_lite.version import __version__

if TYPE_CHECKING:
    from anomalib_lite.training.fitting import Fitted
    from anomalib_lite.training.plan import Plan


def describe(
    plan: Plan,
    fitted: Fitted,
    scored: Scored,
    calibration: Calibration,
    selfcheck: Sequence[Expected],
    gate: GateRecord,
    evidence: EvidenceRecord,
) -> Manifest:
    """The manifest of a newly trained model.

    Args:
        plan: What was asked for.
        fitted: What came out.
        scored: What the thresholds rest on.
        calibration: The thresholds.
        selfcheck: The images for `verify`.
        gate: What is not judged.
        evidence: What it finds of planted defects.
    """
    config = plan.config.model_dump(mode="json") | {"options": plan.options.model_dump(mode="json")}
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
        evidence=evidence,
        reference=_reference(plan),
        readers=tuple(readers_of([*plan.fit, *plan.held_out], plan.intake.opener, goldens.names if goldens else ())),
        guards=_guards(plan),
        gate=gate,
        regions=_regions(plan.config.regions),
    )


def _regions(asked: RegionsConfig) -> RegionsRecord:
    return RegionsRecord(asked.margin, asked.merge, asked.least_pixels, asked.mm_per_pixel or 0.0)


def _reference(plan: Plan) -> GoldenRecord | None:
    """The golden images that travel with the model, where it compares."""
    if plan.goldens is None:
        return None
    files = tuple(f"{FOLDER}/{name}" for name in plan.goldens.names)
    masks = tuple(name for name in plan.goldens.files if name not in files)
    return GoldenRecord(files, plan.goldens.pattern, masks, plan.goldens.corners)


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
        pose=framing.pose,
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


def _guards(plan: Plan) -> dict[str, tuple[Range | Any, ...]]:
    """What the files of the training say of what their readers guard; None among it where some say nothing.

    Golden images are guarded as the others are, so what theirs say counts, too; simulated images say nothing.
    """
    samples, opener = [*plan.fit, *plan.held_out], plan.intake.opener
    goldens = distinct([*plan.request.golden, *(sample.reference for sample in samples)])
    images = [] if plan.simulated else [sample.path for sample in samples]
    used = {suffix for path in (*images, *goldens) if (suffix := opener.suffix_at(path))}
    keys = dict.fromkeys(key for suffix in sorted(used) for key in whole(opener.readers[suffix]).guards)
    metas = [plan.survey.facts[path].meta for path in images]
    if keys:
        metas += [opener.read(path).meta for path in goldens]
    return {key: _guarded([meta.get(key) for meta in metas]) for key in keys}


def _guarded(values: Sequence[Any]) -> tuple[Range | Any, ...]:
    """The range of numbers with a fraction, and each of the other values once. What is not above 0 has no range."""
    measured = [one for one in values if isinstance(one, float) and one > 0]
    others = dict.fromkeys(one for one in values if not (isinstance(one, float) and one > 0))
    return (*([Range(min(measured), max(measured))] if measured else []), *others)


def readers_of(samples: Iterable[Sample], opener: Opener, goldens: Iterable[str] = ()) -> list[ReaderRecord]:
    """Who reads these samples and golden images, where the host does not, and with which options.

    Options hold for all files of a reader: a model of volumes in .nii.gz reads those in .nii with them, too.
    """
    paths = [path for sample in samples for path in (sample.path, sample.reference) if path is not None]
    used = {opener.suffix_at(path) for path in paths} | {opener.suffix(name) for name in goldens}
    read = [one for suffix in filter(None, used) if isinstance(one := opener.readers[suffix], Reader)]
    alike = {(suffix, one.suffixes) for one in read if one.options is not None for suffix in one.suffixes}
    found = [
        (suffix, one)
        for suffix, one in sorted(opener.readers.items())
        if isinstance(one, Reader) and (suffix in used or (suffix, one.suffixes) in alike)
    ]
    return [ReaderRecord(suffix, one.provider.package, one.provider.version, one.options) for suffix, one in found]
