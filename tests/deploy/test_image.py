"""The steps of the Dockerfile and of the systemd unit, carried out in a fresh environment without torch."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import picture, save
from environments import ROOT, Environment
from serving import free_port

from anomalib_lite.pipeline.export import export

pytestmark = pytest.mark.slow

DEPLOY = ROOT / "deploy"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile, in order."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def wait(condition: Callable[[], object], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def built(host_wheel: Path, model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Environment, Path]:
    """A fresh environment in which every step was carried out, and the folder that stands for /srv."""
    context, root = tmp_path_factory.mktemp("context"), tmp_path_factory.mktemp("image") / "srv"
    root.mkdir()
    shutil.copy(host_wheel, context)
    export(model_path, context / "part.zip")
    environment = Environment(tmp_path_factory.mktemp("venv") / "venv")
    for word, rest in instructions():
        if word == "COPY":
            *sources, target = rest.split()
            assert target == "/srv/"
            for source in sources:
                (path,) = context.glob(source)
                shutil.copy(path, root)
        elif word == "RUN":
            environment.run("sh", "-c", rest.replace("/srv/", f"{root}/"), cwd=root)
    return environment, root


def test_the_steps_leave_a_model_and_no_torch(built: tuple[Environment, Path]) -> None:
    environment, root = built
    assert [path.name for path in root.iterdir()] == ["part.zip"]
    listed = environment.run("python", "-m", "pip", "list").out.lower()
    assert not [name for name in ("torch", "lightning", "scipy", "opencv", "onnx ") if name in listed]


def test_the_image_is_neither_root_nor_large_in_rights() -> None:
    steps = instructions()
    user = next(rest for word, rest in steps if word == "USER")
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", user)
    last_run = max(index for index, (word, _) in enumerate(steps) if word == "RUN")
    assert steps.index(("USER", user)) > last_run
    assert not [rest for word, rest in steps if word in ("ADD", "VOLUME") or "curl" in rest]


def test_the_container_answers_and_is_healthy(built: tuple[Environment, Path], tmp_path: Path) -> None:
    """ENTRYPOINT and CMD on another port, then the command of HEALTHCHECK; nothing is written beside the model."""
    environment, root = built
    steps, port = dict(instructions()), str(free_port())
    words = [*json.loads(steps["ENTRYPOINT"]), *json.loads(steps["CMD"])]
    words = [word.replace("/srv/", f"{root}/").replace("8000", port).replace("0.0.0.0", "127.0.0.1") for word in words]
    health = shlex.split(steps["HEALTHCHECK"].partition("CMD ")[2].replace("8000", port))
    process = subprocess.Popen(
        [str(environment.bin / words[0]), *words[1:]],
        env=environment.variables() | {"PYTHONDONTWRITEBYTECODE": "1"},
        cwd=root,
    )
    try:
        command = [str(environment.bin / health[0]), *health[1:]]
        wait(lambda: subprocess.run(command, capture_output=True).returncode == 0)
        image = save(tmp_path / "a.png", picture(1, defect=True)).read_bytes()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/inspect", image, {"Content-Type": "image/png"}, method="POST"
        )
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["verdict"] == "NG"
    finally:
        process.terminate()
        assert process.wait(30) in (0, -signal.SIGTERM)
    assert [path.name for path in root.iterdir()] == ["part.zip"]


def test_the_unit_starts_what_it_names(built: tuple[Environment, Path], tmp_path: Path) -> None:
    environment, root = built
    unit = (DEPLOY / "anomalib-lite-watch.service").read_text()
    incoming = tmp_path / "incoming"
    incoming.mkdir()
    commands = {}
    for name in ("ExecStartPre", "ExecStart"):
        line = re.search(rf"^{name}=(.+)$", unit, re.MULTILINE)
        assert line
        path = line[1].replace("/opt/anomalib-lite/bin", str(environment.bin))
        path = path.replace("/etc/anomalib-lite/part.zip", str(root / "part.zip"))
        commands[name] = shlex.split(path.replace("/var/lib/inspection/incoming", str(incoming)))
    subprocess.run(commands["ExecStartPre"], check=True, env=environment.variables(), capture_output=True)
    process = subprocess.Popen(commands["ExecStart"], env=environment.variables(), stdout=subprocess.DEVNULL)
    try:
        save(tmp_path / "a.png", picture(1, defect=True)).rename(incoming / "a.png")
        wait((incoming / "ng/a.png").exists)
    finally:
        process.terminate()
        assert process.wait(30) == 0


def test_the_unit_is_sound() -> None:
    """systemd's own check, where it is installed."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    command = ["systemd-analyze", "verify", "--man=no", str(DEPLOY / "anomalib-lite-watch.service")]
    said = subprocess.run(command, capture_output=True, text=True).stderr
    assert not [line for line in said.splitlines() if "is not executable" not in line], said
