"""What a stranger named is quoted for where it is shown."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anomalib_lite.edge.quoting import cell, json_escaped, shown
from anomalib_lite.edge.results import csv_line
from anomalib_lite.review.tables import unquoted

ANY = st.text(st.characters(codec=None), max_size=20)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("part 1.png", "part 1.png"),
        ("Prüfling 漢字\u3000\u00a0é.png", "Prüfling 漢字\u3000\u00a0é.png"),
        ("a\nOK  0.1  good.png", "a\\nOK  0.1  good.png"),
        ("a\r\tb", "a\\r\\tb"),
        ("\x1b[2J\x9b31m\x07", "\\x1b[2J\\x9b31m\\x07"),
        ("d\u202egnp.exe", "d\\u202egnp.exe"),
        ("\u2028\u2029\x85", "\\u2028\\u2029\\x85"),
        ("\udcff.png", "\\udcff.png"),
    ],
)
def test_a_terminal_prints_a_name_and_obeys_nothing_of_it(name: str, expected: str) -> None:
    assert shown(name) == expected


@given(ANY)
def test_whatever_is_named_is_one_line_of_what_can_be_seen(name: str) -> None:
    line = shown(name)
    line.encode()
    assert line.splitlines() in ([line], [])
    assert all(one.isprintable() or unicodedata.category(one) == "Zs" for one in line)


@pytest.mark.parametrize("blank", ["", " ", "   ", "\u00a0", "\u3000", "\ufeff", "\u200b", "\t", "\n", "\r\n "])
@pytest.mark.parametrize(
    "sign",
    [
        "=",
        "+",
        "-",
        "@",
        "\uff1d",
        "\uff0b",
        "\uff0d",
        "\uff20",
        "\ufe66",
        "\ufe62",
        "\ufe63",
        "\ufe6b",
        "\N{MINUS SIGN}",
    ],
)
def test_no_spreadsheet_takes_a_name_for_a_formula(blank: str, sign: str) -> None:
    assert cell(f"{blank}{sign}1+1.png").startswith("'")


@pytest.mark.parametrize("name", ["", "a=b.png", "part-1.png", " x", "1", "é", "漢", "'x"])
def test_other_names_stand_in_a_table_as_they_are(name: str) -> None:
    assert cell(name) == name


@pytest.mark.parametrize("name", ["=a", "'=a", "''=a", "'a", "'", "'\t=a", "a"])
def test_names_that_look_quoted_are_told_from_those_that_are(name: str) -> None:
    assert unquoted(cell(name)) == name


@given(st.lists(ANY, min_size=1, max_size=3))
def test_a_row_of_a_table_is_one_row(names: list[str]) -> None:
    line = csv_line(["first", *names])
    (row,) = csv.reader(io.StringIO(line, newline=""))
    assert row == ["first", *map(cell, names)]
    assert line.endswith("\n")
    assert not line.endswith("\r\n")


@pytest.mark.parametrize("name", ["a\rOK", "a\r", "\r", "a\nb", "a\r\nb", "a,b", 'a"b'])
def test_what_ends_a_line_stands_in_quotes(name: str) -> None:
    line = csv_line(["x", name])
    assert line.startswith('x,"')
    assert line.endswith('"\n')


@given(ANY)
def test_json_means_the_same_and_is_obeyed_by_nobody(name: str) -> None:
    text = json_escaped(json.dumps({name: [name]}, ensure_ascii=False, indent=1))
    assert json.loads(text) == {name: [name]}
    assert not [one for one in text if unicodedata.category(one) in ("Cc", "Zl", "Zp") and one != "\n"]
