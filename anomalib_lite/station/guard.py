"""Who may ask the station what: its names, its own origin, the secret, and how much may be sent.

A page from elsewhere in the same browser is the stranger to keep out. It cannot know the secret, does not get the
cookie that stands for it sent along (SameSite=Strict), is told apart by `Origin` and `Sec-Fetch-Site`, cannot let its
own name point here (`Host`), and the station's page takes scripts, styles and pictures from the station alone.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from anomalib_lite.pipeline import door

LONGEST_QUERY, LARGEST_BODY = 4000, 64 * 1024  # bytes
BODY_SECONDS = 10.0
WRONG_SECONDS = 1.0  # that a wrong password waits for its answer; one after another
WRONG_AT_ONCE = 8  # that wait; while they do, no password is looked at
CLOSED = "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
HEADERS = {
    "Content-Security-Policy": CLOSED,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PAGE = '<!doctype html><html lang="en"><meta charset="utf-8"><title>anomalib-lite review</title>'
ICON = '<link rel="icon" href="/static/icon.svg">'
STYLE = '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/static/style.css">'
ENTER = PAGE + ICON + '<meta http-equiv="refresh" content="0; url=/"><p><a href="/">Review</a>'
STRANGER = PAGE + "<p>Open the address that <code>anomalib-lite review</code> printed: it carries the secret."
LOGIN = (
    PAGE + STYLE + '<main class="login"><h1>anomalib-lite review</h1>{said}<form method="post" action="/login">'
    '<label>Password <input type="password" name="password" autocomplete="current-password" required autofocus></label>'
    "<button>Open</button></form></main>"
)

CROWD = '<p class="wrong">Too many wrong passwords are waiting: try again in some seconds.</p>'


@dataclass
class Keys:
    """What lets a browser in: a secret in the address or, where others may come over the network, a password."""

    port: int
    password: str | None = None
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    session: str = field(default_factory=lambda: secrets.token_urlsafe(32))  # the cookie
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _waiting: int = 0  # wrong passwords

    @property
    def cookie(self) -> str:
        """Its name: cookies of one machine are shared by all its ports."""
        return f"anomalib_lite_{self.port}"

    def is_in(self, headers: Headers) -> bool:
        """Whether a request carries the cookie."""
        for one in headers.getlist("cookie"):
            for pair in one.split(";"):
                name, _, value = pair.strip().partition("=")
                if name == self.cookie and hmac.compare_digest(value.encode(), self.session.encode()):
                    return True
        return False

    def opens(self, secret: str) -> bool:
        """Whether that is the secret; where there is a password, nothing is."""
        return self.password is None and hmac.compare_digest(secret.encode(), self.secret.encode())

    async def knows(self, password: str) -> bool | None:
        """Whether that is the password; a wrong one waits for its turn and a second. None where too many wait.

        The right one is not let in then, either: else whoever guesses would know at once which are wrong.
        """
        if self._waiting >= WRONG_AT_ONCE:
            return None
        if hmac.compare_digest(password.encode("utf-8", "replace"), (self.password or "").encode("utf-8", "replace")):
            return self.password is not None
        self._waiting += 1
        try:
            async with self._turn:
                await asyncio.sleep(WRONG_SECONDS)
        finally:
            self._waiting -= 1
        return False

    def let_in(self, response: Response) -> Response:
        """An answer with the cookie."""
        response.set_cookie(self.cookie, self.session, httponly=True, samesite="strict", path="/")
        return response


class Guard:
    """Stands before the station and refuses what does not come from its own page."""

    def __init__(self, app: ASGIApp, keys: Keys, names: frozenset[str], *, read_only: bool = False) -> None:
        self._app, self._keys, self._names, self._read_only = app, keys, names, read_only

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        answer = self._refused(scope, headers) or await self._entrance(scope, headers, receive)
        await (answer or self._app)(scope, _patient(receive), _closed(send))

    def _refused(self, scope: Scope, headers: Headers) -> Response | None:
        """What is wrong with a request, whoever it is from."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or door.name_of(hosts[0]) not in self._names:
            named = ", ".join(hosts)[:100] or "anything"
            return _no(400, f"this station is not called {named}: allow it with --allow-host")
        if scope["method"] not in ("GET", "HEAD", "POST"):
            return _no(405, "GET, HEAD and POST are answered")
        if len(scope.get("query_string", b"")) > LONGEST_QUERY or len(scope["path"]) > LONGEST_QUERY:
            return _no(414, "the address is too long")
        own = {f"http://{hosts[0]}", f"https://{hosts[0]}"}
        if len(origins) > 1 or not own.issuperset(origins):
            return _no(403, "this comes from a page of another origin")
        navigates = headers.get("sec-fetch-mode") == "navigate" and scope["path"] in ("/", "/login")
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and not navigates:
            return _no(403, "this comes from a page of another site")
        return self._wrong_body(scope, headers, origins) if scope["method"] == "POST" else None

    def _wrong_body(self, scope: Scope, headers: Headers, origins: list[str]) -> Response | None:
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        login = scope["path"] == "/login"
        if not origins:
            return _no(403, "no page says that it sends this (Origin)")
        if kind != ("application/x-www-form-urlencoded" if login else "application/json"):
            return _no(415, "send JSON")
        length = headers.get("content-length", "")
        if not length.isdecimal():
            return _no(411, "say how long the body is")
        if int(length[:20]) > LARGEST_BODY:
            return _no(413, f"at most {LARGEST_BODY} bytes are taken")
        if self._read_only and not login:
            return _no(403, "the station was started with --read-only: nothing is decided here")
        return None

    async def _entrance(self, scope: Scope, headers: Headers, receive: Receive) -> Response | None:
        """The way in, for who is not in yet; None for who is."""
        path, keys = scope["path"], self._keys
        asked = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        if path == "/" and keys.opens(asked.get("secret", [""])[0]):
            return keys.let_in(HTMLResponse(ENTER, headers={"Cache-Control": "no-store"}))
        if path == "/login" and keys.password is not None and scope["method"] == "POST":
            body = parse_qs((await _body(_patient(receive))).decode("utf-8", "replace"))
            known = await keys.knows(body.get("password", [""])[0])
            if known is None:
                return HTMLResponse(LOGIN.format(said=CROWD), 429, headers={"Retry-After": str(WRONG_AT_ONCE)})
            if known:
                return keys.let_in(RedirectResponse("/", 303))
            return HTMLResponse(LOGIN.format(said='<p class="wrong">This is not the password.</p>'), 403)
        if keys.is_in(headers):
            return None
        if keys.password is not None and path == "/static/style.css":
            return None
        if scope["method"] != "GET" or path not in ("/", "/login"):
            return _no(403, "open the station anew: this browser is not let in")
        return HTMLResponse(STRANGER if keys.password is None else LOGIN.format(said=""), 403)


def _no(status: int, said: str) -> Response:
    return JSONResponse({"error": said}, status)


async def _body(receive: Receive) -> bytes:
    """What is sent, of a request whose length was looked at."""
    body, more = b"", True
    while more and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _patient(receive: Receive) -> Receive:
    """Waits for what is sent, but not for ever: then it counts as gone."""

    async def received() -> Message:
        try:
            return await asyncio.wait_for(receive(), BODY_SECONDS)
        except TimeoutError:
            return {"type": "http.disconnect"}

    return received


def _closed(send: Send) -> Send:
    """Says with every answer what a browser may do with it."""

    async def sent(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers[name] = value
            headers.setdefault("Cache-Control", "no-store")
        await send(message)

    return sent
