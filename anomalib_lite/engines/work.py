"""What an engine is: pieces of work go in, and what came of each comes out, as it is finished."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from anomalib_lite.errors import AnomalibLiteError

S = TypeVar("S")
T = TypeVar("T")
R = TypeVar("R")


class Died(AnomalibLiteError):  # noqa: N818
    """A piece of work ended without a word, each time that it was tried: out of memory, or killed."""

    exit_code = 3


class Engine(Protocol):
    """Runs pieces of work apart from each other, several at once."""

    def each(
        self, work: Callable[[S, T], R], shared: S, pieces: Iterable[T]
    ) -> Iterator[tuple[T, R | AnomalibLiteError]]:
        """What came of each piece, in the order in which they end; an error of one does not touch the others.

        Args:
            work: A function of a module, which other processes import. It may be called again for a piece whose
                process died.
            shared: What it gets with each piece; it travels once.
            pieces: What it is called with; asked for as there is room.

        Raises:
            ConfigError: Nothing can be started any more.
        """
        ...
