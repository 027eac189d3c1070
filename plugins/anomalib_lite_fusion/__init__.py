"""The detector `fusion`: several detectors in one graph, each in units of what good images show it."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_fusion.config import FusionConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="fusion",
            summary="Adds up several detectors, each in units of what it says of good images that it has not learnt.",
            target="anomalib_lite_fusion.detector:Fusion",
            config=FusionConfig,
            defaults={"score.sigma": 1.0, "score.reduction": "top", "score.top_share": 0.01},
            members=("draem", "neighbours"),
            api=2,
        )
    ]
