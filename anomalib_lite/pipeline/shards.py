"""Divides images among machines that know nothing of each other, by the hash of a name.

A shard is one of n shares of the same list of images. Photographs of one part have the same share, so that parts are
judged whole. Each share is written to a folder of its own with SHARD, last of all: a folder without it is not finished.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from anomalib_lite.data.samples import normal
from anomalib_lite.edge import disk
from anomalib_lite.edge.results import CSV, JSON_LINES
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.result_folder import PARTS, SHARD
from anomalib_lite.version import __version__

MOST = 100_000
SEALED = (CSV, JSON_LINES, PARTS)  # whose digests a share has
GOLDEN = 100  # golden images that are told by their content; where each image has its own, by name and length


@dataclass(frozen=True, slots=True)
class Shard:
    """Share `index` of `count`, from 1."""

    index: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """From '3/10'.

        Raises:
            ConfigError: It is no such share.
        """
        found = re.fullmatch(r"\s*(\d{1,6})\s*/\s*(\d{1,6})\s*", text)
        index, count = (int(found[1]), int(found[2])) if found else (0, 0)
        if not 1 <= index <= count <= MOST:
            raise ConfigError(f"--shard {text}: expected I/N with 1 <= I <= N <= {MOST:,}, such as 3/10.")
        return cls(index, count)

    def of(self, images: Sequence[Chosen]) -> list[tuple[int, Chosen]]:
        """The images of this share, each with its place among all."""
        return [(place, one) for place, one in enumerate(images) if share(one, self.count) == self.index]


def share(image: Chosen, count: int) -> int:
    """Which of so many shares an image falls to, from 1: by its part where that is known, else by the name of its file.

    The name is that within the folder or table, so that it does not matter where a machine has mounted it; one that
    another system writes with other bytes for the same letters (Unicode's normal forms) falls to the same share.
    """
    return 1 + int.from_bytes(_digest(image.part or image.name.partition("#")[0])[:8], "big") % count


def _digest(text: str) -> bytes:
    return hashlib.sha256(unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")).digest()


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a finished share says of itself."""

    index: int
    count: int
    model_id: str
    version: str
    images: int  # of all shares
    inputs: str  # digest of the names of all of them, in their order, and of what a table says of each
    options: dict[str, Any]  # what else has to be the same
    rows: int  # of this share
    files: dict[str, str] = field(default_factory=dict)  # name -> digest, of `SEALED` those that it has
    verdicts: dict[str, dict[str, int]] = field(default_factory=dict)  # of images and parts, where nobody joins shares

    @classmethod
    def read(cls, folder: Path) -> Self:
        """What a folder of results says.

        Raises:
            DataError: It is no share, was not finished, or its record is damaged.
        """
        try:
            return cls.parse((folder / SHARD).read_bytes(), folder / SHARD)
        except FileNotFoundError as error:
            raise DataError(
                f"{folder} holds no finished share: no {SHARD}. Run its `predict --shard` again, with --overwrite."
            ) from error
        except OSError as error:
            raise DataError(f"{folder / SHARD}: cannot be read ({error}). Run this share again.") from error

    @classmethod
    def parse(cls, content: bytes, name: object) -> Self:
        """What a file of this name says.

        Raises:
            DataError: It is damaged.
        """
        try:
            return cls(**json.loads(content)).sound()
        except (ValueError, TypeError, RecursionError) as error:
            raise DataError(f"{name}: cannot be read ({error}). Run this share again.") from error

    def differs(self, other: Record) -> list[str]:
        """What another share has of other work, in words."""
        ours, theirs = self.of_the_work(), other.of_the_work()
        return [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]

    def sound(self) -> Self:
        """Itself.

        Raises:
            ValueError: It has values that no share has.
        """
        numbers, texts = (self.index, self.count, self.images, self.rows), (self.model_id, self.version, self.inputs)
        if not (
            all(type(one) is int for one in numbers) and all(isinstance(one, str) for one in texts)
            and all(isinstance(one, dict) for one in (self.options, self.files, self.verdicts))
            and 1 <= self.index <= self.count <= MOST and 0 <= self.rows <= self.images
        ):  # fmt: skip
            raise ValueError("values that no share has")
        return self

    def refuse_changed(self, folder: Path) -> None:
        """Raise where the results of this share are not what was written when it was judged.

        Raises:
            DataError: This is so, or an older version wrote it, which took no digests.
        """
        if not self.files:
            raise DataError(
                f"{folder}: an older version wrote this share, without digests of its results. Judge this share again, "
                "with --overwrite."
            )
        for name in SEALED:
            found = digest(folder / name)
            if found != self.files.get(name):
                raise DataError(
                    f"{folder / name}: {'' if found else 'cannot be read (gone): '}results were changed since this "
                    "share was judged. Judge this share again, with --overwrite."
                )

    def write(self, folder: Path) -> None:
        """Say that a share is whole, and which results it has, where that is not said.

        Raises:
            DataError: The disk does not take it.
        """
        found = {name: digest(folder / name) for name in SEALED}
        said = self if self.files else replace(self, files={name: one for name, one in found.items() if one})
        try:
            disk.write(folder / SHARD, json.dumps(asdict(said), indent=1).encode() + b"\n")
        except OSError as error:
            raise DataError(f"{folder / SHARD}: cannot be written ({error.strerror}). Make room.") from error

    def of_the_work(self) -> dict[str, Any]:
        """What all shares have in common."""
        return {
            "number of shares": self.count,
            "model": self.model_id,
            "version of anomalib-lite": self.version,
            "images": (self.images, self.inputs),
            **{f"option {name}": value for name, value in self.options.items()},
        }


class Work:
    """What all shares have in common."""

    def __init__(
        self, model_id: str, images: Sequence[Chosen], *, reference: Path | None = None, **options: Any
    ) -> None:  # fmt: skip
        """Of these images, compared with a golden one, and judged with these options."""
        self._model_id, self._images, self._options = model_id, images, options
        self._options["reference"] = None if reference is None else [normal(reference.name), _content(reference)]

    @contextmanager
    def recorded(self, shard: Shard | None, out: Path | None, rows: int) -> Iterator[None]:
        """Last of all, say that a share with so many rows is whole.

        Raises:
            DataError: The disk does not take it.
        """
        yield
        if shard and out:
            self.record(shard, rows).write(out)

    def record(self, shard: Shard, rows: int) -> Record:
        """What a finished share says of itself."""
        found, golden = hashlib.sha256(), _golden(self._images)
        for one in self._images:
            told = (one.name, one.part, one.product, one.view)
            names = [name and normal(name) for name in told]
            found.update(json.dumps([*names, golden.get(one.reference)]).encode())
        return Record(
            index=shard.index, count=shard.count, model_id=self._model_id, version=__version__,
            images=len(self._images), inputs=found.hexdigest(), options=self._options, rows=rows,
        )  # fmt: skip


def digest(file: Path) -> str | None:
    """SHA-256 of a file; None where there is none.

    Raises:
        DataError: It cannot be read.
    """
    try:
        with file.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror}). Make it readable.") from error


