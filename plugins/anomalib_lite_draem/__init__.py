"""The detector `draem`: learns to outline synthetic anomalies on good images, and so finds real ones."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_draem.config import DraemConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="draem",
            summary="Learns to outline synthetic anomalies on good images, and so finds real ones.",
            target="anomalib_lite_draem.detector:Draem",
            config=DraemConfig,
            api=2,
            defaults={"score.sigma": 1.0, "score.reduction": "max", "training.batch_size": 8},
            paper="Zavrtanik, Kristan, Skocaj: DRAEM, a discriminatively trained reconstruction embedding, ICCV 2021",
        )
    ]
