"""Bundles as a stranger may write them: with sound hashes and metadata, whatever the manifest and the graph say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import GRAPH, MANIFEST, METADATA_KEY, protobuf
from anomalib_lite.edge.manifest import described
from anomalib_lite.errors import ModelError

METADATA = 14  # ModelProto.metadata_props


def contents(path: Path) -> dict[str, bytes]:
    """The files of a bundle that is a folder."""
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def made(files: Mapping[str, bytes], document: Any, graph: bytes | None = None) -> dict[str, bytes]:
    """The files with another manifest, and another graph where one is given; everything that can agree agrees."""
    graph = files[GRAPH] if graph is None else graph
    if not isinstance(document, dict):
        return {**files, MANIFEST: json.dumps(document).encode()}
    try:
        digest, bare = bundle.graph_digest(graph), protobuf.without(graph, METADATA)
    except ModelError:  # no ONNX file: nothing can agree with it
        digest, bare = document.get("graph_sha256", ""), graph
    document = document | {"graph_sha256": document.get("graph_sha256") if graph == files[GRAPH] else digest}
    text = json.dumps(described(document)).encode()
    whole = bare + protobuf.field(METADATA, protobuf.field(1, METADATA_KEY.encode()) + protobuf.field(2, text))
    if isinstance(document.get("files"), dict):
        document["files"] = {
            **document["files"],
            **{name: hashlib.sha256(one).hexdigest() for name, one in files.items() if name in document["files"]},
        }
        if GRAPH in document["files"]:
            document["files"][GRAPH] = hashlib.sha256(whole).hexdigest()
    return {**files, GRAPH: whole, MANIFEST: json.dumps(document).encode()}


def put(path: Path, files: Mapping[str, bytes]) -> Path:
    """Write files into a folder."""
    for name, content in files.items():
        target = path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    return path
