"""The configuration: the sections and their options, as pydantic models, and what reads and checks them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from anomalib_lite.config.reading import faults as faults
from anomalib_lite.config.reading import load as load
from anomalib_lite.config.reading import nearest as nearest
from anomalib_lite.config.reading import put as put
from anomalib_lite.config.reading import share
from anomalib_lite.config.reading import validate as validate

__all__ = ["Config", "DetectorConfig", "ReaderConfig"]  # what plugins may use


class _OrPercent:
    """Lets an option be written as a percentage, too."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(share, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        number = handler(schema)  # whose limits are passed over for text, as the pattern is for numbers
        return number | {"type": ["number", "string"], "pattern": r"^\s*(\d+(\.\d+)?|\.\d+)\s*%\s*$"}


class _Section(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, validate_default=True, allow_inf_nan=False
    )


class DetectorConfig(_Section):
    """Base of a plugin's options: unknown keys are refused, values are frozen, attribute docstrings describe them.

    Every option has a default, checked as any other value.
    """

    model_config = ConfigDict(allow_inf_nan=True)  # an option without a limit may be infinite, where its author lets it

    def describe(self, info: Any) -> Any:
        """The detector's `DetectorInfo` with these options: `dataclasses.replace(info, positional=True)` and the like.

        For what depends on options: inputs, align, positional, defaults, weights, members. Default: nothing does.
        """
        return info


class ReaderConfig(_Section):
    """Base of a reader's options, as `DetectorConfig` is of a detector's: set as readers.NAME.key=value."""


class ImageConfig(_Section):
    """How images reach the model."""

    height: int | None = Field(None, ge=16, le=8192)
    """Rows of the model's input, in pixels. Default: 256, or the golden image's for detectors with a reference."""
    width: int | None = Field(None, ge=16, le=8192)
    """Columns of the model's input, in pixels. Default: as height."""
    mode: Literal["stretch", "letterbox", "tile"] | None = None
    """stretch: resize to the input; letterbox: resize and pad, keeping the aspect; tile: cut at full resolution.
    Default: stretch; tile where the golden image has more than 2 megapixels and no height or width is asked for."""
    overlap: int = Field(32, ge=0)
    """tile: pixels of context around the core of each tile."""
    channels: Literal[1, 3] | None = None
    """Convert every image to grey (1) or RGB (3). Default: as the images are, with up to 16 channels, which are not
    converted; mixed images are then refused."""
    black: float = Field(0.0, allow_inf_nan=False)
    """Pixel value that is black, such as -160 for Hounsfield units. Values beyond black and white are not clipped."""
    white: float | None = Field(None, allow_inf_nan=False)
    """Pixel value that is white, for cameras with 10 or 12 bits in 16. Default: the largest value of the type; images
    of int16 and float32 have none, and need it."""
    max_pixels: int | None = Field(None, ge=1, le=4_000_000_000)
    """Largest image that is read, in pixels, here and on the device: an image takes up to 16 bytes for each of them.
    Default: 16 million, or twice the largest training image where that is more; to train, 100 million."""
    roi: Path | None = None
    """A mask image, white in the region of interest and black outside of it, for fitting, scoring and thresholds."""

    @field_validator("channels", mode="before")
    @classmethod
    def _channels_can_be_converted_to(cls, value: object) -> object:
        if isinstance(value, int) and not isinstance(value, bool) and value > 0 and value not in (1, 3):
            raise ValueError(
                f"images are converted to 1 channel (grey) or 3 (RGB); leave it out, and those of {value} channels are "
                "taken as they are"
            )
        return value

    @model_validator(mode="after")
    def _white_is_above_black(self) -> Self:
        if self.white is not None and self.white <= self.black:
            raise ValueError(f"white {self.white:g} is not above black {self.black:g}: exchange them")
        return self

    @model_validator(mode="after")
    def _overlap_leaves_a_core(self) -> Self:
        if self.mode == "tile" and 2 * self.overlap >= min(self.height or 256, self.width or 256):
            raise ValueError(f"overlap {self.overlap} leaves no core in the tile: use less than half its side")
        return self


