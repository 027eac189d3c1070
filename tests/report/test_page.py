from __future__ import annotations

import base64
import json
import os
import re
from bisect import bisect_right
from dataclasses import replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reports
from PIL import Image

from anomalib_lite.edge.results import Result
from anomalib_lite.errors import DataError
from anomalib_lite.report import charts, gallery
from anomalib_lite.report.gallery import Gallery, Thumbnail
from anomalib_lite.report.page import Report, ScoredRow, render, write

BASE = reports.calibration()


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes that name something outside, scripts, text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += " "
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] not in (["script"], ["style"]):
            self.text += data


def page(report: Report) -> Page:
    return Page(render(report).decode("utf-8"))


def plot_data(report: Report) -> dict[str, Any]:
    html = render(report).decode("utf-8")
    embedded = re.search(r'<script type="application/json" id="plot-data">(.*?)</script>', html, re.DOTALL)
    assert embedded
    data: dict[str, Any] = json.loads(embedded.group(1))
    return data


def words(report: Report) -> str:
    return " ".join(page(report).text.split())


def test_counts_are_those_of_the_verdicts() -> None:
    rows = reports.rows(BASE)
    counts = {line["name"]: line for line in plot_data(reports.report(BASE, rows))["counts"]}
    good = [row for row in rows if row.label == "good"]
    crack = [row for row in rows if row.label == "crack" and row.score is not None]

    images = counts["False rejects: good images"]
    assert images["certified"] == sum(row.verdict == "NG" for row in good)
    assert images["scores"] == sorted(row.score for row in good if row.score is not None)
    parts = counts["False rejects: good parts (groups)"]
    assert parts["certified"] == len({row.group for row in good if row.verdict == "NG"})
    assert len(parts["scores"]) == len({row.group for row in good}) == 31
    assert counts["Escapes: crack"]["certified"] == sum(row.verdict != "NG" for row in crack)
    assert len(counts["Escapes: crack"]["scores"]) == len(crack) == 20


def test_a_part_with_a_defect_elsewhere_is_no_good_part_of_the_slider() -> None:
    rows = [reports.row(f"{i}.png", "good", 0.1, BASE, f"part{i // 2}") for i in range(6)]
    rows.append(reports.row("bad.png", "crack", 9.0, BASE, "part1"))
    counts = {line["name"]: line for line in plot_data(reports.report(BASE, rows))["counts"]}
    assert len(counts["False rejects: good parts (groups)"]["scores"]) == 2
    assert len(counts["False rejects: good images"]["scores"]) == 6


def test_scores_and_threshold_are_embedded_without_rounding() -> None:
    rows = [reports.row("a.png", "good", 0.1 + 0.2, BASE), reports.row("b.png", "good", np.nextafter(0.3, 0), BASE)]
    data = plot_data(reports.report(BASE, rows))
    assert data["counts"][0]["scores"] == [np.nextafter(0.3, 0), 0.1 + 0.2]
    assert data["certified"] == BASE.reject.value


def test_verdicts_add_up_with_errors_apart() -> None:
    rows = reports.rows(BASE)
    html = render(reports.report(BASE, rows)).decode()
    table = html[html.index('id="verdicts"') : html.index("</table>", html.index('id="verdicts"'))]
    lines = [[int(n) for n in re.findall(r'class="number">(\d+)<', line)] for line in table.split("<tr>")[2:]]
    assert [sum(column) for column in zip(*lines[:-1], strict=True)] == lines[-1]
    assert all(sum(line[:4]) == line[4] for line in lines)
    assert lines[-1][3:] == [1, len(rows)]


@pytest.mark.parametrize("purpose", ["train", "evaluate", "predict"])
def test_hostile_names_are_text(purpose: Any) -> None:
    rows = reports.rows(BASE)
    if purpose == "predict":
        rows = [ScoredRow(reports.HOSTILE, None, row.group, row.verdict, row.score, row.error) for row in rows]
    kept = reports.gallery(BASE, rows)
    report = reports.report(BASE, rows, purpose, gallery=kept, metrics=reports.metrics(rows), notes=[reports.HOSTILE])
    report.title, report.curve = reports.HOSTILE, [(1, 2.0), (2, 1.0)]
    parsed = page(report)
    assert parsed.tags.count("script") == 2  # the data, and the page's own
    assert not [name for _, name, _ in parsed.attributes if name.startswith("on")]
    assert "document.title='owned'" in parsed.text
    assert "{{ 7*7 }}" in parsed.text
    assert "\\udcff" in parsed.text  # a name that is not valid Unicode is still told


