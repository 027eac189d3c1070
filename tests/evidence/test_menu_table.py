"""The menu as train, calibrate, verify and the report show it."""

from __future__ import annotations

from dataclasses import replace

import reports

from anomalib_lite.edge.manifest import EvidenceRecord, Known, Planted
from anomalib_lite.evidence.menu import table

MADE = reports.calibration(35)


def evidence(**known: tuple[float, ...]) -> EvidenceRecord:
    """Two planted defects above every row, one between the first two, one on the lowest threshold; and known ones."""
    first, second, lowest = (MADE.menu[row].value for row in (0, 1, 3))
    planted = Planted("ring", (1.0,) * 4, (0.5,) * 4, (first + 1, first + 2, (first + second) / 2, lowest))
    labelled = tuple(Known(kind, scores, 0) for kind, scores in known.items())
    return EvidenceRecord((planted,), (), 0, None, (), (), labelled, (), ())


def test_each_row_says_what_it_certifies_and_what_it_finds() -> None:
    columns, lines = table(MADE, evidence(crack=(0.0, 99.0), dent=(99.0,), good=(99.0, 99.0)))
    assert columns == ["row", "threshold", "at most", "on average", "found of 4 planted", "found of 3 known"]
    assert [line[0] for line in lines] == ["0 *", "1", "2", "3"]
    assert lines[0][2:] == ["10.5 %", "2.78 %", "50 %", "66.7 %"]
    assert [line[4] for line in lines] == ["50 %", "75 %", "75 %", "75 %"]


def test_without_defects_there_are_no_columns_of_them() -> None:
    assert len(table(MADE, None)[0]) == 4
    assert table(MADE, evidence(good=(99.0,)))[0][4:] == ["found of 4 planted"]


def test_a_threshold_between_the_rows_marks_none() -> None:
    between = replace(MADE, thresholds=replace(MADE.thresholds, reject=replace(MADE.reject, allowed=9)))
    assert [line[0] for line in table(between, None)[1]] == ["0", "1", "2", "3"]
