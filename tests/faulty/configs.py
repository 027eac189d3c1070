"""Options that break a rule."""

from dataclasses import replace
from typing import Any

from pydantic import ConfigDict, Field, field_serializer

from anomalib_lite.config import DetectorConfig
from faulty import SoundConfig


class Placed(SoundConfig):
    """Breaks none: says that the map depends on the place."""

    def describe(self, info: Any) -> Any:
        return replace(info, positional=True)


class Undescribed(DetectorConfig):
    window: int = 9


class Required(DetectorConfig):
    window: int
    """Side of the neighbourhood, in pixels."""


class Changing(DetectorConfig):
    """Comes back from a file as something else."""

    window: int = 9
    """Side of the neighbourhood, in pixels."""

    @field_serializer("window")
    def _doubled(self, window: int) -> int:
        return 2 * window


class Lenient(DetectorConfig):
    """Takes any option."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)
    window: int = 9
    """Side of the neighbourhood, in pixels."""
    unused: dict[str, Any] = Field(default_factory=dict)
    """Nothing."""
