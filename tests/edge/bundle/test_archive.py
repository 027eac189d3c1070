"""A bundle as a zip: whatever is wrong with it is a `ModelError`."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from anomalib_lite.edge.bundle import archive
from anomalib_lite.errors import ModelError

CONTENT = {"manifest.json": bytes(range(256)) * 8, "model.onnx": b"graph"}


def test_unpacking_gives_what_was_packed(tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(archive.pack(CONTENT))
    assert archive.unpack(tmp_path / "a.zip") == CONTENT


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
            archive.unpack(path)
