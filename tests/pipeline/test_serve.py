"""The HTTP service: the verdicts of the device, and a life of its own among hostile requests."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import call, picture, save
from faults import faults, full_from
from fuzz.seeds import encoded
from needs import need
from serving import HEAD_PATIENCE, LIMIT, Service, free_port, is_installed, start

from anomalib_lite.edge import bundle
from anomalib_lite.edge.copies import Copies
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import COLUMNS
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.budget import DECODING, Budget, Full


@pytest.fixture(scope="module")
def service(model_path: Path) -> Iterator[Service]:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    one = start(model_path)
    yield one
    one.process.terminate()
    assert one.process.wait(30) in (0, -15)


def test_the_row_of_an_image_is_that_of_the_device(service: Service, model_path: Path, tmp_path: Path) -> None:
    model = Model(model_path)
    for seed, defect in ((1, False), (2, True)):
        path = save(tmp_path / "a.png", picture(seed, defect=defect))
        status, row = service.inspect(path.read_bytes(), "?name=a.png")
        expected = model.inspect(path, name="a.png").row()
        assert status == 200
        assert tuple(row) == COLUMNS
        assert {**row, "time": "", "ms": 0} == {**expected, "time": "", "ms": 0}


def test_what_cannot_be_measured_is_an_error_in_status_and_row(service: Service) -> None:
    status, row = service.inspect(b"this is no image")
    assert (status, row["verdict"], row["error_code"]) == (422, "ERROR", "unreadable")


def test_health_readiness_and_metrics(service: Service, tmp_path: Path) -> None:
    def counted(name: str) -> float:
        text = service.ask("GET", "/metrics")[1].decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))

    assert service.ask("GET", "/healthz")[0] == 200
    assert json.loads(service.ask("GET", "/readyz")[1])["status"] == "ready"
    before = counted('anomalib_lite_inspections_total{verdict="NG"}')
    service.inspect(save(tmp_path / "a.png", picture(1, defect=True)).read_bytes())
    assert counted('anomalib_lite_inspections_total{verdict="NG"}') == before + 1
    assert counted('anomalib_lite_inspection_seconds_bucket{le="+Inf"}') == counted(
        "anomalib_lite_inspection_seconds_count"
    )
    lines = service.ask("GET", "/metrics")[1].decode().splitlines()
    assert all(line.startswith("# TYPE ") or len(line.rsplit(" ", 1)) == 2 for line in lines)


def test_the_api_describes_itself(service: Service) -> None:
    described = json.loads(service.ask("GET", "/openapi.json")[1])
    assert set(described["paths"]) == {"/inspect", "/healthz", "/readyz", "/metrics"}
    assert not [path for path in described["paths"] if "{" in path]
    assert tuple(described["components"]["schemas"]["Row"]["properties"]) == COLUMNS
    assert service.ask("GET", "/docs")[0] == 404  # its page would load scripts from elsewhere


def head(line: str, *headers: str) -> bytes:
    return "\r\n".join([line, "Host: localhost", *headers, "", ""]).encode("latin-1")


POST = "POST /inspect HTTP/1.1"
PNG = "Content-Type: image/png"
CHUNKED = "Transfer-Encoding: chunked"
MEGABYTE = b"100000\r\n" + bytes(2**20) + b"\r\n"

HOSTILE: dict[str, tuple[tuple[bytes, ...], tuple[int, ...]]] = {
    # what is sent, in pieces; the statuses that are an answer to it (0: closed without one)
    "oversize announced": ((head(POST, PNG, f"Content-Length: {LIMIT + 1}"),), (413,)),
    "a terabyte announced": ((head(POST, PNG, f"Content-Length: {2**40}"),), (413,)),
    "absurd length": ((head(POST, PNG, "Content-Length: " + "9" * 400),), (400, 413)),
    "negative length": ((head(POST, PNG, "Content-Length: -1"), b"x"), (400,)),
    "length that is no number": ((head(POST, PNG, "Content-Length: ten"), b"x" * 10), (400,)),
    "two lengths": ((head(POST, PNG, "Content-Length: 3", "Content-Length: 5"), b"xxxxx"), (400,)),
    "length and chunks": ((head(POST, PNG, "Content-Length: 3", CHUNKED), b"0\r\n\r\n"), (400, 413, 422)),
    "chunked flood": ((head(POST, PNG, CHUNKED), *[MEGABYTE] * 8), (413, 0)),
    "many tiny chunks": ((head(POST, PNG, CHUNKED), b"1\r\nx\r\n" * 20_000, b"0\r\n\r\n"), (408, 422)),
    "chunk size that is no number": ((head(POST, PNG, CHUNKED), b"zz\r\nxx\r\n"), (400,)),
    "negative chunk": ((head(POST, PNG, CHUNKED), b"-5\r\nxx\r\n"), (400,)),
    "body that never comes": ((head(POST, PNG, "Content-Length: 10"),), (408,)),
    "body that stops": ((head(POST, PNG, "Content-Length: 1000"), b"x" * 10), (408,)),
    "empty body": ((head(POST, PNG, "Content-Length: 0"),), (400,)),
    "no length at all": ((head(POST, PNG),), (400,)),
    "wrong type": ((head(POST, "Content-Type: text/html", "Content-Length: 2"), b"hi"), (415,)),
    "no type": ((head(POST, "Content-Length: 2"), b"hi"), (415,)),
    "a form": ((head(POST, "Content-Type: multipart/form-data; boundary=x", "Content-Length: 2"), b"hi"), (415,)),
    "JSON with a path": (
        (head(POST, "Content-Type: application/json", "Content-Length: 24"), b'{"path": "/etc/passwd"}\n'), (415,),
    ),
    "traversal": ((head("GET /../../etc/passwd HTTP/1.1"),), (404,)),
    "encoded traversal": ((head("GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1"),), (404,)),
    "traversal in the path of an image": ((head("POST /inspect/../../etc/passwd HTTP/1.1", PNG),), (404,)),
    "null byte": ((head("GET /healthz%00.png HTTP/1.1"),), (404,)),
    "an address as path": ((head("GET http://169.254.169.254/ HTTP/1.1"),), (400, 404)),
    "another method": ((head("DELETE /inspect HTTP/1.1"),), (405,)),
    "unknown method": ((head("BREW /inspect HTTP/1.1"),), (405,)),
    "a very long path": ((head("GET /" + "a" * 200_000 + " HTTP/1.1"),), (400, 404, 414, 431)),
    "a very long name": ((head("POST /inspect?name=" + "a" * 5000 + " HTTP/1.1", PNG, "Content-Length: 1"), b"x"),
                         (422, 400)),
    "endless header": ((b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 300_000,), (400, 431)),
    "ten thousand headers": ((head("GET /healthz HTTP/1.1", *["X: y"] * 10_000),), (200, 400, 431)),
    "no HTTP": ((b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 20 + b"\r\n\r\n",), (400,)),
    "smuggled header": ((b"GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\rY: b\r\n\r\n",), (400, 200)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_requests_get_an_answer_and_the_service_lives_on(service: Service, name: str, tmp_path: Path) -> None:
    pieces, statuses = HOSTILE[name]
    line = service.send(*pieces)
    status = int(line.split()[1]) if line.startswith(b"HTTP/1.1 ") else 0
    assert status in statuses, line
    assert service.process.poll() is None
    answer, row = service.inspect(save(tmp_path / "a.png", picture(2000)).read_bytes())
    assert (answer, row["verdict"]) == (200, "OK")


def test_there_are_thirty_hostile_requests() -> None:
    assert len(HOSTILE) >= 30


def test_a_slow_body_is_given_up(service: Service) -> None:
    began = time.monotonic()
    drops = [head(POST, PNG, "Content-Length: 1000"), *[b"x"] * 12]
    assert b"408" in service.send(*drops, pause=0.2)
    assert time.monotonic() - began < 20


def test_a_slow_sender_keeps_nobody_waiting(service: Service, tmp_path: Path) -> None:
    content = save(tmp_path / "a.png", picture(1)).read_bytes()
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(50)]
    for one in slow:
        one.sendall(head(POST, PNG, "Content-Length: 1000"))
    assert service.inspect(content)[0] == 200
    for one in slow:
        one.close()


@pytest.mark.parametrize("sent", [b"", b"GET /hea", b"POST /inspect HTTP/1.1\r\nHost: localhost\r\nX: "])
def test_half_sent_heads_keep_nobody_waiting(service: Service, sent: bytes, tmp_path: Path) -> None:
    """More of them than the service has places; they go on sending a little, and do not come to an end."""
    content = save(tmp_path / "a.png", picture(1)).read_bytes()
    slow = [socket.create_connection(("127.0.0.1", service.port)) for _ in range(300)]
    try:
        for one in slow:
            drip(one, sent)
        for _ in range(3):
            status, row = service.inspect(content)
            assert (status, row["verdict"]) == (200, "OK")
            for one in slow:
                drip(one, b"a")
    finally:
        for one in slow:
            one.close()


def drip(one: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed by the service
        one.sendall(data)


def test_a_head_that_does_not_end_is_given_up(service: Service) -> None:
    """Even if a byte comes now and then, and after a request that was answered."""
    with socket.create_connection(("127.0.0.1", service.port), timeout=30) as one:
        one.sendall(head("GET /healthz HTTP/1.1"))
        assert one.recv(4096).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        while time.monotonic() - began < 30:
            drip(one, b"G")
            one.settimeout(0.2)
            try:
                closed = one.recv(4096) == b""
            except TimeoutError:
                continue
            except OSError:
                closed = True
            if closed:
                break
    assert HEAD_PATIENCE / 2 < time.monotonic() - began < 30


HOSTS = {
    "localhost": 200, "LOCALHOST:8000": 200, "127.0.0.1": 200, "127.0.0.1:80": 200, "[::1]": 200, "[::1]:8000": 200,
    "evil.example.com": 400, "evil.example.com:8000": 400, "localhost.evil.example.com": 400, "127.0.0.1.nip.io": 400,
    "": 400, "10.0.0.5": 400, "localhost:evil": 400, "evil@localhost": 400, "[::1": 400, "localhost, evil": 400,
}  # fmt: skip


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/openapi.json", "/inspect"])
def test_only_by_its_own_name_it_is_called(service: Service, host: str, path: str) -> None:
    """A page from elsewhere whose name was made to point here reads nothing."""
    line = service.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    expected = 405 if HOSTS[host] == 200 and path == "/inspect" else HOSTS[host]
    assert int(line.split()[1]) == expected


def test_two_names_or_none_are_refused(service: Service) -> None:
    for hosts in (b"", b"Host: localhost\r\nHost: evil\r\n"):
        assert b" 400 " in service.send(b"GET /healthz HTTP/1.1\r\n" + hosts + b"\r\n")
    assert b" 400 " in service.send(b"GET /healthz HTTP/1.0\r\n\r\n")


def test_names_that_are_allowed() -> None:
    door = pytest.importorskip("anomalib_lite.pipeline.door")
    assert door.names("0.0.0.0", ["Line3.example.com", "fe80::1", "10.0.0.5"]) == {
        "localhost", "127.0.0.1", "::1", "line3.example.com", "fe80::1", "10.0.0.5",
    }  # fmt: skip
    assert "192.168.1.5" in door.names("192.168.1.5")
    for name in ("", "a:80", "http://a", "*", "a b", "a/b"):
        with pytest.raises(ConfigError, match="expected a name or an address alone"):
            door.names("127.0.0.1", [name])


def test_a_bomb_is_refused_before_it_is_decoded(service: Service) -> None:
    """1 kB that claims 30,000 x 30,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(10_000)))
    status, row = service.inspect(bomb + chunk(b"IEND", b""))
    assert (status, row["error_code"]) == (422, "too_large")


