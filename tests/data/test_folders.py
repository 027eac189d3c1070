"""What folders say of their images, what is asked where they say nothing, and what nobody put there is passed over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from images import write_image
from PIL import Image

from anomalib_lite.data import Folders, evaluation_samples, find, to_judge, training_samples
from anomalib_lite.errors import ConfigError, DataError

PAIRS = (
    "normal abnormal", "gut schlecht", "pass fail", "iO niO", "OK_parts NG_parts", "accept reject", "0 1",
    "Non-defective Defective", "conforme difettoso", "合格 不良", "a b", "pos neg",
)  # fmt: skip


def photographs(root: Path, *names: str) -> None:
    """Images that are none of each other, and no masks."""
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (24, 24), np.uint8)
        Image.fromarray(pixels).save(path)


def labels(root: Path, **said: object) -> Counter[str | None]:
    return Counter(sample.label for sample in find(root, folders=Folders(**said)).samples)  # type: ignore[arg-type]


# ---- folders that no layout explains


@pytest.mark.parametrize("pair", PAIRS)
def test_folders_beside_each_other_are_asked_for(tmp_path: Path, pair: str) -> None:
    good, bad = pair.split()
    photographs(tmp_path, f"{good}/1.png", f"{good}/2.png", f"{bad}/3.png")
    with pytest.raises(DataError) as refused:
        find(tmp_path)
    said = str(refused.value)
    assert f"{good} (2)" in said
    assert f"{bad} (1)" in said
    assert all(option in said for option in ("--good FOLDER", "--defective FOLDER", "--all-good", "--group"))
    assert labels(tmp_path, good=[good], defective=[bad]) == {"good": 2, bad: 1}
    assert labels(tmp_path, all_good=True) == {"good": 3}


@pytest.mark.parametrize(
    "names",
    [
        ("1.png", "defekt/2.png"),
        ("2024-05-01/1.png", "2024-05-02/1.png"),
        ("camera1/1.png", "camera2/1.png"),
        ("lot1/good_ones/1.png", "lot1/others/1.png"),
        ("bottle/train/good/1.png", "cable/train/good/1.png", "cable/test/bad/1.png"),
    ],
)
def test_wherever_the_folders_lie(tmp_path: Path, names: tuple[str, ...]) -> None:
    photographs(tmp_path, *names)
    with pytest.raises(DataError, match="nothing says which are good"):
        find(tmp_path)
    assert labels(tmp_path, all_good=True) == {"good": len(names)}


def test_one_folder_needs_no_answer(tmp_path: Path) -> None:
    photographs(tmp_path, "images/a/1.png", "images/a/2.png")
    assert labels(tmp_path) == {None: 2}


def test_a_part_that_is_named_by_its_folder_explains_it(tmp_path: Path) -> None:
    """Whoever says that folders are parts has said why there are several."""
    photographs(tmp_path, *(f"part{n}/{view}.png" for n in range(3) for view in ("top", "side")))
    for pattern in (r"part(\d+)/", "^([^/]+)/"):
        dataset = find(tmp_path, group=pattern)
        assert len({sample.group for sample in dataset.samples}) == 3


@pytest.mark.parametrize("pattern", [r"part(\d+)", "(.+)", r"(.+)_\d", r"([^/]+)\.png$"])
def test_a_part_that_is_named_elsewhere_does_not(tmp_path: Path, pattern: str) -> None:
    photographs(tmp_path, "gut/part1_0.png", "gut/part2_0.png", "schlecht/part3_0.png")
    with pytest.raises(DataError, match=r"gut \(2\), schlecht \(1\)"):
        find(tmp_path, group=pattern)
    assert len(find(tmp_path, group=pattern, folders=Folders(good=["gut"], defective=["schlecht"])).samples) == 3


def test_parts_within_folders_that_tell_them_apart_do_not_explain_these(tmp_path: Path) -> None:
    photographs(tmp_path, "gut/part1/0.png", "schlecht/part2/0.png")
    with pytest.raises(DataError, match="nothing says which are good"):
        find(tmp_path, group=r"part(\d+)/")


# ---- folders that are named


def test_a_name_is_that_of_folders_anywhere_and_a_path_that_of_one(tmp_path: Path) -> None:
    photographs(tmp_path, *(f"line{n}/{kind}/{n}.png" for n in (1, 2) for kind in ("gut", "schlecht")))
    assert labels(tmp_path, good=["gut"], defective=["schlecht"]) == {"good": 2, "schlecht": 2}
    assert labels(tmp_path, good=["line1/gut"], defective=["line1/schlecht"]) == {"good": 1, "schlecht": 1}
    assert labels(tmp_path, good=[str(tmp_path / "line1/gut")]) == {"good": 1}


def test_folders_may_be_named_from_where_the_user_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    photographs(tmp_path, "data/gut/1.png", "data/schlecht/2.png")
    monkeypatch.chdir(tmp_path)
    assert labels(Path("data"), good=["data/gut"], defective=["data/schlecht/"]) == {"good": 1, "schlecht": 1}


def test_of_folders_within_each_other_the_inner_one_counts(tmp_path: Path) -> None:
    photographs(tmp_path, "1.png", "ng/2.png", "ng/repaired/3.png")
    assert labels(tmp_path, good=[".", "ng/repaired"], defective=["ng"]) == {"good": 2, "ng": 1}


def test_what_is_not_named_is_passed_over_and_said(tmp_path: Path) -> None:
    photographs(tmp_path, "gut/1.png", "alt/2.png", "neu/3.png")
    dataset = find(tmp_path, folders=Folders(good=["gut"]))
    assert [sample.name for sample in dataset.samples] == ["gut/1.png"]
    assert "2 images passed over, neither --good nor --defective names: alt 1, neu 1" in dataset.notes


def test_a_name_that_no_folder_has_is_a_mistake_in_the_option(tmp_path: Path) -> None:
    photographs(tmp_path, "gut/1.png", "schlecht/2.png")
    with pytest.raises(ConfigError, match=r"--good gutt: no image .* Name one of: gut, schlecht"):
        find(tmp_path, folders=Folders(good=["gutt"]))
    with pytest.raises(ConfigError, match=r"gut: gut/1\.png would be good and defective\. Name its folder once"):
        find(tmp_path, folders=Folders(good=["gut"], defective=["gut"]))


def test_training_takes_the_good_ones_and_an_evaluation_all(tmp_path: Path) -> None:
    photographs(tmp_path, "gut/1.png", "gut/2.png", "schlecht/3.png")
    dataset = find(tmp_path, folders=Folders(good=["gut"], defective=["schlecht"]))
    assert [sample.name for sample in training_samples(dataset)] == ["gut/1.png", "gut/2.png"]
    assert len(evaluation_samples(dataset)) == 3


def test_a_table_says_itself_what_is_good(tmp_path: Path) -> None:
    photographs(tmp_path, "a.png", "b.png")
    (tmp_path / "samples.csv").write_text("image,label\na.png,\nb.png,dent\n")
    with pytest.raises(ConfigError, match=r"column 'label' says what is good: leave out --good"):
        find(tmp_path / "samples.csv", folders=Folders(good=["a"]))
    with pytest.raises(DataError, match=r"row 3 has a label other than good\. Leave --all-good out"):
        find(tmp_path / "samples.csv", folders=Folders(all_good=True))


# ---- good, and folders beside it


def test_folders_beside_good_are_kinds_of_defects_for_an_evaluation(tmp_path: Path) -> None:
    photographs(tmp_path, "Good/1.png", "bad/2.png", "bad/deep/3.png")
    dataset = find(tmp_path)
    assert Counter(sample.label for sample in evaluation_samples(dataset)) == {"good": 1, "bad": 2}
    with pytest.raises(DataError, match=r"2 of 3 training images .* --good good --defective bad, or give --all-good"):
        training_samples(dataset)


def test_good_images_of_several_lines_are_one_data_set(tmp_path: Path) -> None:
    photographs(tmp_path, "line1/good/1.png", "line2/good/2.png")
    assert labels(tmp_path) == {"good": 2}


@pytest.mark.parametrize("other", ["line1/3.png", "other/3.png"])
def test_what_lies_neither_in_good_nor_beside_it_is_asked_for(tmp_path: Path, other: str) -> None:
    photographs(tmp_path, "line1/good/1.png", "line1/bad/2.png", other)
    with pytest.raises(DataError, match="nothing says which are good"):
        find(tmp_path)


# ---- the folders within test


@pytest.mark.parametrize("kinds", ["ok ng", "normal abnormal", "gut schlecht", "0 1", "ok", "gut", "good ok"])
def test_what_no_one_calls_good_is_asked_for_before_an_evaluation(tmp_path: Path, kinds: str) -> None:
    photographs(tmp_path, "train/good/1.png", "train/good/2.png", *(f"test/{kind}/3.png" for kind in kinds.split()))
    dataset = find(tmp_path)
    assert len(training_samples(dataset)) == 2, "a training takes none of them"
    with pytest.raises(DataError, match=r"nothing says whether these are good: test/.* --good FOLDER .*--defective"):
        evaluation_samples(dataset)
    good, *bad = [kind for kind in kinds.split() if kind != "good"]
    told = find(tmp_path, folders=Folders(good=[good], defective=[f"test/{kind}" for kind in bad]))
    assert {sample.label for sample in evaluation_samples(told)} == {"good", *bad}


def test_masks_say_that_a_folder_holds_defects(tmp_path: Path) -> None:
    photographs(tmp_path, "train/good/1.png", "test/dent/2.png", "test/gut/3.png")
    mask = np.zeros((24, 24), np.uint8)
    mask[3:9, 4:8] = 255
    (tmp_path / "ground_truth/dent").mkdir(parents=True)
    Image.fromarray(mask).save(tmp_path / "ground_truth/dent/2_mask.png")
    with pytest.raises(DataError, match=r"whether these are good: test/gut \(1\)\."):
        evaluation_samples(find(tmp_path))
    assert len(evaluation_samples(find(tmp_path, folders=Folders(good=["test/gut"])))) == 2


def test_the_layout_cannot_be_all_good(tmp_path: Path) -> None:
    photographs(tmp_path, "train/good/1.png", "test/dent/2.png")
    with pytest.raises(DataError, match="leave --all-good out"):
        find(tmp_path, folders=Folders(all_good=True))


# ---- what storage, systems and this project put there


@pytest.mark.parametrize(
    "folder",
    ["@eaDir", "sub/@eaDir", "#recycle", "#snapshot", "$RECYCLE.BIN", "$Recycle.Bin/S-1-5-21", "@Recycle", "lost+found",
     "System Volume Information", "system volume information", ".Trash-1000/files", ".Trashes", "__MACOSX", "RECYCLER",
     "Network Trash Folder", "@Recently-Snapshot", ".@__thumb", "~snapshot", "found.000"],
)  # fmt: skip
def test_folders_of_storage_and_systems_are_passed_over_and_said(tmp_path: Path, folder: str) -> None:
    photographs(tmp_path, "1.png", "2.png", f"{folder}/3.png")
    dataset = find(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["1.png", "2.png"]
    said = next(part for part in folder.split("/") if part != "sub")
    assert any("passed over, of the system or hidden" in note and said in note for note in dataset.notes)
    assert to_judge(tmp_path)[0] == [tmp_path / "1.png", tmp_path / "2.png"]


def test_such_a_folder_need_not_be_readable(tmp_path: Path) -> None:
    photographs(tmp_path, "1.png")
    (tmp_path / "System Volume Information").mkdir(mode=0o000)
    assert len(find(tmp_path).samples) == 1


@pytest.mark.parametrize("name", ["#1", "recycled plastic", "trash", "tmp", "#12 left", "snapshot", "eaDir"])
def test_folders_of_people_are_not(tmp_path: Path, name: str) -> None:
    photographs(tmp_path, f"{name}/1.png")
    assert len(find(tmp_path).samples) == 1


def test_pictures_that_the_project_wrote_are_not_taken_for_images(tmp_path: Path) -> None:
    photographs(tmp_path, "1.png", "results/heatmaps/1.png", "model/selfcheck/low.png", "model/reference/golden.png")
    (tmp_path / "results/results.jsonl").touch()
    for name in ("manifest.json", "model.onnx"):
        (tmp_path / "model" / name).touch()
    for names, notes in ((find(tmp_path).samples, find(tmp_path).notes), to_judge(tmp_path)):
        assert len(names) == 1
        assert any("3 folders passed over, written by anomalib-lite: heatmaps 1" in note for note in notes)
    photographs(tmp_path, "mine/heatmaps/2.png")
    assert len(to_judge(tmp_path)[0]) == 2, "a folder of that name alone is somebody's"


def test_masks_are_not_judged(tmp_path: Path) -> None:
    photographs(tmp_path, "train/good/1.png", "test/dent/2.png", "beside/3.png", "elsewhere/ground_truth/4.png")
    for name in ("ground_truth/dent/2_mask.png", "beside/3_GT.png"):
        write_image(tmp_path / name, size=(24, 24), value=0)
        (tmp_path / name).write_bytes(_mask())
    images, notes = to_judge(tmp_path)
    assert [path.relative_to(tmp_path).as_posix() for path in images] == [
        "beside/3.png", "elsewhere/ground_truth/4.png", "test/dent/2.png", "train/good/1.png",
    ]  # fmt: skip
    assert "2 masks passed over: ground_truth/dent/2_mask.png, beside/3_GT.png" in notes


def _mask() -> bytes:
    import io

    buffer = io.BytesIO()
    pixels = np.zeros((24, 24), np.uint8)
    pixels[5:9, 5:12] = 255
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()
