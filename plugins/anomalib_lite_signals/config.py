"""Options of the readers: they decide what is measured, so a model keeps them."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from anomalib_lite.config import ReaderConfig


class VideoOptions(ReaderConfig):
    """How many frames of a video are inspected."""

    rate: float = Field(5.0, gt=0, le=1000, allow_inf_nan=False)
    """Frames that are taken for each second, evenly; the video has to have as many."""


class SoundOptions(ReaderConfig):
    """What a picture of sound shows: so many seconds from left to right, bands of the mel scale from low to high."""

    window: float = Field(1.0, gt=0, le=30, allow_inf_nan=False)
    """Seconds that one picture shows."""
    step: float = Field(0.5, gt=0, le=30, allow_inf_nan=False)
    """Seconds from the begin of one picture to that of the next; not more than window, so that all is seen."""
    hop: float = Field(0.008, ge=0.0005, le=1, allow_inf_nan=False)
    """Seconds that a column stands for; its spectrum is that of four times as long."""
    bands: int = Field(64, ge=8, le=256)
    """Rows of a picture."""
    low: float = Field(100.0, ge=0, allow_inf_nan=False)
    """Lowest frequency, in hertz."""
    high: float = Field(8000.0, gt=0, le=200_000, allow_inf_nan=False)
    """Highest frequency, in hertz: at most half of the sampling rate."""
    stereo: Literal["mix", "refuse"] = "mix"
    """Recordings of several channels: mix takes their mean, refuse makes them an error."""

    @model_validator(mode="after")
    def _sound_has_to_fit(self) -> Self:
        if self.step > self.window:
            raise ValueError(f"step is {self.step:g} s and window {self.window:g} s: what lies between is never seen")
        if self.window < 4 * self.hop:
            raise ValueError(f"window is {self.window:g} s, less than the four hops of {self.hop:g} s of one spectrum")
        if self.low >= self.high:
            raise ValueError(f"low is {self.low:g} Hz and high {self.high:g} Hz: nothing lies between")
        return self
