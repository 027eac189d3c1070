"""Writes results in a format of the field: what a writer of a plugin makes of each image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.model import Seen
from anomalib_lite.errors import AnomalibLiteError, DataError, PluginError
from anomalib_lite.hookspecs import WriterInfo
from anomalib_lite.pipeline import result_folder
from anomalib_lite.registry import resolve
from anomalib_lite.registry.plugin import reason


@dataclass(frozen=True)
class Writing:
    """A writer, and where its files go: OUT/NAME."""

    info: WriterInfo
    write: Callable[..., Any]

    @classmethod
    def of(cls, info: WriterInfo) -> Writing:
        """A writer, imported.

        Raises:
            PluginError: It cannot be.
        """
        return cls(info, resolve(info.target, f"writer '{info.name}'"))

    def __call__(self, seen: Seen, image: Path, root: Path | None, out: Path) -> str | None:
        """Write one image; the file within `out`, or None where it could not be measured.

        Raises:
            PluginError: The writer raises, or writes no such file.
            DataError: The disk is full, or gone.
        """
        result = seen.result
        if seen.picture is None or result.anomaly_map is None or result.shape is None:
            return None
        place = result_folder.place(out, image, root, folder=self.info.name, suffix=self.info.suffix)
        target, what = out / place, f"writer '{self.info.name}': {result.image}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            self.write(target, result, seen.picture, imaging.resize_map(result.anomaly_map, *result.shape))
        except AnomalibLiteError:
            raise
        except OSError as error:
            raise DataError(f"{what}: {target} cannot be written ({error.strerror or error}). Make room.") from error
        except Exception as error:
            raise PluginError(f"{what}: {reason(error, self.info.target)}. The rows before are complete.") from error
        if not target.is_file():
            raise PluginError(f"{what}: wrote no file {target}. It has to write the path that it is given.")
        return place
