"""Review stations for the tests that ask them: results of the tests' own model, and requests without a network."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conftest import Once, picture, recalibrate, save
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline import door
from anomalib_lite.station.app import application
from anomalib_lite.station.guard import Guard, Keys
from anomalib_lite.station.opening import Asked, opened
from anomalib_lite.station.state import Station

PORT = 8040
HOST = f"127.0.0.1:{PORT}"
OWN = f"http://{HOST}"
DRAWN, RESULTS = 40, 200  # photographs that are judged; results, each of a file of its own name


def ten_parts(once: Once, model_path: Path, parts: Path) -> Path:
    """A model that is calibrated on ten parts: its menu has two rows. Not to be changed."""
    good, group = parts / "test/good", r"part(\d+)"
    made = once("ten parts", lambda folder: recalibrate(model_path, good, out=folder / "model", group=group))
    return made / "model"


def make_results(folder: Path, model: Path) -> None:
    """`folder/results`: 200 results of 100 parts in 4 lots, some with a defect, as `predict --group` writes them."""
    judging, rows = Model(model), list[dict[str, Any]]()
    for number in range(DRAWN):
        path = save(folder / f"drawn/{number}.png", picture(7000 + number, defect=number % 7 == 0))
        rows.append(judging.inspect(path).row())
    lines = []
    for number in range(RESULTS):
        place = folder / f"lot{number // 50}/part{number // 2:03}_{number % 2}.png"
        place.parent.mkdir(exist_ok=True)
        sha256 = _copied(folder / f"drawn/{number % DRAWN}.png", place, number)
        time = f"2026-03-0{1 + number // 50}T{8 + number % 12:02}:00:00.000+00:00"
        named = {"image": str(place), "sha256": sha256, "time": time, "heatmap": None, "part": f"{number // 2:03}"}
        lines.append(json.dumps(rows[number % DRAWN] | named))
    (folder / "results").mkdir()
    (folder / "results/results.jsonl").write_text("\n".join(lines) + "\n")


def _copied(image: Path, place: Path, number: int) -> str:
    """The same pixels in a file of its own: its SHA-256."""
    said = PngInfo()
    said.add_text("number", str(number))
    Image.open(image).save(place, pnginfo=said)
    return hashlib.sha256(place.read_bytes()).hexdigest()


@dataclass
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __getitem__(self, name: str) -> Any:
        return self.json()[name]

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


@dataclass
class Asking:
    """A station, and a browser that was let in."""

    station: Station
    keys: Keys = field(default_factory=lambda: Keys(PORT))

    def __post_init__(self) -> None:
        self.app: Guard = application(self.station, self.keys, door.names("127.0.0.1"))
        self.cookie = f"{self.keys.cookie}={self.keys.session}"

    @classmethod
    def at(cls, folder: Path, **asked: Any) -> Asking:
        return cls(opened(Asked(folder=folder, **({"operator": "Ada"} | asked))))

    def get(self, path: str) -> Answer:
        return self.send("GET", path, [("host", HOST), ("cookie", self.cookie)])

    def one(self, number: int, which: str = "") -> Answer:
        generation = self.station.results.generation
        return self.get(f"/api/results/{generation}/{number}" + (f"/{which}" if which else ""))

    def post(self, path: str, value: Any, *more: tuple[str, str]) -> Answer:
        own = [("host", HOST), ("cookie", self.cookie), ("origin", OWN)]
        headers = [*own, ("content-type", "application/json"), *more]
        return self.send("POST", path, headers, json.dumps(value).encode())

    def decide(self, number: int, label: str, kind: str = "", note: str = "", operator: str = "") -> Answer:
        said = {"operator": operator, "label": label, "kind": kind, "note": note}
        return self.post(f"/api/results/{self.station.results.generation}/{number}/decision", said)

    def send(
        self, method: str, path: str, headers: list[tuple[str, str]], body: bytes = b"", kind: str = "http"
    ) -> Answer:
        """One request, as a server hands it on."""
        if method == "POST" and not any(name in ("content-length", "transfer-encoding") for name, _ in headers):
            headers = [*headers, ("content-length", str(len(body)))]
        place, _, query = path.partition("?")
        scope = {
            "type": kind, "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": place, "raw_path": place.encode(), "query_string": query.encode(), "root_path": "",
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "client": ("127.0.0.1", 5), "server": ("127.0.0.1", PORT), "subprotocols": [],
        }  # fmt: skip
        sent: list[Any] = []
        given = iter([{"type": f"{kind}.request", "body": body, "more_body": False}])

        async def receive() -> Any:
            return next(given, {"type": f"{kind}.disconnect"})

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.app(scope, receive, send))
        first = sent[0]
        told = [(name.decode(), value.decode("latin-1")) for name, value in first.get("headers", [])]
        return Answer(first.get("status", 0), told, b"".join(one.get("body", b"") for one in sent))