def test_nothing_comes_from_outside() -> None:
    rows = reports.rows(BASE)
    parsed = page(reports.report(BASE, rows, gallery=reports.gallery(BASE, rows), metrics=reports.metrics(rows)))
    linked = [value for _, name, value in parsed.attributes if name in ("src", "href", "action", "srcset", "poster")]
    assert linked
    assert all(value.startswith(("data:", "#")) for value in linked)
    policy = next(value for tag, name, value in parsed.attributes if tag == "meta" and value.startswith("default-src"))
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    html = render(reports.report(BASE, rows)).decode()
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|https?://", html)


def test_every_anchor_leads_somewhere_and_every_picture_is_described() -> None:
    rows = reports.rows(BASE)
    report = reports.report(BASE, rows, gallery=reports.gallery(BASE, rows), metrics=reports.metrics(rows))
    parsed = page(report)
    ids = [value for _, name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert {value[1:] for _, name, value in parsed.attributes if name == "href" and value[0] == "#"} <= set(ids)
    assert parsed.tags.count("img") == sum(name == "alt" and bool(value) for _, name, value in parsed.attributes)
    assert parsed.tags.count("h1") == 1


def test_says_what_limits_the_bound() -> None:
    calibrated = reports.calibration(10, approximate=True, folds=2, errors=2)
    text = words(reports.report(calibrated, reports.rows(calibrated), notes=["3 images overlap with the fit"]))
    for sentence in calibrated.statement:
        assert " ".join(sentence.split()) in text
    assert "No bound at a confidence: cross-fitted" in text
    assert "Fewer parts than 5 % takes: 68 more good parts are needed, 78 in all" in text
    assert "No review band" in text
    assert "3 images overlap with the fit" in text
    assert "The slider stops at the rows of the menu." in text
    assert "A moved threshold is not certified." in words(
        reports.report(replace(calibrated, menu=()), reports.rows(calibrated))
    )


def test_a_bound_on_simulations_is_marked_at_the_top() -> None:
    calibrated = reports.calibration(30, simulated=True)
    text = words(reports.report(calibrated, reports.rows(calibrated)))
    assert "rejected, on simulations, at 95" in text
    assert "Simulated bound: not about photographs of parts" in text


def test_names_the_images_that_set_each_threshold_and_the_value_without_them() -> None:
    html = render(reports.report(BASE, reports.rows(BASE))).decode()
    table = html[html.index("<th>Set by</th>") : html.index("</table>", html.index("<th>Set by</th>"))]
    for threshold in (BASE.reject, BASE.review):
        assert f"<bdi>{threshold.set_by[0]}</bdi>" in table
        assert threshold.without is not None
        assert f"{threshold.without:.5g}" in table


def test_metrics_per_kind_with_interval_and_unit() -> None:
    random = np.random.default_rng(3)
    rows = [
        reports.row(f"{i}.png", "good", 100.0 if i in (0, 1) else 0.01, BASE, f"part{i // 2}") for i in range(60)
    ] + [reports.row(f"bad{i}.png", "crack", 100.0 if i else 0.001, BASE, f"bad{i}") for i in range(10)]
    random.shuffle(rows)
    text = words(reports.report(BASE, rows, metrics=reports.metrics(rows)))
    # Clopper and Pearson: 1 of 30 and 1 of 10, rounded outwards
    assert "3.33 % (1 of 30 parts), exact 95 % interval from 0.0843 % to 17.3 %; 2 of 60 images" in text
    assert "Escaped images 10 % (1 of 10 images)" in text
    for what in ("Parts with an escape", "Parts escaped wholly"):
        assert f"{what} 10 % (1 of 10 parts), exact 95 % interval from 0.252 % to 44.6 %" in text
    auroc = 9 * (58 + 2 / 2) / 600  # nine of ten defects above 58 goods, level with two
    assert f"crack 10 {auroc:.4f}" in text
    assert f"Image AUROC {auroc:.4f}, 95 % interval over parts from 0." in text
    assert "10 defective images, left out of the pixel metrics" in text


def test_lists_missed_defects_and_errors_with_reasons() -> None:
    rows = [
        reports.row("bad/missed.png", "crack", 0.01, BASE),
        ScoredRow("e.png", "good", "g", "ERROR", None, "truncated"),
    ]
    text = words(reports.report(BASE, rows))
    assert "Missed defects, lowest scores first (scored at or below the reject threshold): 1 of 1" in text
    assert "bad/missed.png" in text
    assert "e.png good truncated" in text


@pytest.mark.parametrize("rows", [[], [ScoredRow("e.png", None, "e", "ERROR", None, "empty")]])
def test_a_run_that_measured_nothing_still_reports(rows: list[ScoredRow]) -> None:
    parsed = page(reports.report(BASE, rows, "predict"))
    assert "input" not in parsed.tags
    assert "What is certified" in parsed.text


@pytest.mark.parametrize("scores", [[1.0] * 3, [0.0] * 3, [-2.0, -1.0], [1e-9, 1e9]])
def test_any_scores_can_be_drawn(scores: list[float]) -> None:
    rows = [reports.row(f"{i}.png", "good", score, BASE) for i, score in enumerate(scores)]
    data = plot_data(reports.report(BASE, rows))
    assert data["low"] < min(*scores, data["certified"]) <= max(*scores, data["certified"]) < data["high"]


def test_a_score_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="the score is nan"):
        ScoredRow("a.png", "good", "a", "OK", float("nan"))


