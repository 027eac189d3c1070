"""Trains a model for each row of a plan. Goes on where it was interrupted; the failure of one product is its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite import registry
from anomalib_lite.data import absolute
from anomalib_lite.edge import bundle, disk
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.locks import UNSUPPORTED, FolderLock
from anomalib_lite.engines import Engine, Local
from anomalib_lite.errors import AnomalibLiteError, ConfigError, DataError, PluginError
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.pipeline.products import PLAN, Product, changed, read
from anomalib_lite.pipeline.train import Say, train
from anomalib_lite.registry import Registry
from anomalib_lite.report import products as reporting
from anomalib_lite.report.products import Line
from anomalib_lite.training import partial

RECORD, MODEL = "product.json", "model"


@dataclass(frozen=True)
class Piece:
    """One product to train, and where."""

    product: Product
    folder: Path
    asked: dict[str, str]  # of the product, before the first is trained


@dataclass(frozen=True)
class TrainedMany:
    """What came of each product, what is to be looked at first first."""

    lines: list[Line]
    out: Path

    @property
    def failed(self) -> list[Line]:
        """Those without a model of this plan."""
        return [line for line in self.lines if line.error]


def train_many(
    plan: Path, out: Path, *, engine: Engine | None = None, threads: int = 0, plugins: Registry | None = None, say: Say,
    track: Track = untracked,
) -> TrainedMany:  # fmt: skip
    """Train a model for each product that has none yet, and sum up what all of them are.

    Args:
        plan: The table: see `products`.
        out: Gets a folder for each product, NAME/model in it, and products.csv, products.json and report.html.
        engine: Where trainings run; None for one after the other, in this process.
        threads: That one held-out image is measured with; 0 leaves it to onnxruntime.
        plugins: What is installed, where that was loaded already.
        say: Gets a line for each product that ends, and at each stage.
        track: Shows progress.

    Raises:
        ConfigError: Rows of the plan are wrong; `out` is of another plan, or another process is at work there.
        DataError: The plan cannot be read, or the disk does not take the summary.
    """
    installed = plugins or registry.load()
    products = read(plan, installed)
    with ExitStack() as stack:
        _enter(plan, out, stack)
        opener = Opener(installed.readers)
        every = [Piece(one, absolute(out) / one.name, one.asked(opener)) for one in products]
        pieces = [one for one in every if not _is_done(one, say)]
        if len(pieces) < len(products):
            say(f"{len(products) - len(pieces):,} of {len(products):,} products were trained before")
        failed = dict[str, str]()
        ended = (engine or Local()).each(_trained, threads, pieces)
        for _, (piece, outcome) in zip(track(range(len(pieces)), "training"), ended, strict=False):
            error = outcome if isinstance(outcome, AnomalibLiteError) else None
            if error:
                failed[piece.product.name] = str(error)
                with suppress(DataError):  # where its folder is no folder, or the disk is full
                    _record(piece.folder, error=str(error))
            say(f"{piece.product.name}: {error or 'trained'}")
        lines = reporting.in_order([_line(one, out / one.name, failed.get(one.name)) for one in products])
        _write(plan, out, lines)
    return TrainedMany(lines, out)


def _enter(plan: Path, out: Path, stack: ExitStack) -> None:
    """Make the folder, or enter that of the same plan, and keep other processes out of it.

    Raises:
        ConfigError: It is of another plan, of something else, in use, or cannot be written.
    """
    mine = os.fspath(absolute(plan))  # one of the same name elsewhere is another
    try:
        if out.is_dir() and any(out.iterdir()) and not (out / PLAN).is_file():
            raise ConfigError(f"{out} is not empty, and holds no products of a plan: choose another --out.")
        out.mkdir(parents=True, exist_ok=True)
        try:
            stack.enter_context(FolderLock(out))
        except OSError as error:
            if error.errno not in UNSUPPORTED:
                raise
        before = json.loads((out / PLAN).read_bytes())["plan"] if (out / PLAN).exists() else mine
        if before != mine:
            theirs, ours = (f"{one.name} in {one.parent}" for one in (Path(before), Path(mine)))
            raise ConfigError(f"{out} holds the products of {theirs}, not of {ours}: choose another --out.")
        disk.write(out / PLAN, json.dumps({"plan": mine}).encode() + b"\n")
    except BlockingIOError as error:
        raise ConfigError(f"{out}: another process trains there. Wait for it, or choose another --out.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{out} cannot be used ({error}): choose another --out.") from error


def _is_done(piece: Piece, say: Say) -> bool:
    """Whether the model of this row is there. A row that says something else than before is told of."""
    record = _recorded(piece.folder)
    if record and (other := changed(record.get("asked", {}), piece.asked)):
        say(f"{piece.product.name}: another {' and another '.join(other)} than before, so it is trained anew")
        return False
    model_id = _model_id(piece.folder)
    return bool(record) and model_id is not None and model_id != record.get("before")


def _model_id(folder: Path) -> str | None:
    """Of the model that is there; None where there is none, or one that is refused."""
    try:
        return bundle.load(folder / MODEL).model_id
    except AnomalibLiteError:
        return None


def _recorded(folder: Path) -> dict[str, Any]:
    """What was asked of a product, and what came of it; empty where that is not known."""
    try:
        return dict(json.loads((folder / RECORD).read_bytes()))
    except (OSError, ValueError, TypeError):
        return {}


def _record(folder: Path, **known: Any) -> None:
    """Write down what is known of a product.

    Raises:
        DataError: The disk does not take it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        disk.write(folder / RECORD, json.dumps(_recorded(folder) | known, indent=1).encode() + b"\n")
    except OSError as error:
        raise DataError(
            f"{folder}: cannot be written ({error.strerror}). Make room, and repeat the command."
        ) from error


