"""A trained model as one folder: written whole or not at all, and refused when anything in it was changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.edge import protobuf
from anomalib_lite.errors import ModelError

SCHEMA_VERSION = 1
MANIFEST, GRAPH = "manifest.json", "model.onnx"
METADATA_KEY = "anomalib_lite"
MAX_BYTES = 512 * 2**20  # of a graph, and of any other file of a bundle
_METADATA_FIELD = 14  # ModelProto.metadata_props, onnx.proto


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded and verified bundle."""

    path: Path
    manifest: Mapping[str, Any]
    model_id: str  # first 12 characters of the manifest's SHA-256; empty before it is written
    kept: Mapping[str, bytes]  # contents in memory, the graph among them

    @property
    def graph(self) -> bytes:
        """The ONNX file."""
        return self.kept[GRAPH]

    def read(self, name: str) -> bytes:
        """The bytes of a file of the bundle.

        Raises:
            ModelError: The manifest does not list it, it is missing, or it was changed.
        """
        return self.kept[name] if name in self.kept else _checked(self.path, name, self.manifest["files"])


def load(path: Path) -> Bundle:
    """Open a bundle and verify every file against the manifest's hashes.

    Raises:
        ModelError: It is missing, incomplete, altered, or written by a newer version.
    """
    raw = _manifest_bytes(path)
    try:
        manifest = json.loads(raw)
        version, files = manifest["schema_version"], manifest["files"]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{path / MANIFEST}: is not a manifest ({error!r}). Restore the bundle from its origin."
        ) from error
    if version > SCHEMA_VERSION:
        raise ModelError(f"{path}: manifest schema {version} is newer than {SCHEMA_VERSION}: upgrade anomalib-lite.")
    for name in files:
        _checked(path, name, files)
    graph = _checked(path, GRAPH, files)
    if graph_digest(graph) != manifest.get("graph_sha256"):
        raise ModelError(f"{path / GRAPH}: is not the graph that the manifest describes. Restore the bundle.")
    if metadata(graph) != _described(manifest):
        raise ModelError(f"{path / GRAPH}: its metadata differ from {MANIFEST}. Restore the bundle from its origin.")
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest()[:12], {GRAPH: graph})


def write(path: Path, manifest: Mapping[str, Any], files: Mapping[str, bytes], *, overwrite: bool = False) -> Bundle:
    """Write a bundle: to a temporary folder beside it, synced, then renamed.

    Args:
        path: The folder to make.
        manifest: Without `files` and `graph_sha256`, which are added here.
        files: Relative names to contents; `model.onnx` gets the manifest as its metadata.
        overwrite: Replace an existing bundle. The old one is renamed to `NAME.old` first and removed last.

    Raises:
        ModelError: `path` exists and `overwrite` is False, or the disk does not take it. Nothing is changed then.
    """
    refuse_existing(path, overwrite=overwrite)
    described = {**manifest, "graph_sha256": graph_digest(files[GRAPH])}
    contents = {**files, GRAPH: with_metadata(files[GRAPH], _described(described))}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    contents[MANIFEST] = to_json({**described, "files": hashes})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_folder(temporary, contents)
        _replace(temporary, path)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise ModelError(f"{path}: cannot be written ({error.strerror}). Make room or choose another --out.") from error
    return load(path)


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise a ModelError if `path` exists and may not be replaced."""
    if path.exists() and not overwrite:
        raise ModelError(f"{path} exists. Choose another --out, or replace it with --overwrite.")
    if path.exists() and not (path / MANIFEST).is_file() and (not path.is_dir() or any(path.iterdir())):
        raise ModelError(f"{path} is not a bundle, so --overwrite does not remove it. Choose another --out.")


def to_json(data: Mapping[str, Any]) -> bytes:
    """Strict JSON with sorted keys, the same bytes for the same content."""
    return json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False).encode() + b"\n"


def graph_digest(graph: bytes) -> str:
    """SHA-256 of an ONNX file without its metadata: the same after a new calibration."""
    return hashlib.sha256(protobuf.without(graph, _METADATA_FIELD)).hexdigest()


def with_metadata(graph: bytes, described: Mapping[str, Any]) -> bytes:
    """The ONNX file with the manifest as its only metadata. The graph itself is not touched."""
    text = json.dumps(described, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    entry = protobuf.field(1, METADATA_KEY.encode()) + protobuf.field(2, text)
    return protobuf.without(graph, _METADATA_FIELD) + protobuf.field(_METADATA_FIELD, entry)


def metadata(graph: bytes) -> Any:
    """What `with_metadata` put into an ONNX file, or None."""
    for number, _, content in protobuf.fields(graph):
        if number == _METADATA_FIELD:
            entry = {key: value for key, _, value in protobuf.fields(content)}
            if entry.get(1) == METADATA_KEY.encode():
                return json.loads(entry[2])
    return None


def _described(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest without file hashes, which cannot be inside a file that they cover."""
    return {key: value for key, value in manifest.items() if key != "files"}


def _manifest_bytes(path: Path) -> bytes:
    try:
        return (path / MANIFEST).read_bytes()
    except OSError as error:
        old = path.with_name(path.name + ".old")
        if not path.exists() and old.exists():
            raise ModelError(f"{path} is missing, and {old} was kept: rename it back to {path.name}.") from error
        raise ModelError(
            f"{path}: no model bundle here ({MANIFEST}: {error.strerror}). Give a folder that `train` made."
        ) from error


def _checked(path: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    target = path / name
    if name not in hashes or not target.resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{path}: '{name}' is not a file of this bundle.")
    try:
        data = target.read_bytes()
    except OSError as error:
        raise ModelError(f"{target}: cannot be read ({error.strerror}). Restore the bundle from its origin.") from error
    if hashlib.sha256(data).hexdigest() != hashes[name]:
        raise ModelError(f"{target}: was changed since the bundle was written (SHA-256). Restore it from its origin.")
    return data


def _write_folder(folder: Path, contents: Mapping[str, bytes]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in contents.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    for directory in {(folder / name).parent for name in contents}:
        _sync_folder(directory)


def _replace(temporary: Path, path: Path) -> None:
    old = path.with_name(path.name + ".old")
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
        path.rename(old)
    try:
        temporary.rename(path)
    except OSError:
        if old.exists():
            old.rename(path)
        raise
    _sync_folder(path.parent)
    shutil.rmtree(old, ignore_errors=True)


def _sync_folder(folder: Path) -> None:
    with contextlib.suppress(OSError, PermissionError):  # not every system can open a folder
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
