"""A service of a model in a process of its own, for the tests that ask it."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

LIMIT = 2**20  # bytes of an image, for the service under test
PATIENCE = 1.0  # seconds for a body, likewise

HEAD_PATIENCE = 2.0  # seconds for the head of a request

CODE = f"""
import sys
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline import door
from anomalib_lite.pipeline.serve import application
app = application(Model(sys.argv[1], threads=1), max_body={LIMIT}, body_seconds={PATIENCE})
with door.listen("127.0.0.1", int(sys.argv[2])) as opened:
    door.server(app, head_seconds={HEAD_PATIENCE}).run(sockets=[opened])
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@dataclass
class Service:
    """A running service."""

    port: int
    process: subprocess.Popen[Any]

    def ask(self, method: str, path: str, body: Any = None, kind: str = "image/png") -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {"Content-Type": kind} if body is not None else {})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def inspect(self, content: bytes, query: str = "") -> tuple[int, dict[str, Any]]:
        status, body = self.ask("POST", "/inspect" + query, content)
        return status, json.loads(body)

    def send(self, *pieces: bytes, pause: float = 0.0) -> bytes:
        """Raw bytes in pieces; the first line of the answer, empty where the connection was closed without one."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as one:
            try:
                for piece in pieces:
                    one.sendall(piece)
                    time.sleep(pause)
                return one.recv(4096).partition(b"\r\n")[0]
            except (BrokenPipeError, ConnectionResetError):
                try:
                    return one.recv(4096).partition(b"\r\n")[0]
                except OSError:
                    return b""


def start(model: Path) -> Service:
    port = free_port()
    service = Service(port, subprocess.Popen([sys.executable, "-c", CODE, str(model), str(port)]))
    end = time.monotonic() + 60
    while True:
        try:
            service.ask("GET", "/healthz")
            return service
        except OSError:
            assert service.process.poll() is None, "the service ended at its start"
            assert time.monotonic() < end, "the service does not answer"
            time.sleep(0.1)


def is_installed() -> bool:
    """Whether the packages of the extra `serve` are there."""
    return find_spec("fastapi") is not None and find_spec("uvicorn") is not None