class ScoreConfig(_Section):
    """From the detector's anomaly map to the image score."""

    sigma: float = Field(4.0, ge=0, le=64)
    """Gaussian smoothing of the anomaly map, standard deviation in pixels of the model's input; 0 for none."""
    reduction: Literal["max", "top"] = "max"
    """Image score: the largest value of the map, or the mean of its largest values."""
    top_share: Annotated[float, Field(gt=0, le=1), _OrPercent()] = 0.01
    """top: the share of the map's pixels that is averaged."""
    least: float | None = Field(None, gt=0)
    """Image scores from 0 to this count alike: they keep their order, but differ by less than a threshold is above the
    score that it rests on, so that none lies amid them. Default: none."""


class RegionsConfig(_Section):
    """How what is above the threshold of the map is listed as regions, in pixels of the image."""

    margin: float = Field(0.0, ge=0, le=1000)
    """Pixels added around each box and outline, such as annotators leave; area and peak stay those of what is above."""
    merge: float = Field(0.0, ge=0, le=1000)
    """Parts that lie at most so many pixels apart are one region."""
    min_area: float = Field(0.0, ge=0, le=1e9)
    """Regions of fewer pixels are not listed. The verdict does not heed it: an NG image still shows its peak."""
    mm_per_pixel: float | None = Field(None, gt=0, le=1000)
    """Millimetres for each pixel of the image, along both axes; kept in the model, so that areas can be told in mm2."""
    min_area_mm2: float | None = Field(None, ge=0, le=1e9)
    """The same as min_area in square millimetres, instead of it; needs mm_per_pixel."""

    @property
    def least_pixels(self) -> float:
        """The smallest area that is listed, in pixels of the image."""
        if self.min_area_mm2 is None or self.mm_per_pixel is None:
            return self.min_area
        return float(self.min_area_mm2 / self.mm_per_pixel / self.mm_per_pixel)  # a square could be 0

    @model_validator(mode="after")
    def _millimetres_are_known(self) -> Self:
        if self.min_area_mm2 is not None and self.mm_per_pixel is None:
            raise ValueError("min_area_mm2 needs mm_per_pixel: say how many millimetres a pixel is")
        if self.min_area_mm2 is not None and self.min_area:
            raise ValueError("give min_area or min_area_mm2, not both")
        if self.least_pixels > 1e9:
            raise ValueError(f"min_area_mm2 is {self.least_pixels:.3g} pixels here, and no image has more than 1e9")
        return self


