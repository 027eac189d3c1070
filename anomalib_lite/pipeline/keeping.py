"""Where finished shares of a run are kept: in OUT.partial until all are joined, or in an object store, as its result.

In a store, a share is a folder OUT/000001 of the same files, each an object that is written once and whole, the record
last. Nothing is ever appended there, and OUT/work.json, written before all, tells how many shares there will be.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from io import StringIO
from pathlib import Path
from typing import Protocol

from anomalib_lite.data.addresses import is_address
from anomalib_lite.data.store import Store
from anomalib_lite.edge import disk
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.locks import UNSUPPORTED, FolderLock
from anomalib_lite.edge.results import CSV, JSON_LINES
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import result_folder
from anomalib_lite.pipeline.merge import Merged, merge
from anomalib_lite.pipeline.result_folder import PARTS, SHARD
from anomalib_lite.pipeline.shards import Record

WORK = "work.json"  # in a store: what is at work there
JOINING = ".joining"  # in OUT.partial, while the result is written to OUT
DIGITS = 6  # of the name of a share


class Keeping(Protocol):
    """Keeps finished shares."""

    def refuse(self, inputs: Sequence[str]) -> None:
        """Raise, before any image is looked for in `inputs`, where nothing may be kept.

        Raises:
            ConfigError: There is an earlier result, or something else, or the images themselves.
            DataError: It cannot be looked at, or is a model's.
        """
        ...

    @contextmanager
    def begun(self, wanted: Record, *, anew: bool) -> Iterator[set[int]]:
        """Keep shares of this work; those that were finished before, by their numbers.

        Args:
            wanted: The record of any share of it.
            anew: Whether what is replaced is not to be used, though it is of the same work.

        Raises:
            ConfigError: There are some of other work, which may not be replaced, or another process is at work there.
            DataError: Nothing can be written there.
        """
        ...

    def keep(self, files: Mapping[str, bytes], record: Record) -> None:
        """Write what a share gave; last of all, that it is whole.

        Raises:
            DataError: It is not taken.
        """
        ...

    def joined(self, count: int) -> Merged:
        """The result of all shares, numbers 1 to `count`.

        Raises:
            DataError: One is damaged or gone, or the result cannot be written.
        """
        ...


@dataclass(frozen=True)
class Here:
    """In OUT.partial; joined, they are the result in OUT."""

    out: Path
    overwrite: bool = False

    @property
    def place(self) -> Path:
        """The folder of what is finished."""
        return self.out.with_name(self.out.name + ".partial")

    @property
    def _cut(self) -> bool:
        """Whether the same command was killed while it wrote what was joined: the table comes last."""
        return (self.place / JOINING).exists() and not (self.out / CSV).exists()

    def refuse(self, inputs: Sequence[str]) -> None:
        """See `Keeping.refuse`."""
        if not self._cut:
            result_folder.refuse_existing(self.out, overwrite=self.overwrite)

    @contextmanager
    def begun(self, wanted: Record, *, anew: bool) -> Iterator[set[int]]:
        """See `Keeping.begun`; others are kept out of the folder."""
        with ExitStack() as stack:
            try:
                self.place.mkdir(parents=True, exist_ok=True)
                stack.enter_context(FolderLock(self.place))
            except BlockingIOError as error:
                said = f"{self.place}: another process judges for it. Wait, or choose another --out."
                raise ConfigError(said) from error
            except OSError as error:
                if error.errno not in UNSUPPORTED:
                    said = f"{self.place}: cannot be written ({error.strerror}). Choose another --out."
                    raise DataError(said) from error
            yield set(self._finished(wanted, anew=anew))

    def _finished(self, wanted: Record, *, anew: bool) -> Iterator[int]:
        """Those of other work are removed, or all where it begins anew."""
        names = sorted(one.name for one in self.place.iterdir())
        if other := [name for name in names if not _is_of_share(f"{name}/{SHARD}") and not name.startswith(".")]:
            said = f"{self.place} is where finished shares are kept, and holds {other[0]}, which is none"
            raise ConfigError(f"{said}: move it, or choose another --out.")
        for folder in (self.place / name for name in names):
            try:
                record = Record.read(folder)
                record.refuse_changed(folder)
            except DataError:  # it was not finished, or is not what was finished
                continue
            other = wanted.differs(record)
            if not other and not (anew and self.overwrite):
                yield record.index
            elif self.overwrite:
                shutil.rmtree(folder, ignore_errors=True)
            else:
                raise ConfigError(_of_other_work(self.place, other))

    def keep(self, files: Mapping[str, bytes], record: Record) -> None:
        """See `Keeping.keep`."""
        folder = self.place / _name(record.index)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            for name, content in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        except OSError as error:
            said = f"{folder}: cannot be written ({error.strerror}). Make room, and run the same command again."
            raise DataError(said) from error
        record.write(folder)

    def joined(self, count: int) -> Merged:
        """See `Keeping.joined`."""
        shares = [self.place / _name(index) for index in range(1, count + 1)]
        mark = self.place / JOINING
        try:
            for name in (PARTS, JSON_LINES) if self._cut else ():
                (self.out / name).unlink(missing_ok=True)
            mark.touch()
            done = merge(shares, out=self.out, overwrite=self.overwrite)
        except OSError as error:
            raise DataError(f"{error.filename}: cannot be written ({error.strerror}). Make room.") from error
        finally:
            mark.unlink(missing_ok=True)
        for share in shares:
            shutil.rmtree(share, ignore_errors=True)
        with suppress(OSError):  # somebody else put something there
            self.place.rmdir()
        return done


@dataclass(frozen=True)
class There:
    """In an object store: the shares are the result, which the same command completes and finds complete."""

    store: Store
    overwrite: bool = False
    _records: dict[int, Record] = field(default_factory=dict)

    def refuse(self, inputs: Sequence[str]) -> None:
        """See `Keeping.refuse`."""
        around = [one for one in inputs if f"{self.store.address}/".startswith(one.rstrip("/") + "/")]
        if around:
            raise ConfigError(
                f"--out {self.store.address} lies within {around[0]}, where the same command would find other objects "
                "when it goes on. Choose an address beside it."
            )
        self._names()

    @contextmanager
    def begun(self, wanted: Record, *, anew: bool) -> Iterator[set[int]]:
        """See `Keeping.begun`."""
        names = [name for name in self._names() if name == WORK or _is_of_share(name)]
        if self.overwrite:
            self.store.remove(names)
            names = []
        records = [name for name in names if name.endswith(f"/{SHARD}")]
        for name, content in zip(records, self.store.read(records), strict=True):
            record = Record.parse(content, f"{self.store.address}/{name}")
            if other := wanted.differs(record):
                raise ConfigError(_of_other_work(self.store.address, other))
            if record.files:  # else an older version wrote it
                self._records[record.index] = record
        told = {
            key: value for key, value in asdict(wanted).items() if key not in ("index", "rows", "files", "verdicts")
        }
        self.store.write({WORK: _json(told)})  # that nothing can be written is known before anything is judged
        yield set(self._records)

    def _names(self) -> list[str]:
        """What lies there.

        Raises:
            ConfigError: It is something else.
        """
        names = self.store.names()
        if names and WORK not in names:
            raise ConfigError(
                f"{self.store.address} holds {names[0]}, and no results: choose an address where nothing is, or the "
                "one that the same command wrote to."
            )
        return names

    def keep(self, files: Mapping[str, bytes], record: Record) -> None:
        """See `Keeping.keep`."""
        rows = [json.loads(line) for line in files[JSON_LINES].splitlines()]
        parts = list(csv.DictReader(StringIO(files[PARTS].decode(), newline=""))) if PARTS in files else []
        judged = {"images": rows, "parts": parts}.items()
        record = replace(record, verdicts={of: _counted(found) for of, found in judged})
        self.store.write({f"{_name(record.index)}/{name}": content for name, content in files.items()})
        self.store.write({f"{_name(record.index)}/{SHARD}": _json(asdict(record))})
        self._records[record.index] = record

    def joined(self, count: int) -> Merged:
        """See `Keeping.joined`; nothing is written any more."""
        counts = {of: Counter[Verdict]() for of in ("images", "parts")}
        for record in self._records.values():
            for of, found in record.verdicts.items():
                counts[of].update({Verdict(one): n for one, n in found.items()})
        images, parts = counts.values()
        return Merged({one: images[one] for one in Verdict}, self.store.address, parts)


@contextmanager
def folders(results: Sequence[str]) -> Iterator[list[Path]]:
    """Folders of shares, those of addresses brought here for as long as the context lasts.

    Raises:
        DataError: An address holds no share, cannot be read, or the disk does not take what is there.
    """
    found = list[Path]()
    with ExitStack() as stack:
        for one in results:
            if is_address(one):
                found += _brought(Store(one), stack.enter_context(disk.scratch()))
            else:
                found.append(Path(one))
        yield found


def _brought(store: Store, folder: Path) -> list[Path]:
    """The shares of a store, as folders here."""
    names = store.names()
    finished = {name.partition("/")[0] for name in names if _is_of_share(name) and name.endswith(f"/{SHARD}")}
    files = [name for name in names if _is_of_share(name) and name.partition("/")[0] in finished]
    if not files:
        raise DataError(f"{store.address} holds no finished share. Expected the address that `predict --out` wrote to.")
    for name, content in zip(files, store.read(files), strict=True):
        try:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        except OSError as error:
            raise DataError(f"{folder}: cannot be written ({error.strerror}). Make room there.") from error
    return sorted(folder / name for name in finished)


def _counted(rows: Iterable[Mapping[str, str]]) -> dict[str, int]:
    return dict(Counter(row["verdict"] for row in rows))


def _name(index: int) -> str:
    """Of the folder of a share."""
    return f"{index:0{DIGITS}}"


def _is_of_share(name: str) -> bool:
    """Whether an object is of a share, and its name leads nowhere else."""
    first, *rest = name.split("/")
    digits = len(first) == DIGITS and first.isdecimal() and first.isascii()
    return digits and bool(rest) and not {"", ".", ".."} & {*rest} and "\\" not in name


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


def _of_other_work(place: object, other: Sequence[str]) -> str:
    return (
        f"{place} holds what was begun with another {', another '.join(other)}: give the same command to go on, or "
        "begin anew with --overwrite."
    )
