"""Samples from CSV files: columns, paths, labels, and what is refused, with the numbers of the rows."""

from __future__ import annotations

import csv
import io
from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images import write_image, write_mask

from anomalib_lite.data import DataSet, check_masks, find
from anomalib_lite.errors import ConfigError, DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        write_image(tmp_path / f"images/{name}.png")
        write_mask(tmp_path / f"masks/{name}.png")
    return tmp_path


def table(root: Path, text: str, encoding: str = "utf-8") -> DataSet:
    (root / "samples.csv").write_bytes(text.encode(encoding))
    return find(root / "samples.csv")


def test_every_column_is_read(root: Path) -> None:
    dataset = table(
        root,
        "image,label,mask,group,split,reference\n"
        "images/a.png,Good,,p1,train,images/c.png\n"
        "images/b.png,dent,masks/b.png,p2,TEST,images/c.png\n",
    )
    a, b = dataset.samples
    assert (a.name, a.label, a.masks, a.group, a.split) == ("images/a.png", "good", (), "p1", "train")
    assert (b.label, b.masks, b.group, b.split) == ("dent", (root / "masks/b.png",), "p2", "test")
    assert a.reference == b.reference == root / "images/c.png"
    assert dataset.grouped
    assert dataset.notes == []


def test_images_alone_are_unlabelled_and_their_own_groups(root: Path) -> None:
    dataset = table(root, "image\nimages/b.png\nimages/a.png\n")
    assert [(s.name, s.label, s.group) for s in dataset.samples] == [
        ("images/a.png", None, "images/a.png"),
        ("images/b.png", None, "images/b.png"),
    ]
    assert not dataset.grouped
    assert any("2 rows without a label" in note for note in dataset.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_dialects(root: Path, delimiter: str, encoding: str, end: str) -> None:
    lines = ["image,label", "images/a.png,good", "", '"images/b.png",dent', ""]
    dataset = table(root, end.join(lines).replace(",", delimiter), encoding)
    assert [s.label for s in dataset.samples] == ["good", "dent"]


def test_columns_can_be_called_otherwise(root: Path) -> None:
    (root / "samples.csv").write_text("Image,board,operator\nimages/a.png,17,anna\n")
    dataset = find(root / "samples.csv", columns={"group": "Board"})
    assert [s.group for s in dataset.samples] == ["17"]
    assert dataset.notes[0] == "columns not read: operator"
    with pytest.raises(ConfigError, match="'part' is none of image, label"):
        find(root / "samples.csv", columns={"part": "board"})
    with pytest.raises(DataError, match="no column 'lot' among Image, board, operator"):
        find(root / "samples.csv", columns={"group": "lot"})


def test_an_expression_for_groups_takes_the_place_of_the_column(root: Path) -> None:
    (root / "samples.csv").write_text("image,group\nimages/a.png,p1\n")
    dataset = find(root / "samples.csv", group="images/(.)")
    assert dataset.samples[0].group == "a"
    assert any("the column is not used" in note for note in dataset.notes)


def test_absolute_and_backslashed_paths(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = write_image(tmp_path_factory.mktemp("other") / "z.png")
    dataset = table(root, f"image\n{root}/images/a.png\n{other}\nimages\\b.png\n")
    assert sorted(s.name for s in dataset.samples) == sorted(["images/a.png", other.as_posix(), "images/b.png"])
    assert all(s.path.is_file() for s in dataset.samples)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("image,label\n", "no rows"),
        ("picture,label\nimages/a.png,good\n", "no column 'image' among picture, label"),
        ("image,image\nimages/a.png,x\n", "two columns are called 'image'"),
        ("image,label\nimages/a.png,good,extra\n", "row 2 has more cells than the header"),
        ("image,label\nimages/a.png,good\n,dent\n\n,dent\n", "rows 3, 5 have no image"),
        ("image,label\nimages/a.png,1\nimages/b.png,0\n", "rows 2, 3 have a label among 0, 1"),
        ("image,label\nimages/a.png,OK\n", "row 2 has a label among"),
        ("image,split\nimages/a.png,train\nimages/b.png,val\n", "row 3 has a split other than train, test, calibrate"),
        ("image,split\nimages/a.png,train\nimages/b.png,\n", "row 3 has no split, others have one"),
        ("image,group\nimages/a.png,\nimages/b.png,p1\n", "row 2 has no group, others have one"),
        ("image\nimages/a.png\nimages/b.png\nimages/../images/a.png\n", "rows 2 and 4 name the same image"),
        ("image,mask\nimages/a.png,masks/z.png\n", r"no such mask: row 2 \(.*masks/z\.png\)"),
        ("image,reference\nimages/a.png,z.png\n", r"no such reference: row 2 \(.*z\.png\)"),
        ("image\nz.png\ny.png\n", r"none of its images exists: row 2 \(z\.png\), row 3 \(y\.png\)"),
        ("image\nimages/a.png\0\n", "is not a"),
        ('image,label\n"images/a.png,good\n', "is not a CSV file"),
    ],
)
def test_what_is_refused_and_where(root: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table(root, text)


def test_another_encoding_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="is not UTF-8"):
        table(root, "image,label\nimages/a.png,Kratzer-Größe\n", "latin-1")


