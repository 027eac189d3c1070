"""Writes down what a model is: the manifest of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from anomalib_lite.calibration import Calibration
from anomalib_lite.data import Sample
from anomalib_lite.edge.bundle import SCHEMA_VERSION
from anomalib_lite.edge.golden.pairing import FOLDER
from anomalib_lite.edge.images.readers import suffix_of
from anomalib_lite.edge.model import ROI
from anomalib_lite.edge.selfcheck import Expected
from anomalib_lite.version import __version__

if TYPE_CHECKING:
    from anomalib_lite.registry import Reader
    from anomalib_lite.training.fitting import Fitted
    from anomalib_lite.training.plan import Plan


def describe(
    plan: Plan,
    fitted: Fitted,
    calibration: Calibration,
    selfcheck: Sequence[Expected],
    fit_hashes: Mapping[str, str],
    calibrated_hashes: Mapping[str, str],
) -> dict[str, Any]:
    """The manifest of a newly trained model, without file hashes.

    Args:
        plan: What was asked for.
        fitted: What came out.
        calibration: Its thresholds.
        selfcheck: The images for `verify`.
        fit_hashes: SHA-256 of each image that the detector learnt from -> its group.
        calibrated_hashes: Likewise of each image that the thresholds rest on.
    """
    config = plan.config.model_dump(mode="json")
    config["options"] = plan.options.model_dump(mode="json")
    return {
        "schema_version": SCHEMA_VERSION,
        "created": now(),
        "created_with": __version__,
        "detector": {
            "name": plan.info.name,
            "summary": plan.info.summary,
            "paper": plan.info.paper,
            "weights": plan.info.weights,
            "plugin": plan.provider.package,
            "version": plan.provider.version,
        },
        "config": config,
        "image": plan.framing.spec.to_json(),
        "framing": {
            "mode": plan.framing.mode,
            "overlap": plan.framing.overlap,
            "convert": plan.framing.convert,
            "roi": None if plan.roi is None else ROI,
            "align": plan.framing.align,
        },
        "reference": None
        if plan.goldens is None
        else {"files": [f"{FOLDER}/{name}" for name in plan.goldens.names], "pattern": plan.goldens.pattern},
        "readers": readers_of([*plan.fit, *plan.held_out], plan.readers, plan.goldens.names if plan.goldens else ()),
        "graph": {"inputs": list(fitted.inputs), "parity": asdict(fitted.parity)},
        "training": {"steps": fitted.steps, "device": fitted.device, "images": len(fit_hashes)},
        "calibration": calibration.to_json(),
        "data": {
            "root": plan.dataset.root.name,
            "layout": plan.dataset.layout,
            "simulated": plan.simulated,
            "images": len(plan.dataset.samples),
            "grouped": plan.dataset.grouped,
            "groups": len({sample.group for sample in plan.dataset.samples}),
            "unreadable": [list(one) for one in plan.survey.unreadable],
            "fit": dict(fit_hashes),
            "calibrated": dict(calibrated_hashes),
        },
        "selfcheck": [one.to_json() for one in selfcheck],
    }


def readers_of(
    samples: Iterable[Sample], readers: Mapping[str, Reader], goldens: Iterable[str] = ()
) -> list[dict[str, str]]:
    """Who reads these samples and golden images, where the host does not: for messages, never to be imported."""
    names = [path.name for sample in samples for path in (sample.path, sample.reference) if path is not None]
    used = sorted({suffix for name in (*names, *goldens) if (suffix := suffix_of(name, readers))})
    found = [(suffix, readers[suffix].provider) for suffix in used]
    return [{"suffix": suffix, "package": one.package, "version": one.version} for suffix, one in found]


def now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
