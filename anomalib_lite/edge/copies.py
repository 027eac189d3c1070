"""Rejects as files: a copy of each image with a verdict that is asked for, and what was said of it, beside it."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from anomalib_lite.edge import disk
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.destinations import LONGEST_NAME, free_place, shortened

FOLDER, SAID = "copies", ".json"
ROOM = 24  # bytes of a name, for a number and the suffix of what is said


class Copies:
    """A folder of copies: VERDICT/NAME.png and VERDICT/NAME.json. Nothing that is there is written over."""

    def __init__(self, folder: Path, verdicts: Collection[Verdict]) -> None:
        """Nothing is made yet.

        Args:
            folder: Where a folder for each verdict is made.
            verdicts: Of which images are copied.
        """
        self._folder, self._verdicts = folder, frozenset(verdicts)

    def wants(self, verdict: Verdict) -> bool:
        """Whether images of a verdict are copied."""
        return verdict in self._verdicts

    def take(self, source: Path | bytes, verdict: Verdict, name: str, row: Mapping[str, Any]) -> str:
        """Copy an image, and write its row beside it, last; the same row twice is one copy, as after a kill.

        Args:
            source: The file of the image, or its bytes; where there is no such file, its row alone is written.
            verdict: That it goes by.
            name: Of the image, with slashes.
            row: What is said of it.

        Returns:
            Where its row lies within the folder.

        Raises:
            OSError: The disk does not take it.
        """
        said = json.dumps(dict(row), indent=1, allow_nan=False).encode() + b"\n"
        *above, last = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".", "..")]
        stem, suffix = os.path.splitext(shortened(last, "", LONGEST_NAME - ROOM))  # noqa: PTH122 - of "a..png", too
        wanted = "/".join([*above, stem])
        if _holds(self._folder / verdict.lower() / f"{wanted}{SAID}", said):
            return f"{verdict.lower()}/{wanted}{SAID}"
        place = free_place(self._folder, verdict, f"{wanted}{SAID}")
        while os.path.lexists(picture := self._folder / f"{place.removesuffix(SAID)}{suffix}"):
            wanted += "-"  # somebody else's, or left by a program that was killed
            place = free_place(self._folder, verdict, f"{wanted}{SAID}")
        picture.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, bytes):
            disk.write(picture, source)
        elif source.is_file():
            with source.open("rb") as before, disk.replacing(picture) as file:
                shutil.copyfileobj(before, file)
        disk.write(self._folder / place, said)
        return place


def _holds(path: Path, content: bytes) -> bool:
    """Whether a file holds this and nothing else."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except OSError:
        return False
