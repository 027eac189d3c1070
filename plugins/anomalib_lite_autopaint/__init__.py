"""The detector `autopaint`: places that look unlike healthy anatomy are painted over with it, again and again."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_autopaint.config import AutopaintConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="autopaint",
            summary="Paints what stands out over with what good images show there, and tells the difference.",
            target="anomalib_lite_autopaint.detector:Autopaint",
            config=AutopaintConfig,
            api=2,
            defaults={"score.sigma": 1.0, "score.reduction": "max", "training.batch_size": 4},
            paper="Astaraki et al.: AutoPaint, a self-inpainting method for unsupervised anomaly detection, 2023",
        )
    ]
