"""A bundle as a zip: bounded before anything of it is read whole, and whatever is wrong with it is a `ModelError`."""

from __future__ import annotations

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from conftest import call

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import archive
from anomalib_lite.edge.manifest import SIGNATURE
from anomalib_lite.errors import ModelError

CONTENT = {"manifest.json": bytes(range(256)) * 8, "model.onnx": b"graph"}


def unpacked(path: Path) -> dict[str, bytes | None]:
    with archive.opened(path) as packed:
        return {name: packed.read(name, 2**20) for name in CONTENT}


@pytest.fixture
def contents(model_path: Path) -> dict[str, bytes]:
    """What a zip of the tests' model holds."""
    loaded = bundle.load(model_path)
    names = [*loaded.manifest.files, "manifest.json"]
    return {name: (model_path / name).read_bytes() for name in names}


def zipped(path: Path, contents: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip, packed by another tool."""
    with zipfile.ZipFile(path, "w", method) as target:
        for name, content in contents.items():
            target.writestr(name, content)
    return path


def refused(path: Path, message: str) -> None:
    """Refused with this message, within memory for what a bundle is."""
    tracemalloc.start()
    with pytest.raises(ModelError, match=message):
        bundle.load(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**24


def test_unpacking_gives_what_was_packed(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive.pack(CONTENT))
    assert unpacked(tmp_path / "a.zip") == CONTENT


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_bytes_are_said_however_they_were_packed(method: int, tmp_path: Path) -> None:
    """Users zip a folder again with tools that compress."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as target:
        target.writestr("manifest.json", CONTENT["manifest.json"])
        end = target.fp.tell() if target.fp else 0
    whole = path.read_bytes()
    for damaged in (slice(end - 40, end - 20), slice(end - 200, end - 100)):
        inverted = bytes(byte ^ 0xFF for byte in whole[damaged])
        path.write_bytes(whole[: damaged.start] + inverted + whole[damaged.stop :])
        with pytest.raises(ModelError, match=r"a\.zip"):
            unpacked(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_bundle_that_was_zipped_again_is_one(method: int, contents: dict[str, bytes], tmp_path: Path) -> None:
    path = zipped(tmp_path / "a.zip", contents, method)
    assert bundle.load(path).model_id == bundle.load(path).model_id
    with zipfile.ZipFile(path, "a") as target:
        target.writestr("a folder/", b"")  # as zip tools write them
    assert call("verify", path) == 0


@pytest.mark.parametrize("name", ["extra.bin", "MANIFEST.JSON", "../evil", "a\nb"])
def test_a_file_that_the_manifest_does_not_list_is_refused_unread(
    name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    refused(zipped(tmp_path / "a.zip", contents | {name: bytes(2**25)}), "which its manifest does not list")


def test_a_signature_may_be_there(contents: dict[str, bytes], tmp_path: Path) -> None:
    bundle.load(zipped(tmp_path / "a.zip", contents | {SIGNATURE: bytes(64)}))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_ways_of_packing_without_a_bound_are_refused(method: int, contents: dict[str, bytes], tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", contents, method), "stored or deflated")


def test_a_file_that_is_larger_than_it_says_is_not_unpacked(contents: dict[str, bytes], tmp_path: Path) -> None:
    """The table of contents says 10 bytes, and 100 million come out."""
    path = zipped(tmp_path / "a.zip", {"manifest.json": bytes(10**8)})
    whole = bytearray(path.read_bytes())
    struct.pack_into("<I", whole, whole.rfind(b"PK\1\2") + 24, 10)
    path.write_bytes(whole)
    refused(path, r"a\.zip")


def test_a_small_zip_cannot_become_large(contents: dict[str, bytes], tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", contents | {"weights": bytes(10**8)}), "in a zip of this size")


def test_a_table_of_contents_is_bounded(tmp_path: Path) -> None:
    refused(zipped(tmp_path / "a.zip", {f"{number}" * 20: b"" for number in range(30_000)}), "table of contents")
    refused(zipped(tmp_path / "b.zip", {str(number): b"" for number in range(2_000)}), "2,000 files")