def test_histogram_has_every_score_in_a_bar() -> None:
    scores = np.array([1.0, 1.0, 2.0, 3.0])
    axis = charts.Axis.over(scores)
    drawn = charts.histogram(scores, axis)
    assert drawn["tallest"] == 2
    assert [round(height / drawn["bars"][0][2], 6) for _, _, height in drawn["bars"]] == [1, 0.5, 0.5]
    for (x, width, _), value in zip(drawn["bars"], (1.0, 2.0, 3.0), strict=True):
        assert x <= 10 * axis.percent(value) <= x + width / 0.94


def test_axis_ticks_are_round_and_inside() -> None:
    assert charts.Axis(0.0, 10.0, False).ticks() == [(10.0 * value, str(value)) for value in range(0, 11, 2)]
    assert charts.Axis(1.0, 100.0, True).ticks()[::3] == [(0.0, "1"), (50.0, "10"), (100.0, "100")]
    assert charts.Axis.over(np.array([1.0, 1.0, 100.0])).log
    assert not charts.Axis.over(np.array([0.0, 1.0, 100.0])).log


def test_long_training_curve_is_averaged_and_gaps_are_left_out() -> None:
    drawn = charts.curve([(step, 2.0 if step % 2 else 1.0) for step in range(1, 5001)] + [(5001, float("nan"))])
    assert drawn is not None
    assert len(drawn["points"].split()) == charts.POINTS
    assert len({point.split(",")[1] for point in drawn["points"].split()}) == 1  # all at the mean
    assert charts.curve([(1, float("nan"))]) is None
    assert "points=" in render(reports.report(BASE, [], "train", curve=[(1, 2.0), (2, 1.0)])).decode()


def titles(kept: Gallery) -> list[str]:
    return [section.title for section in kept.sections()]


def test_gallery_keeps_the_most_telling() -> None:
    rows = reports.rows(BASE)
    kept = reports.gallery(BASE, rows, per_section=3)
    good = sorted((row.score for row in rows if row.label == "good" and row.score), reverse=True)
    missed = sorted(row.score for row in rows if row.label != "good" and row.verdict in ("OK", "REVIEW") and row.score)
    sections = {section.title: [picture.score for picture in section.pictures] for section in kept.sections()}
    assert sections["Good images with the highest scores"] == good[:3]
    assert sections["Missed defects, lowest scores first"] == missed[:3]
    assert {"Defects of the kind crack", f"Defects of the kind {reports.HOSTILE}", "A sample of OK images"} < set(
        sections
    )
    assert all(len(scores) <= 3 for scores in sections.values())


def test_gallery_of_unlabelled_images_goes_by_verdict() -> None:
    rows = [ScoredRow(row.image, None, "g", row.verdict, row.score) for row in reports.rows(BASE)]
    assert titles(reports.gallery(BASE, rows)) == [
        "Rejected, highest scores first",
        "To review, highest scores first",
        "A sample of OK images",
    ]


