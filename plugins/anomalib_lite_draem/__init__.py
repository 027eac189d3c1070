"""The detector `draem`: learns to outline synthetic anomalies on good images, and so finds real ones."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_draem.config import SUMMARY, DraemConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    info = DetectorInfo(
        name="draem",
        summary=SUMMARY,
        target="anomalib_lite_draem.detector:Draem",
        config=DraemConfig,
        api=2,
        paper="Zavrtanik, Kristan, Skocaj: DRAEM, a discriminatively trained reconstruction embedding, ICCV 2021",
    )
    return [DraemConfig().describe(info)]
