"""Images from files, bytes or arrays, at full bit depth; and the one resize of training, calibration and device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class ImageSpec:
    """What a model takes: size in pixels, channels (1 grey, 3 RGB), dtype, and the value that is white."""

    height: int
    width: int
    channels: int
    dtype: str  # "uint8" | "uint16"
    white: float  # maps to 1.0; the dtype's maximum unless the camera has fewer bits

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """From `to_json`."""
        return cls(**data)
