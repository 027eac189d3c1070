"""Diffusion time estimation on images: how long good images would have to diffuse to look like this, place by place.

After Livernoche, Jain, Hezaveh, Ravanbakhsh: On diffusion modeling for anomaly detection, ICLR 2024, which estimates
one time per vector. Its classifier, DTE-C, has two dense forms here: on pixels (`unet_map`) and on features of a
frozen backbone (`feature_map`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from anomalib_lite.detector import Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.unet_map import UNetMap

if TYPE_CHECKING:
    from anomalib_lite_dte.feature_map import FeatureMap


class DiffusionTime(Detector):
    """Fits the method of the options, and asks it for the map.

    Raises:
        ConfigError: The backbone does not suit the images.
    """

    def __init__(self, config: DteConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.method = _method(config, image)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn from good images: by gradient descent, or in one pass over them."""
        self.method.fit(batches, run)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how long each place seems to have diffused.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H, W), without an upper limit; the unit is that of the method.
        """
        anomaly_map: Tensor = self.method(image)
        return anomaly_map


def _method(config: DteConfig, image: ImageSpec) -> UNetMap | FeatureMap:
    if config.method == "unet":
        return UNetMap(config, image)
    from anomalib_lite_dte.feature_map import FeatureMap  # timm: the other method does without

    return FeatureMap(config, image)
