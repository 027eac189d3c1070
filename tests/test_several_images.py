"""Files that hold several images, files that are one image together, files whose names tell nothing."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import pytest
from conftest import picture, recalibrate, save

from anomalib_lite.data import find, look, survey
from anomalib_lite.data.samples import Folders
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images import catalogue
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import DataError, ImageError, NotAnImage, PluginError
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.inputs import chosen
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Registry, load

Train = Callable[..., Trained]
reads: list[str] = []  # what `stack` was asked for


ONE_AT_A_TIME = Lock()  # numpy parses a header as Python, which CPython 3.11 may fail at in several threads


def stack(file: BinaryIO) -> Iterator[tuple[int, Picture]]:
    """An .npz file: each array is an image."""
    if file.read(4) == b"NONE":
        raise NotAnImage
    file.seek(0)
    reads.append("file")
    with ONE_AT_A_TIME, np.load(file) as stored:
        arrays = dict(stored)
    for number, (name, array) in enumerate(arrays.items(), start=1):
        yield number, Picture(array, part=name.split("-")[0] if "-" in name else None)


def write(path: Path, *pixels: np.ndarray, part: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {f"{part}-{at}" if part else str(at): one for at, one in enumerate(pixels)}
    np.savez(path, **arrays)
    return path


def installed(**readers: Reader) -> Registry:
    """The plugins of this test, with readers by suffix."""
    from anomalib_lite.registry import Provider
    from anomalib_lite.registry.loading import Reader as Installed

    provider = Provider("acme", "acme", "1.0")
    made = {
        f".{name}": Installed(read=one.read, gather=one.gather, suffix=f".{name}", provider=provider)
        for name, one in readers.items()
    }
    return replace(load(), readers=made)


READERS = {".npz": Reader(read=stack)}


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 files of 12 images each, and labelled ones with masks in files of the same kind."""
    root = tmp_path_factory.mktemp("volumes")
    for number in range(20):
        write(root / f"good/v{number:02}.npz", *(picture(100 * number + one) for one in range(12)), part=f"p{number}")
    for number in range(20, 23):
        pixels = [picture(100 * number + one, defect=one == 11) for one in range(12)]
        write(root / f"test/test/mixed/v{number}.npz", *pixels)
        masks = [(one < 30).astype(np.uint8) * 255 for one in pixels]
        write(root / f"test/ground_truth/mixed/v{number}_mask.npz", *masks)
        write(root / f"test/test/good/v{number}.npz", *(picture(7000 + number + one) for one in range(3)))
    return root


