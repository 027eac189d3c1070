"""Judges images by shares on an engine, and joins them: the rows of one process, whatever was lost on the way.

A share is a piece of work that leaves nothing behind but what it returns, so it may be repeated. What is finished is
kept, and the same command goes on from there: see `keeping`. Images are read where they lie, or fetched to scratch.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from platform import node
from typing import Any

from anomalib_lite import registry
from anomalib_lite.data import absolute
from anomalib_lite.data.addresses import fetched
from anomalib_lite.data.store import Store
from anomalib_lite.edge import disk
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.engines import Engine
from anomalib_lite.errors import AnomalibLiteError, DataError, ErrorCode, ImageError
from anomalib_lite.pipeline import parts, result_folder, states
from anomalib_lite.pipeline.inputs import Chosen, common_root
from anomalib_lite.pipeline.keeping import Here, Keeping, There
from anomalib_lite.pipeline.lists import gathered, of_series
from anomalib_lite.pipeline.predict import Predicted, Track, untracked
from anomalib_lite.pipeline.saving import Heatmaps, Saving
from anomalib_lite.pipeline.shards import MOST, Record, Shard, Work, sealed, share
from anomalib_lite.pipeline.travelling import Travelling
from anomalib_lite.pipeline.workers import Asked
from anomalib_lite.pipeline.written import Writing

SIZE = 250  # images of a share, about: what is lost with a node, and what a task costs beside judging them


@dataclass(frozen=True, kw_only=True)
class Task:
    """What all shares have in common, as it travels to where they are judged."""

    model: Travelling
    heatmaps: Heatmaps | None
    writers: Sequence[str]
    reference: Path | None
    by_parts: bool
    root: Path | None
    here: Path  # what paths are relative to


@dataclass(frozen=True)
class Piece:
    """One share: its images, each with its place among all."""

    shard: Shard
    images: list[tuple[int, Chosen]]


def spread(
    model: Model | Joint, inputs: Sequence[str], engine: Engine, *, out: Path | Store, heatmaps: Heatmaps | None = None,
    writers: Sequence[str] = (), reference: Path | None = None, columns: Mapping[str, str] | None = None,
    group: str | None = None, overwrite: bool = False, threads: int = 1, track: Track = untracked,
) -> Predicted:  # fmt: skip
    """Judge images by shares.

    Args:
        model: The loaded model.
        inputs: What `lists.gathered` takes: paths, addresses, lists.
        engine: Where shares are judged.
        out: Gets results.csv, results.jsonl and pictures; or, in a store, folders of shares: see `keeping`.
        heatmaps: Write pictures of these to OUT/heatmaps.
        writers: Names of writers of results in formats of the field.
        reference: A golden image, where the model compares with one and a table names none.
        columns: Renamed columns of lists and tables.
        group: A regular expression that finds the part in a name: there is a verdict for each part, too.
        overwrite: Replace an earlier result in `out`, what was begun of other work, or of objects of unknown state.
        threads: That one image is judged with.
        track: Shows progress.

    Raises:
        ConfigError: `out` holds an earlier result, or shares of other work, or lies within what is judged.
        DataError: Nothing was found, or shares could not be judged; the others are kept for the same command.
    """
    keeping: Keeping = There(out, overwrite) if isinstance(out, Store) else Here(out, overwrite)
    keeping.refuse(inputs)
    compares = isinstance(model, Joint) or model.bundle.manifest.compares
    images, notes = gathered(inputs, model.opener, columns, group=group, compares=compares)
    _refuse_own(out, images)
    by_parts = parts.refuse(model, images, group)
    count = min(MOST, -(-len(images) // SIZE) or 1)
    shown: dict[str, Any] = {"heatmaps": heatmaps, "writers": [*writers], "reference": reference}
    work = Work(model.model_id, images, group=group, columns=dict(columns or {}), **shown)
    record = _of_these(work.record(Shard(1, count), 0), images, reference, model.opener)
    task = Task(
        model=Travelling.of(model, threads), by_parts=by_parts, root=common_root(images), here=Path.cwd(), **shown
    )
    with keeping.begun(record, anew=any(one.remote and not one.remote.stamp for one in images)) as finished:
        pieces = [one for one in _pieces(images, count) if one.shard.index not in finished]
        if finished:
            notes.append(f"{len(finished):,} of {count:,} shares were judged before, and stay as they are")
        _judged(engine, task, pieces, keeping, record, track)
        done = keeping.joined(count)
    return Predicted(done.counts, done.out, notes, done.parts or None)


def _refuse_own(out: Path | Store, images: Sequence[Chosen]) -> None:
    """See `result_folder.refuse_own`; what lies at an address is none of them."""
    if isinstance(out, Path):
        result_folder.refuse_own(out, (path for one in images if not one.remote for path in (one.path, one.reference)))


def _judged(
    engine: Engine, task: Task, pieces: Sequence[Piece], keeping: Keeping, record: Record, track: Track
) -> None:  # fmt: skip
    """Judge shares, and keep each as it is finished.

    Raises:
        DataError: Some could not be judged: the first reason, and how many; the others are kept.
    """
    failed: list[AnomalibLiteError] = []
    ended = engine.each(judge, task, pieces)
    for _, (piece, outcome) in zip(track(range(len(pieces)), "inspecting"), ended, strict=False):
        if isinstance(outcome, AnomalibLiteError):
            failed.append(outcome)
        else:
            index, rows = piece.shard.index, len(piece.images)
            keeping.keep(outcome, replace(record, index=index, rows=rows, files=sealed(outcome)))
    if failed:
        raise DataError(
            f"{len(failed):,} of {record.count:,} shares could not be judged: {failed[0]} The others are kept: run the "
            "same command again to go on."
        ) from failed[0]


def _pieces(images: Sequence[Chosen], count: int) -> list[Piece]:
    """All shares."""
    pieces = [Piece(Shard(index, count), []) for index in range(1, count + 1)]
    for place, one in enumerate(images):
        pieces[share(one, count) - 1].images.append((place, one))
    return pieces


def _of_these(record: Record, images: Sequence[Chosen], reference: Path | None, opener: Opener) -> Record:
    """The record with these very files in the digest: what was begun with others of the same names is other work.

    Shares that are judged apart have no such digest, since machines may see their files in other places.
    """

    @lru_cache(1000)  # images of one file, or of one golden image, follow each other
    def state(file: Path) -> str:
        files = opener.catalogue.files(file) or (sorted(file.iterdir()) if file.is_dir() else [file])
        return states.digest(files)

    def known(path: Path | None) -> str | None:
        return None if path is None else state(Path(opener.file_of(os.fspath(path)) or path))

    digest = hashlib.sha256(json.dumps([record.inputs, known(reference)]).encode())
    for one in images:
        mark = [one.remote.address, one.remote.stamp] if one.remote else [known(one.path)]
        digest.update(json.dumps([*mark, one.view, known(one.reference)]).encode())
    return replace(record, inputs=digest.hexdigest())


def judge(task: Task, piece: Piece) -> dict[str, bytes]:
    """The files of a share's results, wherever this runs.

    Raises:
        DataError: Its images are not to be had here, or the disk does not take what is written.
    """
    model = task.model.loaded()
    writing = [Writing.of(registry.load().writer(name), model.opener.readers) for name in task.writers]
    try:
        with disk.scratch() as scratch:
            out, root = scratch / "out", task.root
            if piece.images and piece.images[0][1].remote and root:
                root = scratch / root
            saving = Saving(model, out, task.heatmaps, writing, True, root, task.by_parts, report=False)
            with saving.begun():
                for place, one, seen in _seen(model, task, piece, scratch):
                    saving.add(place, one, seen)
                saving.judged(lambda result: None)
            if unwritten := [one.unwritten[0] for one in writing if one.unwritten]:
                raise DataError(" ".join(unwritten))
            return {file.relative_to(out).as_posix(): file.read_bytes() for file in out.rglob("*") if file.is_file()}
    except OSError as error:
        raise DataError(
            f"{node()}: {error.filename or 'scratch'} cannot be used ({error.strerror}). Make room."
        ) from error


def _seen(model: Model | Joint, task: Task, piece: Piece, scratch: Path) -> Iterator[tuple[int, Chosen, Seen]]:
    """The verdict on each image, with where it lies here.

    Raises:
        DataError: The folder of the images is not there on this machine, or their store is gone.
    """
    images = [one for _, one in piece.images]
    remote = [one.remote for one in images if one.remote]
    for one in images:
        if not one.remote and not (task.here / one.root).is_dir():
            raise DataError(
                f"{task.here / one.root} is not there on {node()}: give images by a path that all nodes share."
            )
    files = fetched(remote, scratch) if remote else (absolute(task.here / one.path) for one in images)
    for (place, one), file in zip(piece.images, files, strict=True):
        if one.remote and not isinstance(file, ImageError) and (why := of_series(one.called, file, model.opener)):
            file = ImageError(why, ErrorCode.UNREADABLE)
        if isinstance(file, ImageError):
            seen = Seen(model.refuse(one.called, str(file), file.code), None)
            yield place, replace(one, path=scratch / one.path), seen
            continue
        reference = one.reference or task.reference
        seen = Asked(file, one.name, reference and absolute(task.here / reference), one.view).by(model)
        said = seen.result.error and seen.result.error.replace(str(file), one.called)
        named = replace(one, path=scratch / one.path if one.remote else file)
        yield place, named, seen._replace(result=replace(seen.result, image=one.called, error=said))
        if one.remote:
            file.unlink()