def test_gallery_sample_does_not_depend_on_the_order() -> None:
    rows = [reports.row(f"{i}.png", "good", 0.01, BASE) for i in range(50)]
    first, second = (reports.gallery(BASE, order, per_section=5).sections()[-1] for order in (rows, rows[::-1]))
    assert [picture.image for picture in first.pictures] == [picture.image for picture in second.pictures]


def test_gallery_is_bounded_whatever_the_number_of_images_and_kinds() -> None:
    rows = [reports.row(f"{i}.png", f"kind{i % 90}", float(i), BASE) for i in range(900)]
    kept = reports.gallery(BASE, rows, 16, per_section=4)
    assert len(kept.sections()) == 21  # missed, and 20 kinds
    assert sum(len(section.pictures) for section in kept.sections()) <= 84


def test_gallery_draws_only_what_it_keeps(monkeypatch: pytest.MonkeyPatch) -> None:
    kept, draw = Gallery(0.0, 1.0, 255.0, per_section=1), Gallery._picture
    drawn: list[str] = []

    def noted(self: Gallery, one: Result, label: str | None, pixels: np.ndarray) -> Thumbnail:
        drawn.append(one.image)
        return draw(self, one, label, pixels)

    monkeypatch.setattr(Gallery, "_picture", noted)
    for name, score in (("a", 3.0), ("b", 9.0), ("c", 2.0)):
        one = reports.row(name, "crack", 100 * score, BASE)
        kept.consider(reports.result(one, BASE), one.label, np.zeros((64, 64, 3), np.uint8))
    assert drawn == ["a", "b"]


def test_picture_shows_the_image_beside_its_heat_map_and_outline() -> None:
    one = reports.row("x.png", "crack", 100.0, BASE)
    kept = Gallery(0.0, 100.0, 4095.0)
    kept.consider(reports.result(one, BASE, 512), "crack", np.full((512, 512, 1), 4095 // 2, np.uint16))
    picture = kept.sections()[0].pictures[0]
    assert (picture.width, picture.height, picture.found) == (516, 256, "1 region")
    with Image.open(BytesIO(base64.b64decode(picture.uri.partition(",")[2]))) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    image_half, heat_half = pixels[:, :256], pixels[:, 260:]
    assert np.abs(image_half - 127).max() < 12  # white is 4095, not 65535
    hot = heat_half[8:10, 10:12]  # rows 3 to 5, columns 4 to 6 of a map of 128 pixels, at half the size of the image
    assert np.ptp(hot.mean(axis=(0, 1))) > 60
    assert np.ptp(heat_half[100:].reshape(-1, 3).mean(axis=0)) < 12


def test_pictures_share_a_budget_and_none_of_the_headings_starves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "PICTURE_BYTES", 100_000)
    rows = [reports.row(f"{i}.png", f"kind{i % 10}", float(i % 7), BASE) for i in range(100)]
    sections = reports.gallery(BASE, rows).sections()
    assert len(sections) == 11
    assert 50_000 < sum(len(picture.webp) for section in sections for picture in section.pictures) <= 100_000


def test_write_replaces_whole_or_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "report.html"
    write(target, reports.report(BASE, reports.rows(BASE)))
    before = target.read_bytes()
    assert before == render(reports.report(BASE, reports.rows(BASE)))

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"report\.html: the report cannot be written \(No space left on device\)"):
        write(target, reports.report(BASE, []))
    assert target.read_bytes() == before
    assert list(tmp_path.iterdir()) == [target]


def test_a_report_of_many_images_is_small_and_counts_exactly_at_every_threshold() -> None:
    scores = [(place * 7919 % 60_000) / 60_000 * 3 * BASE.reject.value for place in range(60_000)]
    rows = [reports.row(f"{place}.png", None, score, BASE) for place, score in enumerate(scores)]
    report = reports.report(BASE, rows, "predict")
    assert len(render(report)) < 400_000
    (line,) = [one for one in plot_data(report)["counts"] if one["name"] == "Images rejected"]
    assert (line["total"], line["certified"]) == (60_000, sum(score > BASE.reject.value for score in scores))
    for threshold in (BASE.reject.value, -1.0, line["scores"][-1]):
        place = bisect_right(line["scores"], threshold)
        counted = line["above"][place] if place < len(line["above"]) else 0
        assert counted == sum(score > threshold for score in scores)
