"""A file is judged when it is whole: however it is written, and whatever the system says of its writer."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
from conftest import picture, save
from needs import need
from PIL import Image

from anomalib_lite.edge import arrivals, watch, writers
from anomalib_lite.edge.journal import JOURNAL
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import DataError


@pytest.fixture(scope="module")
def model(model_path: Path) -> Model:
    return Model(model_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waiting in less time."""
    for name, seconds in (("SETTLE", 0.05), ("SETTLE_BLIND", 0.6), ("LONG", 0.1)):
        monkeypatch.setattr(arrivals, name, seconds)


@pytest.fixture
def blind(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that does not say who writes a file, such as a network share or Windows."""
    for module in (arrivals, watch):
        monkeypatch.setattr(module, "being_written", lambda path: None)


Follow = Callable[..., list[str]]


@pytest.fixture
def follow(model: Model, folder: Path) -> Iterator[Follow]:
    """Start to watch the folder: what is said meanwhile."""
    stop, threads = Event(), []

    def start(**options: Any) -> list[str]:
        said: list[str] = []

        def work() -> None:
            with Watcher(model, folder, **options) as one:
                watch.watch(one, stop, lambda row: None, said.append)

        threads.append(Thread(target=work))
        threads[-1].start()
        wait((folder / JOURNAL).exists)
        return said

    yield start
    stop.set()
    for thread in threads:
        thread.join()


def wait(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / JOURNAL).read_text().splitlines()]


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0]).save(buffer, kind)
    return buffer.getvalue()


WHOLE = {
    "a.ppm": encoded(picture(2000, defect=True), "PPM"),
    "b.bmp": encoded(picture(2001, defect=True), "BMP"),
    "c.tif": encoded(picture(2002, defect=True), "TIFF"),
}


def test_a_file_of_full_size_that_a_program_still_writes_is_not_judged(
    quick: None, folder: Path, follow: Follow
) -> None:
    """The size is set first, the content follows: before its end, the defect of many a part is not there yet."""
    need(writers.LEASES, "leases are Linux's")
    said = follow()
    files = []
    for name, content in WHOLE.items():
        file = (folder / name).open("wb")
        file.truncate(len(content))
        file.write(content[: len(content) // 2])
        file.flush()
        files.append((file, content[len(content) // 2 :]))
    wait(lambda: len(said) == 3)
    assert rows(folder) == []
    assert said == [f"{name}: a program keeps it open for writing; it is judged once it is closed" for name in WHOLE]
    for file, rest in files:
        file.write(rest)
        file.close()
    wait(lambda: len(rows(folder)) == 3)
    assert {row["sha256"] for row in rows(folder)} == {hashlib.sha256(one).hexdigest() for one in WHOLE.values()}


@pytest.mark.parametrize("settle", [None, 0.6])
def test_where_nobody_can_say_a_file_rests_for_longer(
    settle: float | None, quick: None, blind: None, folder: Path, follow: Follow
) -> None:
    said = follow(settle=settle)
    content = WHOLE["b.bmp"]
    with (folder / "b.bmp").open("wb") as file:
        file.truncate(len(content))
        file.write(content[: len(content) // 2])
        file.flush()
        time.sleep(0.3)
        assert rows(folder) == []
        file.write(content[len(content) // 2 :])
    wait(lambda: rows(folder))
    assert rows(folder)[0]["sha256"] == hashlib.sha256(content).hexdigest()
    told = (
        "this system does not say whether a program still writes a file, such as b.bmp: files are judged once they "
        "have not changed for 0.6 s (--settle)"
    )
    assert said == ([] if settle else [told])


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_an_image_that_is_written_in_two_halves_is_judged_once_it_is_whole(
    kind: str, quick: None, folder: Path, follow: Follow
) -> None:
    """Closed in between: nobody writes the first half, and it is no whole image."""
    follow()
    content, name = encoded(picture(2000), kind), f"a.{kind.lower()}"
    (folder / name).write_bytes(content[: len(content) // 2])
    time.sleep(0.3)
    assert rows(folder) == []
    with (folder / name).open("ab") as file:
        file.write(content[len(content) // 2 :])
    wait(lambda: rows(folder))
    assert [row["sha256"] for row in rows(folder)] == [hashlib.sha256(content).hexdigest()]


@pytest.mark.parametrize(("content", "code"), [(WHOLE["b.bmp"][:500], "truncated"), (b"", "empty")])
def test_a_file_that_stays_incomplete_is_an_error_after_a_while(
    content: bytes, code: str, quick: None, folder: Path, follow: Follow
) -> None:
    follow()
    (folder / "a.bmp").write_bytes(content)
    wait(lambda: rows(folder))
    (row,) = rows(folder)
    assert (row["verdict"], row["error_code"], row["moved_to"]) == ("ERROR", code, "error/a.bmp")


def test_a_file_that_is_opened_for_writing_while_it_is_judged_is_judged_again(
    model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(writers.LEASES, "leases are Linux's")
    path, inspect = save(folder / "a.png", picture(2000)), Model.inspect
    opened: list[Any] = []

    def opening(self: Model, image: Any, **named: Any) -> Any:
        if not opened:
            opened.append(path.open("ab"))
        return inspect(self, image, **named)

    monkeypatch.setattr(Model, "inspect", opening)
    with Watcher(model, folder, settle=0.0) as one:
        assert list(one.step()) == list(one.step()) == []
        opened[0].close()
        assert [row["verdict"] for row in one.step()] == ["OK"]


def test_asking_for_a_writer_harms_neither_side(tmp_path: Path) -> None:
    """A lease that is broken ends a process unless it is told otherwise; run in one of its own, which must survive."""
    need(writers.LEASES, "leases are Linux's")
    code = f"""
import threading
from pathlib import Path
from anomalib_lite.edge.writers import being_written
path, over = Path({str(tmp_path / "file")!r}), threading.Event()
path.write_bytes(b"x")
def write():
    while not over.is_set():
        path.open("ab").close()
threads = [threading.Thread(target=write) for _ in range(4)]
[thread.start() for thread in threads]
print(sorted(str(one) for one in {{being_written(path) for _ in range(20000)}}))
over.set()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "None" not in done.stdout


def test_what_is_no_plain_file_has_no_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    assert [writers.being_written(tmp_path / name) for name in ("pipe", "link", ".", "gone")] == [False] * 4 or not (
        writers.LEASES
    )


@pytest.mark.parametrize("number", [errno.EACCES, errno.EINVAL, errno.ENOLCK])
def test_a_lease_that_cannot_be_had_says_nothing(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of another user, a file system without leases."""
    need(writers.LEASES, "leases are Linux's")

    def refused(*arguments: object) -> int:
        raise OSError(number, os.strerror(number))

    path = save(tmp_path / "a.png", picture(1))
    assert writers.being_written(path) is False
    monkeypatch.setattr("fcntl.fcntl", refused)
    assert writers.being_written(path) is None


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_share_without_locks_is_refused_for_what_it_is(
    number: int, model: Model, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("fcntl.flock", refused)
    with pytest.raises(DataError, match=r"has no locks \(.*Mount the share with locks, or .* local disk"):
        Watcher(model, folder).__enter__()
    monkeypatch.undo()
    with Watcher(model, folder):
        pass


def test_images_in_dated_folders_are_judged_where_asked_for(model: Model, folder: Path) -> None:
    save(folder / "2026-01-02/part.png", picture(2000))
    save(folder / "2026-01-03/line 1/part.png", picture(2000, defect=True))
    save(folder / "part.png", picture(2000))
    aside = [save(folder / name / "part.png", picture(2000)) for name in ("@eaDir", arrivals.MASKS)]
    with Watcher(model, folder, settle=0.0) as one:
        assert [row["moved_to"] for row in one.step()] == ["ok/part.png"]
        (said,) = one.remarks()
        assert "--recursive judges them, too" in said
    with Watcher(model, folder, settle=0.0, recursive=True) as one:
        found = {row["image"]: row["moved_to"] for row in one.step()}
        assert found == {
            "2026-01-02/part.png": "ok/2026-01-02/part.png",
            "2026-01-03/line 1/part.png": "ng/2026-01-03/line 1/part.png",
        }
        assert all((folder / place).is_file() for place in found.values())
        save(folder / "2026-01-02/part.png", picture(2000))
        assert [row["moved_to"] for row in one.step()] == ["ok/2026-01-02/part-2.png"]
        assert list(one.step()) == []
    assert all(path.is_file() for path in aside)


def test_killed_before_the_move_a_file_of_a_dated_folder_is_moved_at_the_start(model: Model, folder: Path) -> None:
    save(folder / "day/part.png", picture(2000))
    with Watcher(model, folder, settle=0.0, recursive=True) as one:
        list(one.step())
    (folder / "ok/day/part.png").rename(folder / "day/part.png")
    shutil.rmtree(folder / "ok/day")
    with Watcher(model, folder, settle=0.0, recursive=True) as one:
        assert [row["moved_to"] for row in one.step()] == ["ok/day/part.png"]
    assert (folder / "ok/day/part.png").is_file()
    assert len(rows(folder)) == 1
