"""The folder that `predict` and `evaluate` write to: what lies there already, and where heat maps go."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PurePosixPath

from anomalib_lite.data import absolute
from anomalib_lite.edge.bundle import MANIFEST
from anomalib_lite.edge.locks import UNSUPPORTED, FolderLock
from anomalib_lite.edge.results import COLUMNS, CSV, JSON_LINES
from anomalib_lite.errors import ConfigError, DataError

HEATMAPS, METRICS, REPORT, PARTS = "heatmaps", "metrics.json", "report.html", "parts.csv"
SHARD = "shard.json"
HEATMAP, PART, WRITTEN, POSITION, PRODUCT = "heatmap", "part", "written", "position", "product"  # columns of `predict`
LABEL, GROUP = "label", "group"  # columns of `evaluate`
PICTURE = ".png"
BEGINNING = ",".join(COLUMNS[:3]).encode()  # of a table of results, of every version
LONGEST_NAME, LONGEST_PATH = 255, 4096 if os.name == "posix" else 260  # bytes, where the system does not say


def refuse_existing(folder: Path | None, *, overwrite: bool) -> None:
    """Raise where results cannot be written without taking something away.

    Raises:
        ConfigError: The folder holds an earlier result and may not be replaced, or files of somebody else under the
            names that results have.
        DataError: It is a model's.
    """
    if folder is None:
        return
    if (folder / MANIFEST).exists():
        raise DataError(f"{folder} holds a model, which results would damage: choose another --out.")
    if is_result(folder) and not overwrite:
        raise ConfigError(f"{folder} holds an earlier result. Choose another --out, or replace it with --overwrite.")
    own = _names(folder) if is_result(folder) else ()
    for name in (CSV, JSON_LINES, METRICS, PARTS, REPORT, SHARD):
        if name not in own and os.path.lexists(folder / name):
            raise ConfigError(
                f"{folder / name}: is not of an earlier result, so nothing replaces it. Choose another --out."
            )


def refuse_own(folder: Path | None, images: Iterable[Path | None]) -> None:
    """Raise where images, or golden ones, are pictures of the earlier result that is about to be replaced.

    Raises:
        ConfigError: This is so.
    """
    made = {os.path.realpath(one) for one in _made(folder)} if folder is not None and is_result(folder) else set()
    for one in images if made else ():
        if one is not None and os.path.realpath(one) in made:
            raise ConfigError(
                f"{one}: is of the earlier result in {folder}, and would go with it. Choose another --out."
            )


@contextmanager
def taken(folder: Path | None, *, overwrite: bool) -> Iterator[None]:
    """Make the folder, keep other processes from writing results to it, and remove an earlier result.

    Raises:
        ConfigError: Another process writes there, or what `refuse_existing` says.
        DataError: It is a model's, or cannot be written to.
    """
    if folder is None:
        yield
        return
    with ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(FolderLock(folder))
        except BlockingIOError as error:
            raise ConfigError(f"{folder}: another process writes to it. Choose another --out, or wait.") from error
        except OSError as error:
            if error.errno not in UNSUPPORTED:  # a share without locks is written to all the same
                raise DataError(
                    f"{folder}: results cannot be written ({error.strerror}). Choose another folder."
                ) from error
        refuse_existing(folder, overwrite=overwrite)
        _clear(folder)
        yield


def _clear(folder: Path) -> None:
    """Remove an earlier result, and of heat maps and written files those that its rows name; whatever else stays.

    Raises:
        DataError: It cannot be removed.
    """
    if not is_result(folder):
        return
    own = _names(folder)
    try:
        for picture in _made(folder):
            picture.unlink(missing_ok=True)
            _remove_empty(picture.parent, folder)
        for name in own:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise DataError(
            f"{error.filename or folder}: the earlier result cannot be removed ({error.strerror}). Make it writable, "
            "or choose another --out."
        ) from error


def is_result(folder: Path) -> bool:
    """Whether a folder holds what `predict` or `evaluate` wrote."""
    return _header(folder).startswith(BEGINNING)


def _names(folder: Path) -> tuple[str, ...]:
    """The files of the result in a folder, last what tells that it is one, and is there before any other.

    `evaluate` alone writes metrics, `predict` verdicts on parts where it is told of them.
    """
    header = _header(folder)
    measured = (METRICS,) if b"," + LABEL.encode() in header else ()
    judged = (PARTS,) if b"," + PART.encode() in header else ()
    divided = (SHARD,) if b"," + POSITION.encode() in header else ()
    return (*divided, *measured, *judged, REPORT, JSON_LINES, CSV)


def _header(folder: Path) -> bytes:
    try:
        with (folder / CSV).open("rb") as file:
            return file.readline(1000)
    except OSError:
        return b""


def place(out: Path, image: Path, root: Path | None, *, folder: str = HEATMAPS, suffix: str = PICTURE) -> str:
    """Where the heat map of an image goes within `out`: 'heatmaps/NAME.png', or a free name that is short enough.

    Args:
        out: The folder of results.
        image: The image.
        root: What its name is relative to; None for the root of its drive.
        folder: Within `out`, for files of another kind.
        suffix: Of these files.
    """
    image = absolute(image)
    inside = PurePosixPath(*image.relative_to(root or image.anchor).parts)
    name = inside.name + suffix
    if len(os.fsencode(name)) > _most(out, "PC_NAME_MAX", LONGEST_NAME):
        name = _short(inside, suffix)
    above = PurePosixPath(folder) / inside.parent
    if len(os.fsencode(absolute(out) / above / name)) >= _most(out, "PC_PATH_MAX", LONGEST_PATH):
        above, name = PurePosixPath(folder), _short(inside, suffix)
    number = 1
    while os.path.lexists(out / above / name):
        number += 1
        name = _short(inside, suffix, number)
    return (above / name).as_posix()


def written(formats: Sequence[str]) -> list[str]:
    """The columns with the files of these formats: WRITTEN of one, of several WRITTEN_NAME for each."""
    return [WRITTEN] if len(formats) == 1 else [f"{WRITTEN}_{name}" for name in formats]


def naming(columns: Iterable[str]) -> list[str]:
    """Those of the columns of a row that name a file of the result: its heat map, and what writers wrote."""
    return [name for name in columns if name in (HEATMAP, WRITTEN) or name.startswith(f"{WRITTEN}_")]


def _short(inside: PurePosixPath, suffix: str, number: int = 1) -> str:
    """The beginning of a name, and a digest that tells it from others that begin alike."""
    beginning = os.fsencode(inside.name)[:80].decode("utf-8", "ignore")  # without half a letter at its end
    digest = hashlib.sha256(os.fsencode(f"{inside}{number}")).hexdigest()[:16]
    return f"{beginning}-{digest}{suffix}"


def _most(folder: Path, what: str, otherwise: int) -> int:
    """A limit of the file system that a folder is on."""
    with suppress(OSError, ValueError, AttributeError):
        return os.pathconf(folder, what)
    return otherwise


def _made(folder: Path) -> Iterator[Path]:
    """The heat maps, and what writers wrote, that the rows of a result name, and that lie in folders of its own."""
    above = folder.resolve()
    with suppress(FileNotFoundError), (folder / JSON_LINES).open("rb") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:  # a row that was cut off
                continue
            named = {key: row[key] for key in naming(row)} if isinstance(row, dict) else {}
            for key, name in named.items():
                if not isinstance(name, str) or (key == HEATMAP and not name.endswith(PICTURE)):
                    continue
                inside = above / (HEATMAPS if key == HEATMAP else PurePosixPath(name).parts[0] if name else HEATMAPS)
                with suppress(OSError, ValueError):
                    one = folder / name
                    if inside.parent == above and one.parent.resolve().is_relative_to(inside) and not one.is_dir():
                        yield one


def _remove_empty(below: Path, folder: Path) -> None:
    """Remove folders of such files that hold nothing any more."""
    with suppress(OSError):
        while below != folder:
            below.rmdir()
            below = below.parent
