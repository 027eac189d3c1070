"""Images in object stores and lists, judged by shares: the rows of one process, whatever happens to the store."""

from __future__ import annotations

import errno
import json
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from platform import node
from typing import Any

import pytest
from conftest import call, picture, save

from anomalib_lite.data import addresses
from anomalib_lite.data.addresses import Remote, fetched, listed
from anomalib_lite.data.store import Store
from anomalib_lite.edge import disk
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import Local
from anomalib_lite.errors import ConfigError, DataError, ImageError
from anomalib_lite.pipeline import spread as module
from anomalib_lite.pipeline.keeping import There, folders
from anomalib_lite.pipeline.merge import merge
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.shards import Record
from anomalib_lite.pipeline.spread import spread

fsspec = pytest.importorskip("fsspec")

OF_THE_RUN = ("time", "ms", "image")
GROUP = r"part(\d+)"


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def told(out: Path) -> list[dict[str, Any]]:
    """The rows without what differs from run to run; an error says the same of its image, whatever that is called."""
    found = rows(out)
    for row in found:
        row["error"] = row["error"] and row["error"].replace(row["image"], "")
    return [{key: value for key, value in row.items() if key not in OF_THE_RUN} for row in found]


@pytest.fixture(scope="module")
def model(ungated_path: Path) -> Model:
    return Model(ungated_path, threads=1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for part in range(6):
        for shot in range(2):
            save(folder / f"{'ab'[part % 2]}/part{part}_{shot}.png", picture(2 * part + shot, defect=part == 2))
    (folder / "a/part9_0.png").write_bytes(b"no image")
    return folder


@pytest.fixture
def store(images: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store in memory with those images and what is none, in shares of three images."""
    monkeypatch.setattr(module, "SIZE", 3)
    system = fsspec.filesystem("memory")
    for file in images.rglob("*.png"):
        system.pipe_file(f"/plant/images/{file.relative_to(images).as_posix()}", file.read_bytes())
    system.pipe_file("/plant/images/notes.txt", b"no image")
    system.pipe_file("/plant/images/.hidden/x.png", b"hidden")
    yield system
    system.rm("/plant", recursive=True)


def test_a_store_gives_the_rows_of_a_folder(store: Any, model: Model, images: Path, tmp_path: Path) -> None:
    predict(model, [images], out=tmp_path / "one", group=GROUP, heatmaps=Heatmaps.ALL)
    done = spread(model, ["memory://plant/images"], Local(), out=tmp_path / "many", group=GROUP, heatmaps=Heatmaps.ALL)
    assert told(tmp_path / "many") == told(tmp_path / "one")
    assert rows(tmp_path / "many")[0]["image"] == "memory:///plant/images/a/part0_0.png"
    parts = (tmp_path / "many/parts.csv").read_text()
    assert parts.replace("memory:///plant/images", str(images)) == (tmp_path / "one/parts.csv").read_text()
    pictures = [one.relative_to(tmp_path / "one") for one in (tmp_path / "one/heatmaps").rglob("*.png")]
    assert len(pictures) == 12
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "many" / name).read_bytes() for name in pictures)
    assert done.counts[Verdict.ERROR] == 1
    assert done.parts is not None
    assert not (tmp_path / "many.partial").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet", "parquet here"])
def test_a_list_names_images_and_their_parts(kind: str, store: Any, model: Model, images: Path, tmp_path: Path) -> None:
    from pyarrow import csv, parquet

    names = ["b/part1_1.png", "a/part2_0.png", "a/part2_1.png"]
    lines = ["image,board", *(f"{name},{name[6]}" for name in names)]
    table = tmp_path / "list.csv"
    table.write_text("\n".join(lines) + "\n")
    parquet.write_table(csv.read_csv(table), tmp_path / "list.parquet")
    given = f"memory://plant/images/list.{kind}"
    if kind == "parquet here":
        given = str((tmp_path / "list.parquet").rename(images / "list.parquet"))
    else:
        store.pipe_file(f"/plant/images/list.{kind}", (tmp_path / f"list.{kind}").read_bytes())
    spread(model, [given], Local(), out=tmp_path / "out", columns={"group": "board"})
    assert [row["image"].rpartition("images")[2].partition("/")[2] for row in rows(tmp_path / "out")][1:] == names[1:]
    assert [row["verdict"] for row in rows(tmp_path / "out")] == ["OK", "NG", "NG"]
    assert len((tmp_path / "out/parts.csv").read_text().splitlines()) == 3


def test_a_store_that_vanishes_ends_the_run_which_goes_on_when_it_is_back(
    store: Any, model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict(model, [images], out=tmp_path / "one")
    real, kept, count = addresses._read, {name: store.cat_file(name) for name in store.find("/plant")}, list[str]()

    def vanishing(one: Remote) -> bytes:
        count.append(one.address)
        if len(count) == 9:
            store.rm("/plant", recursive=True)
        return real(one)

    monkeypatch.setattr(addresses, "AHEAD", 1)
    with monkeypatch.context() as patch:
        patch.setattr(addresses, "_read", vanishing)
        with pytest.raises(DataError, match=r"shares could not be judged: .*cannot be reached.*The others are kept"):
            spread(model, ["memory://plant/images"], Local(), out=tmp_path / "many")
    assert not (tmp_path / "many").exists()
    for name, content in kept.items():
        store.pipe_file(name, content)
    with pytest.raises(ConfigError, match="another images: give the same command"):
        spread(model, ["memory://plant/images/a"], Local(), out=tmp_path / "many")
    again: list[str] = []

    def counted(one: Remote) -> bytes:
        again.append(one.address)
        return real(one)

    monkeypatch.setattr(addresses, "_read", counted)
    spread(model, ["memory://plant/images"], Local(), out=tmp_path / "many")
    assert told(tmp_path / "many") == told(tmp_path / "one")
    assert 0 < len(again) < 13, "finished shares were judged again"


def test_a_full_disk_where_a_share_is_judged_costs_that_share_alone(
    store: Any, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = disk.scratch, list[int]()

    def full() -> Any:
        asked.append(len(asked))
        if len(asked) == 2:
            raise OSError(errno.ENOSPC, "No space left on device", "/tmp/scratch")
        return real()

    with monkeypatch.context() as patch:
        patch.setattr(disk, "scratch", full)
        with pytest.raises(DataError, match=rf"1 of 5 shares could not be judged: {node()}: /tmp/scratch .* Make room"):
            spread(model, ["memory://plant/images"], Local(), out=tmp_path / "out")
    assert len(list((tmp_path / "out.partial").glob("*/shard.json"))) == 4
    spread(model, ["memory://plant/images"], Local(), out=tmp_path / "out")
    assert len(rows(tmp_path / "out")) == 13


def test_an_object_that_is_gone_or_changes_costs_its_own_row_alone(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = listed("memory://plant/images/b", lambda name: name.endswith(".png"))
    assert len(found) == 6
    store.rm("/plant/images/b/part1_0.png")
    store.pipe_file("/plant/images/b/part1_1.png", b"another since it was listed")
    real, reads = store.cat_file, list[str]()

    def changing(path: str, **more: Any) -> bytes:
        reads.append(path)
        content: bytes = real(path, **more)
        if path.endswith("part3_0.png") or (path.endswith("part3_1.png") and reads.count(path) == 1):
            store.pipe_file(path, content + b"x")
        return content

    monkeypatch.setattr(type(store), "cat_file", lambda self, path, **more: changing(path, **more))
    files = list(fetched(found, tmp_path))
    codes = [one.code if isinstance(one, ImageError) else "" for one in files]
    assert codes == ["missing", "", "unreadable", "", "", ""]
    assert "changes while it is read" in str(files[2])
    assert isinstance(files[1], Path)
    assert files[1].read_bytes() == b"another since it was listed"
    assert isinstance(files[3], Path)
    assert files[3].read_bytes().endswith(b"x")


@pytest.mark.parametrize("key", ["a/../b", "/a", "a//b", "./a", "a%2E", "..", "%", "a/%2E%2E/b"])
def test_no_name_of_an_object_leads_out_of_its_folder(key: str) -> None:
    path = Remote(f"s3://bucket/{key}", "s3://bucket").path
    assert ".." not in path.parts
    assert path.parts[:2] == ("s3", "bucket")
    others = {"a/b", "a", "a/../b/", "b", "a.", "a/%2E%2E/b", "%", ".."} - {key}
    assert path not in {Remote(f"s3://bucket/{other}", "s3://bucket").path for other in others}


def test_what_makes_no_sense_with_addresses_is_refused(
    store: Any, ungated_path: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def error(*words: str | Path) -> tuple[int, str]:
        code = call("predict", ungated_path, *words)
        return code, capsys.readouterr().err

    given, out = "memory://plant/images", ("--out", tmp_path / "out")
    for words, code, said in (
        ((given,), 2, "needs a folder to write to: add --out"),
        ((given, *out, "--json"), 2, "--json has no meaning"),
        ((given, images, *out), 2, "judge them apart"),
        (("memory://nothing", *out), 3, "nothing is there"),
        (("nonsense://plant", *out), 3, "no such kind of store"),
        (("memory://plant/gone.csv", *out), 3, "cannot be reached"),
        ((images, *out, "--ray", "127.0.0.1:1"), 2, "--ray 127.0.0.1:1: cannot be joined"),
    ):
        found = error(*words)
        assert found[0] == code, found
        assert said in found[1]
    assert not (tmp_path / "out").exists()


def _written_there(system: Any, model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results to a bucket that is not there, that vanishes in the middle, and that is back."""
    system.mkdir("results")
    real, kept = There.keep, list[int]()

    def keep(self: There, files: Mapping[str, bytes], record: Record) -> None:
        if kept:
            contents.update({name: system.cat_file(name) for name in system.find("results")})
            system.rm("results", recursive=True)
        real(self, files, record)
        kept.append(record.index)

    contents: dict[str, bytes] = {}
    with monkeypatch.context() as patch:
        patch.setattr(There, "keep", keep)
        with pytest.raises(
            DataError, match=r"s3://results/lot: cannot be written to .*bucket.*what is finished is kept"
        ):
            spread(model, ["s3://plant/images"], Local(), out=Store("s3://results/lot"))
    assert kept == [1]
    with pytest.raises(DataError, match="s3://results/lot: cannot be"):
        spread(model, ["s3://plant/images"], Local(), out=Store("s3://results/lot"))
    system.mkdir("results")
    for name, content in contents.items():
        system.pipe_file(name, content)
    done = spread(model, ["s3://plant/images"], Local(), out=Store("s3://results/lot"))
    assert "1 of 5 shares were judged before, and stay as they are" in done.notes
    with folders(["s3://results/lot"]) as shares:
        merge(shares, out=folder / "from the store")
    assert told(folder / "from the store") == told(folder / "one")


def test_s3(model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a server of this machine: what is read, refused, and gone in the middle."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server").ThreadedMotoServer
    server = server_of(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    try:
        system = fsspec.filesystem("s3", skip_instance_cache=True)
        system.mkdir("plant")
        for file in images.rglob("*.png"):
            system.pipe_file(f"plant/images/{file.relative_to(images).as_posix()}", file.read_bytes())
        monkeypatch.setattr(module, "SIZE", 3)
        predict(model, [images], out=tmp_path / "one")
        spread(model, ["s3://plant/images"], Local(), out=tmp_path / "many")
        assert told(tmp_path / "many") == told(tmp_path / "one")
        assert rows(tmp_path / "many")[0]["image"] == "s3://plant/images/a/part0_0.png"
        _written_there(system, model, tmp_path, monkeypatch)
        found = listed("s3://plant/images", lambda name: name.endswith(".png"))
        system.rm("plant/images/a/part0_0.png")
        files = fetched(found, tmp_path / "scratch")
        gone = next(files)
        assert isinstance(gone, ImageError)
        assert gone.code == "missing"
        system.rm("plant", recursive=True)
        with pytest.raises(DataError, match="s3://plant/images: cannot be reached"):
            list(files)
        refusing = urllib.request.Request(
            f"http://{host}:{port}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"}
        )
        urllib.request.urlopen(refusing).close()  # from now on, who asks has to be known
        with pytest.raises(DataError, match=r"s3://plant/images: cannot be reached \(PermissionError.*you may read it"):
            listed("s3://plant/images", lambda name: True)
        with pytest.raises(DataError, match=r"s3://plant/out: cannot be written to \(PermissionError.*may write it"):
            Store("s3://plant/out").write({"work.json": b""})
    finally:
        server.stop()
