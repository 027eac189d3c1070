"""Divides images among machines that know nothing of each other, by the hash of a name.

A shard is one of n shares of the same list of images. Photographs of one part have the same share, so that parts are
judged whole. Each share is written to a folder of its own with SHARD, last of all: a folder without it is not finished.
"""

from __future__ import annotations

import hashlib
import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from anomalib_lite.edge import disk
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.result_folder import SHARD
from anomalib_lite.version import __version__

MOST = 100_000


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
    inputs: str  # digest of the names of all of them, in their order, and of their parts and golden images
    options: dict[str, Any]  # what else has to be the same
    rows: int  # of this share
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
            return cls(**json.loads(content))
        except (ValueError, TypeError) as error:
            raise DataError(f"{name}: cannot be read ({error}). Run this share again.") from error

    def differs(self, other: Record) -> list[str]:
        """What another share has of other work, in words."""
        ours, theirs = self.of_the_work(), other.of_the_work()
        return [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]

    def write(self, folder: Path) -> None:
        """Say that a share is whole.

        Raises:
            DataError: The disk does not take it.
        """
        try:
            disk.write(folder / SHARD, json.dumps(asdict(self), indent=1).encode() + b"\n")
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

    def __init__(self, model_id: str, images: Sequence[Chosen], **options: Any) -> None:
        """Of these images, judged with these options."""
        self._model_id, self._images = model_id, images
        self._options = {key: one.name if isinstance(one, Path) else one for key, one in options.items()}

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
        digest = hashlib.sha256()
        for one in self._images:
            reference = None if one.reference is None else one.reference.name
            digest.update(json.dumps([one.name, one.part, reference]).encode())
        return Record(
            index=shard.index, count=shard.count, model_id=self._model_id, version=__version__,
            images=len(self._images), inputs=digest.hexdigest(), options=self._options, rows=rows,
        )  # fmt: skip


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
