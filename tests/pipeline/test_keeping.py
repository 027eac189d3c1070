"""Results in an object store: shares written whole, none lost or double, and what the same command finds there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import call, picture, save

from anomalib_lite.data.store import Store
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import Reader, Readers
from anomalib_lite.edge.model import Model
from anomalib_lite.engines import Local
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import spread as module
from anomalib_lite.pipeline.keeping import folders
from anomalib_lite.pipeline.lists import gathered
from anomalib_lite.pipeline.merge import merge
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.spread import spread
from anomalib_lite.pipeline.travelling import Travelling

fsspec = pytest.importorskip("fsspec")

OUT = "memory://results/lot"
GROUP = r"part(\d+)"
OF_THE_RUN = ("time", "ms")


@pytest.fixture(scope="module")
def model(ungated_path: Path) -> Model:
    return Model(ungated_path, threads=1)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for part in range(4):
        for shot in range(2):
            save(folder / f"part{part}_{shot}.png", picture(2 * part + shot, defect=part == 2))
    return folder


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A store in memory, and shares of three images."""
    monkeypatch.setattr(module, "SIZE", 3)
    system = fsspec.filesystem("memory")
    yield system
    for name in ("/results", "/plant"):
        if system.exists(name):
            system.rm(name, recursive=True)


def told(lines: str) -> list[dict[str, Any]]:
    """Rows without what differs from run to run."""
    return [
        {key: value for key, value in json.loads(one).items() if key not in OF_THE_RUN}
        for one in lines.split("\n")
        if one
    ]


