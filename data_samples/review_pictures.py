"""Photographs a session at the page of `review`, for the guide: `python data_samples/review_pictures.py FOLDER MODEL`.

FOLDER holds results of MODEL, such as those that `anomalib-lite predict demo/model ... --out FOLDER` wrote; the session
decides on them, takes another row where there is one, and teaches the model. Needs Chromium and selenium.
"""

from __future__ import annotations

import argparse
import io
import shutil
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from anomalib_lite.pipeline import door
from anomalib_lite.station.app import application
from anomalib_lite.station.guard import Keys
from anomalib_lite.station.opening import Asked, opened

OUT = Path(__file__).resolve().parent.parent / "deploy" / "review"
SIZE = (1280, 860)  # pixels of the page
PORT = 8049
PATIENCE = 60.0  # seconds
READY = "document.querySelector('.stage .base')?.naturalWidth > 0"
DRAWN = (
    "[...document.querySelectorAll('.cell img[src], .strip img, .stage .heat')]"
    ".every(one => one.complete && one.naturalWidth > 0)"
)
REST = """
const done = arguments[arguments.length - 1];
const ask = async (path, body) => (await fetch(path, body && {
  method: "POST", headers: {"content-type": "application/json"}, body: JSON.stringify(body)
})).json();
(async () => {
  const {generation} = await ask("/api/state");
  for (;;) {
    const {rows} = await ask("/api/results?decided=no&count=200");
    if (!rows.length) break;
    for (const one of rows) {
      const good = one.kind ? one.kind === "good" : one.verdict === "OK";
      const said = {operator: "", label: good ? "good" : "defect", kind: good ? "" : one.kind ?? "dent", note: ""};
      await ask(`/api/results/${generation}/${one.number}/decision`, said);
    }
  }
})().then(() => done(""), (error) => done(String(error)));
"""  # decides what is not decided by the data set, or else by the verdict, as somebody would with the keys
FLAGS = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --hide-scrollbars"


def main() -> None:
    """Write inspect.webp, decide.webp, operating.webp and teach.webp."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="results of the model")
    parser.add_argument("model", type=Path, help="the model; another one is written beside it")
    parser.add_argument("--out", type=Path, default=OUT, help="the folder of the pictures")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    station = opened(Asked(folder=asked.folder, model=asked.model, operator="Ada"))
    keys = Keys(PORT)
    server = door.server(application(station, keys, door.names("127.0.0.1")))
    with door.listen("127.0.0.1", PORT) as socket, TemporaryDirectory() as profile:
        running = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
        running.start()
        driver = _browser(profile)
        try:
            session(driver, f"http://127.0.0.1:{PORT}/?secret={keys.secret}", asked.out)
        finally:
            driver.quit()
            server.should_exit = True
            running.join()


def session(driver: Any, address: str, out: Path) -> None:
    """Look, decide, see another operating point, teach; a picture of each.

    Args:
        driver: A browser, as selenium has it.
        address: Of the station, with its secret.
        out: The folder of the pictures.
    """

    def run(script: str) -> Any:
        return driver.execute_script(f"return {script}")

    def tab(number: int) -> None:
        run(f"document.querySelector('nav .tab:nth-child({number})').click()")

    metrics = {"width": SIZE[0], "height": SIZE[1], "deviceScaleFactor": 1, "mobile": False}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.get(address)
    _until(lambda: "secret" not in driver.current_url and run(READY))
    run("document.querySelector('.chip.NG').click()")
    _until(lambda: run("document.querySelector('.chip.NG').ariaPressed") == "true" and run(READY))
    _until(lambda: run("document.querySelector('.cell .OK') === null && document.querySelector('.cell img[src]')"))
    _until(lambda: run(DRAWN))
    _photograph(driver, out / "inspect.webp")
    _press(driver, "d")
    _until(lambda: run("document.querySelectorAll('.kinds').length"))
    _photograph(driver, out / "decide.webp")
    _press(driver, "dent", "\ue007")
    _until(lambda: run("document.querySelectorAll('.cell .decided').length"))
    run("document.querySelector('.chip.NG').click()")
    run("document.querySelector('.chip.OK').click()")
    _until(lambda: run("document.querySelector('.chip.OK').ariaPressed") == "true" and run(READY))
    for _ in range(3):
        _until(lambda: run("document.querySelectorAll('.decide:enabled').length"))
        before = run("location.hash")
        _press(driver, "g")
        _until(partial(_differs, run, before))
    assert driver.execute_async_script(REST) == ""  # thresholds count a lot only where all of it is decided
    tab(2)
    _until(lambda: run("document.querySelectorAll('.plot').length"))
    _press(driver, "j")
    _photograph(driver, out / "operating.webp")
    tab(3)
    _until(lambda: run("document.querySelectorAll('.start').length"))
    run("document.querySelector('.start').click()")
    _until(lambda: run("document.querySelectorAll('.taught, .step .red').length"))
    _photograph(driver, out / "teach.webp")


def _differs(run: Callable[[str], Any], before: str) -> bool:
    """Whether another result is shown."""
    return bool(run("location.hash") != before)


def _browser(profile: str) -> Any:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def _press(driver: Any, *keys: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    for key in keys:
        ActionChains(driver).send_keys(key).perform()


def _until(found: Callable[[], Any]) -> None:
    end = time.monotonic() + PATIENCE
    while not found():
        assert time.monotonic() < end, "the page does not come as far as that"
        time.sleep(0.02)


def _photograph(driver: Any, path: Path) -> None:
    Image.open(io.BytesIO(driver.get_screenshot_as_png())).convert("RGB").save(path, "WEBP", quality=82)


if __name__ == "__main__":
    main()
