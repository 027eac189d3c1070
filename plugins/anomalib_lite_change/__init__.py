"""Reference-based change detection: what differs from a golden image by more than good parts do."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_change.config import SMOOTHING, ChangeConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """The detector `change`."""
    return [
        DetectorInfo(
            name="change",
            summary="Aligns an image with a golden one and finds what differs by more than good parts do.",
            target="anomalib_lite_change.detector:Change",
            config=ChangeConfig,
            api=2,
            inputs=("image", "reference"),
            align=True,
            defaults={"score.sigma": SMOOTHING, "score.least": 1.0, "regions.margin": 10.0, "regions.merge": 18.0},
            paper="Fridman et al., ChangeChip, arXiv 2109.05746",
        )
    ]
