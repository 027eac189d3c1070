"""Who is let in to the station, and what strangers are told."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import Once, call
from stations import HOST, OWN, Answer, Asking, make_results, ten_parts

from anomalib_lite.pipeline import door
from anomalib_lite.station import app, guard
from anomalib_lite.station.guard import LARGEST_BODY, LONGEST_QUERY, WRONG_AT_ONCE, Keys

JSON = ("content-type", "application/json")
DECISION = "/api/results/0/0/decision"
IN = ("cookie", "IN")  # in whose place the right cookie is sent
GOOD = b'{"operator": "", "label": "good", "kind": "", "note": ""}'


@pytest.fixture(scope="module")
def folder(once: Once, model_path: Path, parts: Path) -> Path:
    return once("station", lambda here: make_results(here, ten_parts(once, model_path, parts))) / "results"


@pytest.fixture(scope="module")
def asking(folder: Path) -> Asking:
    return Asking.at(folder)


def get(path: str, *headers: tuple[str, str], host: str = HOST) -> tuple[Any, ...]:
    return "GET", path, [("host", host), *headers], b""


def post(path: str, *headers: tuple[str, str], body: bytes = GOOD) -> tuple[Any, ...]:
    return "POST", path, [("host", HOST), *headers], body


def own(path: str, *headers: tuple[str, str], body: bytes = GOOD) -> tuple[Any, ...]:
    return post(path, IN, ("origin", OWN), JSON, *headers, body=body)


HOSTILE: dict[str, tuple[tuple[Any, ...], int]] = {
    "no secret": (get("/"), 403),
    "no secret, state": (get("/api/state"), 403),
    "no secret, a photograph": (get("/api/results/0/0/whole"), 403),
    "no secret, a script": (get("/static/app.js"), 403),
    "no secret, a decision": (post(DECISION, ("origin", OWN), JSON), 403),
    "wrong secret": (get("/?secret=" + "A" * 43), 403),
    "empty secret": (get("/?secret="), 403),
    "secret with a letter more": (get("/?secret=SECRETx"), 403),
    "secret at another address": (get("/api/state?secret=SECRET"), 403),
    "the secret as cookie": (get("/api/state", ("cookie", "anomalib_lite_8040=SECRET")), 403),
    "wrong cookie": (get("/api/state", ("cookie", "anomalib_lite_8040=" + "A" * 43)), 403),
    "cookie of another port": (get("/api/state", ("cookie", "anomalib_lite_8041=SESSION")), 403),
    "cookie with strange letters": (get("/api/state", ("cookie", "anomalib_lite_8040=\xff\xfe")), 403),
    "rebinding host": (get("/api/state", IN, host="evil.example:8040"), 400),
    "rebinding host with the secret": (get("/?secret=SECRET", host="evil.example:8040"), 400),
    "host like ours": (get("/api/state", IN, host="127.0.0.1.evil.example:8040"), 400),
    "host with a user": (get("/api/state", IN, host="127.0.0.1@evil.example"), 400),
    "no host": (("GET", "/api/state", [IN], b""), 400),
    "two hosts": (get("/api/state", ("host", HOST), IN), 400),
    "another origin": (get("/api/state", IN, ("origin", "http://evil.example")), 403),
    "another port": (get("/api/state", IN, ("origin", "http://127.0.0.1:9999")), 403),
    "origin of no page": (get("/api/state", IN, ("origin", "null")), 403),
    "two origins": (get("/api/state", IN, ("origin", OWN), ("origin", OWN)), 403),
    "picture in another page": (
        get("/api/results/0/0/whole", IN, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")), 403,
    ),
    "frame in another page": (
        get("/api/state", IN, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")), 403,
    ),
    "page on another port": (get("/api/state", IN, ("sec-fetch-site", "same-site")), 403),
    "decision of another origin": (post(DECISION, IN, ("origin", "http://evil.example"), JSON), 403),
    "decision of no origin": (post(DECISION, IN, JSON), 403),
    "form that decides": (post(DECISION, IN, ("origin", OWN), ("content-type", "text/plain")), 415),
    "decision of no type": (post(DECISION, IN, ("origin", OWN)), 415),
    "oversize": (own(DECISION, body=b" " * (LARGEST_BODY + 1)), 413),
    "oversize announced": (own(DECISION, ("content-length", str(2**40))), 413),
    "absurd length": (own(DECISION, ("content-length", "9" * 400)), 413),
    "negative length": (own(DECISION, ("content-length", "-1")), 411),
    "chunks": (own(DECISION, ("transfer-encoding", "chunked")), 411),
    "no JSON": (own(DECISION, body=b"good"), 400),
    "deep JSON": (own(DECISION, body=b"[" * 50_000), 400),
    "JSON of another shape": (own(DECISION, body=b"[]"), 400),
    "a key more": (own(DECISION, body=GOOD[:-1] + b', "path": "/etc/passwd"}'), 400),
    "a number for a word": (own(DECISION, body=GOOD.replace(b'"good"', b"1")), 400),
    "no such decision": (own(DECISION, body=GOOD.replace(b"good", b"fine")), 400),
    "a decision on nothing": (own("/api/results/0/999999/decision"), 404),
    "undoing no line": (own("/api/undo", body=b'{"operator": "", "line": true}'), 400),
    "traversal": (get("/static/../guard.py", IN), 404),
    "encoded traversal": (get("/static/%2e%2e/guard.py", IN), 404),
    "traversal with backslashes": (get("/static/..\\guard.py", IN), 404),
    "absolute path": (get("/static//etc/passwd", IN), 404),
    "a path for a number": (get("/api/results/0/..%2f..%2fetc%2fpasswd/whole", IN), 404),
    "a negative number": (get("/api/results/0/-1", IN), 404),
    "a number of many digits": (get("/api/results/0/" + "9" * 300, IN), 404),
    "no such picture": (get("/api/results/0/0/passwd", IN), 404),
    "null byte": (get("/static/app.js\0.png", IN), 404),
    "long address": (get("/api/results?text=" + "a" * LONGEST_QUERY, IN), 414),
    "a filter that is none": (get("/api/results?order=__class__", IN), 400),
    "a score that is none": (get("/api/results?low=nan", IN), 400),
    "start that is none": (get("/api/results?start=-1", IN), 400),
    "another method": (("DELETE", "/api/results/0/0", [("host", HOST), IN], b""), 405),
    "options": (("OPTIONS", "/api/state", [("host", HOST), IN, ("origin", OWN)], b""), 405),
    "a method that is none": (("BREW", "/", [("host", HOST), IN], b""), 405),
    "reading what is written": (get(DECISION, IN), 404),
    "login without a password": (post("/login", ("origin", OWN), JSON), 415),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_strangers_are_refused_and_change_nothing(asking: Asking, folder: Path, name: str) -> None:
    (method, path, headers, body), status = HOSTILE[name]
    keys = asking.keys
    meant = {"IN": asking.cookie}
    headers = [(key, meant.get(value, value).replace("SECRET", keys.secret).replace("SESSION", keys.session))
               for key, value in headers]  # fmt: skip
    path = path.replace("SECRET", keys.secret).replace("/results/0/", f"/results/{asking.station.results.generation}/")
    answer = asking.send(method, path, headers, body)
    assert answer.status == status, answer.body
    assert not answer.header("set-cookie")
    assert answer.header("content-security-policy") == guard.CLOSED
    assert b"root:" not in answer.body
    assert not (folder / "decisions.jsonl").exists()


def test_websockets_are_refused(asking: Asking) -> None:
    for headers in ([("host", HOST)], [("host", HOST), ("cookie", asking.cookie)]):
        assert asking.send("GET", "/api/state", headers, kind="websocket").status == 0


def test_the_secret_opens_the_page_once_for_a_browser(asking: Asking) -> None:
    answer = asking.send("GET", f"/?secret={asking.keys.secret}", [("host", HOST)])
    cookie = answer.header("set-cookie")
    assert answer.status == 200
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}
    assert asking.keys.secret not in cookie  # what a cookie file shows opens no other browser
    page = asking.send("GET", "/", [("host", HOST), ("cookie", "other=1; " + cookie.partition(";")[0])])
    assert page.status == 200
    assert asking.get("/static/app.js").header("content-type").startswith("text/javascript")


def test_a_password_opens_where_others_may_come(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WRONG_SECONDS", 0.0)
    station = Asking(Asking.at(folder).station, Keys(8040, "correct horse"))
    form = [("host", HOST), ("origin", OWN), ("content-type", "application/x-www-form-urlencoded")]

    def login(word: bytes) -> Answer:
        return station.send("POST", "/login", form, b"password=" + word)

    shown = station.send("GET", f"/?secret={station.keys.secret}", [("host", HOST)])
    assert (shown.status, b"password" in shown.body) == (403, True)
    assert station.send("GET", "/static/style.css", [("host", HOST)]).status == 200
    assert login(b"correct+hors").status == login(b"").status == login(b"%ff").status == 403
    opened = login(b"correct+horse")
    assert (opened.status, opened.header("location")) == (303, "/")
    assert opened.header("set-cookie").startswith(station.cookie)
    assert station.send("POST", "/login", [("host", HOST), form[2]], b"password=correct+horse").status == 403


def test_wrong_passwords_fill_no_queue_and_nobody_guesses_faster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "WRONG_SECONDS", 0.0)
    keys = Keys(8040, "correct horse")

    async def crowd() -> list[bool | None]:
        return await asyncio.gather(*map(keys.knows, ["wrong"] * 20 + ["correct horse"]))

    assert asyncio.run(crowd()) == [False] * WRONG_AT_ONCE + [None] * (21 - WRONG_AT_ONCE)
    assert asyncio.run(keys.knows("correct horse"))  # once they are through
    station = Asking(Asking.at(folder).station, keys)
    form = [("host", HOST), ("origin", OWN), ("content-type", "application/x-www-form-urlencoded")]
    monkeypatch.setattr(guard, "WRONG_AT_ONCE", 0)
    answer = station.send("POST", "/login", form, b"password=correct+horse")
    assert (answer.status, answer.header("set-cookie")) == (429, "")
    assert b"try again" in answer.body


def test_nothing_stands_inline_in_what_is_sent() -> None:
    """The policy forbids it, so that it would not work; and nothing is taken from elsewhere."""
    for name, content in app.static_files().items():
        text = content.decode()
        elsewhere = set(re.findall(r"\w+://[^\"'\s)]+", text)) - {"http://www.w3.org/2000/svg"}
        assert not elsewhere, name
        assert not re.search(r"\beval\(|new Function|innerHTML|insertAdjacentHTML|document\.write", text), name
        if name.endswith(".html"):
            assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", text), name
    for page in (guard.ENTER, guard.STRANGER, guard.LOGIN):
        assert not re.search(r"<script|<style|\sstyle=|\son\w+=", page)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["EMPTY"], 3, "holds no results"),
        (["FOLDER", "--host", "0.0.0.0"], 2, "needs a password"),
        (["FOLDER", "--host", "0.0.0.0", "--password-file", "SHORT"], 2, "at least 8"),
        (["FOLDER", "--password-file", "nowhere"], 2, "cannot be read"),
        (["FOLDER", "--group", "part"], 2, "captures nothing"),
        (["FOLDER", "--model", "EMPTY"], 4, "no model bundle here"),
        (["FOLDER", "--data", "EMPTY"], 3, "no images found"),
    ],
)
def test_what_cannot_be_served_is_said(
    folder: Path, tmp_path: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.delenv("ANOMALIB_LITE_PASSWORD", raising=False)
    (tmp_path / "empty").mkdir()
    (tmp_path / "short").write_text("1234567\n")
    paths = {"EMPTY": tmp_path / "empty", "FOLDER": folder, "SHORT": tmp_path / "short"}
    assert call("review", *(paths.get(word, word) for word in words)) == code
    assert said in capsys.readouterr().err


def test_a_service_closes_no_log_of_others(asking: Asking) -> None:
    """A configuration of logging closes every handler of the process, and with some the stream that they write to."""
    closed = list[logging.Handler]()

    class Other(logging.Handler):
        def close(self) -> None:
            closed.append(self)
            super().close()

    other = Other()
    door.server(asking.app)
    assert other not in closed


def test_the_command_prints_the_address_and_says_that_there_is_no_tls(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("uvicorn.Server.run", lambda *arguments, **options: None)
    assert call("review", folder, "--port", "18040") == 0
    assert re.search(r"review at http://127\.0\.0\.1:18040/\?secret=[\w-]{40,}\n", capsys.readouterr().err)
    monkeypatch.setenv("ANOMALIB_LITE_PASSWORD", "correct horse")
    assert call("review", folder, "--port", "18040", "--host", "0.0.0.0") == 0
    said = capsys.readouterr().err
    assert "secret" not in said
    assert "without TLS" in said
