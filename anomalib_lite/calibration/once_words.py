"""What is said of a calibration that decides once for a part, by all its photographs."""

from __future__ import annotations

from anomalib_lite.data.samples import count
from anomalib_lite.edge.manifest import Calibration


def decided_once(calibration: Calibration) -> list[str]:
    """By what, and what CUSUM counts from."""
    said = (
        f"Counted per part, decided once by the {calibration.joining} of the scores of its photographs "
        "(`inspect_part`, `predict --group`): the verdict on one photograph alone has no bound."
    )
    if calibration.cusum is None:
        return [said]
    parts = count(calibration.cusum.parts, "further held-out part")
    return [
        said,
        f"CUSUM adds up, in the order of the photographs, how far each exceeds {calibration.cusum.level:.6g}, starts "
        f"anew where the sum falls below 0, and takes the largest. That level, mean and half a standard deviation of "
        f"good photographs, comes from {parts}, which certify nothing.",
    ]
