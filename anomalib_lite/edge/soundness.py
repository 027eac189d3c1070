"""Values of a manifest that no model can work with, refused by their key before anything is measured."""

from __future__ import annotations

import reprlib
import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias, get_args

from anomalib_lite.edge.images.framing import Mode
from anomalib_lite.errors import ModelError

Rule: TypeAlias = tuple[str, Any, bool, str]  # key, its value, whether that is sound, what is expected


def check(path: Path, manifest: Mapping[str, Any]) -> None:
    """Look at what places an image in the graph, and at the scores that p-values come from.

    Args:
        path: The bundle's, for messages.
        manifest: Its manifest.

    Raises:
        ModelError: A value makes no sense; the first such key is named.
        KeyError: A key is missing.
        TypeError: A part of it is no object.
    """
    for rules in (_image(manifest["image"]), _framing(manifest), _calibration(manifest["calibration"])):
        for key, value, sound, expected in rules:
            if not sound:
                raise ModelError(
                    f"{path}: the manifest says {key}={reprlib.repr(value)}, expected is {expected}. Restore the "
                    "bundle from its origin, or train the model again."
                )


def _image(image: Mapping[str, Any]) -> Iterator[Rule]:
    for side in ("height", "width"):
        yield f"image.{side}", image[side], _whole(image[side]) and image[side] > 0, "a whole number above 0"
    channels, dtype, white = image["channels"], image["dtype"], image["white"]
    yield "image.channels", channels, _whole(channels) and channels in (1, 3), "1 or 3"
    yield "image.dtype", dtype, dtype in ("uint8", "uint16"), "uint8 or uint16"
    yield "image.white", white, _finite(white) and white > 0, "a number above 0"


def _framing(manifest: Mapping[str, Any]) -> Iterator[Rule]:
    """Rules of the framing; those of the image hold already."""
    framing, side = manifest["framing"], min(manifest["image"]["height"], manifest["image"]["width"])
    mode, overlap = framing["mode"], framing["overlap"]
    yield "framing.mode", mode, mode in get_args(Mode), ", ".join(get_args(Mode))
    yield "framing.overlap", overlap, _whole(overlap) and overlap >= 0, "a whole number of pixels"
    leaves_core = mode != "tile" or 2 * overlap < side
    yield "framing.overlap", overlap, leaves_core, f"less than half of the tile's {side} pixels"
    for key, value in (("convert", framing["convert"]), ("align", framing.get("align", False))):
        yield f"framing.{key}", value, isinstance(value, bool), "true or false"


def _calibration(calibration: Mapping[str, Any]) -> Iterator[Rule]:
    scores = calibration["scores"]
    numbers = isinstance(scores, list) and len(scores) > 0 and all(map(_finite, scores))
    yield "calibration.scores", scores, numbers, "a list of at least one finite number"
    ascending = all(a <= b for a, b in pairwise(scores))
    yield "calibration.scores", scores, ascending, "a list in ascending order"


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
