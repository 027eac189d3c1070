"""Work in a Ray cluster of this machine: the rows of one process, and each piece once, though a process is lost."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import picture, save
from environments import ROOT
from pieces import deadly, lacking

from anomalib_lite.data.addresses import listed
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import cluster
from anomalib_lite.engines.cluster import AUTO, LOCAL, Cluster, refuse_foreign
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import spread
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.looking import Looking
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.train_many import train_many

OF_THE_RUN = ("time", "ms")
GROUP = r"part(\d+)"


@pytest.fixture(scope="module")
def ray() -> Iterator[Cluster]:
    pytest.importorskip("ray")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests"), prepend=os.pathsep)  # nodes import `pieces`
        with Cluster(LOCAL) as joined:
            yield joined


def rows(out: Path) -> list[dict[str, Any]]:
    lines = (out / "results.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in OF_THE_RUN} for line in lines]


def test_a_lost_process_loses_and_doubles_no_piece(ray: Cluster, tmp_path: Path) -> None:
    found = dict(ray.each(deadly, str(tmp_path / "mark"), range(6)))
    assert (tmp_path / "mark").exists()
    assert isinstance(found.pop(4), DataError)
    assert found == {piece: piece * piece for piece in (0, 1, 2, 3, 5)}


def test_a_node_that_lacks_a_package_ends_the_run(ray: Cluster) -> None:
    with pytest.raises(ConfigError, match=r"a node of the cluster lacks a package .*'acme'.*: install"):
        next(ray.each(lacking, "", [1]))


def test_rows_are_those_of_one_process(
    ray: Cluster, ungated_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(20):
        save(tmp_path / f"images/part{part:02}.png", picture(part, defect=part % 4 == 0))
    monkeypatch.setattr(spread, "SIZE", 6)
    model = Model(ungated_path, threads=1)
    predict(model, [tmp_path / "images"], out=tmp_path / "one")
    spread.spread(model, [str(tmp_path / "images")], ray, out=tmp_path / "many")
    assert rows(tmp_path / "many") == rows(tmp_path / "one")
    assert not (tmp_path / "many.partial").exists()


def test_metrics_are_those_of_one_process(ray: Cluster, ungated_path: Path, parts: Path) -> None:
    model = Model(ungated_path, threads=1)
    one, many = (evaluate(model, parts, group=GROUP, judging=how).metrics for how in (None, Looking(model, ray)))
    timed = ("latency_ms_p50", "latency_ms_p95")
    assert {key: value for key, value in many.items() if key not in timed} == {
        key: value for key, value in one.items() if key not in timed
    }


def test_products_are_trained_there(ray: Cluster, tmp_path: Path) -> None:
    """Up to its broken data, which costs no training; benchmarks/train_a_hundred.py trains."""
    (tmp_path / "photo.png").write_bytes(b"no image")
    (tmp_path / "plan.csv").write_text("name,detector,data\ncup,inpainting,.\n")
    (line,) = train_many(tmp_path / "plan.csv", tmp_path / "out", engine=ray, threads=1, say=lambda line: None).lines
    assert "photo.png" in line.error
    assert (tmp_path / "out/cup/product.json").is_file()


def test_a_node_of_another_version_is_named_with_both() -> None:
    refuse_foreign(("3.12.1", "0.1.0"), ("3.12.7", "0.1.0"), "a")
    for theirs in (("3.11.4", "0.1.0"), ("3.12.1", "0.2.0")):
        with pytest.raises(ConfigError, match=f"node b has Python {theirs[0]} .* {theirs[1]}; here are Python 3.12.1"):
            refuse_foreign(("3.12.1", "0.1.0"), theirs, "b")


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:1", "ray://127.0.0.1:1"])
def test_an_address_where_nothing_answers_is_refused_at_once(address: str) -> None:
    pytest.importorskip("ray")
    with (
        pytest.raises(
            ConfigError, match=f"--ray {address}: cannot be joined .* expected HOST:PORT .* RAY_AUTH_MODE=token"
        ),
        Cluster(address),
    ):
        pass


def test_what_is_no_cluster_is_refused_at_once_and_not_taken_for_one_that_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray waits for minutes for a web server, and for a cluster that was killed."""

    class Ray:
        def init(self, address: str, **options: Any) -> None:
            joined.append(address)

    def answer(server: socket.socket) -> None:
        there, _ = server.accept()
        with there:
            there.sendall(b"HTTP/1.1 400 Bad Request")

    joined: list[str] = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    with socket.create_server(("127.0.0.1", 0)) as server:
        web = f"127.0.0.1:{server.getsockname()[1]}"
        (tmp_path / "ray/ray_current_cluster").write_text(f"{web}\n")
        for address in (web, AUTO):
            answering = threading.Thread(target=answer, args=(server,))
            answering.start()
            with nullcontext() if address == AUTO else pytest.raises(OSError, match="no Ray cluster"):
                Cluster(address, _ray=Ray())._join()
            answering.join()
    assert joined == [LOCAL]


def test_what_is_not_installed_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"needs 'ray': pip install 'anomalib-lite\[cluster\]'"), Cluster():
        pass
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(ConfigError, match=r"'s3://' needs 'fsspec': pip install 'anomalib-lite\[cluster\]'"):
        listed("s3://bucket", lambda name: True)


@pytest.mark.parametrize(("gpu", "room"), [(False, 2 * 8), (True, 2 * 3)])
def test_pieces_that_take_a_gpu_are_as_many_as_there_are(gpu: bool, room: int) -> None:
    class Ray:
        def cluster_resources(self) -> dict[str, float]:
            return {"CPU": 16.0, "GPU": 3.0}

    assert Cluster(threads=2, gpu=gpu, _ray=Ray())._room(gpu) == room
    assert Cluster(threads=2, gpu=gpu, most=5, _ray=Ray())._room(gpu) == 5


NODES = [
    {"Alive": True, "Resources": {"CPU": 8.0, "memory": 1e9}},
    {"Alive": True, "Resources": {"CPU": 4.0, "GPU": 1.0}},
    {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
]
HEAD = {"Alive": True, "Resources": {"memory": 1e9}}


@pytest.mark.parametrize(
    ("nodes", "threads", "gpu", "said"),
    [
        (NODES, 8, False, None),
        (NODES, 4, True, None),
        ([HEAD], 16, True, None),  # it starts nodes when they are asked for
        (NODES, 9, False, "takes 9 cores, and no node has more than 8. Give --threads 8"),
        (NODES, 8, True, "takes 8 cores and a GPU, and no node with a GPU has more than 4. Give --threads 4"),
        ([HEAD, NODES[0]], 1, True, "a GPU is asked for, and no node has one"),
    ],
)
def test_work_that_fits_no_node_is_refused(
    nodes: list[dict[str, Any]], threads: int, gpu: bool, said: str | None
) -> None:
    class Ray:
        def nodes(self) -> list[dict[str, Any]]:
            return nodes

    asked = Cluster(threads=threads, gpu=gpu, _ray=Ray())
    with pytest.raises(ConfigError, match=said) if said else nullcontext():
        asked._refuse_too_large(gpu)


def test_work_that_is_too_large_for_this_machine_ends_at_once(ray: Cluster) -> None:
    with pytest.raises(ConfigError, match=r"takes 100,000 cores, and no node has more than \d+\. Give --threads"):
        next(replace(ray, threads=100_000).each(deadly, "", [1]))


def test_nothing_is_told_to_anybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    with pytest.raises(ConfigError), Cluster("nowhere"):
        pass
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    assert cluster.OURS[1]
