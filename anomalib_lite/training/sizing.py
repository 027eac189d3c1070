"""The size and the shape in which a model sees images, and what of a defect is left at that size."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.config import Config, ImageConfig
from anomalib_lite.data import Facts, Survey
from anomalib_lite.data.masks import Mask
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ConfigError, DataError, ImageError
from anomalib_lite.hookspecs import DetectorInfo

DEFAULT_SIZE = 256
WHITE = {"uint8": 255.0, "uint16": 65535.0}
LARGE = 2_000_000  # pixels of a golden image, above which it is cut into tiles
GOLDEN_TILE = 512
PIXELS, TIMES = 16_000_000, 2  # of images that a model reads by default: at least, and as a multiple of the largest one
DEFECT = 10  # pixels: side of the defect that is told of where no mask shows one


@dataclass(frozen=True, eq=False)
class Region:
    """A region of interest, as the model carries it."""

    inside: NDArray[np.bool_]  # (H, W)
    notes: list[str]

    @property
    def png(self) -> bytes:
        """Black and white, whatever it was painted in."""
        buffer = io.BytesIO()
        Image.fromarray(self.inside.astype(np.uint8) * 255).save(buffer, "PNG")
        return buffer.getvalue()


def read_region(path: Path | None) -> Region | None:
    """The region of interest of a configuration; None where there is none.

    Raises:
        DataError: It cannot be read, or holds nothing or everything.
    """
    if path is None:
        return None
    paint = "Paint what is to be inspected white (255), and all else black (0)"
    try:
        mask = Mask.read(path)
    except ImageError as error:
        raise DataError(f"image.roi: {error}. {paint}, save it as PNG, or leave it out.") from error
    if mask.is_empty or mask.fault():
        raise DataError(f"image.roi: {path} {mask.fault() or 'is black all over'}. {paint}, or leave it out.")
    said = f"image.roi: {path} is not black and white, {mask.named()}; inside is what lies above half of the range"
    return Region(mask.marked, [] if mask.is_plain else [said])


def framed(
    info: DetectorInfo, config: Config, found: Survey, golden_shapes: Sequence[tuple[int, int]]
) -> tuple[Config, Framing, Region | None]:
    """How images become inputs of the graph.

    Args:
        info: The detector.
        config: What is asked.
        found: What the images are like.
        golden_shapes: Height and width of the golden images, the first image's own first; empty without any.

    Returns:
        The configuration with what follows for it, how images are framed, and the region of interest.

    Raises:
        ConfigError: The tiles would have no core.
        DataError: The region of interest cannot be used.
    """
    largest = max((height * width for height, width in golden_shapes), default=0)
    image = _cut(config.image, largest, positional=info.positional)
    image = image.model_copy(update={"max_pixels": image.max_pixels or _enough_pixels(found, golden_shapes)})
    config = config.model_copy(update={"image": image})
    region = read_region(config.image.roi)
    framing = Framing(
        spec=image_spec(config, found, golden_shapes[0] if golden_shapes else (DEFAULT_SIZE, DEFAULT_SIZE)),
        mode=config.image.mode or "stretch",
        overlap=config.image.overlap,
        convert=config.image.channels is not None,
        roi=None if region is None else region.inside,
        masked=any(facts.masked for facts in found.facts.values()),
        align=info.align,
    )
    return config, framing, region


def _cut(image: ImageConfig, golden: int, *, positional: bool) -> ImageConfig:
    """How images are cut where nothing says how: large golden images in tiles, or each would need much memory.

    Args:
        image: What is asked for.
        golden: Pixels of the largest golden image; 0 where the detector does not compare.
        positional: Whether tiles are out of the question.

    Raises:
        ConfigError: The tiles would have no core.
    """
    sized = image.height or image.width
    mode = image.mode or ("tile" if golden > LARGE and not (sized or positional) else "stretch")
    if mode != "tile" or sized or not golden:
        return image.model_copy(update={"mode": mode})
    if 2 * image.overlap >= GOLDEN_TILE:
        raise ConfigError(
            f"image.overlap={image.overlap} leaves no core in tiles of {GOLDEN_TILE} pixels: use less than half of it, "
            "or set image.height and image.width."
        )
    return image.model_copy(update={"mode": mode, "height": GOLDEN_TILE, "width": GOLDEN_TILE})


def _enough_pixels(found: Survey, golden_shapes: Sequence[tuple[int, int]]) -> int:
    """The largest image that the model reads where nobody says it: what a device has the memory for."""
    sizes = [(facts.height, facts.width) for facts in found.facts.values()]
    return max(PIXELS, TIMES * max(height * width for height, width in [*sizes, *golden_shapes]))


def image_spec(config: Config, found: Survey, size: tuple[int, int]) -> ImageSpec:
    """What the graph takes: `size` (height, width) where the configuration names none.

    Raises:
        ConfigError: Black is not below white.
    """
    height = config.image.height or config.image.width or size[0]
    white = config.image.white if config.image.white is not None else WHITE[found.dtype]
    if white <= config.image.black:
        raise ConfigError(f"image.black={config.image.black:g}: is not below {white:g}, which is white: lower it.")
    return ImageSpec(
        height=height,
        width=config.image.width or config.image.height or size[1],
        channels=config.image.channels or found.channels,
        dtype=found.dtype,
        white=float(white),
        black=config.image.black,
    )


def made_smaller(framing: Framing, facts: Iterable[Facts], marked: float | None = None) -> list[str]:
    """What is lost where images are made smaller than they are; nothing to say where they are not.

    Args:
        framing: How images become inputs of the graph.
        facts: Of the images.
        marked: Pixels of the smallest defect that a mask marks.
    """
    height, width = max(((one.height, one.width) for one in facts), key=lambda size: size[0] * size[1], default=(1, 1))
    down, across = framing.spec.height / height, framing.spec.width / width
    if framing.mode == "letterbox":
        down = across = min(down, across)
    if framing.mode == "tile" or min(down, across) >= 1:
        return []
    seen = f"a defect of {DEFECT} x {DEFECT} pixels becomes {DEFECT * across:.2g} x {DEFECT * down:.2g}"
    if marked is not None:
        seen += f", the smallest that a mask marks, of {marked:,.0f} pixels, {marked * across * down:.2g}"
    return [
        f"images of up to {width:,} x {height:,} are made smaller, to {framing.spec.width:,} x "
        f"{framing.spec.height:,}: {seen}. --set image.mode=tile looks at every pixel, a larger "
        "image.height and image.width at more of them"
    ]
