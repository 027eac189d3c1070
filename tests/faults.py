"""Commands that are killed, or whose disk is full, at a chosen moment: by time, or at the n-th operation on files.

`Server` is a process that has imported everything and forks a child for each command, so that a kill costs no start.
"""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Timer
from typing import Any
from unittest import mock

NEED_SPACE = ("open", "write", "mkdir", "fsync")  # fail for as long as the disk is full
OTHERS = ("rename", "replace", "exchange", "unlink", "rmdir", "ftruncate")
IMPORTED = [  # before the first fork
    *(f"anomalib_lite.pipeline.{name}" for name in ("train", "calibrate", "export", "predict", "evaluate")),
    *("anomalib_lite.training.fitting", "anomalib_lite.training.run", "anomalib_lite.edge.watch", "gauss"),
    *("lightning.pytorch", "onnxruntime", "onnx", "onnxscript", "rich.console", "rich.progress", "rich.table"),
]
Act = Callable[[str, int], None]  # operation, its number


def full_from(number: int) -> Act:
    """The disk is full from the n-th operation on. What needs no space works, but for the n-th itself."""

    def act(operation: str, count: int) -> None:
        if (count == number and operation != "unlink") or (count > number and operation in NEED_SPACE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return act


def killed_at(number: int, seconds: float = 0.0) -> Act:
    """The process is killed before the n-th operation, or so many seconds later, wherever it is then."""

    def kill() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def act(operation: str, count: int) -> None:
        if count == number:
            Timer(seconds, kill).start() if seconds else kill()

    return act


@contextmanager
def faults(act: Act) -> Iterator[list[str]]:
    """Call `act` before each operation that changes files; the operations so far."""
    from anomalib_lite.edge import disk

    done: list[str] = []

    def step(operation: str) -> None:
        done.append(operation)
        act(operation, len(done))

    def counted(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def operation(*given: Any, **named: Any) -> Any:
            step(name)
            return real(*given, **named)

        return operation

    class Raw(io.FileIO):
        def write(self, data: Any) -> int:
            step("write")
            return super().write(data)

    real_open, real_os_open = io.open, os.open

    def opening(file: Any, mode: str = "r", *given: Any, **named: Any) -> Any:
        if not set(mode) & set("wxa") or isinstance(file, int):
            return real_open(file, mode, *given, **named)
        step("open")
        buffered = io.BufferedWriter(Raw(file, mode.replace("b", "").replace("t", "")))
        if "b" in mode:
            return buffered
        return io.TextIOWrapper(buffered, named.get("encoding"), newline=named.get("newline"))

    def os_opening(path: Any, flags: int, *given: Any, **named: Any) -> int:
        if flags & os.O_CREAT:
            step("open")
        return real_os_open(path, flags, *given, **named)

    with mock.patch.object(io, "open", opening), mock.patch.object(os, "open", os_opening):
        patches = [mock.patch.object(os, name, counted(name, getattr(os, name)))
                   for name in (*NEED_SPACE[1:], *OTHERS) if name != "exchange"]  # fmt: skip
        patches.append(mock.patch.object(disk, "_exchange", counted("exchange", disk._exchange)))
        for patch in patches:
            patch.start()
        try:
            yield done
        finally:
            for patch in patches:
                patch.stop()


class Server:
    """Runs commands in children of a process that has imported all that they need."""

    def __init__(self) -> None:
        tests = Path(__file__).parent
        paths = [str(tests), str(tests.parent), str(tests.parent / "plugins"), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
        )
        self.receive()

    def start(self, *words: str | Path, number: int = 0, seconds: float = 0.0) -> int:
        """Start a command, which is killed as `killed_at` says: its process."""
        assert self._process.stdin is not None
        asked = {"words": list(map(str, words)), "number": number, "seconds": seconds}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self.receive()

    def receive(self) -> int:
        """A number that the server tells: a process, then its exit code, negative where it was killed."""
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def run(self, *words: str | Path, number: int = 0, seconds: float = 0.0) -> int:
        """The exit code of a command that is started so."""
        self.start(*words, number=number, seconds=seconds)
        return self.receive()

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def _serve() -> None:
    """Fork for each line of standard input."""
    from importlib import import_module
    from importlib.metadata import EntryPoint

    import pytest
    import torch.onnx
    from exports import share_operators
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    from anomalib_lite.cli import main
    from anomalib_lite.graph.exporter import OPSET
    from anomalib_lite.hookspecs import PROJECT
    from anomalib_lite.registry import loading

    for module in IMPORTED:
        import_module(module)

    installed, own = loading._entry_points, EntryPoint("gauss", "gauss", PROJECT)
    loading._entry_points = lambda: [*installed(), own]
    torch.set_num_threads(1)
    share_operators(pytest.MonkeyPatch())
    print(0, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if "train" in asked["words"]:
            ONNXRegistry.from_torchlib(opset_version=OPSET)  # here once, and not in each child
        child = os.fork()
        if child == 0:
            with open(os.devnull, "w") as nowhere:  # noqa: PTH123
                os.dup2(nowhere.fileno(), 1)
                os.dup2(nowhere.fileno(), 2)
            try:
                with faults(killed_at(asked["number"], asked["seconds"])):
                    main(asked["words"])
            except SystemExit as exit:
                os._exit(int(exit.code or 0))
            os._exit(0)
        print(child, flush=True)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