def memory(service: Service) -> int:
    """Largest resident memory of the service so far, bytes."""
    status = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


def test_images_that_are_sent_at_once_share_one_budget(service: Service) -> None:
    """Eight images of 16 megapixels, 700 bytes each: decoded all at once they would take 1.5 GB."""
    need(Path("/proc/self/status").is_file(), "resident memory is read from /proc")
    content = encoded(np.zeros((4000, 4000, 3), np.uint8), "WEBP", lossless=True, quality=0)
    before = memory(service)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(service.inspect, [content] * 8))
    assert [row["error_code"] for _, row in answers] == ["wrong_channels"] * 8  # decoded, and then refused
    assert memory(service) - before < 2 * DECODING


def test_bodies_beyond_the_budget_are_refused_and_the_others_are_not() -> None:
    budget = Budget(bodies=100)
    with budget.arriving() as first:
        first(60)
        with budget.arriving() as second:
            second(30)
            with pytest.raises(Full):
                second(20)
        first(40)  # what the second one held is free
    with budget.arriving() as third:
        third(100)


def test_decoding_waits_in_order_until_there_is_room() -> None:
    async def run() -> list[str]:
        budget, order = Budget(decoding=100), list[str]()

        async def one(name: str, size: int) -> None:
            async with budget.decoding(size):
                order.append(f"+{name}")
                await asyncio.sleep(0.01)
                order.append(f"-{name}")

        await asyncio.gather(one("a", 60), one("b", 60), one("c", 10), one("d", 1000))
        return order

    order = asyncio.run(run())
    assert order.index("+b") > order.index("-a")  # no room for both
    assert order.index("+c") > order.index("+b")  # nobody overtakes
    assert order[-2:] == ["+d", "-d"]  # more than there is: alone


