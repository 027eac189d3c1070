"""Remembers on disk which file was being inspected, so that one that ends the program is not tried for ever."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FILE = ".attempts.json"  # hidden: no image
TWICE = 2  # attempts that ended the program, after which a file is set aside


class Attempts:
    """How often the inspection of a file was begun and never ended. Files are told apart by name and identity."""

    def __init__(self, folder: Path) -> None:
        """Read what an earlier process left; nothing where that cannot be read."""
        self._path = folder / FILE
        self._begun: dict[str, tuple[str, int]] = {}
        try:
            found = json.loads(self._path.read_bytes())
            self._begun = {str(name): (str(identity), int(number)) for name, (identity, number) in found.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return

    def number(self, name: str) -> int:
        """Attempts at a file of this name that ended the program."""
        return self._begun.get(name, ("", 0))[1]

    @contextmanager
    def counted(self, name: str, identity: str) -> Iterator[int]:
        """Within the block, the end of the program counts as an attempt at this file: the how-manieth it is.

        Raises:
            OSError: The disk does not take it. Nothing was begun then.
        """
        before = self._begun.get(name)
        attempt = 1 + (before[1] if before is not None and before[0] == identity else 0)
        self._begun[name] = identity, attempt
        try:
            self._write()
        except OSError:
            self._begun.pop(name) if before is None else self._begun.update({name: before})
            raise
        try:
            yield attempt
        finally:
            del self._begun[name]
            self._write()

    def _write(self) -> None:
        """Not synced: a process that ends does not take with it what the system has."""
        self._path.unlink(missing_ok=True)
        if not self._begun:
            return
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)  # no link that was planted
        try:
            os.write(descriptor, json.dumps(self._begun).encode())
        finally:
            os.close(descriptor)
