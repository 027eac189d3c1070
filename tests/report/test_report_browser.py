from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import pytest
import reports
from PIL import Image

from anomalib_lite.calibration import Calibration
from anomalib_lite.calibration.statement import percent_up
from anomalib_lite.edge import decision
from anomalib_lite.edge.runtime import Comparison
from anomalib_lite.report.gallery import Gallery
from anomalib_lite.report.page import Report, ScoredRow, write

pytestmark = pytest.mark.slow

BASE = reports.calibration()
SWIPE = "document.querySelector('label.swipe input')"
OLD = replace(BASE, menu=())  # as of a version that had none


class Browser:
    """A headless Chromium with one report in it."""

    def __init__(self, profile: Path) -> None:
        self.driver = browsers.start(profile)
        self._folder = profile.parent

    def open(self, report: Report) -> Path:
        path = self._folder / "report.html"
        write(path, report)
        self.driver.get(path.as_uri())
        return path

    def run(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def counts(self) -> list[int]:
        """What the page counts at the slider, line by line."""
        cells = "Array.from(document.querySelectorAll('#counts tbody td:last-child'), cell => +cell.dataset.count)"
        return list(self.run(cells))

    def plot(self) -> dict[str, Any]:
        data: dict[str, Any] = json.loads(self.run("document.getElementById('plot-data').textContent"))
        return data

    def move(self, position: int) -> None:
        event = "slider.dispatchEvent(new Event('input'))"
        self.run(f"(slider => {{ slider.value = {position}; {event} }})(document.getElementById('slider'))")

    def state(self) -> str:
        return str(self.run("document.getElementById('state').textContent"))

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.by import By

        self.driver.find_element(By.ID, "slider").send_keys(*keys)

    def requests(self) -> list[str]:
        """Every address that was asked for since the last call, from the browser's network log."""
        return browsers.requests(self.driver)

    def complaints(self) -> list[str]:
        return browsers.complaints(self.driver)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    opened = Browser(tmp_path_factory.mktemp("browser") / "profile")
    yield opened
    opened.driver.quit()


def decided(rows: list[ScoredRow], made: Calibration, reject: float) -> list[int]:
    """The page's counts as Python makes them, with `decide` at another reject threshold."""
    thresholds = replace(made.limits, reject=reject, review=min(reject, made.review.value))
    measured = [row for row in rows if row.score is not None]
    rejected = {row.image for row in measured if decision.decide(row.score or 0.0, thresholds) == "NG"}
    good = [row for row in measured if row.label == "good"]
    bad = [row for row in measured if row.label != "good"]
    kinds = sorted({str(row.label) for row in bad})
    return [
        sum(row.image in rejected for row in good),
        len({row.group for row in good if row.image in rejected}),
        sum(row.image not in rejected for row in bad),
        *(sum(row.image not in rejected for row in bad if row.label == kind) for kind in kinds),
    ]


def test_counts_agree_with_python_at_the_certified_threshold(browser: Browser) -> None:
    rows = reports.rows(BASE)
    browser.open(reports.report(BASE, rows))
    assert browser.counts() == decided(rows, BASE, BASE.reject.value)
    assert browser.state().startswith("At the certified threshold")
    assert browser.run("document.getElementById('reset').disabled")
    assert browser.run("document.getElementById('disagree').hidden")


@pytest.mark.parametrize("scale", [1.0, 0.1], ids=["linear", "logarithmic"])
def test_moving_the_slider_counts_as_python_would(browser: Browser, scale: float) -> None:
    rows = [*reports.rows(BASE), reports.row("far.png", "crack", 6.0 / scale, BASE)]
    browser.open(reports.report(OLD, rows))
    plot, certified = browser.plot(), browser.counts()
    assert plot["log"] == (scale < 1)
    low, high = (math.log(plot[end]) if plot["log"] else plot[end] for end in ("low", "high"))
    seen = set()
    for position in (0, 150, 333, 500, 720, 1000):
        browser.move(position)
        place = low + (high - low) * position / 1000
        assert browser.counts() == decided(rows, BASE, math.exp(place) if plot["log"] else place)
        assert "NOT certified" in browser.state()
        seen.add(tuple(browser.counts()))
    assert len(seen) > 3
    browser.run("document.getElementById('reset').click()")
    assert browser.counts() == certified
    assert browser.state().startswith("At the certified threshold")


def test_keyboard_moves_the_slider_and_tells_what_it_counts(browser: Browser) -> None:
    from selenium.webdriver.common.keys import Keys

    rows = reports.rows(BASE)
    browser.open(reports.report(OLD, rows))
    certified = browser.counts()
    browser.keys(Keys.END)
    good, parts, escapes, *_ = browser.counts()
    assert (good, parts) == (0, 0)
    assert escapes == sum(row.label != "good" and row.score is not None for row in rows)
    browser.keys(Keys.HOME)
    assert browser.counts()[2:] == [0] * len(browser.counts()[2:])
    spoken = browser.run("document.getElementById('slider').getAttribute('aria-valuetext')")
    assert "not certified" in spoken
    assert f"False rejects: good images {browser.counts()[0]} of" in spoken
    home = browser.run("document.getElementById('reset').click(), document.activeElement.id")
    assert home == "slider"
    browser.keys(Keys.ARROW_RIGHT)
    assert "NOT certified" in browser.state()
    browser.keys(Keys.ARROW_LEFT)
    assert browser.state().startswith("At the certified threshold")
    assert browser.counts() == certified


def test_the_slider_stops_at_the_rows_of_the_menu_and_says_their_bounds(browser: Browser) -> None:
    rows = reports.rows(BASE)
    browser.open(reports.report(BASE, rows))
    ascending = list(reversed(BASE.menu))
    assert browser.run("document.getElementById('slider').max") == str(len(ascending) - 1)
    for position, point in enumerate(ascending):
        browser.move(position)
        assert browser.counts() == decided(rows, BASE, point.value)
        if point.rank != BASE.reject.allowed:
            assert f"Row {point.rank}: at most {percent_up(point.bound)}, together" in browser.state()
            assert "--row" in browser.state()
    browser.run("document.getElementById('reset').click()")
    home = browser.state()
    assert home.startswith("At the certified threshold")
    assert home.endswith(f": {BASE.reject.allowed} above it allowed: at most {percent_up(BASE.reject.bound)}.")


def test_page_says_so_if_its_counts_differ_from_the_verdicts(browser: Browser) -> None:
    rows = reports.rows(BASE)
    browser.open(reports.report(BASE, [replace(rows[0], verdict="NG"), replace(rows[1], verdict="NG"), *rows[2:]]))
    assert not browser.run("document.getElementById('disagree').hidden")


@pytest.mark.parametrize("purpose", ["train", "evaluate", "predict"])
def test_nothing_leaves_the_page_and_hostile_names_are_inert(browser: Browser, purpose: Any) -> None:
    rows = reports.rows(BASE)
    if purpose == "predict":
        rows = [replace(row, label=None) for row in rows]
    kept = reports.gallery(BASE, rows)
    report = reports.report(BASE, rows, purpose, gallery=kept, curve=[(1, 2.0), (9, 1.0)], notes=[reports.HOSTILE])
    report.title = reports.HOSTILE
    report.metrics = reports.metrics(rows) if purpose == "evaluate" else None
    browser.requests(), browser.complaints()
    path = browser.open(report)
    browser.move(700)
    asked = browser.requests()
    assert path.as_uri() in asked
    assert [url for url in asked if url != path.as_uri() and not url.startswith(("data:", "chrome:"))] == []
    assert browser.complaints() == []
    assert (
        browser.driver.title
        == reports.HOSTILE.replace("\u202e", "\\u202e").encode("utf-8", "backslashreplace").decode()
    )
    assert browser.run("document.querySelectorAll('script').length") == 2
    assert browser.run("Array.from(document.images).every(image => image.complete && image.naturalWidth > 0)")
    assert browser.run("document.images.length") == sum(len(section.pictures) for section in kept.sections())


def test_policy_of_the_page_stops_what_would_load(browser: Browser) -> None:
    browser.open(reports.report(BASE, reports.rows(BASE)))
    browser.requests(), browser.complaints()
    add = "Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:9/x.png'})"
    browser.run(f"document.body.appendChild({add}).src")
    browser.driver.execute_async_script("setTimeout(arguments[0], 300)")
    assert any("Content Security Policy" in complaint for complaint in browser.complaints())


def test_the_swipe_lays_the_golden_image_over_the_aligned_one(browser: Browser) -> None:
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys

    rows = [reports.row("board.png", "crack", 6.0, BASE)]
    golden, aligned = (np.full((64, 64, 1), grey, np.uint8) for grey in (40, 200))
    kept = Gallery(0.0, 2 * BASE.reject.value, 255.0)
    found = replace(reports.result(rows[0], BASE), regions=())
    compared = Comparison(golden, aligned, np.zeros((64, 64), np.float32))
    kept.consider(replace(found, comparison=compared), rows[0].label, aligned)
    browser.open(reports.report(BASE, rows, gallery=kept))

    def greys(position: int) -> list[int]:
        """Near the left and the right edge of the aligned picture, as the screen shows it."""
        browser.run(f"(swipe => {{ swipe.value = {position}; swipe.dispatchEvent(new Event('input')) }})({SWIPE})")
        shown = Image.open(BytesIO(browser.driver.find_element(By.CSS_SELECTOR, "figure > div").screenshot_as_png))
        step = browser.run("Number(document.querySelector('figure').dataset.start)")
        panel = browser.run("Number(document.querySelector('figure').dataset.share)")
        places = [round(shown.width * (step + panel * share)) for share in (0.2, 0.8)]
        return [int(np.array(shown.convert("L"))[shown.height // 2, place]) for place in places]

    for position, expected in ((0, [200, 200]), (50, [40, 200]), (100, [40, 40]), (0, [200, 200])):
        assert greys(position) == pytest.approx(expected, abs=6), position
    label = browser.driver.find_element(By.CSS_SELECTOR, "label.swipe")
    assert label.text.split() == ["Aligned", "Golden"]
    browser.driver.find_element(By.CSS_SELECTOR, "label.swipe input").send_keys(Keys.END)
    assert browser.run(f"{SWIPE}.value") == "100"


def test_phone_width_needs_no_scrolling_sideways(browser: Browser) -> None:
    rows = reports.rows(BASE)
    metrics = {"width": 390, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.open(reports.report(BASE, rows, gallery=reports.gallery(BASE, rows), metrics=reports.metrics(rows)))
    assert browser.run("document.documentElement.scrollWidth") <= 390
    browser.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_report_on_a_thousand_images_stays_below_ten_megabytes(browser: Browser) -> None:
    rows = reports.rows(BASE, good=600, bad=400)
    rows[600:] = [replace(row, label=f"kind{i % 20}") for i, row in enumerate(rows[600:])]
    rows = sorted(rows, key=lambda row: -(row.score or 0))[:1000]
    path = browser.open(reports.report(BASE, rows, gallery=reports.gallery(BASE, rows, 256)))
    assert 7_000_000 < path.stat().st_size < 10_000_000  # pictures of noise: the largest that there are
    assert browser.counts() == decided(rows, BASE, BASE.reject.value)


def test_ten_thousand_scores_agree(browser: Browser) -> None:
    rows = reports.rows(BASE, good=7000, bad=3000)
    browser.open(reports.report(BASE, rows))
    assert browser.counts() == decided(rows, BASE, BASE.reject.value)
    browser.move(400)
    assert browser.counts() != decided(rows, BASE, BASE.reject.value)