def sealed(files: Mapping[str, bytes]) -> dict[str, str]:
    """`Record.files`, of what a share gave."""
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name in SEALED}


def _golden(images: Sequence[Chosen]) -> dict[Path | None, object]:
    """What tells the golden image of an image from others, wherever a machine has mounted it."""
    named = {one.reference: one.root for one in images if one.reference}
    told = _content if len(named) <= GOLDEN else _length
    return {
        file: (
            normal((file.relative_to(root) if file.is_relative_to(root) else Path(file.name)).as_posix()),
            told(file),
        )
        for file, root in named.items()
    }


def _content(golden: Path) -> list[str | None]:
    """Of a file, or of all files of a series; of one that cannot be read, which no image is compared with, nothing."""
    try:
        return [digest(file) for file in (sorted(golden.iterdir()) if golden.is_dir() else [golden])]
    except (OSError, DataError):
        return []


def _length(golden: Path) -> int:
    try:
        return golden.stat().st_size
    except OSError:
        return -1


def checked(folders: Sequence[Path]) -> list[tuple[Path, Record]]:
    """The shares of one work, in their order, all of them and each once.

    Raises:
        DataError: One is not finished, of other work, double or missing; all such folders are named.
    """
    if not folders:
        raise ConfigError("no RESULTS to merge: give the folder of each share.")
    records = [(folder, Record.read(folder)) for folder in dict.fromkeys(folders)]
    first, said = records[0], list[str]()
    for folder, record in records[1:]:
        if other := first[1].differs(record):
            said.append(f"{folder} is of other work than {first[0]}: another {', another '.join(other)}")
    seen: dict[int, Path] = {}
    for folder, record in records:
        if record.index in seen:
            said.append(f"{folder} and {seen[record.index]} are the same share, {record.index} of {record.count}")
        seen.setdefault(record.index, folder)
    missing = [str(index) for index in range(1, first[1].count + 1) if index not in seen]
    if missing:
        more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
        said.append(f"missing of {first[1].count} shares: {', '.join(missing[:10])}{more}")
    if said:
        raise DataError(f"{'; '.join(said)}. Give every share of one work once.")
    return sorted(records, key=lambda one: one[1].index)
