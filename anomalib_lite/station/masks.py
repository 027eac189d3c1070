"""Masks of the region of interest that were drawn at the station: in a folder of its own, numbered."""

from __future__ import annotations

import io
import os
import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge import disk, locks
from anomalib_lite.edge.arrivals import MASKS
from anomalib_lite.errors import DataError

NAME = re.compile(r"roi(?:-([2-9]|[1-9]\d{1,5}))?\.png")


def listed(folder: Path) -> list[int]:
    """The numbers of the masks of a folder of results, ascending."""
    try:
        names = [path.name for path in (folder / MASKS).iterdir()]
    except OSError:
        return []
    return sorted(int(found[1] or 1) for name in names if (found := NAME.fullmatch(name)))


def name_of(number: int) -> str:
    """The name of the file of a mask."""
    return "roi.png" if number == 1 else f"roi-{number}.png"


def save(folder: Path, inside: NDArray[np.bool_], replaces: int) -> tuple[int, Path]:
    """Write a mask whole, or nothing: white is to be inspected, all else is black.

    Args:
        folder: Of results.
        inside: (H, W), what is to be inspected.
        replaces: The number of a mask that is to be replaced; 0 for a new one.

    Returns:
        Its number, and its absolute path.

    Raises:
        DataError: There is none to be replaced, the disk does not take it, or another station is writing one.
    """
    buffer, place = io.BytesIO(), (folder / MASKS).absolute()
    Image.fromarray(inside.astype(np.uint8) * 255).save(buffer, "PNG")
    try:
        place.mkdir(exist_ok=True)
        lock = locks.open_locked(place)  # so that of two stations none takes the name that the other has chosen
        try:
            known = listed(folder)
            if replaces and replaces not in known:
                raise DataError(f"{place / name_of(replaces)}: is gone, and cannot be replaced. Save a new one.")
            number = replaces or max(known, default=0) + 1
            disk.write(place / name_of(number), buffer.getvalue())
        finally:
            if lock is not None:
                os.close(lock)
    except BlockingIOError as error:
        raise DataError(f"{place}: another station is writing a mask there. Try again.") from error
    except OSError as error:
        raise DataError(f"{place}: the mask cannot be written ({error.strerror or error}). Make room.") from error
    return number, place / name_of(number)
