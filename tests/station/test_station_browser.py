"""The page of the station as people use it: in a browser, with the keyboard, on a narrow screen."""

from __future__ import annotations

import base64
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import browsers
import numpy as np
import pytest
import review_pictures
from browsers import until
from conftest import Once
from PIL import Image
from serving import free_port
from stations import RESULTS, make_results, ten_parts

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline import door
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.station.app import application
from anomalib_lite.station.guard import Keys
from anomalib_lite.station.opening import Asked, opened
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station

pytestmark = pytest.mark.slow


class Page:
    """The page of one station, in a browser."""

    def __init__(self, driver: Any, station: Station, address: str) -> None:
        self.driver, self.station, self.address = driver, station, address

    def run(self, script: str) -> Any:
        return self.driver.execute_script(f"return {script}")

    def text(self, selector: str) -> str:
        return str(self.run(f"document.querySelector('{selector}')?.textContent ?? ''"))

    def count(self, selector: str) -> int:
        return int(self.run(f"document.querySelectorAll('{selector}').length"))

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector('{selector}').click()")

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def open(self, where: str = "inspect") -> None:
        """Anew, as who just came, with a result shown."""
        self.driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        self.run(f"(window.old = true, localStorage.clear(), location.hash = '{where}', location.reload())")
        until(lambda: self.run("!window.old && document.readyState === 'complete'"))
        until(self.is_drawn)

    def is_drawn(self) -> bool:
        """Whether the photograph of the chosen result is there, with all that lies over it."""
        return bool(self.run("document.querySelector('.stage .base')?.naturalWidth > 0"))

    def names(self) -> list[str]:
        return list(self.run("Array.from(document.querySelectorAll('.cell .name'), one => one.textContent)"))

    def number(self) -> int:
        return int(self.run("Number(location.hash.split('/')[1])"))


