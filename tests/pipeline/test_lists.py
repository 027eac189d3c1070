"""Lists of images: which columns they have, which rows, and that no image is judged twice."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.readers import Reader, Readers
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.inputs import chosen
from anomalib_lite.pipeline.lists import elsewhere, gathered

fsspec = pytest.importorskip("fsspec")
GIVEN = "memory://plant/list.csv"
Put = Callable[[str, str], None]


@pytest.fixture
def put() -> Iterator[Put]:
    store = fsspec.filesystem("memory")
    yield lambda name, text: store.pipe_file(f"/plant/{name}", text.encode())
    store.rm("/plant", recursive=True)


def parquet(path: Path, **columns: list[Any]) -> str:
    table = pytest.importorskip("pyarrow")
    table.parquet = pytest.importorskip("pyarrow.parquet")
    table.parquet.write_table(table.table(columns), path)
    return str(path)


@pytest.mark.parametrize("column", ["reference", "product", " Channels "])
def test_a_column_that_would_change_what_is_measured_is_refused(column: str, put: Put, tmp_path: Path) -> None:
    put("list.csv", f"image,{column}\na.png,b.png\n")
    for given in (GIVEN, parquet(tmp_path / "list.parquet", **{"image": ["a.png"], column: ["b.png"]})):
        with pytest.raises(DataError, match=f"{column.strip().lower()} cannot be told by a list of this kind"):
            gathered([given], PLAIN)
    put("list.csv", "image,golden\na.png,b.png\n")
    with pytest.raises(DataError, match="golden cannot be told"):
        gathered([GIVEN], PLAIN, {"reference": "golden"})


def test_other_columns_that_are_not_read_are_named(put: Put) -> None:
    put("list.csv", "Image ,label,reference,group\na.png,good,b.png,7\n")
    (one,), notes = gathered([GIVEN], PLAIN, compares=False)
    assert (one.called, one.part) == ("memory://plant/a.png", "7")
    assert notes == [f"{GIVEN}: columns not read: label, reference"]
    with pytest.raises(DataError, match="no column 'board' among image, label, reference, group"):
        gathered([GIVEN], PLAIN, {"group": "board"}, compares=False)


def test_blank_and_short_rows_are_no_fault(put: Put, tmp_path: Path) -> None:
    put("list.csv", "image,group,label\n\na.png,1,good\n,,\nb.png,2\n  \n")
    found = [(one.called[-5:], one.part, one.view) for one in gathered([GIVEN], PLAIN)[0]]
    assert found == [("a.png", "1", None), ("b.png", "2", None)]
    given = parquet(tmp_path / "list.parquet", image=["a.png", None, ""], group=[1, None, None])
    assert [(one.name, one.part) for one in gathered([given], PLAIN)[0]] == [("a.png", "1")]
    put("list.csv", "image,group\na.png,1\n ,2\n")
    with pytest.raises(DataError, match="row 3 names no image"):
        gathered([GIVEN], PLAIN)
    (tmp_path / "here.csv").write_text("image\n\nmemory://plant/a.png\n")
    assert elsewhere([str(tmp_path / "here.csv")])


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": ["a.png", "b.png"], "group": ["1", None]}, "row 3 without group"),
        ({"image": ["a.png", "b.png", "c.png"], "view": ["", "top", " "]}, "row 2 and 1 more without view"),
        ({"image": ["a.png", "x/../a.png"], "group": ["1", "2"]}, "rows 2 and 3 say different things of the same"),
        ({"image": ["a.png", "a.png"], "view": ["top", "side"]}, "rows 2 and 3 say different things of the same"),
        ({"image": []}, "has a header and no rows"),
        ({"image": ["a.png"], " Image": ["b.png"]}, "two columns are called 'image'"),
    ],
)
def test_a_list_is_checked_as_a_table_is(columns: dict[str, Any], said: str, put: Put, tmp_path: Path) -> None:
    lines = [",".join(columns), *(",".join(one or "" for one in row) for row in zip(*columns.values(), strict=True))]
    put("list.csv", "\n".join(lines))
    for given in (GIVEN, parquet(tmp_path / "list.parquet", **columns)):
        with pytest.raises(DataError, match=said):
            gathered([given], PLAIN)


def test_a_column_that_no_list_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--column foo=bar: expected one of image"):
        gathered([parquet(tmp_path / "list.parquet", image=["a.png"])], PLAIN, {"foo": "bar"})


def test_an_address_in_another_column_makes_no_list_of_addresses(tmp_path: Path) -> None:
    given = tmp_path / "here.csv"
    given.write_text("image,label,erp\na.png,good,https://erp.plant/1\n")
    assert not elsewhere([str(given)])
    assert elsewhere([str(given)], {"image": "ERP "})
    given.write_text("label;Image\ngood;a.png\ngood;memory://plant/b.png\n")
    assert elsewhere([str(given)])


def test_no_image_is_judged_twice(put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "b.png", "sub/c.png"):
        (tmp_path / name).write_bytes(b"")
    given = parquet(tmp_path / "list.parquet", image=["sub/../a.png", "a.png", "sub/c.png", str(tmp_path / "b.png")])
    both = [str(tmp_path), given]
    assert len(gathered([given], PLAIN)[0]) == 3
    assert len(gathered(both, PLAIN)[0]) == 3
    monkeypatch.chdir(tmp_path)
    assert len(gathered([*both, "list.parquet", "b.png"], PLAIN)[0]) == 3
    put("list.csv", "image\na.png\nsub/../a.png\nmemory://plant/a.png\n")
    assert len(gathered([GIVEN, GIVEN], PLAIN)[0]) == 1


def test_an_address_with_a_secret_in_a_list_is_refused(put: Put) -> None:
    put("list.csv", "image\nhttps://host.invalid/x.png?sig=hunter2\n")
    with pytest.raises(DataError, match=r"host\.invalid: this address holds a password or a query") as raised:
        gathered([GIVEN], PLAIN)
    assert "hunter2" not in str(raised.value)


def test_files_of_series_are_not_judged_one_by_one(put: Put) -> None:
    def gather(paths: Any) -> Any:
        return {path: [path] for path in paths}.items()

    readers: Readers = {".dcm": Reader(read=lambda files: None, gather=gather), ".raw": lambda file: None}
    opener = Opener(readers)
    put("series/1.dcm", "x")
    put("list.csv", "image\na.png\nseries/1.DCM\n")
    for given in ("memory://plant/series", "memory://plant/series/1.dcm", GIVEN):
        with pytest.raises(DataError, match=r"1\.(dcm|DCM): files \*\.dcm belong together in series"):
            gathered([given], opener)
    put("list.csv", "image\na.raw\n")
    assert len(gathered([GIVEN], opener)[0]) == 1


def test_parts_and_views_are_one_however_accents_are_written(put: Put, tmp_path: Path) -> None:
    names = [unicodedata.normalize(form, "Gehäuse") for form in ("NFC", "NFD")]
    table = "image,group,view\n" + "".join(
        f"{name}.png,{given},{given}\n" for name, given in zip("ab", names, strict=True)
    )
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(b"")
    (tmp_path / "here.csv").write_text(table, encoding="utf-8")
    put("list.csv", table)
    for found, _ in (gathered([GIVEN], PLAIN), chosen([tmp_path / "here.csv"], PLAIN)):
        assert {(one.part, one.view) for one in found} == {(names[0], names[0])}
