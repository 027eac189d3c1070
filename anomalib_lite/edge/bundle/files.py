"""A trained model as a folder or a zip: read, and refused when anything in it was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from anomalib_lite.edge import quoting
from anomalib_lite.edge.bundle import archive, protobuf, reading, signing
from anomalib_lite.edge.bundle.signing import Key
from anomalib_lite.edge.manifest import (
    FILE,
    MEMBERS,
    PRODUCTS,
    SIGNATURE,
    Manifest,
    described,
    is_joint,
    is_set,
    listed_files,
    strict,
)
from anomalib_lite.errors import ModelError

MANIFEST, GRAPH = FILE, "model.onnx"
METADATA_KEY = "anomalib_lite"
KEPT = (GRAPH, FILE)  # of the files in a folder: graphs, and the manifests of members
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


@dataclass(frozen=True, eq=False)
class Found:
    """A bundle that was read: every file is what its manifest lists; what that says is not looked at yet."""

    path: Path
    raw: bytes  # the manifest's file
    document: Any  # the same as JSON
    files: Mapping[str, str]  # name -> SHA-256
    kept: Mapping[str, bytes]  # contents: of a zip all of them, of a folder those that `KEPT` names

    @property
    def model_id(self) -> str:
        """First 12 characters of the SHA-256 of the manifest."""
        return hashlib.sha256(self.raw).hexdigest()[:12]

    def read(self, name: str) -> bytes:
        """The bytes of a file. Errors as of `Bundle.read`."""
        return self.kept[name] if name in self.kept else _checked(self.path, name, self.files)

    def bundle(self) -> Bundle:
        """It, as a model.

        Raises:
            ModelError: It is several models, or its graph is not the one that the manifest describes.
        """
        if is_set(self.document):
            raise ModelError(
                f"{self.path}: is a set of several products: say which one with --product NAME (`predict`, `evaluate`, "
                "`watch`, `serve`, `verify`), or load it with anomalib_lite.edge.ModelSet. For all else give the model "
                "that it was made of."
            )
        if is_joint(self.document):
            raise ModelError(
                f"{self.path}: is a joint model, of several models that decide together: it takes all photographs of a "
                f"part (`predict --group`, `anomalib_lite.edge.Joint`). Each lies in {self.path / MEMBERS} as a model."
            )
        graph = _graph(self.path, self.document, self.kept)
        manifest = Manifest.from_json(self.document, self.path)
        if graph_digest(graph) != manifest.graph_sha256:
            raise ModelError(f"{self.path / GRAPH}: is not the graph that the manifest describes. Restore the bundle.")
        return Bundle(self.path, manifest, self.model_id, {**self.kept, MANIFEST: self.raw})


def load(path: Path, *, trust: Key | None = None) -> Bundle:
    """Open a bundle, a folder or a zip, and verify every file against the manifest's hashes.

    A folder is read again where its files are needed; a zip is kept in memory.

    Args:
        path: The bundle.
        trust: Whose signature it has to carry; None where that does not matter. See `signing`.

    Raises:
        ModelError: It is missing, incomplete, altered, not signed with that key, a joint one, or written by a newer
            version.
        ConfigError: The key cannot be used.
    """
    return found(path, trust).bundle()


def found(path: Path, trust: Key | None = None) -> Found:
    """Read a bundle and verify its files. Arguments and errors as of `load`, but that it may be a joint one."""
    if path.is_file():
        with archive.opened(path) as packed:
            raw = packed.read(MANIFEST, strict.MAX_BYTES)
            if raw is None:
                raise ModelError(f"{path}: no model bundle in this zip (no {MANIFEST}). Give one that `export` made.")
            if trust is not None:
                signing.check(path, raw, packed.read(SIGNATURE, signing.MAX_BYTES), trust)
            document, files = _document(path, raw)
            packed.refuse_others({*files, MANIFEST, SIGNATURE})
            kept = {name: _verified(path / name, packed.read(name, MAX_BYTES), files[name]) for name in files}
    else:
        if path.absolute().parent.name == PRODUCTS and (outer := path.absolute().parents[1] / MANIFEST).is_file():
            raise ModelError(f"{path}: is a product of the set {outer.parent}: give that, with --product {path.name}.")
        raw = _manifest_bytes(path)
        if trust is not None:
            signing.check(path, raw, _signature_bytes(path), trust)
        document, files = _document(path, raw)
        checked = ((name, _checked(path, name, files)) for name in files)
        kept = {name: content for name, content in checked if PurePosixPath(name).name in KEPT}
    return Found(path, raw, document, files, kept)


def inside(outer: Found, folder: str) -> Found:
    """The bundle in a folder of another one, whose files were verified.

    Args:
        outer: The other one.
        folder: With a slash at its end.

    Raises:
        ModelError: It is not there, or the two list other files.
    """
    path = outer.path / folder
    kept = {name.removeprefix(folder): one for name, one in outer.kept.items() if name.startswith(folder)}
    listed = {name.removeprefix(folder): one for name, one in outer.files.items() if name.startswith(folder)}
    if MANIFEST not in kept:
        raise ModelError(f"{path}: no model bundle here. Restore the bundle from its origin.")
    document, files = _document(path, raw := kept[MANIFEST])
    if dict(files) != {name: one for name, one in listed.items() if name not in (MANIFEST, SIGNATURE)}:
        raise ModelError(f"{path}: lists other files than {outer.path} does. Restore the bundle from its origin.")
    return Found(path, raw, document, files, kept)


def to_json(data: Mapping[str, Any]) -> bytes:
    """Strict JSON with sorted keys, the same bytes for the same content."""
    text = json.dumps(data, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return quoting.json_escaped(text).encode("utf-8", "backslashreplace") + b"\n"  # names that are no UTF-8 as well


def graph_digest(graph: bytes) -> str:
    """SHA-256 of an ONNX file without its metadata: the same after a new calibration.

    Raises:
        ModelError: It is no ONNX file.
    """
    digest = hashlib.sha256()
    for part in protobuf.parts_without(graph, _METADATA_FIELD):
        digest.update(part)
    return digest.hexdigest()


def with_metadata(graph: bytes, document: Mapping[str, Any]) -> bytes:
    """The ONNX file with the manifest as its only metadata. The graph itself is not touched."""
    text = json.dumps(document, sort_keys=True, allow_nan=False, separators=(",", ":")).encode()
    entry = protobuf.field(1, METADATA_KEY.encode()) + protobuf.field(2, text)
    return protobuf.without(graph, _METADATA_FIELD) + protobuf.field(_METADATA_FIELD, entry)


def metadata(graph: bytes) -> dict[str, Any]:
    """What `with_metadata` put into an ONNX file; empty where there is nothing.

    Raises:
        ModelError: It is no ONNX file, or that is no manifest.
    """
    for number, content in protobuf.fields(graph):
        if number == _METADATA_FIELD:
            entry = dict(protobuf.fields(content))
            if entry.get(1) == METADATA_KEY.encode():
                try:
                    return dict(strict.loads(entry[2]))
                except (KeyError, ValueError, TypeError) as error:
                    raise ModelError(f"the graph's metadata are no manifest ({error}): restore it.") from error
    return {}


def _graph(path: Path, document: Mapping[str, Any], kept: Mapping[str, bytes]) -> bytes:
    """The graph of a bundle, whose metadata say what the manifest says."""
    if GRAPH not in kept:
        raise ModelError(f"{path}: the manifest lists no {GRAPH}. Restore the bundle from its origin.")
    if described(metadata(kept[GRAPH])) != described(document):
        raise ModelError(f"{path / GRAPH}: its metadata differ from {MANIFEST}. Restore the bundle from its origin.")
    return kept[GRAPH]


def _manifest_bytes(path: Path) -> bytes:
    try:
        return reading.content(path / MANIFEST, strict.MAX_BYTES)
    except OSError as error:
        old = path.with_name(path.name + ".old")
        if not path.exists() and old.exists():
            raise ModelError(f"{path} is missing, and {old} was kept: rename it back to {path.name}.") from error
        raise ModelError(
            f"{path}: no model bundle here ({MANIFEST}: {error.strerror}). Give what `train` or `export` made."
        ) from error


def _signature_bytes(path: Path) -> bytes | None:
    try:
        return reading.content(path / SIGNATURE, signing.MAX_BYTES)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path / SIGNATURE}: cannot be read ({error.strerror}). Check its permissions.") from error


def _document(path: Path, raw: bytes) -> tuple[Any, Mapping[str, str]]:
    """The manifest as JSON, and the files that it lists."""
    try:
        document = strict.loads(raw)
    except ValueError as error:
        raise ModelError(
            f"{path / MANIFEST}: is not a manifest ({error}). Restore the bundle from its origin."
        ) from error
    return document, listed_files(document, path)


def _checked(path: Path, name: str, hashes: Mapping[str, str]) -> bytes:
    target = path / name
    if name not in hashes or not target.resolve().is_relative_to(path.resolve()):
        raise ModelError(f"{path}: '{name}' is not a file of this bundle.")
    try:
        data = reading.content(target, MAX_BYTES)
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
