"""The detector `dte`: how long good images would have to diffuse to come to look like this one."""

from anomalib_lite.hookspecs import DetectorInfo, hookimpl
from anomalib_lite_dte.config import DteConfig


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    """What the host needs to know before torch is imported."""
    return [
        DetectorInfo(
            name="dte",
            summary="Tells for every place how much noise good images would need to look like that. One network pass.",
            target="anomalib_lite_dte.detector:DiffusionTime",
            config=DteConfig,
            api=2,
            paper="Livernoche, Jain, Hezaveh, Ravanbakhsh: On diffusion modeling for anomaly detection, ICLR 2024",
        )
    ]
