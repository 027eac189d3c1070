"""A trained model as a folder or a zip: read, and refused when anything in it was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.edge import quoting
from anomalib_lite.edge.bundle import archive, protobuf
from anomalib_lite.edge.manifest import FILE, Manifest, described, listed_files
from anomalib_lite.errors import ModelError

MANIFEST, GRAPH = FILE, "model.onnx"
METADATA_KEY = "anomalib_lite"
MAX_BYTES = 512 * 2**20  # of a graph, and of any other file of a bundle
_METADATA_FIELD = 14  # ModelProto.metadata_props, onnx.proto


@dataclass(frozen=True, eq=False)
class Bundle:
    """A loaded and verified bundle."""

    path: Path
    manifest: Manifest
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
        return self.kept[name] if name in self.kept else _checked(self.path, name, self.manifest.files)


def load(path: Path) -> Bundle:
    """Open a bundle, a folder or a zip, and verify every file against the manifest's hashes.

    A folder is read again where its files are needed; a zip is kept in memory.

    Raises:
        ModelError: It is missing, incomplete, altered, or written by a newer version.
    """
    held = archive.unpack(path) if path.is_file() else None
    raw = _manifest_bytes(path) if held is None else _held_manifest(path, held)
    document = _document(path, raw)
    files = listed_files(document, path)
    for name in files:
        if held is None:
            _checked(path, name, files)
        else:
            _verified(path / name, held.get(name), files[name])
    if GRAPH not in files:
        raise ModelError(f"{path}: the manifest lists no {GRAPH}. Restore the bundle from its origin.")
    manifest = Manifest.from_json(document, path)
    graph = _checked(path, GRAPH, files) if held is None else held[GRAPH]
    if graph_digest(graph) != manifest.graph_sha256:
        raise ModelError(f"{path / GRAPH}: is not the graph that the manifest describes. Restore the bundle.")
    if described(metadata(graph)) != described(document):
        raise ModelError(f"{path / GRAPH}: its metadata differ from {MANIFEST}. Restore the bundle from its origin.")
    kept = {GRAPH: graph} if held is None else {name: held[name] for name in files}
    return Bundle(path, manifest, hashlib.sha256(raw).hexdigest()[:12], kept)


def to_json(data: Mapping[str, Any]) -> bytes:
    """Strict JSON with sorted keys, the same bytes for the same content."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return quoting.json_escaped(text).encode("utf-8", "backslashreplace") + b"\n"  # names that are no UTF-8 as well


def graph_digest(graph: bytes) -> str:
    """SHA-256 of an ONNX file without its metadata: the same after a new calibration."""
    return hashlib.sha256(protobuf.without(graph, _METADATA_FIELD)).hexdigest()


def with_metadata(graph: bytes, document: Mapping[str, Any]) -> bytes:
    """The ONNX file with the manifest as its only metadata. The graph itself is not touched."""
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    entry = protobuf.field(1, METADATA_KEY.encode()) + protobuf.field(2, text)
    return protobuf.without(graph, _METADATA_FIELD) + protobuf.field(_METADATA_FIELD, entry)


def metadata(graph: bytes) -> dict[str, Any]:
    """What `with_metadata` put into an ONNX file; empty where there is nothing."""
    for number, _, content in protobuf.fields(graph):
        if number == _METADATA_FIELD:
            entry = {key: value for key, _, value in protobuf.fields(content)}
            if entry.get(1) == METADATA_KEY.encode():
                try:
                    return dict(json.loads(entry[2]))
                except (KeyError, ValueError, TypeError, RecursionError) as error:
                    raise ModelError(f"the graph's metadata are no manifest ({error!r}): restore it.") from error
    return {}


def _manifest_bytes(path: Path) -> bytes:
    try:
        return (path / MANIFEST).read_bytes()
    except OSError as error:
        old = path.with_name(path.name + ".old")
        if not path.exists() and old.exists():
            raise ModelError(f"{path} is missing, and {old} was kept: rename it back to {path.name}.") from error
        raise ModelError(
            f"{path}: no model bundle here ({MANIFEST}: {error.strerror}). Give what `train` or `export` made."
        ) from error


def _held_manifest(path: Path, held: Mapping[str, bytes]) -> bytes:
    if MANIFEST not in held:
        raise ModelError(f"{path}: no model bundle in this zip ({MANIFEST} is missing). Give one that `export` made.")
    return held[MANIFEST]


def _document(path: Path, raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ModelError(
            f"{path / MANIFEST}: is not a manifest ({error!r}). Restore the bundle from its origin."
        ) from error


def _checked(path: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    target = path / name
    if name not in hashes or not target.resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{path}: '{name}' is not a file of this bundle.")
    try:
        if target.stat().st_size > MAX_BYTES:
            raise ModelError(f"{target}: larger than {MAX_BYTES:,} bytes, as no file of a bundle is.")
        data = target.read_bytes()
    except OSError as error:
        raise ModelError(f"{target}: cannot be read ({error.strerror}). Restore the bundle from its origin.") from error
    return _verified(target, data, hashes[name])


def _verified(target: Path, data: bytes | None, digest: str) -> bytes:
    """The contents of a file, if they are what the manifest says."""
    if data is None:
        raise ModelError(f"{target}: is missing. Restore the bundle from its origin.")
    if hashlib.sha256(data).hexdigest() != digest:
        raise ModelError(f"{target}: was changed since the bundle was written (SHA-256). Restore it from its origin.")
    return data
