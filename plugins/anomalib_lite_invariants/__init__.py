"""The detector `invariants`: what all good images have in common, and how far an image is from it."""

from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_invariants.config import InvariantsConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="invariants",
            summary="Tells how unlike good images an image is as a whole, and each place. Nothing to tune; a minute.",
            target="anomalib_lite_invariants.detector:Invariants",
            config=InvariantsConfig,
            positional=True,
            defaults={"score.sigma": 4.0, "score.reduction": "top", "score.top_share": 0.01},
            paper="Doorenbos, Sznitman, Márquez-Neila: Data invariants to understand unsupervised out-of-distribution "
            "detection (MahaAD), ECCV 2022; Learning non-linear invariants, ECCV 2024",
            weights=str(weights_of("packaged")),
            api=2,
        )
    ]
