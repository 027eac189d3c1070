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
RATES = {
    "false_reject_rate": "False-reject rate",
    "escape_rate": "Escape rate (scored at or below reject)",
    "escape_rate_after_review": "Escape rate after review (verdict OK)",
}


def metrics_table(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """metrics.json as a table (all defects, then each kind), and the rest as entries."""
    rows = [("all defects", metrics), *metrics["per_kind"].items()]
    lines = [
        [kind, str(values["n"]), *(_number(values[key]) for key in METRICS), *_escapes(values["escape_rate"])]
        for kind, values in rows
    ]
    facts = {name: rate(metrics[key]) for key, name in RATES.items()}
    facts["Could not be measured"] = f"{metrics['errors']['count']} of {metrics['images']} images, in no rate"
    if metrics["without_mask"]:
        facts["Without a mask"] = f"{metrics['without_mask']} defective images, left out of the pixel metrics"
    if metrics["latency_ms_p50"] is not None:
        p50, p95 = metrics["latency_ms_p50"], metrics["latency_ms_p95"]
        facts["Time per image"] = f"median {p50:.3g} ms, 95th percentile {p95:.3g} ms"
    unit = "parts" if metrics["escape_rate"]["unit"] == "group" else "images"
    columns = ["Defects", "Images", *METRICS.values(), "Escaped images", f"Escaped {unit}, exact interval of the rate"]
    return {"columns": columns, "lines": lines, "facts": facts}


def rate(measured: Mapping[str, Any]) -> str:
    """A rate with its interval: '6.67 % (2 of 30 parts), exact 95 % interval from 0.817 % to 22.1 %; 3 of 60 images'.

    The interval is that of the parts: one over images of the same parts would not be valid.
    """
    if measured["value"] is None:
        return NONE
    parts = measured["unit"] == "group"
    text = f"{100 * measured['value']:.3g} % ({measured['count']} of {measured['n']} {'parts' if parts else 'images'})"
    text += f", exact {percent_down(measured['confidence'])} interval from {_interval(measured)}"
    return text + (f"; {measured['images']['count']} of {measured['images']['n']} images" if parts else "")


def _interval(rate: Mapping[str, Any]) -> str:
    return f"{percent_down(rate['low'])} to {percent_up(rate['high'])}"


def _escapes(rate: Mapping[str, Any]) -> tuple[str, str]:
    """Escaped images, and escaped parts with their interval."""
    images = share(rate["images"]["count"], rate["images"]["n"])
    return images, NONE if rate["value"] is None else f"{rate['count']} of {rate['n']}: {_interval(rate)}"


def _number(value: float | None) -> str:
    return NONE if value is None else f"{value:.4f}"


def share(count: int, of: int) -> str:
    """A count with its share in percent, or a dash."""
    return f"{count} ({100 * count / of:.1f} %)" if of else NONE