@pytest.fixture(scope="module")
def model(train: Train, volumes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("several") / "model"
    train(volumes / "good", out, group=None, plugins=installed(npz=READERS[".npz"]))
    return out


def test_every_image_of_a_file_is_one_of_the_data_set_in_its_order(volumes: Path) -> None:
    dataset = find(volumes / "good", opener=Opener(READERS))
    assert [one.name for one in dataset.samples][:12] == [f"v00.npz#{number}" for number in range(1, 13)]
    assert len(dataset.samples) == 240
    assert dataset.grouped
    assert {one.group for one in dataset.samples} == {f"p{number}" for number in range(20)}


def test_images_of_one_file_are_of_one_part_where_nothing_else_is_said(tmp_path: Path) -> None:
    for name in ("a/v.npz", "b/v.npz"):
        write(tmp_path / name, picture(1), picture(2), picture(3))
    opener = Opener(READERS)
    dataset = find(tmp_path, folders=Folders(all_good=True), opener=opener)
    assert [one.group for one in dataset.samples] == ["a/v.npz"] * 3 + ["b/v.npz"] * 3
    assert dataset.grouped
    assert any("photographs of one part" in note for note in dataset.notes)
    (tmp_path / "table.csv").write_text("image,label\na/v.npz,good\nb/v.npz,good\n")
    assert [one.group for one in find(tmp_path / "table.csv", opener=opener).samples] == ["a/v.npz"] * 3 + [
        "b/v.npz"
    ] * 3
    told = find(tmp_path / "table.csv", group="(v)", opener=opener)
    assert {one.group for one in told.samples} == {"v"}


def test_files_judged_together_stay_parts_of_their_own(tmp_path: Path) -> None:
    files = [write(tmp_path / name, picture(1), picture(2)) for name in ("a/v.npz", "b/v.npz")]
    images, _ = chosen(files, Opener(READERS))
    assert [one.part for one in images] == [str(files[0])] * 2 + [str(files[1])] * 2
    (tmp_path / "torn.npz").write_bytes(b"torn")
    assert [one.part for one in chosen([tmp_path / "torn.npz"], Opener(READERS))[0]] == [str(tmp_path / "torn.npz")]
    save(tmp_path / "single.png", picture(3))
    assert [one.part for one in chosen([tmp_path / "single.png"], Opener(READERS))[0]] == [None]


def test_what_a_reader_says_of_an_image_stands_in_its_row(model_path: Path) -> None:
    def recording(file: BinaryIO) -> Iterator[tuple[int, Picture]]:
        for at in range(2):
            yield at, Picture(picture(at), meta={"time": 0.5 * at}, note="clipped" if at else "")

    loaded = Model(model_path, readers={".rec": recording})
    rows = [loaded.inspect(FileBytes(f"a.rec#{at}", b"recording")).row() for at in range(2)]
    assert [row["seconds"] for row in rows] == [0.0, 0.5]
    assert [row["note"] for row in rows] == ["", "clipped"]
    assert loaded.inspect(picture(0)).row()["seconds"] is None


def test_what_readers_say_is_told_at_a_training(tmp_path: Path) -> None:
    def clipped(file: BinaryIO) -> Picture:
        return Picture(np.frombuffer(file.read(), np.uint8).reshape(16, 16, 1), note="is clipped")

    for at in range(2):
        (tmp_path / f"{at}.rec").write_bytes(np.random.default_rng(at).integers(0, 255, 256).astype(np.uint8).tobytes())
    dataset = find(tmp_path, folders=Folders(all_good=True), opener=Opener({".rec": clipped}))
    found = survey(*look(dataset.samples, dataset.opener))
    assert found.warnings == ["their readers say of 2 images: 0.rec is clipped, 1.rec is clipped"]


def test_parts_stay_on_one_side(model: Path) -> None:
    data = json.loads((model / "manifest.json").read_text())["data"]
    assert len(data["fit"]) + len(data["calibrated"]) == 240
    assert not set(data["fit"].values()) & set(data["calibrated"].values())


def test_rows_heat_maps_and_report_name_each_image(model: Path, volumes: Path, tmp_path: Path) -> None:
    loaded = Model(model, readers=READERS)
    predict(loaded, [volumes / "test"], out=tmp_path / "out", heatmaps=Heatmaps.NG)
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    file = volumes / "test/test/mixed/v20.npz"
    mine = [row for row in rows if row["image"].startswith(str(file))]
    assert [row["image"] for row in mine] == [f"{file}#{number}" for number in range(1, 13)]
    assert mine[11]["verdict"] == "NG"
    assert (tmp_path / "out" / mine[11]["heatmap"]).name == "v20.npz#12.png"
    assert (tmp_path / "out" / mine[11]["heatmap"]).is_file()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert mine[11]["sha256"] == hashlib.sha256(f"{digest}#12".encode()).hexdigest()
    with (tmp_path / "out/results.csv").open(newline="") as table:
        assert f"{file}#12" in [row["image"] for row in csv.DictReader(table)]
    assert "v20.npz#12" in (tmp_path / "out/report.html").read_text()


def test_masks_belong_to_images_of_the_same_key(model: Path, volumes: Path, tmp_path: Path) -> None:
    rows = ["image,label,mask"]
    for number in range(20, 23):
        rows.append(f"test/mixed/v{number}.npz#12,dent,ground_truth/mixed/v{number}_mask.npz#12")
        rows.append(f"test/good/v{number}.npz,good,")
    table = volumes / "test/samples.csv"
    table.write_text("\n".join(rows))
    measured = evaluate(Model(model, readers=READERS), table, out=tmp_path / "out")
    assert measured.metrics["images"] == 12
    assert measured.metrics["pixel_auroc"] > 0.9
    table.unlink()
    dataset = find(volumes / "test", opener=Opener(READERS))
    owned = {one.name: [mask.name for mask in one.masks] for one in dataset.samples if one.masks}
    assert owned["test/mixed/v21.npz#3"] == ["v21_mask.npz#3"]


def test_one_image_of_a_file_is_named_and_a_file_of_several_is_not_one(model: Path, volumes: Path) -> None:
    loaded, file = Model(model, readers=READERS), volumes / "test/test/mixed/v20.npz"
    assert loaded.inspect(f"{file}#12").verdict is Verdict.NG
    assert loaded.inspect(FileBytes("v20.npz#12", file.read_bytes())).score == loaded.inspect(f"{file}#12").score
    result = loaded.inspect(file)
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "several_frames")
    assert "v20.npz#12" in str(result.error)
    result = loaded.inspect(f"{file}#13")
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "missing")


def test_a_file_is_read_once_where_its_images_are_asked_for_in_order(volumes: Path) -> None:
    opener = Opener(READERS)
    images, _ = opener.images([volumes / "good/v00.npz"])
    reads.clear()
    for path in images:
        opener.read(path)
    assert reads == ["file"]