def test_a_model_that_flips_here_is_not_ready(model_path: Path, tmp_path: Path) -> None:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    loaded = bundle.load(model_path)
    first, *rest = loaded.manifest.selfcheck
    wrong = replace(first, verdict="NG", score=first.score * 100)
    manifest = replace(loaded.manifest, selfcheck=(wrong, *rest))
    contents = {name: loaded.read(name) for name in loaded.manifest.files}
    bundle.write(tmp_path / "model", manifest, contents)
    service = start(tmp_path / "model")
    try:
        assert service.ask("GET", "/healthz")[0] == 200
        status, body = service.ask("GET", "/readyz")
        assert status == 503
        assert b"anomalib-lite verify" in body
        assert service.inspect(b"any image")[0] == 503
    finally:
        service.process.terminate()
        service.process.wait(30)


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("127.0.0.1", None, r"another program listens there: stop it, or choose another port with --port"),
        ("no.such.host.invalid", 8000, r"--host no\.such\.host\.invalid: no such address"),
        ("192.0.2.1", 8000, r"192\.0\.2\.1:8000 cannot be served"),
    ],
)
def test_a_port_that_cannot_be_had_is_said_before_anything_is_served(
    host: str, port: int | None, message: str, model_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    from anomalib_lite.cli import main

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(SystemExit) as ended:
            main(["serve", str(model_path), "--host", host, "--port", str(port or taken.getsockname()[1])])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert re.search(message, said)
    assert "serving" not in said


def test_who_asks_at_once_is_answered(model_path: Path, tmp_path: Path) -> None:
    """The line that says that it serves is no promise: requests wait from there on."""
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    port = free_port()
    command = [sys.executable, "-m", "anomalib_lite", "serve", str(model_path), "--port", str(port), "--no-plugins"]
    process = subprocess.Popen([*command, "--threads", "1"], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith(f"serving http://127.0.0.1:{port}/inspect")
        status, row = Service(port, process).inspect(save(tmp_path / "a.png", picture(1)).read_bytes())
        assert (status, row["verdict"]) == (200, "OK")
    finally:
        process.terminate()
        process.communicate(timeout=30)
    assert process.returncode in (0, -15)


def asked(app: Any, content: bytes, query: str = "") -> tuple[int, Any]:
    """Status and body of an answer of /inspect, without a network."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"image/png"), (b"content-length", b"%d" % len(content))]
    scope = {"type": "http", "http_version": "1.1", "asgi": {"version": "3.0"}, "method": "POST", "path": "/inspect",
             "raw_path": b"/inspect", "root_path": "", "scheme": "http", "query_string": query.encode(),
             "headers": headers, "client": ("127.0.0.1", 1), "server": ("localhost", 80)}  # fmt: skip
    asyncio.run(app(scope, receive, send))
    return sent[0]["status"], json.loads(b"".join(one.get("body", b"") for one in sent[1:]))


def test_rows_are_kept_as_watch_does_and_images_where_that_is_asked_for(model_path: Path, tmp_path: Path) -> None:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    from anomalib_lite.pipeline.serve import application
    from anomalib_lite.pipeline.served import Served
    from anomalib_lite.station.opening import Asked, opened

    model, out = Model(model_path), tmp_path / "out"
    good, bad = (save(tmp_path / f"{seed}.png", picture(seed, defect=seed == 2)).read_bytes() for seed in (1, 2))
    with Served(out, model.opener, Copies(out / "copies", [Verdict.NG])) as served:
        app = application(model, served=served)
        assert asked(app, good)[0] == 200
        for name in ("a.png", "..%2F..%2Fa.png", "%2F..", "a%00b.png"):
            assert asked(app, bad, f"name={name}")[1]["verdict"] == "NG"
        with pytest.raises(DataError, match="another process writes results there"), Served(out, model.opener):
            pass
        with faults(full_from(1)):
            status, said = asked(app, good)
        assert (status, "counts for nothing" in said["detail"]) == (503, True)
    with (out / "results.jsonl").open("ab") as file:
        file.write(b'{"image": "cut off')
    told: list[Any] = []
    with Served(out, model.opener) as served:
        served.tell(told.append)
    assert [one["image"] for one in told] == ["upload", "a.png", "../../a.png", "/..", "a\0b.png"]
    kept = [one.get("moved_to") for one in told]
    assert kept == [None, *(f"copies/ng/{name}.png" for name in ("a", "a-2")), "copies/ng/upload", "copies/ng/a_b.png"]
    assert {file.parent for file in tmp_path.rglob("*") if file.is_file() and file.stat().st_size == len(bad)} == {
        tmp_path, out / "copies/ng"
    }  # fmt: skip
    station = opened(Asked(folder=out, model=model_path))
    seen = [station.pictures.shown(one).path.name for one in station.results.entries[1:]]
    assert seen == ["a.png", "a-2.png", "upload", "a_b.png"]


def test_images_are_kept_beside_rows_alone(model_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("serve", model_path, "--copy", "ng") == 2
    assert "say with --out FOLDER where" in capsys.readouterr().err
