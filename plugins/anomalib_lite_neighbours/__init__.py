"""The detector `neighbours`: how far is each patch from the most similar good one, in units of its place?"""

from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_neighbours.config import NeighboursConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="neighbours",
            summary="Compares patches with those of good images, as a pretrained network sees them. Fits in a minute.",
            target="anomalib_lite_neighbours.detector:Neighbours",
            config=NeighboursConfig,
            positional=True,
            defaults={"score.sigma": 4.0, "score.reduction": "top", "score.top_share": 0.01},
            paper="Roth et al.: Towards total recall in industrial anomaly detection (PatchCore), CVPR 2022",
            weights=str(weights_of("packaged")),
            api=2,
        )
    ]
