"""Runs pieces of work in a Ray cluster: each as a task, which Ray repeats where a process or a node is lost."""

from __future__ import annotations

import os
import platform
import re
import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from anomalib_lite.engines.work import Died, R, S, T
from anomalib_lite.errors import AnomalibLiteError, ConfigError, MissingExtra
from anomalib_lite.version import __version__

LOCAL = "local"  # in place of an address: a cluster of this machine alone, for as long as the command runs
AUTO = "auto"  # that which runs on this machine; where none does, LOCAL
RETRIES = 3  # of a piece whose process or node is lost
AHEAD = 2  # pieces for each place: one in work, one that waits
SECONDS = 5.0  # until an address has to answer
SETTINGS = b"\x04"  # type of the frame that both sides of HTTP/2 begin with, RFC 9113, section 3.4
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + SETTINGS + bytes(5)
OURS = (platform.python_version(), __version__)


@dataclass
class Cluster:
    """A Ray cluster, and how many cores a piece takes."""

    address: str = AUTO
    threads: int = 1
    most: int | None = None  # pieces at once; None for as many as there are cores
    gpu: bool | None = False  # whether each takes a GPU, of which Ray shows it no other; None where the cluster has any
    _ray: Any = field(default=None, repr=False)

    def __enter__(self) -> Self:
        """Join the cluster, or start one of this machine.

        Raises:
            MissingExtra: Ray is not installed.
            ConfigError: Nothing answers there, or a cluster of another Python or Ray.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # before the import: nothing is told to anybody
        try:
            import ray
        except ImportError as error:
            raise MissingExtra(error.name or "ray", "cluster", "a Ray cluster") from error
        self._ray = ray
        try:
            self._join()
        except (OSError, RuntimeError, ValueError) as error:
            raise ConfigError(
                f"--ray {self.address}: cannot be joined ({str(error).strip()}). Here are Python {OURS[0]} "
                f"and Ray {ray.__version__}; expected HOST:PORT or ray://HOST:PORT of a cluster with the same, "
                "and RAY_AUTH_MODE=token in the environment where it asks for a token, as one of `ray start` does."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the cluster; what it still has in work of ours ends there."""
        self._ray.shutdown()

    def each(
        self, work: Callable[[S, T], R], shared: S, pieces: Iterable[T], *, ordered: bool = False
    ) -> Iterator[tuple[T, R | AnomalibLiteError]]:
        """See `Engine.each`; `ordered` gives what came of the pieces in their order.

        Raises:
            ConfigError: A piece takes more than any node has.
        """
        ray = self._ray
        held = ray.put(shared)
        gpu = "GPU" in ray.cluster_resources() if self.gpu is None else self.gpu
        self._refuse_too_large(gpu)
        task = ray.remote(num_cpus=self.threads, num_gpus=int(gpu), max_retries=RETRIES)(_called)
        waiting, running, more = iter(pieces), dict[Any, T](), True
        while True:
            while more and len(running) < self._room(gpu):
                try:
                    piece = next(waiting)
                except StopIteration:
                    more = False
                    break
                running[task.remote(OURS, work, held, piece)] = piece
            if not running:
                return
            ended = next(iter(running)) if ordered else ray.wait(list(running))[0][0]
            piece = running.pop(ended)
            yield piece, self._outcome(ended)

    def _join(self) -> None:
        quiet = {"log_to_driver": False, "logging_level": "ERROR"}
        address = os.environ.get("RAY_ADDRESS", AUTO) if self.address == AUTO else self.address
        if address == AUTO and (running := _running()):
            with suppress(OSError):  # what is left of one that was killed
                _ask(running)
                self._ray.init(address=running, **quiet)
                return
        if address in (AUTO, LOCAL):
            self._ray.init(address=LOCAL, include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
            return
        _ask(address)
        self._ray.init(address=address, **quiet)

    def _refuse_too_large(self, gpu: bool) -> None:
        """Raise where no node has what a piece takes: Ray would wait for one without end.

        A head that has no cores itself starts its nodes when they are asked for.
        """
        there = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        nodes = [(int(one["CPU"]), one.get("GPU", 0) >= 1) for one in there if one.get("CPU", 0) >= 1]
        if not nodes or any(cores >= self.threads and (has or not gpu) for cores, has in nodes):
            return
        most = max((cores for cores, has in nodes if has or not gpu), default=0)
        if most:
            raise ConfigError(
                f"--ray {self.address}: a piece of work takes {self.threads:,} cores{' and a GPU' * gpu}, and no node "
                f"{'with a GPU ' * gpu}has more than {most:,}. Give --threads {most}, or add a larger node."
            )
        raise ConfigError(
            f"--ray {self.address}: a GPU is asked for, and no node has one. Give --provider cpu, or add one."
        )

    def _room(self, gpu: bool) -> int:
        """How many pieces the cluster is given: it may have grown, or lost a node."""
        there = self._ray.cluster_resources()
        places = there.get("CPU", 1) // self.threads
        places = min(places, there.get("GPU", 1)) if gpu else places
        return self.most or AHEAD * max(1, int(places))

    def _outcome(self, ended: Any) -> Any:
        """What came of a piece.

        Raises:
            ConfigError: A node is of another version: it can do nothing.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.get(ended)
        except errors.RayTaskError as error:
            cause = error.cause
            if lacking := re.search(r"No module named '[\w.]+'", str(error)):
                raise ConfigError(
                    f"a node of the cluster lacks a package ({lacking[0]}): install anomalib-lite {__version__} there, "
                    "with what is installed here."
                ) from error
            if isinstance(cause, _Foreign):
                raise ConfigError(str(cause)) from error
            if isinstance(cause, AnomalibLiteError):
                return cause
            raise
        except (
            errors.WorkerCrashedError,
            errors.NodeDiedError,
            errors.OutOfMemoryError,
            errors.ObjectLostError,
        ) as error:
            return Died(f"the process that was at work was lost {1 + RETRIES} times, the last time so: {error}")


def _running() -> str | None:
    """The address of the cluster of this machine, which `ray start` writes down."""
    folder = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    try:
        return (folder / "ray/ray_current_cluster").read_text().strip()
    except OSError:
        return None


def _ask(address: str) -> None:
    """Say hello as gRPC does: Ray itself would wait for minutes for what does not answer so.

    Raises:
        OSError: Nothing answers, or something else.
        ValueError: It is no address.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    with socket.create_connection((host, int(port)), timeout=SECONDS) as there:
        if "RAY_USE_TLS" in os.environ:
            return
        there.sendall(HELLO)
        answer = there.recv(9, socket.MSG_WAITALL)
    if answer[3:4] != SETTINGS:
        raise ConnectionError("what answers there is no Ray cluster")


class _Foreign(ConfigError):  # noqa: N818
    """A node of another version."""


def _called(ours: tuple[str, str], work: Callable[[S, T], R], shared: S, piece: T) -> R:
    """On a node: one piece.

    Raises:
        ConfigError: Python or anomalib-lite are others than where the command runs.
    """
    refuse_foreign(ours, OURS, platform.node())
    return work(shared, piece)


def refuse_foreign(ours: tuple[str, str], theirs: tuple[str, str], node: str) -> None:
    """Raise where a node has another version of Python (its first two numbers count) or of anomalib-lite.

    Args:
        ours: Versions of Python and anomalib-lite where the command runs.
        theirs: Those of the node.
        node: Its name.
    """
    mine, other = (one[0].rpartition(".")[0] for one in (ours, theirs))
    if mine != other or ours[1] != theirs[1]:
        raise _Foreign(
            f"node {node} has Python {theirs[0]} with anomalib-lite {theirs[1]}; here are Python {ours[0]} and "
            f"anomalib-lite {ours[1]}. Install the same on all nodes."
        )
