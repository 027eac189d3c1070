"""A headless Chromium, for the tests of pages."""

from __future__ import annotations

import importlib.util
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from needs import need

FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --disable-dev-shm-usage --window-size=1200,900"
)


def start(profile: Path) -> Any:
    """A driver of a browser whose profile lies in a folder; the test is skipped where there is none."""
    for program in ("chromium", "chromedriver"):
        need(shutil.which(program), f"{program} is not installed")
    need(importlib.util.find_spec("selenium"), "selenium is not installed: pip install 'anomalib-lite[test]'")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(shutil.which("chromium"))
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))


def requests(driver: Any) -> list[str]:
    """Every address that was asked for since the last call, from the browser's network log."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]


def complaints(driver: Any) -> list[str]:
    """What the browser says of a page: errors, and what its policy forbids."""
    return [str(entry["message"]) for entry in driver.get_log("browser")]


def until(found: Callable[[], Any], patience: float = 30.0) -> Any:
    """What `found` returns once that is true."""
    end = time.monotonic() + patience
    while not (value := found()):
        assert time.monotonic() < end, "the page does not come as far as that"
        time.sleep(0.02)
    return value
