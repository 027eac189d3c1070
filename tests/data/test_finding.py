"""Finding samples: folders, the MVTec layout, masks, groups from names; and the data sets at hand."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images import write_image, write_mask
from needs import need

from anomalib_lite import registry
from anomalib_lite.data import (
    DataSet,
    Folders,
    Sample,
    check_masks,
    evaluation_samples,
    find,
    groups,
    look,
    split_for_calibration,
    survey,
    training_samples,
)
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.check import Check, Checked, check

SAMPLES = Path(__file__).resolve().parents[2] / "data_samples"
SHARED = Path(__file__).resolve().parents[3] / "shared/data"


def dry_run(data: Path, **asked: Any) -> Checked:
    """What `data check` says."""
    return check(Check(data=data, **asked), plugins=registry.load())


def measured(dataset: DataSet) -> tuple[list[Sample], list[str]]:
    """What an evaluation takes of a data set, and what it says of the masks."""
    return check_masks(evaluation_samples(dataset), dataset.opener)


@pytest.fixture
def mvtec(tmp_path: Path) -> Path:
    for name in ("train/good/0", "train/good/1", "test/good/0", "test/dent/0", "test/dent/1"):
        write_image(tmp_path / f"{name}.png")
    write_mask(tmp_path / "ground_truth/dent/0_mask.png")
    write_mask(tmp_path / "ground_truth/dent/1.bmp")
    return tmp_path


# ---- folders of images


def test_a_folder_gives_every_image_below_it_sorted_and_unlabelled(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "line/7/c.tif"):
        write_image(tmp_path / name)
    dataset = find(tmp_path, folders=Folders(all_good=True))
    assert [sample.name for sample in dataset.samples] == ["a.JPG", "b.png", "line/7/c.tif"]
    assert dataset.layout == "folder"
    shutil.rmtree(tmp_path / "line")
    dataset = find(tmp_path)
    assert {(s.label, s.masks, s.split, s.is_good) for s in dataset.samples} == {(None, (), None, None)}
    assert dataset.notes == ["no labels: training takes all 2 images as good"]


def test_without_groups_each_image_is_its_own(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name)
    dataset = find(tmp_path)
    assert not dataset.grouped
    assert [sample.group for sample in dataset.samples] == ["a.png", "b.png"]


def test_hidden_files_are_left_alone_and_others_are_counted(tmp_path: Path) -> None:
    for name in ("a.png", ".b.png", ".cache/c.png", "__MACOSX/d.png"):
        write_image(tmp_path / name)
    for name in ("notes.txt", "more.TXT", "README"):
        (tmp_path / name).write_text("x")
    dataset = find(tmp_path)
    assert [sample.name for sample in dataset.samples] == ["a.png"]
    assert "3 files passed over, no images: .txt 2, no suffix 1 (README, more.TXT, notes.txt)" in dataset.notes


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_image(root / "line/a.png")
    write_image(tmp_path / "elsewhere/b.png")
    (root / "line/loop").symlink_to(root)
    (root / "outside").symlink_to(tmp_path / "elsewhere")
    (root / "again").symlink_to(tmp_path / "elsewhere")
    dataset = find(root, folders=Folders(all_good=True))
    assert [sample.name for sample in dataset.samples] == ["again/b.png", "line/a.png"]
    assert [note for note in dataset.notes if "searched already" in note] == [
        "line/loop links to a folder that was searched already",
        "outside links to a folder that was searched already",
    ]


def test_a_broken_link_is_an_image_that_cannot_be_read(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    found = survey(*look(find(tmp_path).samples))
    assert [sample.name for sample in found.usable] == ["a.png"]
    assert [name for name, _ in found.unreadable] == ["b.png"]


@pytest.mark.parametrize("make", [lambda p: None, lambda p: (p / "a.txt").write_text("x")])
def test_a_folder_without_images_is_refused(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path)
    with pytest.raises(DataError, match="no images found"):
        find(tmp_path)


def test_a_path_that_is_no_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        find(tmp_path / "nowhere")
    with pytest.raises(DataError, match="neither a folder nor a CSV"):
        find(write_image(tmp_path / "a.png"))
    with pytest.raises(ConfigError, match="--column"):
        find(tmp_path, columns={"group": "board"})


@pytest.mark.parametrize(
    "names",
    [
        ("images/a.png", "masks/a.png"),
        ("train/a.png", "test/b.png"),
        ("bottle/train/good/a.png", "bottle/test/bad/b.png"),
        ("a.png", "ground_truth/a.png"),
        ("ok/a.png", "ng/b.png"),
    ],
)
def test_a_folder_that_tells_its_images_apart_is_not_taken_as_all_good(tmp_path: Path, names: tuple[str, ...]) -> None:
    for name in names:
        write_image(tmp_path / name)
    with pytest.raises(DataError, match=r"in 2 folders, and nothing says which are good.* --good FOLDER .*--all-good"):
        find(tmp_path)


def test_several_folders_of_good_images_are_one_data_set(tmp_path: Path) -> None:
    for name in ("line1/good/a.png", "line2/good/b.png"):
        write_image(tmp_path / name)
    assert len(find(tmp_path).samples) == 2


def test_a_folder_with_a_csv_that_describes_it_asks_for_the_csv(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png")
    (tmp_path / "samples.csv").write_text("image,label\nimages/a.png,good\n")
    with pytest.raises(DataError, match=r"Give .*samples\.csv instead"):
        find(tmp_path)


def test_a_csv_in_the_mvtec_layout_is_not_passed_over(mvtec: Path) -> None:
    """Its column of groups would be lost, and the independence of the calibration with it."""
    (mvtec / "samples.csv").write_text("image,group\ntrain/good/000.png,a\n")
    with pytest.raises(DataError, match=r"Give .*samples\.csv instead"):
        find(mvtec)


def test_describe_tells_what_training_refuses(tmp_path: Path) -> None:
    for name in ("a.png", "b.png", "c.png"):
        write_image(tmp_path / name)
    (tmp_path / "samples.csv").write_text("image,group,split\na.png,1,train\nb.png,1,calibrate\nc.png,2,train\n")
    done = dry_run(tmp_path / "samples.csv")
    assert any("problem: groups are both" in line for line in done.lines)
    assert done.exit_code == 3


def test_a_folder_with_results_of_an_earlier_run_is_a_folder_of_images(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    (tmp_path / "results.csv").write_text("image,sha256,verdict\na.png,0,OK\n")
    assert find(tmp_path).layout == "folder"


# ---- the MVTec layout and its masks


def test_the_mvtec_layout_gives_splits_labels_and_masks(mvtec: Path) -> None:
    dataset = find(mvtec)
    assert dataset.layout == "MVTec"
    found = {s.name: (s.split, s.label, [m.relative_to(mvtec).as_posix() for m in s.masks]) for s in dataset.samples}
    assert found == {
        "train/good/0.png": ("train", "good", []),
        "train/good/1.png": ("train", "good", []),
        "test/good/0.png": ("test", "good", []),
        "test/dent/0.png": ("test", "dent", ["ground_truth/dent/0_mask.png"]),
        "test/dent/1.png": ("test", "dent", ["ground_truth/dent/1.bmp"]),
    }
    assert [s.name for s in training_samples(dataset)] == ["train/good/0.png", "train/good/1.png"]


def test_masks_pair_by_name_not_by_order(mvtec: Path) -> None:
    (mvtec / "ground_truth/dent/0_mask.png").unlink()
    dataset = find(mvtec)
    masks = {s.name: s.masks for s in dataset.samples if s.label == "dent"}
    assert masks == {"test/dent/0.png": (), "test/dent/1.png": (mvtec / "ground_truth/dent/1.bmp",)}
    assert any("1 of 2 defective images without a mask" in note for note in measured(dataset)[1])


def test_masks_in_sub_folders_pair_by_their_whole_path(mvtec: Path) -> None:
    write_image(mvtec / "test/dent/cam2/0.png")
    write_mask(mvtec / "ground_truth/dent/cam2/0_mask.png")
    masks = {s.name: s.masks for s in find(mvtec).samples}
    assert masks["test/dent/cam2/0.png"] == (mvtec / "ground_truth/dent/cam2/0_mask.png",)


def test_masks_without_an_image_are_named(mvtec: Path) -> None:
    write_mask(mvtec / "ground_truth/dent/9_mask.png")
    write_mask(mvtec / "ground_truth/scratch/0_mask.png")
    with pytest.raises(DataError, match=r"2 masks without an image: .*dent/9_mask\.png, .*scratch/0_mask\.png"):
        measured(find(mvtec))


def test_ambiguous_masks_are_refused(mvtec: Path) -> None:
    write_image(mvtec / "test/dent/0_mask.png")
    with pytest.raises(DataError, match="could belong to"):
        measured(find(mvtec))


def test_masks_of_the_wrong_size_are_listed(mvtec: Path) -> None:
    write_mask(mvtec / "ground_truth/dent/0_mask.png", size=(8, 6))
    write_mask(mvtec / "ground_truth/dent/1.bmp", size=(3, 4))
    with pytest.raises(DataError, match=r"2 masks .*0_mask\.png is 6 x 8, test/dent/0\.png is 8 x 6.*1\.bmp is 4 x 3"):
        measured(find(mvtec))


def test_a_truncated_mask_is_refused(mvtec: Path) -> None:
    mask = mvtec / "ground_truth/dent/0_mask.png"
    mask.write_bytes(mask.read_bytes()[:50])
    with pytest.raises(DataError, match=r"1 mask cannot be used: .*0_mask\.png"):
        measured(find(mvtec))


def test_an_empty_mask_counts_as_none(mvtec: Path) -> None:
    write_mask(mvtec / "ground_truth/dent/0_mask.png", marked=False)
    write_mask(mvtec / "ground_truth/good/0_mask.png", marked=False)
    masks = {s.name: s.masks for s in measured(find(mvtec))[0]}
    assert masks["test/dent/0.png"] == ()
    assert masks["test/good/0.png"] == ()


def test_a_mask_that_marks_a_good_image_is_refused(mvtec: Path) -> None:
    write_mask(mvtec / "ground_truth/good/0_mask.png")
    with pytest.raises(DataError, match=r"marks a defect in test/good/0\.png, which is labelled good"):
        measured(find(mvtec))


def test_the_mask_of_an_unreadable_image_is_not_the_mistake(mvtec: Path) -> None:
    (mvtec / "test/dent/0.png").write_bytes(b"")
    assert len(measured(find(mvtec))[0]) == 3


def test_images_outside_of_the_layout_are_refused_or_counted(mvtec: Path) -> None:
    write_image(mvtec / "validation/good/0.png")
    write_image(mvtec / "cover.png")
    dataset = find(mvtec)
    assert len(dataset.samples) == 5
    assert any("2 images passed over" in note and "cover.png 1, validation 1" in note for note in dataset.notes)
    write_image(mvtec / "train/loose.png")
    with pytest.raises(DataError, match=r"outside of train/good and test/<kind>: train/loose\.png"):
        find(mvtec)


def test_a_test_folder_alone_is_the_layout_too(mvtec: Path) -> None:
    shutil.rmtree(mvtec / "train")
    dataset = find(mvtec)
    assert dataset.layout == "MVTec"
    with pytest.raises(DataError, match="all 3 images are for testing"):
        training_samples(dataset)


# ---- groups from names


def test_a_group_is_the_first_capture_in_the_name(tmp_path: Path) -> None:
    for name in ("lot1/part7_1.png", "lot1/part7_2.png", "lot2/part8_1.png"):
        write_image(tmp_path / name)
    by_part = find(tmp_path, group=r"part(\d+)_(\d)", folders=Folders(all_good=True))
    assert by_part.grouped
    assert [sample.group for sample in by_part.samples] == ["7", "7", "8"]
    assert [sample.group for sample in find(tmp_path, group="^([^/]+)/").samples] == ["lot1", "lot1", "lot2"]


def test_a_name_without_a_group_is_named(tmp_path: Path) -> None:
    for name in ("part7.png", "extra.png", "part.png"):
        write_image(tmp_path / name)
    with pytest.raises(DataError, match=r"finds no part in 2 of 3 names: extra\.png, part\.png"):
        find(tmp_path, group=r"part(\d*)")


@pytest.mark.parametrize(("pattern", "message"), [("part", "captures nothing"), ("part(", "not a regular expression")])
def test_an_expression_that_cannot_group_is_a_mistake_in_the_option(tmp_path: Path, pattern: str, message: str) -> None:
    write_image(tmp_path / "a.png")
    with pytest.raises(ConfigError, match=message):
        find(tmp_path, group=pattern)


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parts=st.lists(st.tuples(st.integers(0, 20), st.integers(0, 5)), min_size=1, unique=True))
def test_groups_hold_what_the_expression_captures(tmp_path: Path, parts: list[tuple[int, int]]) -> None:
    root = tmp_path / "data"
    shutil.rmtree(root, ignore_errors=True)
    for part, shot in parts:
        (root / f"lot{part % 3}").mkdir(parents=True, exist_ok=True)
        (root / f"lot{part % 3}" / f"p{part}_{shot}.png").touch()
    dataset = find(root, group=r"p(\d+)", folders=Folders(all_good=True))
    assert Counter(s.group for s in dataset.samples) == Counter(str(part) for part, _ in parts)


# ---- what is said of it


def test_describe_counts_everything(mvtec: Path) -> None:
    (mvtec / "train/good/1.png").write_bytes(b"not an image")
    lines = dry_run(mvtec).lines
    assert lines[0] == f"{mvtec}: MVTec, 5 images = 4 usable + 1 unreadable"
    assert any(line.startswith("  unreadable:") and "train/good/1.png" in line for line in lines)
    assert "  test: dent 2, 2 masks" in lines
    assert "  train: good 1" in lines
    assert "  sizes: 8 x 6 (4)" in lines
    assert "  pixels: 8-bit grey 4" in lines
    assert any("--group" in line for line in lines)
    assert "  folders: test/dent 2, test/good 1, train/good 2" in lines


def test_describe_tells_what_keeps_images_from_use(mvtec: Path) -> None:
    write_image(mvtec / "train/good/1.png", mode="RGB")
    write_image(mvtec / "train/dent/2.png")
    done = dry_run(mvtec)
    assert any(line.startswith("problem: grey and colour are mixed") for line in done.lines)
    assert any(line.startswith("problem: ") and "train/dent/2.png (dent)" in line for line in done.lines)
    assert done.exit_code == 3


def test_describe_tells_when_nothing_can_be_used(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    lines = dry_run(tmp_path).lines
    assert lines[0].endswith("1 image = 0 usable + 1 unreadable")
    assert lines[-1].startswith("problem: none of 1 image can be used")


# ---- data sets at hand


def test_the_rendered_parts() -> None:
    dataset = find(SAMPLES / "part", group=r"part(\d+)")
    good = training_samples(dataset)
    assert len(groups(good)) == 80
    assert sum(len(s.masks) for s in dataset.samples) == 50
    assert not dataset.notes


def test_the_rendered_boards() -> None:
    dataset = find(SAMPLES / "board/pairs.csv")
    assert dataset.grouped
    assert all(s.reference is not None for s in dataset.samples)
    assert Counter(s.label for s in dataset.samples)["good"] == 36


def test_the_magnetic_tiles() -> None:
    table = SHARED / "magnetic_tile/samples.csv"
    need(table.is_file(), f"{table} is not here")
    dataset = find(table)
    good = training_samples(dataset)
    test = [s for s in dataset.samples if s.split == "test"]
    assert len(good) == 557
    assert Counter(s.is_good for s in test) == {True: 167, False: 225}
    assert len(groups(good)) == 117
    checked, notes = measured(dataset)
    assert sum(len(s.masks) for s in checked) == 222  # three masks of kind "uneven" are black
    assert any("3 of 225 defective images without a mask, or with an empty one" in note for note in notes)
    fit, calibrate = split_for_calibration(good, 0.3, seed=0)
    assert len(groups(calibrate)) == 35
    assert not groups(fit) & groups(calibrate)


def test_images_are_found_by_their_content_where_their_name_has_no_suffix(tmp_path: Path) -> None:
    """And by every suffix that pictures have: what cannot be read is unreadable, not passed over."""
    for number, name in enumerate(("a.jfif", "b.jpe", "c.JPG", "d", "e.dib", "f.jpg", "g.gif", "h.heic", "sub")):
        write_image(tmp_path / "new.png", value=10 * number).rename(tmp_path / name)
    (tmp_path / "h.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    (tmp_path / "e.jpg.tmp").write_bytes((tmp_path / "a.jfif").read_bytes())
    (tmp_path / "LICENSE").write_text("x")
    dataset = find(tmp_path)
    assert [Path(sample.name).stem for sample in dataset.samples] == [*"abcdefgh", "sub"]
    assert "2 files passed over, no images: .tmp 1, no suffix 1 (LICENSE, e.jpg.tmp)" in dataset.notes
    _, unreadable = look(dataset.samples)
    assert [name for name, _ in unreadable] == ["h.heic"]
    assert "HEIC, which is not read here" in unreadable[0][1]