@contextmanager
def bugs_of(detector: str) -> Iterator[None]:
    """Bugs of a detector are its failure, and no reason to train no other.

    Raises:
        PluginError: It has one.
    """
    try:
        yield
    except AnomalibLiteError:
        raise
    except Exception as error:
        raise PluginError(f"{detector} failed: {type(error).__name__}: {error}") from error


def _trained(threads: int, piece: Piece) -> None:
    """Train one product, wherever this runs.

    Raises:
        AnomalibLiteError: It cannot be trained.
    """
    with bugs_of(piece.product.detector):
        _train(piece, threads)


def _train(piece: Piece, threads: int) -> None:
    """Train one product, and write down what came of it."""
    product, folder, asked = piece.product, piece.folder, piece.asked
    if not folder.parent.is_dir():
        raise ConfigError(f"{folder.parent} is not there on this machine: give an --out that all machines share.")
    interrupted = _recorded(folder).get("asked") == asked and partial.folder(folder / MODEL).exists()
    begun_with = {} if interrupted else {"asked": asked, "before": _model_id(folder)}
    _record(folder, error=None, **begun_with)
    notes, begun = list[str](), time.monotonic()
    plugins = registry.load()
    try:
        train(product.request(folder / MODEL, threads, resume=interrupted), plugins=plugins, say=notes.append)
    except ConfigError:
        if not interrupted:
            raise
        notes.clear()  # its images are others by now: what was begun is of no use
        train(product.request(folder / MODEL, threads), plugins=plugins, say=notes.append)
    warnings = [line.removeprefix("warning: ") for line in notes if line.startswith(("warning: ", "left out"))]
    _record(folder, seconds=round(time.monotonic() - begun, 1), warnings=warnings, error=None, before=None)


def _line(product: Product, folder: Path, failed: str | None) -> Line:
    """What is to be said of a product; `failed` is why it was not trained now."""
    record = _recorded(folder)
    error = failed or record.get("error") or ""
    model = None if error else bundle.load(folder / MODEL)
    return Line(
        name=product.name,
        detector=product.detector,
        error=error,
        model_id=model.model_id if model else "",
        manifest=model.manifest if model else None,
        seconds=record.get("seconds"),
        warnings=record.get("warnings") or [],
    )


def _write(plan: Path, out: Path, lines: Sequence[Line]) -> None:
    """The summary.

    Raises:
        DataError: The disk does not take it.
    """
    try:
        reporting.write(out, plan.name, lines)
    except OSError as error:
        raise DataError(f"{out} cannot be written ({error.strerror}). Make room, and repeat the command.") from error