def test_some_missing_images_stay_and_are_named(root: Path) -> None:
    dataset = table(root, "image,label\nimages/a.png,good\nimages/z.png,good\n")
    assert len(dataset.samples) == 2
    assert "no such image: row 3 (images/z.png)" in dataset.notes


def test_names_that_no_file_can_have_are_missing_images(root: Path) -> None:
    (root / "loop.png").symlink_to(root / "loop.png")
    dataset = table(root, f"image\nimages/a.png\nloop.png\n{'x' * 300}.png\n")
    assert len(dataset.samples) == 3
    assert any("row 3 (loop.png), row 4 (xxx" in note for note in dataset.notes)


def test_a_mask_of_another_size_is_refused(root: Path) -> None:
    write_mask(root / "masks/a.png", size=(5, 5))
    with pytest.raises(DataError, match=r"masks/a\.png is 5 x 5, images/a\.png is 8 x 6"):
        check_masks(table(root, "image,label,mask\nimages/a.png,dent,masks/a.png\n").samples)


CELL = st.text(st.characters(codec="utf-8", exclude_characters="\0/\\", exclude_categories=["C"]), max_size=8)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELL, CELL), max_size=6), delimiter=st.sampled_from(",;\t"))
def test_any_cells_come_back_or_are_refused(root: Path, rows: list[tuple[str, str]], delimiter: str) -> None:
    text = io.StringIO()
    written = csv.writer(text, delimiter=delimiter)
    written.writerow(["image", "label"])
    written.writerow(["images/a.png", "good"])
    written.writerows([(f"images/{name}.png" if name else "", label) for name, label in rows])
    try:
        dataset = table(root, text.getvalue())
    except DataError:
        return
    rows = [(name, normalize("NFC", label)) for name, label in rows]  # as labels of folders and tables are compared
    filled = [(name, label.strip()) for name, label in rows if name or label.strip()]
    labels = [label if label.lower() != "good" else "good" for _, label in filled]
    assert Counter(s.label for s in dataset.samples) == Counter([label or None for label in labels] + ["good"])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_samples_or_a_data_error(root: Path, data: bytes) -> None:
    (root / "samples.csv").write_bytes(b"image,label\nimages/a.png,good\n" + data)
    try:
        assert find(root / "samples.csv").samples
    except DataError as error:
        assert "samples.csv" in str(error)  # noqa: PT017


def test_sessions_are_a_column_or_in_the_names(root: Path) -> None:
    text = "image,session\nimages/a.png,monday\nimages/b.png,tuesday\n"
    assert [one.session for one in table(root, text).samples] == ["monday", "tuesday"]
    named = find(root / "samples.csv", session=r"images/(.)")
    assert [one.session for one in named.samples] == ["a", "b"]
    assert "sessions come from the names, the column is not used" in named.notes
    assert [one.session for one in table(root, "image\nimages/a.png\n").samples] == [None]
    (root / "samples.csv").write_text("image,lot\nimages/a.png,7\n")
    assert [one.session for one in find(root / "samples.csv", columns={"session": "lot"}).samples] == ["7"]
    with pytest.raises(DataError, match="finds no session in 1 of 1 name"):
        find(root / "samples.csv", session=r"day(\d)")
    for pattern, said in (("day", "captures nothing"), ("(", "is not a regular expression")):
        with pytest.raises(ConfigError, match=f"session: .*{said}.*as in "):
            find(root / "samples.csv", session=pattern)
    with pytest.raises(DataError, match="row 3 has no session, others have one"):
        table(root, "image,session\nimages/a.png,monday\nimages/b.png,\n")