def test_shares_in_a_store_are_the_result(
    store: Any, model: Model, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more: dict[str, Any] = {"group": GROUP, "heatmaps": Heatmaps.NG}
    predict(model, [images], out=tmp_path / "one", **more)
    done = spread(model, [str(images)], Local(), out=Store(OUT), **more)
    assert (done.out, done.counts[Verdict.NG], done.counts[Verdict.OK]) == (OUT, 2, 6)
    assert done.parts == {Verdict.OK: 3, Verdict.NG: 1}
    assert json.loads(store.cat_file("/results/lot/work.json"))["count"] == 3
    found = [json.loads(line) for name in store.glob("/results/lot/*/results.jsonl") for line in store.open(name)]
    assert sorted(row["position"] for row in found) == list(range(8))
    words = ("predict", model.bundle.path, images, "--group", GROUP, "--heatmaps", "ng", "--threads", "1")
    assert call(*words, "--out", OUT) == 0
    said = capsys.readouterr().err
    assert "3 of 3 shares were judged before" in said
    assert f"parts: OK 3  REVIEW 0  NG 1  ERROR 0\nresults {OUT}" in said
    store.pipe_file("/plant/none/a.png", b"no image")
    assert call("predict", model.bundle.path, "memory://plant/none", "--out", "memory://results/none") == 3
    assert "1 image could not be measured: see the reasons in the rows" in capsys.readouterr().err
    assert call("merge", OUT, "--out", tmp_path / "many") == 0
    for name in ("results.jsonl", "parts.csv"):
        one, many = ((tmp_path / out / name).read_text() for out in ("one", "many"))
        assert told(many) == told(one) if name == "results.jsonl" else many == one
    names = [one.name for one in (tmp_path / "one/heatmaps").iterdir()]
    assert len(names) == 2
    assert sorted(names) == sorted(one.name for one in (tmp_path / "many/heatmaps").iterdir())


def test_the_same_command_judges_what_is_not_finished_alone(
    store: Any, model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[int] = []
    real = module.judge

    def counted(task: Any, piece: Any) -> Any:
        judged.append(piece.shard.index)
        return real(task, piece)

    monkeypatch.setattr(module, "judge", counted)
    for anew, wanted in ((False, [1, 2, 3]), (False, [2]), (False, []), (True, [1, 2, 3])):
        judged.clear()
        done = spread(model, [str(images)], Local(), out=Store(OUT), overwrite=anew)
        assert judged == wanted
        assert sum(done.counts.values()) == 8
        if len(judged) == 3 and not anew:
            store.rm_file("/results/lot/000002/shard.json")  # it was killed before this was written
            with folders([OUT]) as shares, pytest.raises(DataError, match="missing of 3 shares: 2"):
                merge(shares, out=tmp_path / "out")
    with pytest.raises(
        ConfigError, match=r"memory://results/lot holds what was begun with another number of shares, another i"
    ):
        spread(model, [str(images / "part0_0.png")], Local(), out=Store(OUT), heatmaps=Heatmaps.ALL)
    store.pipe_file("/results/lot/notes.txt", b"somebody's")
    spread(model, [str(images / "part0_0.png")], Local(), out=Store(OUT), overwrite=True)
    assert store.find("/results/lot")[3:] == ["/results/lot/notes.txt", "/results/lot/work.json"]


def test_nothing_is_written_among_the_objects_of_others(store: Any, model: Model, images: Path) -> None:
    store.pipe_file("/plant/images/part0_0.png", (images / "part0_0.png").read_bytes())
    for out, said in (
        ("memory://plant", "holds images/part0_0.png, and no results"),
        ("memory://plant/images/x", "lies within"),
    ):
        with pytest.raises(ConfigError, match=said):
            spread(model, ["memory://plant/images/"], Local(), out=Store(out), overwrite=True)
    store.pipe_file("/results/lot/000001/../../../etc/x", b"")
    with pytest.raises(DataError, match="holds no finished share"), folders([OUT]):
        pass


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "MODEL", "IMAGES", "--out", "memory://", ), "names no bucket"),
        (("predict", "MODEL", "IMAGES", "--out", "file:///results"), "is a folder of this machine"),
        (("predict", "MODEL", "IMAGES", "--out", OUT, "--json"), "--json has no meaning with an address"),
        (("predict", "s3://plant/model", "IMAGES"), "MODEL s3://plant/model: no address can be given here"),
        (("evaluate", "MODEL", "IMAGES", "--out", OUT), f"--out {OUT}: no address"),
        (("evaluate", "MODEL", "s3://plant"), "DATA s3://plant: no address"),
        (("merge", OUT, f"--out={OUT}"), f"--out {OUT}: no address"),
        (("train", "gauss", "IMAGES", "--out", "m", "--golden", "az://a/b"), "--golden az://a/b: no address"),
        (("train-many", "s3://plant/plan.csv", "--out", "models"), "PLAN s3://plant/plan.csv: no address"),
        (("labels", "list", OUT), f"RESULTS {OUT}: no address"),
    ],
)  # fmt: skip
def test_an_address_is_no_folder_of_this_machine(
    words: tuple[str, ...], said: str, model: Model, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    places = {"MODEL": str(model.bundle.path), "IMAGES": str(images)}
    assert call(*(places.get(word, word) for word in words)) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_objects_without_a_suffix_are_told_by_their_first_bytes(store: Any, model: Model, images: Path) -> None:
    def put(**contents: bytes) -> None:
        for name, content in contents.items():
            store.pipe_file(f"/plant/x/{name}", content)

    put(part0=(images / "part0_0.png").read_bytes(), _SUCCESS=b"", README=b"text", notes_txt=b"text")
    store.pipe_file("/plant/x/a.txt", b"text")
    found, notes = gathered(["memory://plant/x"], model.opener)
    assert [one.name for one in found] == ["part0"]
    assert notes == ["memory://plant/x: 4 objects passed over, no images: README, _SUCCESS, a.txt, notes_txt"]
    readers: Readers = {
        ".dcm": Reader(read=lambda files: None, gather=lambda paths: [], sniff=lambda head: head.startswith(b"DICM"))
    }
    store.pipe_file("/plant/x/1.2.840.1", b"DICM and more")
    with pytest.raises(DataError, match=r"memory://plant/x: 1\.2\.840\.1: files \*\.dcm belong together in series"):
        gathered(["memory://plant/x"], Opener(readers))
    store.pipe_file("/plant/list.csv", b"image\nx/part0\nx/1.2.840.1\n")
    told = Model(model.bundle.path, threads=1, readers=readers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Travelling, "loaded", lambda self: told)
        spread(told, ["memory://plant/list.csv"], Local(), out=Store(OUT))
    rows = [json.loads(line) for name in store.glob("/results/lot/*/results.jsonl") for line in store.open(name)]
    assert [(row["verdict"], row["error_code"]) for row in rows] == [("OK", None), ("ERROR", "unreadable")]
    assert "1.2.840.1: files *.dcm belong together in series" in rows[1]["error"]
