"""The detector `logic`: are there as many of each thing as usual, and do they lie where they should?"""

from anomalib_lite.features import weights_of
from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_logic.config import LogicConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="logic",
            summary="Counts what is in an image and where: finds missing, additional, swapped and wrong parts.",
            target="anomalib_lite_logic.detector:Logic",
            config=LogicConfig,
            positional=True,
            defaults={"score.sigma": 0.0, "gate.verdict": "review"},  # what lacks a part looks strange, too
            paper="Ledoit and Wolf: A well-conditioned estimator for large-dimensional covariance matrices, 2004",
            weights=str(weights_of("packaged")),
            api=2,
        )
    ]
