"""What `serve` keeps of what it judged: rows as those of `watch`, and files with the verdicts that are asked for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Self

from anomalib_lite.edge import locks
from anomalib_lite.edge.copies import FOLDER, SAID, Copies
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.journal import JOURNAL, Journal, JournalRow
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import DataError

UNNAMED = "upload"


class Served:
    """`FOLDER/results.jsonl`, to which rows are added, and `FOLDER/copies`. Safe from several threads."""

    def __init__(self, folder: Path, opener: Opener, copies: Copies | None = None) -> None:
        """Nothing is opened yet.

        Args:
            folder: Where rows go; made where it is not there.
            opener: Tells the file of an image that is one of several.
            copies: Where files are kept, by their verdicts.
        """
        self._folder, self._opener, self._copies = folder, opener, copies
        self._journal, self._held, self._lock = Journal(folder), locks.FolderLock(folder), Lock()

    def __enter__(self) -> Self:
        """Open the rows, and drop one that was cut off.

        Raises:
            DataError: The folder cannot be written or locked, or another process writes to it.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._held.__enter__()
            self._journal.open()
        except BlockingIOError as error:
            raise DataError(f"{self._folder}: another process writes results there. Name another --out.") from error
        except OSError as error:
            self.__exit__()
            raise DataError(f"{self._folder}: {error.strerror}; results have to be written there.") from error
        except DataError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._journal.close()
        self._held.__exit__()

    def tell(self, each: Callable[[JournalRow], object]) -> None:
        """Give every row that is there, oldest first; lines that are none are passed over."""
        with (self._folder / JOURNAL).open("rb") as file:
            for line in file:
                with suppress(ValueError, RecursionError):
                    if isinstance(row := json.loads(line), dict):
                        each(row)

    def add(self, result: Result, content: bytes) -> None:
        """Keep what was said of an image, and its file where that is asked for.

        Raises:
            OSError: The disk does not take it.
        """
        row = result.row()
        with self._lock:
            if self._copies is not None and self._copies.wants(result.verdict):
                row |= {"moved_to": self._copied(self._copies, result, content)}
            self._journal.append([row])

    def _copied(self, copies: Copies, result: Result, content: bytes) -> str:
        """Where the file of an image lies now; a name that a stranger gave is no path."""
        file = self._opener.file_of(result.image) or result.image
        name = re.sub(r"[^\w.=+-]", "_", file.replace("\\", "/").rpartition("/")[2]).strip(".") or UNNAMED
        said = copies.take(content, result.verdict, name, result.row())
        return f"{FOLDER}/{said.removesuffix(SAID)}{Path(name).suffix}{result.image[len(file) :]}"
