"""Names of files, folders and cells whose accented letters one system stores as one character and another as two."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import call, picture, save

from anomalib_lite.data import Folders, find
from anomalib_lite.edge.golden.goldens import Goldens

FORMS = ("NFC", "NFD")
both_ways = pytest.mark.parametrize(("stored", "written"), [FORMS, FORMS[::-1], ("NFC", "NFC"), ("NFD", "NFD")])


def form(kind: str) -> Callable[[str], str]:
    return lambda text: unicodedata.normalize(kind, text)  # type: ignore[arg-type]


@both_ways
@pytest.mark.parametrize("first", ["", "sep=;\r\n", '"sep=;"\n', "SEP=;\n"])
def test_a_table_finds_what_it_names(tmp_path: Path, stored: str, written: str, first: str) -> None:
    on_disk, in_table = form(stored), form(written)
    for number in range(3):
        save(tmp_path / on_disk(f"Prüfung/größe_{number}.png"), picture(number))
        save(tmp_path / on_disk(f"Masken/größe_{number}.png"), picture(number))
    save(tmp_path / on_disk("Täter.png"), picture(9))
    rows = [f"Prüfung/größe_{n}.png;Bläschen;Masken/größe_{n}.png;Täter.png;Stück{n}" for n in range(3)]
    lines = "\r\n".join(["image;label;mask;reference;group", *map(in_table, rows)])
    (tmp_path / "samples.csv").write_text(first + lines, encoding="utf-8", newline="")
    dataset = find(tmp_path / "samples.csv")
    assert [sample.name for sample in dataset.samples] == [f"Prüfung/größe_{n}.png" for n in range(3)]
    files = [file for one in dataset.samples for file in (one.path, *one.masks, one.reference)]
    assert all(file is not None and file.is_file() for file in files)
    assert {(one.label, one.group) for one in dataset.samples} == {("Bläschen", f"Stück{n}") for n in range(3)}


@pytest.mark.parametrize(("mark", "end"), [(";", "\n"), ("|", "\r\n"), ("\t", "\n"), (",", "\n")])
def test_a_first_line_may_say_what_separates(tmp_path: Path, mark: str, end: str) -> None:
    save(tmp_path / "a.png", picture(1))
    text = end.join([f"sep={mark}", f"image{mark}label", f"a.png{mark}good", ""])
    (tmp_path / "samples.csv").write_text(text, encoding="utf-8-sig", newline="")
    assert [(one.name, one.label) for one in find(tmp_path / "samples.csv").samples] == [("a.png", "good")]


def test_rows_are_numbered_as_the_spreadsheet_shows_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "samples.csv").write_text("sep=;\nimage;label\na.png;good\n;good\n")
    assert call("data", "check", tmp_path / "samples.csv") == 3
    assert "row 3 has no image" in capsys.readouterr().err


@both_ways
def test_masks_of_the_layout_and_beside_images_pair(tmp_path: Path, stored: str, written: str) -> None:
    on_disk, of_masks = form(stored), form(written)
    mask = (picture(3, defect=True) < 30) * 255
    save(tmp_path / on_disk("layout/test/Bläschen/größe_1.png"), picture(3, defect=True))
    save(tmp_path / of_masks("layout/ground_truth/Bläschen/größe_1_mask.png"), mask.astype("uint8"))
    save(tmp_path / on_disk("beside/größe_1.png"), picture(3, defect=True))
    save(tmp_path / of_masks("beside/größe_1_mask.png"), mask.astype("uint8"))
    for folder in ("layout", "beside"):
        (sample,) = find(tmp_path / folder).samples
        assert len(sample.masks) == 1
        assert not sample.is_good


@both_ways
def test_one_part_is_one_part_however_its_photographs_are_called(tmp_path: Path, stored: str, written: str) -> None:
    on_disk, typed = form(stored), form(written)
    for shot, name in enumerate((on_disk("Stück_ä"), typed("Stück_ä"))):
        save(tmp_path / f"{shot}/{name}_{shot}.png", picture(shot))
    dataset = find(tmp_path, group=typed("Stück_(ä)"), folders=Folders(all_good=True))
    assert {sample.group for sample in dataset.samples} == {"ä"}


@both_ways
def test_folders_and_golden_images_are_named_either_way(tmp_path: Path, stored: str, written: str) -> None:
    on_disk, typed = form(stored), form(written)
    for folder in ("fehlerfrei_ü", "fehler_ü"):
        save(tmp_path / on_disk(folder) / "a.png", picture(len(folder)))
    dataset = find(tmp_path, folders=Folders(good=[typed("fehlerfrei_ü")], defective=[typed("fehler_ü")]))
    assert {sample.name: sample.is_good for sample in dataset.samples} == {
        "fehlerfrei_ü/a.png": True, "fehler_ü/a.png": False,
    }  # fmt: skip
    golden = save(tmp_path / on_disk("muster_ö.png"), picture(5, size=64))
    goldens = Goldens({golden.name: golden}, typed("_(ö)"))
    assert [view.name for view in goldens.named(typed("platte_ö_7.png"))] == [golden.name]


@both_ways
def test_an_image_is_left_out_by_its_name(tmp_path: Path, model_path: Path, stored: str, written: str) -> None:
    for part in range(500, 506):
        save(tmp_path / "good" / form(stored)(f"prüf_part{part}_0.png"), picture(100 * part))
    words = ("calibrate", model_path, tmp_path / "good", "--group", r"part(\d+)", "--out", tmp_path / "model")
    assert call(*words, "--exclude", form(written)("prüf_part503_0.png"), "--because", "a dent") == 0
