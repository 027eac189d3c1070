"""A store of encoded pictures that forgets the one that was longest not asked for, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock


class Kept:
    """Bytes by their keys. Safe from several threads."""

    def __init__(self, most: int) -> None:
        """Keep nothing yet.

        Args:
            most: Bytes that are kept.
        """
        self._most, self._held, self._lock = most, 0, Lock()
        self._found: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], bytes]) -> bytes:
        """What is kept, or is made now."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        made = make()
        with self._lock:
            if key not in self._found and len(made) <= self._most:
                self._found[key] = made
                self._held += len(made)
            while self._held > self._most:
                self._held -= len(self._found.popitem(last=False)[1])
        return made
