"""Objects as files here: names that collide elsewhere, servers that list nothing, and addresses with secrets."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from anomalib_lite.data.addresses import Remote, content, fetched, listed, refuse_secrets
from anomalib_lite.errors import DataError, ImageError

fsspec = pytest.importorskip("fsspec")


def test_objects_whose_names_differ_in_case_or_lead_out_are_files_of_their_own(tmp_path: Path) -> None:
    store = fsspec.filesystem("memory")
    keys = ["A.png", "a.png", "..\\..\\a.png", "C:\\a.png", "x" * 240 + ".png", "a.png#1", "scan.nii.gz", "b"]
    for key in keys:
        store.pipe_file(f"/odd/{key}", key.encode())
    found = [Remote(f"memory://odd/{key}", "memory://odd") for key in keys]
    files = [file for file in fetched(found, tmp_path / "scratch") if isinstance(file, Path)]
    store.rm("/odd", recursive=True)
    assert [file.read_bytes().decode() for file in files] == keys
    assert {file.parent for file in files} == {tmp_path / "scratch"}
    assert len({file.name.lower() for file in files}) == len(keys)
    assert [file.name.partition(".")[2] for file in files] == ["png"] * 5 + ["", "nii.gz", ""]
    assert not [one for one in found if set(one.path.name) & set("\\:")]


@pytest.mark.parametrize(
    "address",
    [
        "https://host.invalid/x.png?X-Amz-Signature=hunter2",
        "https://host.invalid?sig=hunter2",
        "sftp://user:hunter2@host.invalid/x.png",
        "sftp://user:hunter/2@host.invalid",
        "sftp://user:hunter2@8@host.invalid/",
    ],
)
def test_no_secret_of_an_address_is_told(address: str) -> None:
    for asked in (refuse_secrets, content, lambda one: listed(one, lambda name: True)):
        with pytest.raises(DataError, match="this address holds a password or a query") as raised:
            asked(address)
        assert "hunter" not in str(raised.value)


@pytest.mark.parametrize(
    "address",
    [
        "abfs://box@account.dfs.core.windows.net/a:b@c/x.png",
        "http://host:80/a@b.png",
        "s3://b/12:30@7.png",
        "file:///a",
    ],
)
def test_what_is_no_secret_is_taken(address: str) -> None:
    refuse_secrets(address)


class Quiet(SimpleHTTPRequestHandler):
    """Says nothing, and lists nothing."""

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""

    def list_directory(self, path: object) -> None:
        """Nothing is listed."""
        self.send_error(404)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "served"))) as one:
        thread = Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def test_images_of_the_web_are_fetched_and_one_that_is_gone_costs_its_own_row_alone(
    server: str, tmp_path: Path
) -> None:
    pytest.importorskip("aiohttp")
    (tmp_path / "served/a.png").write_bytes(b"an image")
    (one,) = listed(f"{server}/a.png", lambda name: True)
    files = list(fetched([one, Remote(f"{server}/b.png", server)], tmp_path))
    assert isinstance(files[0], Path)
    assert files[0].read_bytes() == b"an image"
    assert isinstance(files[1], ImageError)
    assert files[1].code == "missing"
