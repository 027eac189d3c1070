"""What an engine is: pieces of work go in, and what came of each comes out, as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from anomalib_lite.errors import AnomalibLiteError

T = TypeVar("T")
R = TypeVar("R")


class Died(AnomalibLiteError):  # noqa: N818
    """A piece of work ended without a word, twice: out of memory, or killed."""

    exit_code = 3


class Engine(Protocol):
    """Runs pieces of work apart from each other, several at once."""

    def each(self, work: Callable[[T], R], pieces: Iterable[T]) -> Iterator[tuple[T, R | AnomalibLiteError]]:
        """What came of each piece, in the order in which they end; an error of one does not touch the others.

        Args:
            work: A function of a module, which other processes import. It may be called twice for a piece.
            pieces: What it is called with; asked for as there is room.

        Raises:
            ConfigError: Nothing can be started any more.
        """
        ...