@pytest.fixture(scope="module")
def page(once: Once, model_path: Path, parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    driver = browsers.start(tmp_path_factory.mktemp("browser") / "profile")
    ten = ten_parts(once, model_path, parts)
    made, here = once("station", lambda folder: make_results(folder, ten)), tmp_path_factory.mktemp("station")
    folder, model = (Path(shutil.copytree(one, here / one.name)) for one in (made / "results", ten))
    station = opened(Asked(folder=folder, model=model, operator="Ada"))
    keys = Keys(free_port())
    server = door.server(application(station, keys, door.names("127.0.0.1")))
    with door.listen("127.0.0.1", keys.port) as socket:
        running = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        running.start()
        opened_page = Page(driver, station, f"http://127.0.0.1:{keys.port}/?secret={keys.secret}")
        driver.get(opened_page.address)
        until(opened_page.is_drawn)
        yield opened_page
        driver.quit()
        server.should_exit = True
        running.join(30)


def test_only_what_is_seen_of_200_results_is_asked_for(page: Page) -> None:
    seen = page.run("Math.ceil(document.querySelector('.scroller').clientHeight / 58) + 1")
    until(lambda: page.count(".cell img[src]") >= seen - 2)
    browsers.requests(page.driver)  # those of the page as it was opened first
    page.open()
    assert page.text(".total") == f"{RESULTS} of {RESULTS} results"
    until(lambda: page.count(".cell img[src]") >= seen - 2)
    asked = browsers.requests(page.driver)
    assert sum("/api/results?" in one for one in asked) <= 2
    assert 0 < sum(one.endswith("/thumb") for one in asked) <= seen + 2  # those of the part of the result, too
    assert page.count(".cell") <= seen + 4
    page.run("document.querySelector('.scroller').scrollTop = 1e6")
    until(lambda: "part099_1.png" in page.names())
    until(lambda: page.count(".cell img[src]") >= seen - 2)
    asked = browsers.requests(page.driver)
    assert sum("/api/results?" in one for one in asked) <= 1
    assert sum(one.endswith("/thumb") for one in asked) <= seen + 2
    assert page.count(".cell") <= seen + 4
    assert not browsers.complaints(page.driver)  # nothing that the policy forbids


def test_a_result_is_found_zoomed_and_stepped_through(page: Page) -> None:
    page.open()
    page.click(".chip.NG")
    rejected = [one.number for one in page.station.results.entries if one.verdict == "NG"]
    until(lambda: page.text(".total").startswith(f"{len(rejected)} of"))
    until(lambda: page.number() == rejected[0] and page.is_drawn())
    assert page.count(".outlines polygon") >= 2
    assert page.run("!document.querySelector('.stage .heat').hidden")

    def scale() -> float:
        return float(page.run("document.querySelector('.stage').dataset.scale"))

    fitted = scale()
    page.keys("+", "+")
    assert scale() == pytest.approx(fitted * 1.25**2, rel=1e-3)
    page.keys("0", "h", "o")
    assert scale() == pytest.approx(fitted, rel=1e-3)
    assert page.count(".outlines polygon") == 0
    assert page.run("document.querySelector('.stage .heat').hidden")
    page.keys("c")
    until(lambda: page.run("document.querySelector('.stage .over').naturalWidth > 0"))
    page.keys("c", "h", "o", "j")
    until(lambda: page.number() == rejected[1])
    page.keys("k")
    until(lambda: page.number() == rejected[0])
    assert not browsers.complaints(page.driver)


def test_a_tick_waits_until_the_decision_is_on_disk(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    page.open("inspect/4")
    disk, log = threading.Event(), page.station.log
    append = log.append
    monkeypatch.setattr(log, "append", lambda *said: (disk.wait(30), append(*said))[1])
    page.click(".beside input[type=checkbox]")  # stay with this one
    page.keys("g")
    until(lambda: page.count(".confirmed.waiting"))
    assert page.count(".tick") == 0
    assert page.station.label(page.station.results.entries[4]) == ""
    disk.set()
    until(lambda: page.count(".confirmed.tick"))
    line = DecisionLog(page.station.results.folder).refresh()[-1]
    assert page.text(".confirmed") == f"good, line {line.number} of the log"
    page.keys("z")
    until(lambda: page.text(".confirmed") == "undecided")
    page.click(".beside input[type=checkbox]")


def test_results_are_decided_with_the_keyboard_alone(page: Page) -> None:
    page.open("inspect/10")
    before = len(page.station.log.lines)
    page.keys("n", "<b>dull</b>", "\ue007", "u")  # a note, and Return
    until(lambda: page.number() == 11)
    page.keys("d")
    until(lambda: page.count(".kinds"))
    page.keys("scratch", "\ue007")
    until(lambda: page.number() == 12)
    page.keys("d")
    until(lambda: page.count(".kinds button kbd"))
    page.keys("1")  # the kind that was used last has a number
    until(lambda: page.number() == 13)
    lines = DecisionLog(page.station.results.folder).refresh()[before:]
    said = [(one.decision.label, one.decision.kind, one.decision.note) for one in lines if one.decision]
    assert said == [("unsure", "", "<b>dull</b>"), ("defect", "scratch", ""), ("defect", "scratch", "")]
    page.keys("k", "k", "k")
    until(lambda: page.number() == 10 and "dull" in page.text(".history"))
    assert page.text(".history q") == "<b>dull</b>"
    assert not browsers.complaints(page.driver)


def test_nothing_is_decided_by_a_key_before_its_photograph_is_shown(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.open("inspect/30")
    before, row, photograph = len(page.station.log.lines), threading.Event(), threading.Event()
    history, whole = page.station.history, page.station.pictures.whole

    def waiting(gate: threading.Event, entry: Entry) -> bool:
        return entry.number != 31 or gate.wait(30)

    monkeypatch.setattr(page.station, "history", lambda entry: (waiting(row, entry), history(entry))[1])
    monkeypatch.setattr(page.station.pictures, "whole", lambda entry: (waiting(photograph, entry), whole(entry))[1])
    page.keys("g")
    until(lambda: page.number() == 31)  # it is asked for, and the one before is still shown
    page.keys("g", "u", "z", "d")
    assert page.text(".facts h2").endswith("part015_0.png")
    row.set()
    until(lambda: page.text(".facts h2").endswith("part015_1.png"))  # all but the photograph
    page.keys("g", "u", "z", "d")
    assert page.count(".confirmed.waiting") == page.count(".kinds") == 0
    photograph.set()
    until(lambda: page.text(".deciding[aria-busy=false] .confirmed") == "undecided")
    page.keys("u")
    until(lambda: page.number() == 32)
    said = [
        (line.judged.image[-13:], line.decision and line.decision.label) for line in page.station.log.lines[before:]
    ]
    assert said == [("part015_0.png", "good"), ("part015_1.png", "unsure")]
    assert not browsers.complaints(page.driver)


def test_a_key_that_is_held_decides_once_and_steps_on(page: Page) -> None:
    page.open("inspect/40")
    before = len(page.station.log.lines)
    for key in ("g", "u", "z", "x"):
        page.run(
            f"document.body.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', repeat: true, bubbles: true}}))"
        )
        assert page.count(".confirmed.waiting") == 0
    page.run("document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'j', repeat: true, bubbles: true}))")
    until(lambda: page.number() == 41)
    assert len(page.station.log.lines) == before


def test_the_line_that_was_just_written_is_taken_back_after_the_next_result_has_come(page: Page) -> None:
    page.open("inspect/51")
    page.keys("u")
    until(lambda: page.number() == 52)
    page.keys("k")
    until(lambda: page.text(".deciding[aria-busy=false] .tick"))
    page.keys("k")
    until(lambda: page.number() == 50 and page.text(".deciding[aria-busy=false] .confirmed") == "undecided")
    page.keys("n", "dull", "\ue007", "g")
    until(lambda: page.number() == 51 and page.text(".deciding[aria-busy=false] .tick"))
    before = page.station.log.lines[-1]
    page.keys("z")  # not what was said before of the one that is shown
    until(lambda: page.number() == 50 and page.text(".deciding[aria-busy=false] .confirmed") == "undecided")
    assert page.station.log.lines[-1].undoes == before.number
    assert page.station.label(page.station.results.entries[51]) == "unsure"
    page.keys("n", "dull", "\ue007", "j")
    until(lambda: page.number() == 51 and page.text(".deciding[aria-busy=false] .tick"))
    assert page.run("document.querySelector('.note').value") == ""  # it was of the other one
    page.keys("z")  # whoever went there himself means the one that is shown
    until(lambda: page.text(".confirmed") == "undecided")
    assert page.station.label(page.station.results.entries[51]) == ""
    assert not browsers.complaints(page.driver)


def test_another_row_is_used_from_the_page(page: Page) -> None:
    page.open()
    page.click("nav .tab:nth-child(2)")
    until(lambda: page.count("table.menu tbody tr") == 2)
    page.keys("j")
    until(lambda: page.count(".says .primary"))
    page.click(".says .primary")
    page.keys("fewer escapes", "\ue007")
    until(lambda: "✓" in page.text(".says .done"))
    made = Model(page.station.results.folder.parent / "model-row-1")
    assert made.model_id in page.text(".says .done")
    assert made.bundle.manifest.choices[-1].because == "fewer escapes"
    assert not browsers.complaints(page.driver)


def test_a_decision_of_somebody_else_appears(page: Page) -> None:
    page.open("inspect/20")
    other = opened(Asked(folder=page.station.results.folder))
    from anomalib_lite.review.decision import Decision, Judged, Label

    page.keys("n", "half a ")
    judged = Judged.of(other.results.row(other.results.entries[20]))
    other.log.append("Grace", judged, Decision(Label.UNUSABLE))
    page.run("document.dispatchEvent(new Event('visibilitychange'))")  # rather than wait for the next look
    until(lambda: "Grace" in page.text(".history"))
    page.keys("note")
    assert page.run("document.querySelector('.note').value") == "half a note"  # who writes goes on writing


def test_a_narrow_screen_shows_the_list_or_the_result(page: Page) -> None:
    page.open("inspect")
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def visible(selector: str) -> bool:
        return bool(page.run(f"document.querySelector('{selector}').checkVisibility()"))

    until(lambda: visible(".deciding"))
    assert not visible(".found")
    assert page.run("document.documentElement.scrollWidth") <= 400
    page.click(".back")
    assert visible(".found")
    assert not visible(".deciding")


def test_the_language_and_the_light_are_chosen_on_the_page(page: Page) -> None:
    page.open()
    chosen = "one => { one.value = 'de'; one.dispatchEvent(new Event('change')); }"
    page.run(f"({chosen})(document.querySelector('.tools select'))")
    until(lambda: page.text(".total") == f"{RESULTS} von {RESULTS} Ergebnissen")
    assert page.run("document.documentElement.lang") == "de"
    colour = "getComputedStyle(document.body).backgroundColor"
    light = page.run(colour)
    page.click(".tools button")
    assert page.run(colour) != light
    page.keys("?")
    assert page.run("document.getElementById('help').open")
    assert not browsers.complaints(page.driver)


def test_trend_and_protocol_are_drawn_and_the_protocol_is_printed(page: Page) -> None:
    page.open()
    page.click("nav .tab:nth-child(4)")
    until(lambda: page.count(".trend .dot") == RESULTS // 2)  # one photograph of each part
    page.click("nav .tab:nth-child(6)")
    until(lambda: page.count(".protocol .signatures"))
    printed = page.driver.execute_cdp_cmd("Page.printToPDF", {})
    assert base64.b64decode(printed["data"]).startswith(b"%PDF")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    assert not page.run("document.getElementById('top').checkVisibility()")
    page.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert not browsers.complaints(page.driver)


def test_a_region_of_interest_is_drawn_and_saved(page: Page) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    page.open("data/region/3")
    stage, side = page.driver.find_element("css selector", ".canvas"), page.run("document.querySelector('.base').width")
    scale = float(page.run("document.querySelector('.canvas').dataset.scale"))

    def at(x: float, y: float) -> Any:
        """Over a place of the photograph, in shares of its side from its middle."""
        return ActionChains(page.driver, duration=0).move_to_element_with_offset(
            stage, round(x * side * scale), round(y * side * scale)
        )

    for x, y in ((-0.3, -0.3), (0.3, -0.3), (0.3, 0.3), (-0.3, 0.3), (0, 0)):
        at(x, y).click().perform()
    page.keys("z", "\ue007", "b", "x")  # takes the last point back, Return closes, the brush leaves out
    at(-0.1, 0).click_and_hold().move_by_offset(round(0.2 * side * scale), 0).release().perform()
    page.keys("i")
    at(0, 0.2).click().perform()
    page.keys("z")
    assert page.count(".drawing mask polygon") == page.count(".drawing mask polyline") == 1
    page.run("(window.old = true, location.reload())")  # which keeps what is drawn
    until(lambda: page.run("!window.old && document.readyState === 'complete'"))
    until(lambda: page.count(".drawing mask polygon") == page.count(".drawing mask polyline") == 1)
    until(page.is_drawn)
    page.keys("s")
    until(lambda: page.count(".saved"))
    mask = np.asarray(Image.open(page.station.results.folder / "roi-masks/roi.png"))
    assert mask.shape == (side, side)
    assert f"{mask.mean() / 255:.1%}" in page.text(".saved")
    middle = side // 2
    inside = [mask[middle + round(y * side), middle + round(x * side)] for x, y in ((-0.2, -0.2), (0.2, 0.2), (0, 0.2))]
    outside = [mask[middle + round(y * side), middle + round(x * side)] for x, y in ((-0.4, 0), (0, 0), (0.09, 0))]
    assert (inside, outside) == ([255] * 3, [0] * 3)
    page.keys("s")
    until(lambda: page.count("dialog[open]"))  # which asks before anything is overwritten
    page.click("dialog .anew")
    until(lambda: "roi-2.png" in page.text(".saved"))
    assert not browsers.complaints(page.driver)


def test_the_pictures_of_the_guide_can_be_made_again(page: Page, tmp_path: Path) -> None:
    review_pictures.session(page.driver, page.address, tmp_path)
    names = ("inspect", "decide", "operating", "teach")
    assert {path.name for path in tmp_path.iterdir()} == {f"{name}.webp" for name in names}
    for name in names:
        picture = Image.open(tmp_path / f"{name}.webp")
        assert picture.size == review_pictures.SIZE
        assert len(picture.getcolors(2**24) or ()) > 100  # something is on it
    assert page.run("document.querySelector('nav .tab[aria-current]').textContent") == "Teach"
    assert not browsers.complaints(page.driver)
