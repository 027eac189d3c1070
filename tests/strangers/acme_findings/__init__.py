"""Findings beside their image: a map in units of its threshold, and what is known of it."""

import json

import numpy as np

from anomalib_lite import WriterInfo, hookimpl


@hookimpl
def register_writers() -> list[WriterInfo]:
    summary = "Writes the anomaly map in units of its threshold, spacing, regions and verdict, as .npz."
    return [WriterInfo(name="findings", summary=summary, suffix=".npz", target="acme_findings:write")]


def write(path, result, picture, anomaly_map):
    said = {"verdict": result.verdict, "study": picture.meta.get("study"), "regions": result.row()["regions"]}
    share = (anomaly_map / result.map_thresholds[1]).astype(np.float16)
    with path.open("wb") as file:
        np.savez_compressed(file, map=share, spacing=picture.spacing or (1, 1), said=json.dumps(said))
