"""Results in object stores, such as s3://bucket/results: objects that are written whole, listed, read and removed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from anomalib_lite.data.addresses import AHEAD, opened, refuse_secrets, unreachable
from anomalib_lite.errors import ConfigError, DataError

HERE = ("file", "local")


class Store:
    """A folder at an address, for results. An object there is written whole, at one stroke, or not at all."""

    def __init__(self, address: str) -> None:
        """At an address, which need not hold anything.

        Raises:
            ConfigError: It names no bucket, or a folder of this machine.
            MissingExtra: The package for this kind of store is not installed.
            DataError: It holds a secret.
        """
        refuse_secrets(address)
        protocol, _, rest = address.partition("://")
        if not rest.strip("/"):
            raise ConfigError(f"{address}: names no bucket. Expected {protocol}://BUCKET/FOLDER.")
        if protocol.lower() in HERE:
            raise ConfigError(f"{address}: is a folder of this machine. Give its path.")
        self.address = address.rstrip("/")
        self._system, path = opened(self.address)
        self._above = path.rstrip("/") + "/"

    def names(self) -> list[str]:
        """What lies there, by names within the folder, sorted.

        Raises:
            DataError: It cannot be listed.
        """
        with self._told("read"):
            self._system.invalidate_cache()  # others may have written there
            found = self._system.find(self._above.rstrip("/"))
        return sorted(name.removeprefix(self._above) for name in found if name.startswith(self._above))

    def read(self, names: Iterable[str]) -> Iterator[bytes]:
        """The content of objects, in their order.

        Raises:
            DataError: One cannot be read.
        """
        with self._told("read"), ThreadPoolExecutor(AHEAD) as pool:
            yield from pool.map(lambda name: bytes(self._system.cat_file(self._above + name)), names)

    def write(self, contents: Mapping[str, bytes]) -> None:
        """Write objects, or replace them: names within the folder, and what they hold.

        Raises:
            DataError: One cannot be written.
        """
        with self._told("write"), ThreadPoolExecutor(AHEAD) as pool:
            list(pool.map(lambda one: self._system.pipe_file(self._above + one[0], one[1]), contents.items()))

    def remove(self, names: Iterable[str]) -> None:
        """Remove objects.

        Raises:
            DataError: One cannot be removed.
        """
        with self._told("write"), ThreadPoolExecutor(AHEAD) as pool:
            list(pool.map(lambda name: self._system.rm_file(self._above + name), names))

    @contextmanager
    def _told(self, what: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a store's package raises
            raise DataError(unreachable(self.address, error, what)) from error
