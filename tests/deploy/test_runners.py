"""The same files get the same verdicts from every runner: Python, watch, serve, Node.js and a browser."""

from __future__ import annotations

import functools
import http.server
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from conftest import picture, save
from environments import ROOT
from needs import need
from PIL import Image
from serving import is_installed, start

from anomalib_lite.edge.gate import statistics
from anomalib_lite.edge.images.appearance import appearance
from anomalib_lite.edge.images.thumbnail import SIDE, thumbnail
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.pipeline.export import export

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"
HEIGHT, WIDTH = 70, 90
SCHEMA = json.loads((DEPLOY / "result.schema.json").read_text())
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage"
)


def recorded(seed: int, *, defect: bool = False) -> np.ndarray:
    """What a camera of 90 x 70 pixels sees."""
    return np.ascontiguousarray(picture(seed, defect=defect, size=WIDTH)[:HEIGHT])


@pytest.fixture(scope="module")
def camera(train: Callable[..., Any], gate_with_features: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export for images of 90 x 70 pixels, as a folder, with a gate on features."""
    folder = tmp_path_factory.mktemp("camera")
    for part in range(30):
        save(folder / f"good/part{part:02}_0.png", recorded(100 * part))
    train(folder / "good", folder / "trained", {"gate.features": "auto"})
    return export(folder / "trained", folder / "model", source_size=(HEIGHT, WIDTH)).bundle.path


def wrong(folder: Path) -> Iterator[Path]:
    """What looks like none of the training, coarsely and hardly."""
    good, random = recorded(7), np.random.default_rng(0)
    half = good.copy()
    half[HEIGHT // 2 :] = 0
    scenes = {
        "no-light": good // 40,
        "inverted": 255 - good,
        "half": half,
        "noise": random.integers(0, 256, good.shape),
    }
    scenes |= {"flat": np.full_like(good, 120), "turned": good[::-1, ::-1], "black": good * 0}
    scenes |= {
        f"light{percent:03}": good * (percent / 100) for percent in range(40, 220, 5)
    }  # one of them is at the limit
    for name, pixels in scenes.items():
        yield save(folder / f"wrong-{name}.png", np.ascontiguousarray(pixels.clip(0, 255)).astype(np.uint8))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Good ones, defective ones down to faint, and what cannot be measured."""
    folder = tmp_path_factory.mktemp("images")
    paths = []
    for seed in range(12):
        pixels = recorded(seed, defect=seed % 3 == 0)
        if seed % 3 == 1:
            pixels[20:40, 30:50] -= np.uint8(seed)
        paths.append(save(folder / f"{seed:02}.png", pixels))
    paths.append(save(folder / "small.png", picture(1)))
    paths.append(save(folder / "colour.png", picture(1, channels=3, size=WIDTH)[:HEIGHT]))
    rgba = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    Image.fromarray(rgba).save(folder / "transparent.png")
    paths += wrong(folder)
    (folder / "text.png").write_text("this is no image")
    (folder / "truncated.png").write_bytes(paths[0].read_bytes()[:900])
    return [*paths, *(folder / f"{name}.png" for name in ("transparent", "text", "truncated"))]


@pytest.fixture(scope="module")
def expected(camera: Path, images: list[Path]) -> dict[str, dict[str, Any]]:
    model = Model(camera)
    rows = {path.name: model.inspect(path, name=path.name).row() for path in images}
    assert {row["verdict"] for row in rows.values()} >= {"OK", "NG", "ERROR"}
    refused = [row["error_code"] == "not_alike" for name, row in rows.items() if name.startswith("wrong-light")]
    assert 0 < sum(refused) < len(refused)
    assert "features" in model.bundle.manifest.gate.limits  # type: ignore[union-attr]
    return rows


def agree(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """The same verdicts, scores within 1e-4 relative, p-values and thresholds equal; and rows that fit the schema."""
    assert found.keys() == expected.keys()
    for name, row in found.items():
        jsonschema.validate(row, SCHEMA, format_checker=jsonschema.FormatChecker())
        wanted = expected[name]
        for key in ("verdict", "p_value", "sha256", "model_id", "reject_threshold", "review_threshold"):
            if row["verdict"] != "ERROR" or key != "sha256":  # of what could not be read there is no hash
                assert row[key] == wanted[key], (name, key)
        assert (row["score"] is None) == (wanted["score"] is None), name
        assert (row["error_code"] == "not_alike") == (wanted["error_code"] == "not_alike"), name
        if row["error_code"] == "not_alike":  # figures in the words may be rounded to another last digit
            assert re.sub(r"[-\d.e+]+", "#", row["error"]) == re.sub(r"[-\d.e+]+", "#", wanted["error"]), name
        if row["score"] is not None:
            assert row["score"] == pytest.approx(wanted["score"], rel=1e-4), name


def test_rows_of_the_device_fit_their_schema(expected: dict[str, Any]) -> None:
    agree(expected, expected)
    for broken in ({"verdict": "GOOD"}, {"score": None}, {"model_id": "x"}, {"error_code": "odd"}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(expected["00.png"] | broken, SCHEMA)


def test_watch_agrees(camera: Path, images: list[Path], expected: dict[str, Any], tmp_path: Path) -> None:
    for path in images:
        shutil.copy(path, tmp_path)
    with Watcher(Model(camera), tmp_path, settle=0.0) as watcher:
        agree({row["image"]: row for row in watcher.step()}, expected)


def test_serve_agrees(camera: Path, images: list[Path], expected: dict[str, Any]) -> None:
    need(is_installed(), "fastapi and uvicorn: pip install 'anomalib-lite[serve]'")
    service = start(camera)
    try:
        rows = {path.name: service.inspect(path.read_bytes(), f"?name={path.name}")[1] for path in images}
    finally:
        service.process.terminate()
        service.process.wait(30)
    agree(rows, expected)


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of deploy/ with the packages of the Node.js client, from npm."""
    need(shutil.which("node") and shutil.which("npm"), "node and npm: apt-get install nodejs npm")
    folder = tmp_path_factory.mktemp("javascript") / "deploy"
    shutil.copytree(DEPLOY, folder)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder / "node", capture_output=True, text=True, timeout=300)
    need(done.returncode == 0, f"npm cannot install: {done.stderr[-300:]}")
    return folder


def node(javascript: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["node", str(javascript / "node/inspect.mjs"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_node_agrees(javascript: Path, camera: Path, images: list[Path], expected: dict[str, Any]) -> None:
    done = node(javascript, camera, *images)
    assert done.returncode == 3, done.stderr  # some are ERROR
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    agree({Path(row["image"]).name: row for row in rows}, expected)
    assert node(javascript, camera, images[1]).returncode == 0
    gone = json.loads(node(javascript, camera, camera / "gone.png").stdout)
    assert (gone["verdict"], gone["error_code"]) == ("ERROR", "missing")


def test_node_refuses_what_it_cannot_run(javascript: Path, camera: Path, model_path: Path, tmp_path: Path) -> None:
    image = save(tmp_path / "a.png", picture(1))
    assert "--source-size" in node(javascript, model_path, image).stderr
    shutil.copytree(camera, tmp_path / "changed")
    with (tmp_path / "changed/model.onnx").open("ab") as file:
        file.write(b"\x72\x00")
    assert "SHA-256" in node(javascript, tmp_path / "changed", image).stderr


def test_javascript_sees_in_whole_images_what_python_sees(tmp_path: Path) -> None:
    """Statistics and thumbnails to 12 digits, of grey and colour, 8 and 16 bits, smaller and larger than a band."""
    need(shutil.which("node"), "node: apt-get install nodejs")
    random, asked, wanted = np.random.default_rng(3), list[list[Any]](), list[dict[str, float]]()
    for size in ((1, 1), (5, 19), (8, 8), (70, 130), (303, 517), (2100, 900)):
        for dtype, channels in ((np.uint8, 1), (np.uint8, 3), (np.uint16, 1)):
            white = float(np.iinfo(dtype).max)
            pixels = random.random((*size, channels)) ** 2 * np.linspace(0.1, 1.2, size[1])[None, :, None] * white
            pixels = pixels.clip(0, white).astype(dtype)
            coarse = tuple((random.random(64) * white).tolist())
            found = statistics(appearance(pixels), ImageSpec(*size, channels, pixels.dtype.name, white), coarse)
            name = f"{len(asked)}.raw"
            (tmp_path / name).write_bytes(pixels.tobytes())
            asked.append([name, *size, channels, pixels.dtype.name, white, coarse])
            wanted.append(found | {"cells": float(thumbnail(pixels).ravel() @ np.arange(1, 1 + channels * SIDE**2))})
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ appearance, statistics, thumbnail }} from "{(DEPLOY / "inspection.mjs").as_uri()}";
        const types = {{ uint8: Uint8Array, uint16: Uint16Array }};
        const found = JSON.parse(readFileSync("asked.json")).map((asked) => {{
          const [name, height, width, channels, dtype, white, coarse] = asked;
          const pixels = new types[dtype](new Uint8Array(readFileSync(name)).buffer);
          const cells = thumbnail(pixels, height, width, channels).reduce((sum, one, at) => sum + one * (at + 1), 0);
          return {{ ...statistics(appearance(pixels, height, width, channels), {{ white }}, coarse), cells }};
        }});
        console.log(JSON.stringify(found));
    """
    done = subprocess.run(
        ["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    for found, expected in zip(json.loads(done.stdout), wanted, strict=True):
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.fixture(scope="module")
def page(javascript: Path, camera: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The page with everything beside it, served on localhost."""
    folder = tmp_path_factory.mktemp("page")
    for path in (javascript / "browser").iterdir():
        shutil.copy(path, folder)
    shutil.copy(javascript / "inspection.mjs", folder)
    runtime = javascript / "node/node_modules/onnxruntime-web/dist"
    for name in ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"):
        shutil.copy(runtime / name, folder)
    shutil.copytree(camera, folder / "model")

    class Handler(http.server.SimpleHTTPRequestHandler):
        extensions_map = http.server.SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript"}

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://localhost:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    need(shutil.which("chromium") and shutil.which("chromedriver"), "chromium and chromedriver")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS.split(), f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    yield driver
    driver.quit()


def shown(driver: Any, name: str) -> str:
    """The row on the page, once it is of this image."""
    text = str(driver.find_element("id", "row").text)
    return text if f'"image": "{name}"' in text else ""


def test_the_browser_agrees_and_asks_nobody_else(
    page: str, browser: Any, images: list[Path], expected: dict[str, Any]
) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    browser.get(page)
    WebDriverWait(browser, 60).until(lambda one: one.find_element(By.ID, "file").is_enabled())
    chooser, rows = browser.find_element(By.ID, "file"), {}
    for path in images:
        chooser.send_keys(str(path))
        name = path.name
        rows[name] = json.loads(WebDriverWait(browser, 60).until(functools.partial(shown, name=name)))
        assert browser.find_element(By.ID, "verdict").text == rows[name]["verdict"]
    agree(rows, expected)
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    sent = [m["params"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    asked = [
        one["request"]["url"] for one in sent if one["documentURL"].startswith(page)
    ]  # not Chromium's own start page
    assert len(asked) >= 6
    assert not [url for url in asked if not url.startswith((page, "blob:", "data:"))]
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_no_script_of_ours_names_another_host() -> None:
    for path in DEPLOY.rglob("*.*js"):
        if "node_modules" not in path.parts:
            assert "://" not in path.read_text(), os.fspath(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"guards": {"modality": ["CT"]}}, "guards, options"),
        ({"readers": [{"suffix": ".dcm", "package": "a", "version": "1", "options": {"low": 3}}]}, "guards, options"),
        ({"image": {"dtype": "int16", "channels": 1}}, "int16 with 1 channels"),
        ({"image": {"dtype": "float32", "channels": 1}}, "float32 with 1 channels"),
        ({"image": {"dtype": "uint8", "channels": 4}}, "uint8 with 4 channels"),
        ({"schema_version": 2}, "expected 3"),
        ({"gate": None}, "expected 1"),
        ({"graph": {"inputs": ["image", "reference", "valid"]}}, "golden images"),  # nothing there aligns
        ({"gate": {"enabled": True, "limits": {"smell": [0, 1]}, "coarse": []}}, "'smell'"),
    ],
)
def test_javascript_refuses_models_that_it_would_not_heed(
    camera: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    need(shutil.which("node"), "node: apt-get install nodejs")
    manifest = json.loads((camera / "manifest.json").read_text()) | change
    shutil.copy(camera / "model.onnx", tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ webcrypto }} from "node:crypto";
        import {{ Inspection }} from "{(DEPLOY / "inspection.mjs").as_uri()}";
        const ort = {{ InferenceSession: {{ create: async () => ({{}}) }} }};
        const read = async (name) => new Uint8Array(readFileSync(`{tmp_path}/${{name}}`));
        await Inspection.load({{ ort, crypto: webcrypto, decode: null }}, read);
    """
    done = subprocess.run(["node", "--input-type=module", "-e", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert said in done.stderr