class TrainingConfig(_Section):
    """How long and where the detector trains."""

    steps: int | None = Field(None, ge=1)
    """Optimiser steps. Default: the detector's own."""
    minutes: float | None = Field(None, gt=0)
    """Time budget instead of steps, in minutes, for all fits together. Detectors end sooner where they gain no more."""
    batch_size: int = Field(8, ge=1)
    """Images per optimiser step, over all devices together."""
    seed: int = Field(0, ge=0)
    """Of initial weights, order of images, holdout and everything random."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where to train."""
    devices: int = Field(1, ge=1)
    """Processes on this machine, one per device."""
    nodes: int = Field(1, ge=1)
    """Machines that train together."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """Number format of training; the exported graph is always float32."""

    @model_validator(mode="after")
    def _steps_or_minutes(self) -> Self:
        if self.steps is not None and self.minutes is not None:
            raise ValueError("give steps or minutes, not both")
        return self


class Rates(_Section):
    """What the thresholds promise, and how surely."""

    max_false_reject: Annotated[float, Field(ge=1e-6, lt=1), _OrPercent()] = 0.01
    """Largest share of good parts that may be rejected (verdict NG), as 0.01 or 1%."""
    review: Annotated[float, Field(ge=1e-6, lt=1), _OrPercent()] | None = None
    """Largest share of good parts that are not OK, NG included. Default: max(5 %, 5 x max_false_reject)."""
    confidence: Annotated[float, Field(gt=0.5, le=1 - 1e-6), _OrPercent()] = 0.95
    """Confidence of each bound: at one half or less, a promise is broken as often as kept."""

    @model_validator(mode="after")
    def _review_includes_reject(self) -> Self:
        if self.review is not None and self.review < self.max_false_reject:
            raise ValueError(
                f"review {self.review} is below calibration.max_false_reject {self.max_false_reject}: it bounds how "
                "often a good part is REVIEW or NG, so ask for at least as much, or leave it out"
            )
        return self

    @property
    def review_rate(self) -> float:
        """The rate asked of the review threshold; the default is at most one half, unless reject itself is above."""
        if self.review is not None:
            return self.review
        return max(self.max_false_reject, min(0.5, max(0.05, 5 * self.max_false_reject)))

    @classmethod
    def of(cls, max_false_reject: float = 0.01, confidence: float = 0.95, review: float | None = None) -> Self:
        """Rates, checked.

        Raises:
            ConfigError: A value outside its range, or review below max_false_reject.
        """
        given = {"max_false_reject": max_false_reject, "confidence": confidence, "review": review}
        asked = validate(_Asked, {"calibration": given}, where="rates", help_command="anomalib-lite calibrate --help")
        return cls.model_validate(asked.calibration.model_dump())


class _Asked(_Section):
    calibration: Rates


class CalibrationConfig(Rates):
    """How the thresholds are found, and what they promise."""

    holdout: Annotated[float, Field(gt=0, lt=1), _OrPercent()] = 0.3
    """Share of the good groups that is kept from fitting, for calibration; rows with split=calibrate come first."""
    crossfit: int | None = Field(None, ge=2, le=20)
    """Fit K siblings, each without one of K folds of the parts, and ship them as one graph. What is promised then is an
    average, and no bound at a confidence; holdout 0.5 lets fewer defects pass at the same promise."""
    per: Literal["photograph", "part", "part-median", "part-mean", "part-top", "part-cusum"] | None = None
    """What the line decides on, and the bound is about: each photograph; a part, by any of its photographs; or a part
    once, by the median or the mean of their scores, the mean of the highest, or CUSUM, the sum by which a stretch of
    them exceeds good ones. Default: photograph where parts have several, else part."""
    top_share: Annotated[float, Field(gt=0, le=1), _OrPercent()] | None = None
    """Share of the photographs of a part whose mean is taken with per: part-top. Default: 10 %."""
    row: int | None = Field(None, ge=0)
    """Row of the menu of operating points to take, instead of what max_false_reject allows. Default: none."""
    selfcheck: Literal["images", "rendered", "none"] = "images"
    """What `verify` replays: held-out images, rendered stand-ins where images must not travel, or nothing."""

    @model_validator(mode="after")
    def _a_share_of_the_top_is_of_part_top(self) -> Self:
        if self.top_share is not None and self.per != "part-top":
            raise ValueError("top_share is the share of per: part-top: set that, too, or leave it out")
        return self


class GateConfig(_Section):
    """What becomes of images that look like none of the training: without light, out of focus, of another product."""

    enabled: bool = True
    """Whether they are told from others before they are judged. Without, they are judged; every result says so."""
    verdict: Literal["error", "review"] = "error"
    """error: they are not judged, ERROR with the code not_alike; review: they are judged, and REVIEW at least."""
    features: Literal["auto", "off"] = "auto"
    """auto: from 8 parts on, features of a pretrained network count, too, where its weights are installed; off: size,
    light, detail and colour alone."""

    @field_validator("features", mode="before")
    @classmethod
    def _off(cls, value: object) -> object:
        return "off" if value is False else value  # which YAML makes of off


class Config(_Section):
    """Everything that decides what a model becomes."""

    detector: str
    """Name of the detector."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The detector's own options: anomalib-lite plugins show NAME."""
    readers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Options of readers of further file types, by their names: anomalib-lite plugins show NAME."""
    image: ImageConfig = ImageConfig()
    score: ScoreConfig = ScoreConfig()
    regions: RegionsConfig = RegionsConfig()
    training: TrainingConfig = TrainingConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    gate: GateConfig = GateConfig()

    @model_validator(mode="after")
    def _sibling_models_train_in_one_process(self) -> Self:
        if self.calibration.crossfit and self.training.devices * self.training.nodes > 1:
            raise ValueError("crossfit fits its sibling models one after the other: use one device and one node")
        return self
