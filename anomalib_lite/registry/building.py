"""From a description to a detector: the only place that calls a plugin's class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anomalib_lite.config import DetectorConfig
from anomalib_lite.errors import AnomalibLiteError, PluginError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry.loading import resolve
from anomalib_lite.registry.plugin import reason

if TYPE_CHECKING:
    from anomalib_lite.detector import Detector, ImageSpec


def construct(info: DetectorInfo, options: DetectorConfig, image: ImageSpec) -> Detector:
    """A new, untrained detector.

    Raises:
        PluginError: The plugin's class cannot be imported, raises, or is no Detector.
    """
    from anomalib_lite.detector import Detector

    factory = resolve(info.target, f"detector '{info.name}'")
    try:
        detector = factory(options, image)
    except AnomalibLiteError:
        raise
    except Exception as error:
        raise PluginError(f"detector '{info.name}' cannot be built: {reason(error, info.target)}") from error
    if not isinstance(detector, Detector):
        raise PluginError(f"detector '{info.name}': {info.target} is not an anomalib_lite.Detector.")
    return detector