@pytest.mark.parametrize(("kept", "times"), [(1 << 28, 1), (1, 3)])
def test_images_are_kept_for_any_order_as_far_as_they_fit(
    kept: int, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A volume in a training: without, each image would be decoded with all before it."""
    monkeypatch.setattr(catalogue, "KEPT", kept)
    pixels = [picture(number) for number in range(3)]
    path, opener = write(tmp_path / "a.npz", *pixels), Opener(READERS)
    reads.clear()
    for number in (3, 1, 2, 3, 1) if times == 1 else (3, 1, 2, 1):
        found = opener.read(f"{path}#{number}")
        np.testing.assert_array_equal(found.pixels, pixels[number - 1])
    assert len(reads) == times


def test_no_original_and_no_name_of_a_part_is_exported(model: Path, tmp_path: Path) -> None:
    assert any(one.name.startswith("low") for one in (model / "selfcheck").iterdir())
    exported = export(model, tmp_path / "device", readers=READERS).bundle
    assert {Path(name).suffix for name in exported.manifest.files} == {".onnx", ".png"}
    text = b"".join(path.read_bytes() for path in (tmp_path / "device").rglob("*") if path.is_file())
    assert b"v00.npz" not in text
    parts = {*exported.manifest.data.fit.values(), *exported.manifest.data.calibrated.values()}
    assert len(parts) == 20
    assert all(part.startswith("name-") for part in parts)
    assert not any(one.flipped for one in replay(Model(exported)))


def test_calibrate_still_knows_the_parts(model: Path, volumes: Path, tmp_path: Path, monkeypatch: Any) -> None:
    from anomalib_lite import registry

    exported = export(model, tmp_path / "device", readers=READERS).bundle
    monkeypatch.setattr(registry, "load", lambda: installed(npz=READERS[".npz"]))
    with pytest.raises(DataError, match="fitted on"):
        recalibrate(exported.path, volumes / "good", out=tmp_path / "again")


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda: iter(()), "found no image in it"),
        (lambda: iter([(1, Picture(picture(1))), (1, Picture(picture(2)))]), "yielded the key '1' twice"),
        (lambda: iter([(1, Picture(picture(1))), ("1", Picture(picture(2)))]), "yielded the key '1' twice"),
        (lambda: iter([picture(1)]), "expected pairs of a key and a Picture"),
        (lambda: iter([None]), "object of type NoneType"),
        (lambda: iter([("a/b", picture(1))]), "yielded the key 'a/b'"),
        (lambda: iter([("..", picture(1))]), "yielded the key '..'"),
        (lambda: iter([("", picture(1))]), "yielded the key ''"),
        (lambda: iter([(1.5, picture(1))]), "yielded the key 1.5"),
        (lambda: iter([(1, picture(1)[..., 0])]), "an array of shape (48, 48)"),
        (lambda: (1 / zero for zero in [0]), "failed (ZeroDivisionError: division by zero)"),
    ],
)
def test_what_is_wrong_with_several_images_is_said_of_the_file(
    returned: Callable[[], Any], said: str, tmp_path: Path
) -> None:
    (tmp_path / "scan.npz").write_bytes(b"1")
    opener = Opener({".npz": lambda file: returned()})
    assert [one.name for one in find(tmp_path, opener=opener).samples] == ["scan.npz"]
    with pytest.raises(ImageError) as caught:
        opener.read(tmp_path / "scan.npz")
    assert caught.value.code == "reader_failed"
    assert said in str(caught.value)
    assert str(tmp_path / "scan.npz") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_holds_no_picture_is_passed_over_and_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", picture(1), picture(2))
    (tmp_path / "report.npz").write_bytes(b"NONE")
    (tmp_path / "notes.txt").write_text("1")
    dataset = find(tmp_path, opener=Opener(READERS))
    assert [one.name for one in dataset.samples] == ["a.npz#1", "a.npz#2"]
    assert "2 files passed over, no images: .npz 1, .txt 1 (notes.txt, report.npz)" in dataset.notes
    with pytest.raises(ImageError) as caught:
        Opener(READERS).read(tmp_path / "report.npz")
    assert caught.value.code == "not_an_image"


def test_files_that_name_no_part_among_those_that_do_are_asked_about(tmp_path: Path) -> None:
    write(tmp_path / "a.npz", picture(1), part="p")
    write(tmp_path / "b.npz", picture(2))
    with pytest.raises(DataError, match=r"b.npz#1.*--group"):
        find(tmp_path, opener=Opener(READERS))
    assert find(tmp_path, group=r"(\w)\.npz", opener=Opener(READERS)).grouped


# ---- several files that are one


def gather(paths: Sequence[Path]) -> Iterator[tuple[str, list[Path]]]:
    """v01_t1.acq and v01_t2.acq are one; what has another name is of none."""
    keys = dict.fromkeys(path.name.partition("_")[0] for path in paths if "_" in path.name)
    for key in keys:
        yield key, sorted(path for path in paths if path.name.startswith(f"{key}_"))


def channels(files: Sequence[BinaryIO]) -> np.ndarray:
    """Co-registered images, a channel each."""
    with ONE_AT_A_TIME:
        return np.concatenate([np.load(file, allow_pickle=False) for file in files], axis=2)


SERIES = {".acq": Reader(read=channels, gather=gather)}


def acquired(folder: Path, key: str, seed: int, *, defect: bool = False) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("t1", "t2"):
        with (folder / f"{key}_{name}.acq").open("wb") as file:
            np.save(file, picture(seed, defect=defect))


def test_several_files_are_one_image(train: Train, tmp_path: Path) -> None:
    for number in range(30):
        acquired(tmp_path / "good", f"v{number:02}", number)
    acquired(tmp_path / "bad", "w", 99, defect=True)
    (tmp_path / "good/index.acq").write_bytes(b"1")
    dataset = find(tmp_path / "good", opener=Opener(SERIES))
    assert [one.name for one in dataset.samples][:2] == ["v00.acq", "v01.acq"]
    assert len(dataset.samples) == 30
    assert dataset.notes[0] == "1 file passed over, no images: .acq 1 (index.acq)"
    train(tmp_path / "good", tmp_path / "model", group=r"v(\d+)", plugins=installed(acq=SERIES[".acq"]))
    assert json.loads((tmp_path / "model/manifest.json").read_text())["image"]["channels"] == 2
    loaded = Model(tmp_path / "model", readers=SERIES)
    assert loaded.inspect(tmp_path / "bad/w.acq").verdict is Verdict.NG
    for inputs in ([tmp_path / "bad"], sorted((tmp_path / "bad").iterdir()), [tmp_path / "bad/*.acq"]):
        results: list[Any] = []
        predict(Model(tmp_path / "model", readers=SERIES), inputs, each=results.append)
        assert [(Path(one.image).name, one.verdict) for one in results] == [("w.acq", Verdict.NG)]
    assert not any(one.flipped for one in replay(loaded))


def test_a_file_of_its_own_keeps_its_name(tmp_path: Path) -> None:
    acquired(tmp_path, "v1", 1)
    (tmp_path / "v1_t2.acq").unlink()
    assert [one.name for one in find(tmp_path, opener=Opener(SERIES)).samples] == ["v1_t1.acq"]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda paths: 1 / 0, "failed (ZeroDivisionError"),
        (lambda paths: [("a", [])], "no file"),
        (lambda paths: [("a", [Path("other.acq")])], "not given"),
        (lambda paths: [("a", paths), ("b", paths[:1])], "one twice"),
        (lambda paths: [("a", [paths[0], paths[0]])], "one twice"),
        (lambda paths: [("a/b", paths)], "'a/b'"),
        (lambda paths: [("a", paths[:2]), ("a", paths[2:])], "the key 'a' twice"),
    ],
)
def test_what_gathers_nonsense_is_a_fault_of_its_plugin(made: Any, said: str, tmp_path: Path) -> None:
    for number in range(2):
        acquired(tmp_path, f"v{number}", number)
    with pytest.raises(PluginError, match=r"the reader of '\.acq' files") as caught:
        find(tmp_path, opener=Opener({".acq": Reader(read=channels, gather=made)}))
    assert said in str(caught.value)


# ---- files without a suffix


@pytest.mark.parametrize("name", ["IM000001", "1.2.840.10008.5"])
def test_files_whose_names_tell_nothing_are_known_by_their_first_bytes(name: str, tmp_path: Path) -> None:
    sniffing = {".npz": Reader(read=stack, sniff=lambda head: head.startswith(b"PK\x03\x04"))}
    write(tmp_path / "a.npz", picture(1)).rename(tmp_path / name)
    (tmp_path / "README").write_text("of the scanner")
    (tmp_path / "7.1").write_bytes(b"")
    dataset = find(tmp_path, opener=Opener(sniffing))
    assert [one.name for one in dataset.samples] == [f"{name}#1"]
    assert dataset.opener.read(dataset.samples[0].path).pixels.shape == (48, 48, 1)
    assert Opener(sniffing).read(FileBytes(f"{name}#1", (tmp_path / name).read_bytes())).pixels.shape == (48, 48, 1)
    assert Opener(READERS).finds(tmp_path / name) is False


def test_one_that_fails_to_tell_knows_nothing(tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(b"1")
    assert not Opener({".npz": Reader(read=stack, sniff=lambda head: head[10] == 1)}).finds(tmp_path / "IM1")
