"""The page of `review` on many results: when the first photograph is there, what is asked for, what is kept.

usage: python tests/benchmarks/many_results.py RESULTS MODEL [--rows 20000]

RESULTS is a folder that `predict` wrote by MODEL, whose rows are repeated; those of `evaluate` name their images within
their data set, and would not be found. Needs Chromium and selenium.
"""

from __future__ import annotations

import argparse
import json
import resource
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import browsers

from anomalib_lite.pipeline import door
from anomalib_lite.station.app import application
from anomalib_lite.station.guard import Keys
from anomalib_lite.station.opening import Asked, opened

PORT, STEPS = 8048, 40
FIRST = "document.querySelector('.stage .base')?.naturalWidth > 0"


def repeated(results: Path, rows: int, folder: Path) -> Path:
    """The rows of results, so many of them, each of a part of its own."""
    known = [json.loads(line) for line in (results / "results.jsonl").read_bytes().splitlines()]
    with (folder / "results.jsonl").open("w") as file:
        for number in range(rows):
            file.write(json.dumps(known[number % len(known)] | {"part": f"{number:06}"}) + "\n")
    return folder


def traffic(driver: Any) -> tuple[int, int]:
    """Requests and bytes since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    sizes = [m["params"]["encodedDataLength"] for m in messages if m["method"] == "Network.loadingFinished"]
    return len(sizes), round(sum(sizes))


def memory(driver: Any) -> str:
    """What the page and this process hold, in megabytes."""
    driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    page = driver.execute_cdp_cmd("Runtime.getHeapUsage", {})["usedSize"] / 1e6
    return f"{page:.1f} MB in the page, at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB here"


def measured(driver: Any, address: str) -> None:
    """Open the page, scroll through all of it, and print what that took."""
    driver.get(address)
    browsers.until(lambda: driver.execute_script(f"return {FIRST}"))
    traffic(driver)
    started = time.perf_counter()
    driver.get(address.partition("?")[0])
    browsers.until(lambda: driver.execute_script(f"return {FIRST}"))
    seconds = time.perf_counter() - started
    time.sleep(1)  # pictures of the list
    asked, sent = traffic(driver)
    print(f"first photograph {seconds:.2f} s; {asked} requests, {sent:,} bytes")
    print("before", memory(driver))
    for step in range(STEPS):
        whole = "document.querySelector('.space').offsetHeight"
        driver.execute_script(f"document.querySelector('.scroller').scrollTop = {step / STEPS} * {whole}")
        time.sleep(0.08)
    time.sleep(1)
    asked, sent = traffic(driver)
    print(f"scrolled through: {asked} requests, {sent:,} bytes")
    print("after", memory(driver))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rows", type=int, default=20_000)
    asked = parser.parse_args()
    with TemporaryDirectory() as folder, TemporaryDirectory() as profile:
        started = time.perf_counter()
        station = opened(Asked(folder=repeated(asked.results, asked.rows, Path(folder)), model=asked.model))
        print(f"{asked.rows:,} results read in {time.perf_counter() - started:.2f} s, with their being written")
        keys = Keys(PORT)
        server = door.server(application(station, keys, door.names("127.0.0.1")))
        with door.listen("127.0.0.1", PORT) as socket:
            running = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
            running.start()
            driver = browsers.start(Path(profile))
            try:
                measured(driver, f"http://127.0.0.1:{PORT}/?secret={keys.secret}")
            finally:
                driver.quit()
                server.should_exit = True
                running.join()


if __name__ == "__main__":
    main()
