"""The detector `inpainting`: hide parts of the image, predict them from the rest, and see how far off that is."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_inpainting.config import InpaintingConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="inpainting",
            summary="Hides parts of the image, predicts them from the rest, and scores how surprising they are.",
            target="anomalib_lite_inpainting.detector:Inpainting",
            config=InpaintingConfig,
            api=2,
            # `window` smoothes already; small batches give more steps in the same time
            defaults={"score.sigma": 1.0, "score.reduction": "max", "training.batch_size": 4},
            paper="Zavrtanik, Kristan, Skocaj: Reconstruction by inpainting for visual anomaly detection, 2021",
        )
    ]
