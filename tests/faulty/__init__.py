"""Detectors for the conformance kit to find fault with: one that keeps the contract, one for each way to break it."""

from pydantic import Field

from anomalib_lite import DetectorInfo
from anomalib_lite.config import DetectorConfig


class SoundConfig(DetectorConfig):
    """Options of the detector that keeps the contract."""

    window: int = Field(9, ge=3, le=31)
    """Side of the neighbourhood that a pixel is compared with, in pixels."""


def info(name: str) -> DetectorInfo:
    """The description of the class `name` in `faulty.detectors`."""
    return DetectorInfo(
        name=name.lower(),
        summary="Local contrast in units of what is usual.",
        target=f"faulty.detectors:{name}",
        config=SoundConfig,
        defaults={"score.sigma": 1.0},
    )
