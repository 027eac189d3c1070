"""Writes results in a format of the field: what a writer makes of each image, or of all images of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Readers
from anomalib_lite.edge.model import Seen
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import AnomalibLiteError, DataError, PluginError
from anomalib_lite.hookspecs import WriterInfo
from anomalib_lite.pipeline import result_folder
from anomalib_lite.registry import resolve
from anomalib_lite.registry.plugin import reason

Measured: TypeAlias = tuple[Result, Picture]


@dataclass
class Writing:
    """A writer, and where its files go: OUT/NAME. What it writes of a whole file, it writes behind its last image."""

    info: WriterInfo
    write: Callable[..., Any]
    readers: Readers
    _file: Path | None = None  # that is collected, of a writer of whole files
    _target: tuple[Path, str] = (Path(), "")  # where it is written: OUT, and the name within
    _measured: list[Measured] = field(default_factory=list)
    unwritten: list[str] = field(default_factory=list)  # sources that the format has no place for, and why
    unmeasured: list[str] = field(default_factory=list)  # files of which no image could be measured: nothing is written

    @classmethod
    def of(cls, info: WriterInfo, readers: Readers) -> Writing:
        """A writer, imported.

        Args:
            info: The writer.
            readers: Those of the model: they tell which images are of one file.

        Raises:
            PluginError: It cannot be.
        """
        return cls(info, resolve(info.target, f"writer '{info.name}'"), readers)

    def __call__(self, seen: Seen, image: Path, root: Path | None, out: Path) -> str | None:
        """Write one image, or keep it for the file that it is of; the file within `out`; None where it is in none.

        A writer of whole files gets what could not be measured, too, or it would read as if nothing were found there.

        Raises:
            PluginError: The writer raises, or writes no such file.
            DataError: The disk is full, or gone.
        """
        result, picture = seen.result, seen.picture
        unmeasured = result.anomaly_map is None
        known = picture is not None and result.shape is not None
        if not self.info.whole and (unmeasured or not known):
            return None
        file = Path(imaging.named(imaging.divided(image, self.readers)[0])) if self.info.whole else image
        if self._file != file or not self.info.whole:
            self.finish()
            self._file, suffix = file, self.info.suffix
            named = file.with_name(file.name.removesuffix(suffix) or file.name) if self.info.whole else file
            place = result_folder.place(out, named, root, folder=self.info.name, suffix=suffix)
            self._target = out, place
        if picture is not None and known:
            self._measured.append((result, picture))
        place = self._target[1]
        if not self.info.whole:
            self.finish()
        return None if unmeasured else place

    def finish(self) -> None:
        """Write what is collected: after the last image, too. What a writer refuses is kept in `unwritten`.

        Raises:
            PluginError: The writer raises, or writes no such file.
            DataError: The disk is full, or gone.
        """
        (out, place), measured, file = self._target, self._measured, self._file
        self._measured, self._file = [], None
        if all(result.anomaly_map is None for result, _ in measured):
            self.unmeasured += [] if file is None else [str(file)]
            return
        target, what = out / place, f"writer '{self.info.name}': {measured[0][0].image}"
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if self.info.whole:
                self.write(target, _with_maps(measured))
            else:
                self.write(target, *next(_with_maps(measured)))
        except DataError as error:
            self.unwritten.append(f"{what}: {error}")
            return
        except AnomalibLiteError:
            raise
        except OSError as error:
            raise DataError(f"{what}: {target} cannot be written ({error.strerror or error}). Make room.") from error
        except Exception as error:
            raise PluginError(f"{what}: {reason(error, self.info.target)}. The rows before are complete.") from error
        if not target.is_file():
            raise PluginError(f"{what}: wrote no file {target}. It has to write the path that it is given.")


def refused(writing: Sequence[Writing]) -> list[str]:
    """Sources that a format has no place for, and why."""
    return [reason for one in writing for reason in one.unwritten]


def nothing_written(writing: Sequence[Writing]) -> list[str]:
    """What is to be said of files that no writer of whole files wrote, for nothing of them could be measured."""
    found = [(one.info.name, one.unmeasured) for one in writing if one.unmeasured]
    return [
        f"not written: {name} of {files[0]}{f' and {len(files) - 1:,} more' if files[1:] else ''}: nothing there could "
        "be measured, and rows say why"
        for name, files in found
    ]


def _with_maps(measured: list[Measured]) -> Iterator[tuple[Result, Picture, Any]]:
    """Each with its map at the resolution of the image, one after the other: those of a volume take much memory.

    That of an image that could not be measured is NaN.
    """
    for result, picture in measured:
        if result.shape is not None:
            known = result.anomaly_map
            nothing = np.full(result.shape, np.nan, np.float32)
            yield result, picture, nothing if known is None else imaging.resize_map(known, *result.shape)
