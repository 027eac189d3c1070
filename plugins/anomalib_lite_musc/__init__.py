"""The detector `musc`: how far is each place from the nearest places of most images of an unlabelled lot?"""

from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_musc.config import MuscConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="musc",
            summary="Compares places with those of an unlabelled lot, image by image. Defective images may be in it.",
            target="anomalib_lite_musc.detector:Musc",
            config=MuscConfig,
            defaults={"score.sigma": 4.0, "score.reduction": "top", "score.top_share": 0.03},
            paper="Li et al.: MuSc: Zero-shot industrial anomaly classification and segmentation, ICLR 2024",
            weights=str(weights_of("packaged")),
            fit_on="unlabelled",
            api=2,
        )
    ]
