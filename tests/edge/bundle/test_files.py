"""A bundle is written whole or not at all, and refused when anything in it was changed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tracemalloc
import zipfile
from pathlib import Path

import onnx
import pytest
from conftest import recalibrate
from hypothesis import given
from hypothesis import strategies as st
from needs import need

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import archive, protobuf
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ModelError


@pytest.fixture
def copy(model_path: Path, tmp_path: Path) -> Path:
    shutil.copytree(model_path, tmp_path / "model")
    return tmp_path / "model"


def files(path: Path) -> list[str]:
    return sorted(one.relative_to(path).as_posix() for one in path.rglob("*") if one.is_file())


def test_a_changed_byte_anywhere_is_refused(copy: Path) -> None:
    for name in files(copy):
        target = copy / name
        whole = target.read_bytes()
        if name == "manifest.json":
            changed = whole.replace(b'"mode": "stretch"', b'"mode": "letterbox"')
        else:
            middle = len(whole) // 2
            changed = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :] if whole else b"x"
        target.write_bytes(changed)
        with pytest.raises(ModelError):
            Model(copy)
        target.write_bytes(whole)
    Model(copy)


def test_a_missing_file_is_named(copy: Path) -> None:
    for name in files(copy):
        whole = (copy / name).read_bytes()
        (copy / name).unlink()
        with pytest.raises(ModelError, match=name):
            bundle.load(copy)
        (copy / name).write_bytes(whole)


def test_the_thresholds_in_the_graph_cannot_differ_from_the_manifest(copy: Path) -> None:
    """Both files changed with matching hashes, but not alike: the metadata inside the graph gives it away."""
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["calibration"]["thresholds"]["reject"]["value"] *= 10
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="metadata differ"):
        Model(copy)


def test_a_graph_of_another_model_is_refused(copy: Path) -> None:
    other = onnx.load(copy / "model.onnx")
    other.graph.node[0].name = "another"
    manifest = json.loads((copy / "manifest.json").read_text())
    described = {key: value for key, value in manifest.items() if key != "files"}
    content = bundle.with_metadata(other.SerializeToString(), described)
    (copy / "model.onnx").write_bytes(content)
    import hashlib

    manifest["files"]["model.onnx"] = hashlib.sha256(content).hexdigest()
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ModelError, match="not the graph that the manifest describes"):
        Model(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a manifest"),
        ("[]", "not a manifest"),
        ('{"schema_version": 1}', "not a manifest"),
        ('{"schema_version": 99, "files": {}}', "upgrade"),
        ('{"schema_version": 1, "files": {"../model.onnx": "00"}}', "not a file of this bundle"),
    ],
)
def test_a_manifest_that_makes_no_sense_is_refused(copy: Path, text: str, message: str) -> None:
    (copy / "manifest.json").write_text(text)
    with pytest.raises(ModelError, match=message):
        Model(copy)


def test_what_is_not_a_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model bundle here"):
        Model(tmp_path)
    (tmp_path / "model.old").mkdir()
    with pytest.raises(ModelError, match="rename it back"):
        Model(tmp_path / "model")


def contents(path: Path) -> dict[str, bytes]:
    return {name: (path / name).read_bytes() for name in files(path) if name != "manifest.json"}


def test_writing_again_gives_the_same_bytes_but_for_the_manifest(copy: Path, tmp_path: Path) -> None:
    before = bundle.load(copy)
    written = bundle.write(tmp_path / "again", before.manifest, contents(copy))
    assert written.model_id == before.model_id
    assert contents(tmp_path / "again") == contents(copy)


def test_an_interrupted_replacement_leaves_the_old_bundle(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(copy)
    manifest = bundle.load(copy).manifest

    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("anomalib_lite.edge.disk._exchange", fail)
    with pytest.raises(ModelError, match="cannot be written"):
        bundle.write(copy, manifest, before, overwrite=True)
    monkeypatch.undo()
    assert contents(copy) == before
    assert [path.name for path in copy.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("theirs", ["notes.txt", "selfcheck/mine.png", "mine/", "link", ".DS_Store", "deep/er/a.txt"])
def test_what_a_bundle_does_not_list_stops_its_replacement(theirs: str, copy: Path) -> None:
    before = bundle.load(copy)
    place = copy / theirs
    if theirs == "link":
        place.symlink_to(copy.parent)
    elif theirs.endswith("/"):
        place.mkdir()
    else:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("mine")
    there = files(copy)
    with pytest.raises(ModelError, match=rf"holds what its manifest does not list, {theirs}, so nothing replaces it"):
        bundle.write(copy, before.manifest, contents(copy), overwrite=True)
    with pytest.raises(ModelError, match="Move that elsewhere, or choose another --out"):
        recalibrate(copy, copy.parent / "not even looked at")
    assert files(copy) == there
    assert os.path.lexists(place)


def test_files_beside_a_bundle_are_nobody_s_but_their_owner_s(copy: Path) -> None:
    """Whatever they are called: NAME.old is where an earlier version put the old bundle."""
    before = bundle.load(copy)
    for name in ("model.old/notes.txt", "model.tmp/notes.txt", "model.partial/notes.txt"):
        (copy.parent / name).parent.mkdir()
        (copy.parent / name).write_text("mine")
    bundle.write(copy, before.manifest, contents(copy), overwrite=True)
    assert {path.parent.name for path in copy.parent.rglob("notes.txt")} == {"model.old", "model.tmp", "model.partial"}
    assert bundle.load(copy).model_id == before.model_id


@pytest.mark.parametrize("manifest", [b"{}", b'{"name": "a web page", "icons": []}', b"[" * 100_000, b"\xff"])
def test_a_folder_with_another_manifest_is_no_bundle(manifest: bytes, copy: Path) -> None:
    before, kept = bundle.load(copy), contents(copy)
    (copy / "manifest.json").write_bytes(manifest)
    with pytest.raises(ModelError, match="is not a bundle, so nothing replaces it"):
        bundle.write(copy, before.manifest, kept, overwrite=True)
    assert (copy / "manifest.json").read_bytes() == manifest


def test_a_zip_with_further_files_is_not_replaced(copy: Path, tmp_path: Path) -> None:
    before = bundle.load(copy)
    target = tmp_path / "part.zip"
    bundle.write(target, before.manifest, contents(copy))
    bundle.write(target, before.manifest, contents(copy), overwrite=True)
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("notes.txt", "mine")
    for content in (target.read_bytes(), b"no zip", b""):
        target.write_bytes(content)
        with pytest.raises(ModelError, match=r"notes\.txt, so nothing replaces it|is not a bundle"):
            bundle.write(target, before.manifest, contents(copy), overwrite=True)
        assert target.read_bytes() == content


def test_a_full_disk_leaves_the_old_bundle(copy: Path, tmp_path: Path) -> None:
    """On a real file system of 256 kB."""
    need(os.geteuid() == 0 and shutil.which("mount"), "mounting a small tmpfs takes root")
    disk = tmp_path / "disk"
    disk.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], capture_output=True)
    need(done.returncode == 0, "this machine does not allow mounting a tmpfs")
    try:
        manifest = bundle.load(copy).manifest
        small = {name: content for name, content in contents(copy).items() if name != "report.html"}
        bundle.write(disk / "model", manifest, small)
        before = contents(disk / "model")
        with pytest.raises(ModelError, match="No space left"):
            bundle.write(disk / "model", manifest, small | {"report.html": os.urandom(300_000)}, overwrite=True)
        assert contents(disk / "model") == before
        assert [path.name for path in disk.iterdir()] == ["model"]
        Model(disk / "model")
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_metadata_written_without_onnx_are_read_by_onnx(model_path: Path) -> None:
    model = onnx.load_from_string((model_path / "model.onnx").read_bytes())
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == ["anomalib_lite"]
    assert json.loads(model.metadata_props[0].value)["detector"]["name"] == "gauss"


@given(st.lists(st.tuples(st.integers(1, 2000), st.binary(max_size=300)), max_size=8), st.integers(1, 2000))
def test_removing_a_field_keeps_every_other_byte(parts: list[tuple[int, bytes]], removed: int) -> None:
    message = b"".join(protobuf.field(number, content) for number, content in parts)
    assert list(protobuf.fields(message)) == parts
    kept = b"".join(protobuf.field(number, content) for number, content in parts if number != removed)
    assert protobuf.without(message, removed) == kept


@given(st.binary(min_size=1, max_size=64))
def test_any_bytes_are_a_message_or_a_model_error(message: bytes) -> None:
    try:
        parts = [message[one.whole] for one in protobuf.walk(message)]
    except ModelError:
        parts = [message]
    assert b"".join(parts) == message


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx", "manifest.sig"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_not_waited_for(name: str, kind: str, copy: Path) -> None:
    """A pipe keeps who opens it waiting, and a device may never end."""
    need(hasattr(os, "mkfifo"), "pipes")
    target = copy / name
    target.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(target)
    elif kind == "device":
        target.symlink_to("/dev/zero")
    else:
        target.mkdir()
    with pytest.raises(ModelError, match=re.escape(str(copy))):
        bundle.load(copy, trust=UNUSED if name.endswith(".sig") else None)


UNUSED = b"""-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""


