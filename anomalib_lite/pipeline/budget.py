"""The memory that all requests of a service have together: their bodies, and the images that are decoded at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

BODIES = 128 * 2**20  # bytes that have arrived and are not judged yet
DECODING = 256 * 2**20  # bytes that decoders take at once; an image that needs more is alone


class Full(Exception):  # noqa: N818
    """The bodies of other requests take all there is."""


class Budget:
    """For one event loop. What arrives beyond it is refused; what would be decoded beyond it waits, in order."""

    def __init__(self, bodies: int = BODIES, decoding: int = DECODING) -> None:
        self._bodies, self._decoding, self._most = bodies, decoding, decoding
        self._order = asyncio.Lock()
        self._freed = asyncio.Condition()

    @contextmanager
    def arriving(self) -> Iterator[Callable[[int], None]]:
        """For one request: what is called with the bytes of each piece of its body, and holds them in the block.

        Raises:
            Full: From the call.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size > self._bodies:
                raise Full
            held += size
            self._bodies -= size

        try:
            yield take
        finally:
            self._bodies += held

    @asynccontextmanager
    async def decoding(self, size: int) -> AsyncIterator[None]:
        """Within the block, so many bytes are taken."""
        size = min(size, self._most)
        async with self._order, self._freed:  # whoever waits for much is not overtaken for ever
            await self._freed.wait_for(lambda: self._decoding >= size)
            self._decoding -= size
        try:
            yield
        finally:
            async with self._freed:
                self._decoding += size
                self._freed.notify_all()
