"""What a training run leaves on disk: a checkpoint for each `minimise`, and training.csv."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor

from anomalib_lite.edge import disk
from anomalib_lite.errors import DataError, ModelError

FIXED_COLUMNS = ("call", "step", "seconds", "loss", "lr")
CURVE_POINTS = 500


@dataclass
class Checkpoint:
    """The state of the `call`-th minimise of a fit, between two of its steps."""

    call: int
    seed: int
    step: int = 0  # steps done
    began: float = 0.0  # seconds of the run that were over when this call began
    elapsed: float = 0.0  # seconds of the run that are over
    finished: bool = False
    module: dict[str, Any] = field(default_factory=dict)
    optimiser: dict[str, Any] | None = None

    @staticmethod
    def path(folder: Path, call: int) -> Path:
        """Where the checkpoint of a call lies."""
        return folder / f"minimise-{call}.ckpt"

    def save(self, folder: Path) -> None:
        """Write the file whole or not at all: a crash or a full disk leaves the one before.

        Raises:
            DataError: The disk does not take it.
        """
        path = self.path(folder, self.call)
        with _writing(path), disk.replacing(path) as file:
            torch.save(vars(self), file)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read tensors and plain values only.

        Raises:
            ModelError: The file is damaged, or not a checkpoint.
        """
        return cls(**_loaded(path))


@dataclass(frozen=True)
class KeptFit:
    """What a fit learnt, kept until the bundle is written: an export that fails costs no second fit."""

    state: Mapping[str, Tensor]
    steps: int
    ended_early: bool

    @staticmethod
    def path(folder: Path) -> Path:
        """Where the fit of a run lies."""
        return folder / "fit.ckpt"

    def save(self, folder: Path) -> None:
        """Write the file whole or not at all.

        Raises:
            DataError: The disk does not take it.
        """
        path = self.path(folder)
        with _writing(path), disk.replacing(path) as file:
            torch.save(vars(self), file)

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The fit of an interrupted run; None where it had not come so far.

        Raises:
            ModelError: The file is damaged.
        """
        path = cls.path(folder)
        return cls(**_loaded(path)) if path.exists() else None


def _loaded(path: Path) -> dict[str, Any]:
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:
        raise ModelError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}): "
            "delete it to repeat this part of the training, or train again without --resume."
        ) from error


def prepare(folder: Path, *, resume: bool) -> None:
    """Make the folder; unless it is resumed from, remove what an earlier run left in it."""
    folder.mkdir(parents=True, exist_ok=True)
    if not resume:
        for path in [*folder.glob("minimise-*.ckpt"), KeptFit.path(folder), folder / "training.csv"]:
            path.unlink(missing_ok=True)
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)


def seconds_spent(folder: Path) -> float:
    """Time that the run in a folder has taken, as far as its results were saved."""
    return max((Checkpoint.load(path).elapsed for path in folder.glob("minimise-*.ckpt")), default=0.0)


class TrainingLog:
    """training.csv: one row per logged step, one column per logged name, in columns `FIXED_COLUMNS` + names."""

    def __init__(self, path: Path, *, write: bool, resume: bool) -> None:
        self._path = path
        self._write = write
        self._columns = list(FIXED_COLUMNS)
        self._rows: list[dict[str, float]] = []
        if resume and path.exists():
            self._read()

    @property
    def curve(self) -> list[tuple[int, int, float]]:
        """(call, step, loss), thinned evenly to at most `CURVE_POINTS` points with the first and the last."""
        points = [(int(row["call"]), int(row["step"]), row["loss"]) for row in self._rows if "loss" in row]
        if len(points) <= CURVE_POINTS:
            return points
        last = len(points) - 1
        return [points[round(i * last / (CURVE_POINTS - 1))] for i in range(CURVE_POINTS)]

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row; a name not seen before gets a column.

        Raises:
            DataError: The disk does not take it.
        """
        self._rows.append(dict(row))
        new = [name for name in row if name not in self._columns]
        self._columns += new
        if new or len(self._rows) == 1:
            self._rewrite()
        elif self._write:
            with _writing(self._path), self._path.open("a", newline="", encoding="utf-8") as file:
                self._writer(file).writerow(row)

    def rewind(self, call: int, step: int) -> None:
        """Drop what an interrupted run logged of `call` after `step`, and of later calls."""
        kept = [row for row in self._rows if (row["call"], row.get("step", 0)) <= (call, step)]
        if len(kept) < len(self._rows):
            self._rows = kept
            self._rewrite()

    def _read(self) -> None:
        with self._path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            rows = [_parsed(row) for row in reader]
            self._columns = list(reader.fieldnames or FIXED_COLUMNS)
        # What is logged outside `minimise` (no step) is logged again by the resumed fit.
        self._rows = [row for row in rows if "step" in row]
        self._rewrite()

    def _rewrite(self) -> None:
        if not self._write:
            return
        text = io.StringIO(newline="")
        writer = self._writer(text)
        writer.writeheader()
        writer.writerows(self._rows)
        with _writing(self._path):
            disk.write(self._path, text.getvalue().encode())

    def _writer(self, file: Any) -> csv.DictWriter[str]:
        return csv.DictWriter(file, self._columns, restval="", lineterminator="\n")


def _parsed(row: Mapping[str, str | None]) -> dict[str, float]:
    """A row of training.csv; empty where a crash tore it."""
    try:
        values = {name: float(text) for name, text in row.items() if text}
    except (TypeError, ValueError):
        return {}
    return values | {name: int(values[name]) for name in ("call", "step") if name in values}


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError) as error:
        first = error.__context__ if isinstance(error, RuntimeError) else error  # torch.save hides what happened
        reason = first.strerror if isinstance(first, OSError) else error
        raise DataError(f"{path} cannot be written ({reason}). Make room, then go on with --resume.") from error