@pytest.mark.parametrize("name", ["manifest.json", "model.onnx"])
def test_a_file_beyond_its_limit_is_not_read(name: str, copy: Path) -> None:
    with (copy / name).open("r+b") as file:
        file.truncate(2**34)  # a hole: nothing is on the disk
    with pytest.raises(ModelError, match="17,179,869,184 bytes, more than the"):
        bundle.load(copy)


def test_a_model_that_is_a_pipe_or_a_device_is_refused(tmp_path: Path) -> None:
    need(hasattr(os, "mkfifo"), "pipes")
    os.mkfifo(tmp_path / "model.zip")
    for path in (tmp_path / "model.zip", Path("/dev/zero")):
        with pytest.raises(ModelError, match="no model bundle here"):
            bundle.load(path)


def numbered(*values: str) -> bytes:
    return b'{"files": {}, "schema_version": 1, "more": [' + ",".join(values).encode() + b"]}"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"schema_version": 1, "files": {}, "files": {}}', "'files' is given twice"),
        (b'{"schema_version": true, "files": {}}', "expected a schema_version"),
        (b'{"schema_version": 0, "files": {}}', "expected a schema_version"),
        (b'{"schema_version": 1.0, "files": {}}', "expected a schema_version"),
        (numbered("NaN"), "NaN is no number"),
        (numbered("-Infinity"), "Infinity is no number"),
        (numbered("1e400"), "1e400 is more than a number can be"),
        (numbered("9" * 5000), "is not a manifest"),
        (numbered("[" * 100 + "]" * 100), "nested more than 32 levels"),
        (numbered("[" * 100_000 + "]" * 100_000), "nested more than 32 levels"),
        (numbered('{"a":' * 100 + "1" + "}" * 100), "nested more than 32 levels"),
        (b"{}".decode().encode("utf-16"), "is not a manifest"),
        (b"\xff" * 100, "is not a manifest"),
        (numbered(*["0"] * 4_000_001), "more than the 4,000,000 allowed"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_manifest_is_strict_and_bounded_json(copy: Path, raw: bytes, message: str) -> None:
    (copy / "manifest.json").write_bytes(raw)
    with pytest.raises(ModelError, match=message):
        bundle.load(copy)


@pytest.mark.parametrize("name", ["../a", "/a", "a/../../b", "", ".", "a//b", "C:\\a", "..\\a", "a\0b", "manifest.json",
                                  "manifest.sig"])  # fmt: skip
def test_a_file_outside_of_the_bundle_is_none_of_it(name: str, copy: Path, tmp_path: Path) -> None:
    """As a folder and as a zip: `export` would write what a zip lists."""
    document = json.loads((copy / "manifest.json").read_text())
    document["files"][name] = "00"
    raw = json.dumps(document).encode()
    (copy / "manifest.json").write_bytes(raw)
    (tmp_path / "model.zip").write_bytes(archive.pack({"manifest.json": raw, "a": b""}))
    for path in (copy, tmp_path / "model.zip"):
        with pytest.raises(ModelError, match="is not a file of this bundle"):
            bundle.load(path)


def test_the_digest_of_many_small_fields_takes_their_bytes_and_no_more() -> None:
    message = protobuf.field(3, b"") * 400_000
    tracemalloc.start()
    bundle.graph_digest(message)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000
    with pytest.raises(ModelError, match="more than 1,000,000 fields"):
        bundle.graph_digest(message * 3)
