"""Reconstruction by inpainting: what is hidden is predicted from what is visible, and scored against the prediction.

Zavrtanik, Kristan, Skocaj: Reconstruction by inpainting for visual anomaly detection (RIAD), Pattern Recognition, 2021.
Beyond the paper: the network also predicts how far off it expects to be, starts from an interpolation of what is
visible, and sees it in units of its own mean and spread; and features of a frozen backbone can be predicted in place of
pixels. EXPERIMENTS.md says what each brought.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from anomalib_lite.detector import Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite_inpainting.config import InpaintingConfig
from anomalib_lite_inpainting.pixel_map import PixelMap

if TYPE_CHECKING:
    from anomalib_lite_inpainting.feature_map import FeatureMap


class Inpainting(Detector):
    """Fits the method of the options, and asks it for the map.

    Raises:
        ConfigError: The images are too small for what is hidden, or the backbone does not suit them.
    """

    def __init__(self, config: InpaintingConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.method = _method(config, image)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn to predict what is hidden of good images, hidden anew at random in every step."""
        self.method.fit(batches, run)

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how surprising each place is.

        Args:
            image: (B, C, H, W) in [0, 1].
            reference: Not used.

        Returns:
            (B, 1, H, W), or (B, 1, h, w) of `features`, without an upper limit; the unit is that of the method.
        """
        anomaly_map: Tensor = self.method(image)
        return anomaly_map


def _method(config: InpaintingConfig, image: ImageSpec) -> PixelMap | FeatureMap:
    if config.method == "pixels":
        return PixelMap(config, image)
    from anomalib_lite_inpainting.feature_map import FeatureMap  # timm: the other method does without

    return FeatureMap(config, image)
