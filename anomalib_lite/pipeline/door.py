"""Who may come in to a service: where it listens, by which names it is called, and how long the others may dawdle."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import h11
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from anomalib_lite.errors import ConfigError

BACKLOG = 128
NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?")
LOOPBACK = ("localhost", "127.0.0.1", "::1")
CONNECTIONS = 256  # at once; more are told so
WAITING = 128  # of them without a request: the one that has waited longest is closed where another one comes
HEAD_SECONDS = 10.0  # for a request's head to arrive


def listen(host: str, port: int) -> socket.socket:
    """A socket that takes requests from now on: they wait until the service answers.

    Raises:
        ConfigError: The port is taken or not allowed, or the address is none of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        one = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ConfigError(f"--host {host}: no such address ({error.strerror}). Use 127.0.0.1 or 0.0.0.0.") from error
    if os.name == "posix":  # elsewhere it would share the port with whoever has it
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind(address)
        one.listen(BACKLOG)
    except OSError as error:
        one.close()
        remedy = {
            errno.EADDRINUSE: f"another program listens there: stop it, or choose another port with --port {port + 1}",
            errno.EACCES: "this port is not allowed: choose one above 1023 with --port 8000",
            errno.EADDRNOTAVAIL: "this machine does not have the address: use --host 127.0.0.1 or 0.0.0.0",
        }.get(error.errno or 0, "choose another --host or --port")
        raise ConfigError(f"{host}:{port} cannot be served ({error.strerror}); {remedy}.") from error
    return one


def names(host: str, allowed: Iterable[str] = ()) -> frozenset[str]:
    """What a service may be called: this machine, the address that it listens on, and what is allowed beside that.

    Raises:
        ConfigError: A name has a port, a path, or nothing in it.
    """
    found = {name.lower().strip("[]") for name in allowed}
    for name in found:
        if not (NAME.fullmatch(name) or _is_address(name)):
            raise ConfigError(f"--allow-host {name}: expected a name or an address alone, such as line3.example.com.")
    return frozenset(found | {*LOOPBACK, host.lower()} - {"0.0.0.0", "::", ""})


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def name_of(header: str) -> str:
    """The name in a `Host` header, without its port; empty where there is none."""
    text, _, port = header.lower().rpartition(":")
    if not text or port.endswith("]"):  # no port
        text = header.lower()
    elif not port.isdecimal():
        return ""
    bracketed = text.startswith("[") and text.endswith("]")
    return text[1:-1] if bracketed else text if ":" not in text else ""


def let_in(app: FastAPI, allowed: frozenset[str]) -> None:
    """Answer nobody who calls the service by another name.

    A page from elsewhere can let its own name point to this machine (DNS rebinding): the browser then takes the service
    for a part of that page, and lets it read results. It still says which name it asked for.
    """

    @app.middleware("http")
    async def by_name(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        headers = request.headers.getlist("host")
        if len(headers) == 1 and name_of(headers[0]) in allowed:
            return await call_next(request)
        said = f"this service is not called {', '.join(headers)[:100] or 'anything'}: allow it with --allow-host"
        return JSONResponse({"detail": said}, 400)


class Patient(H11Protocol):
    """One connection. It is closed where a request's head does not arrive in time, or others need its place."""

    head_seconds = HEAD_SECONDS

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._look()

    def data_received(self, data: bytes) -> None:
        """Take what arrived; what is left of a head goes on waiting, however little comes at a time."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """Begin to wait for the next head."""
        super().on_response_complete()
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing."""
        self._done()
        super().connection_lost(exc)

    def _look(self) -> None:
        """Whether it waits for a head now; if so, from when it began to."""
        waiting = self._all()
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._done()
        elif self not in waiting:
            waiting[self] = self.loop.call_later(self.head_seconds, self.transport.close)
            if len(waiting) > WAITING:
                oldest = next(iter(waiting))
                oldest._done()
                oldest.transport.close()

    def _done(self) -> None:
        if (timer := self._all().pop(self, None)) is not None:
            timer.cancel()

    def _all(self) -> dict[Patient, asyncio.TimerHandle]:
        return _WAITING.setdefault(self.loop, {})


_WAITING: WeakKeyDictionary[Any, dict[Patient, asyncio.TimerHandle]] = WeakKeyDictionary()  # loop -> the oldest first


def server(app: ASGIApp, *, head_seconds: float = HEAD_SECONDS) -> uvicorn.Server:
    """What answers: with limits and timeouts for whoever comes."""
    protocol = type("Patient", (Patient,), {"head_seconds": head_seconds})
    return uvicorn.Server(
        uvicorn.Config(app, http=protocol, ws="none", log_config=None, log_level="warning", access_log=False,
                       limit_concurrency=CONNECTIONS, timeout_keep_alive=5, timeout_graceful_shutdown=10,
                       server_header=False)
    )  # fmt: skip
