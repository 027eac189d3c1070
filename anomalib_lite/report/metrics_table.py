"""The metrics of an evaluation in the report: a table over defect kinds, and rates in words with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from anomalib_lite.calibration.statement import percent_down, percent_up

NONE = "\N{EN DASH}"
METRICS = {
    "image_auroc": "Image AUROC",
    "image_ap": "Image AP",
    "pixel_auroc": "Pixel AUROC",
    "pixel_ap": "Pixel AP",
    "aupro": "AUPRO",
}
ESCAPES = {
    "images": "Escaped images",
    "parts_any": "Parts with an escape",
    "parts_wholly": "Parts escaped wholly",
}
LET_THROUGH = {"escape_rate": "", "escape_rate_after_review": ", after review"}
DECIDED_ONCE = {
    "false_reject_rate": "good ones rejected",
    "escape_rate": "escaped",
    "escape_rate_after_review": "escaped after review",
}
MEANING = (
    "An image that shows a defect escapes where it is not NG; after review, where it is OK. A part has an escape where "
    "any such image of it does, and escapes wholly where all of them do. A good part is one without any defective "
    "image; it is rejected where one of its images is NG."
)


def metrics_table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json as a table (all defects, then each kind), and the rest as entries."""
    rows = [("all defects", metrics), *metrics["per_kind"].items()]
    lines = [
        [kind, str(values["n"]), *(_number(values[key]) for key in METRICS), *_escapes(values["escape_rate"])]
        for kind, values in rows
    ]
    facts = rates(metrics)
    facts["Could not be measured"] = f"{metrics['errors']['count']} of {metrics['images']} images, in no rate"
    if metrics["without_mask"]:
        facts["Without a mask"] = f"{metrics['without_mask']} defective images, left out of the pixel metrics"
    if metrics["latency_ms_p50"] is not None:
        p50, p95 = metrics["latency_ms_p50"], metrics["latency_ms_p95"]
        facts["Time per image"] = f"median {p50:.3g} ms, 95th percentile {p95:.3g} ms"
    columns = ["Defects", "Images", *METRICS.values(), "Escaped images", "Parts with any escaped, exact interval"]
    if metrics["escape_rate"]["parts_any"] is None:
        columns[-1] = "Exact interval"
    return {"columns": columns, "lines": lines, "facts": facts, "meaning": MEANING}


def rates(metrics: Mapping[str, Any]) -> dict[str, str]:
    """What is said of single figures: what it is, and its value with an interval."""
    rejected = metrics["false_reject_rate"]
    unit = "parts" if rejected["unit"] == "group" else "images"
    said = {}
    if (interval := metrics["image_auroc_interval"]) is not None:
        said["Image AUROC"] = (
            f"{metrics['image_auroc']:.4f}, {percent_down(interval['confidence'])} interval over {unit} from "
            f"{interval['low']:.4f} to {interval['high']:.4f} ({interval['method']})"
        )
    said["False reject rate"] = _rejects(rejected)
    others = metrics["false_reject_rate_of_defective_parts"]
    if others["n"]:
        said["Good images, defective parts"] = _rejects(others)
    for rate, when in LET_THROUGH.items():
        for key, name in ESCAPES.items():
            if (measured := metrics[rate][key]) is not None:
                said[name + when] = _rate(measured, "images" if key == "images" else "parts")
    return said | _decided(metrics.get("decided"))


def of_parts(metrics: Mapping[str, Any]) -> dict[str, str]:
    """What is said of parts that are decided on once: each rate and its exact interval; and how many are ERROR."""
    return _once(metrics) | {"could not be measured": str(metrics["errors"])}


def _once(metrics: Mapping[str, Any]) -> dict[str, str]:
    return {words: _rate(metrics[key], "parts") for key, words in DECIDED_ONCE.items()}


def _decided(once: Mapping[str, Any] | None) -> dict[str, str]:
    """The rates of parts that are decided on once, by all their photographs; nothing where photographs decide."""
    if once is None:
        return {}
    how = f"Parts decided by their {once['decided_by']}"
    return {f"{how}, {words}": value for words, value in _once(once).items()}


def _rejects(rate: Mapping[str, Any]) -> str:
    """'6.67 % (2 of 30 good parts), exact 95 % interval from 0.817 % to 22.1 %; 3 of 60 images'.

    The interval is that of the parts: one over images of the same parts would not be valid.
    """
    parts = rate["unit"] == "group"
    beside = f"; {rate['images']['count']} of {rate['images']['n']} images" if parts and rate["n"] else ""
    return _rate(rate, "parts" if parts else "images") + beside


def _rate(measured: Mapping[str, Any], unit: str) -> str:
    """A rate, with its interval where it has one."""
    if measured["value"] is None:
        return NONE
    text = f"{100 * measured['value']:.3g} % ({measured['count']} of {measured['n']} {unit})"
    if "confidence" not in measured:
        return text
    return f"{text}, exact {percent_down(measured['confidence'])} interval from {_interval(measured)}"


def _interval(rate: Mapping[str, Any]) -> str:
    return f"{percent_down(rate['low'])} to {percent_up(rate['high'])}"


def _escapes(rate: Mapping[str, Any]) -> tuple[str, str]:
    """Escaped images; and parts with any of them, with their interval."""
    images, parts = rate["images"], rate["parts_any"]
    if images["value"] is None:
        beside = NONE
    else:
        beside = _interval(images) if parts is None else f"{parts['count']} of {parts['n']}: {_interval(parts)}"
    return share(images["count"], images["n"]), beside


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def share(count: int, of: int) -> str:
    """A count with its share in percent, or a dash."""
    return f"{count} ({100 * count / of:.1f} %)" if of else NONE
