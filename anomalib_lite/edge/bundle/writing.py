"""Writes a bundle whole or not at all, and replaces one: what it lists, and never what somebody else put there."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from anomalib_lite.edge import disk
from anomalib_lite.edge.bundle import archive, reading
from anomalib_lite.edge.bundle.files import GRAPH, MANIFEST, Bundle, graph_digest, load, to_json, with_metadata
from anomalib_lite.edge.bundle.signing import Signer
from anomalib_lite.edge.manifest import SIGNATURE, Manifest, described, listed_files, strict
from anomalib_lite.errors import ModelError

SHOWN = 3  # files in a message


def write(
    path: Path,
    manifest: Manifest,
    files: Mapping[str, bytes],
    *,
    overwrite: bool = False,
    sign: Signer | None = None,
) -> Bundle:
    """Write a bundle: to a temporary place beside it, synced, then renamed.

    Args:
        path: The folder to make, or the zip where the name ends so.
        manifest: `files` and `graph_sha256` are set here.
        files: Relative names to contents; `model.onnx` gets the manifest as its metadata.
        overwrite: Replace an existing bundle: the files that it lists, and no others.
        sign: What signs its manifest, where it is signed.

    Raises:
        ModelError: `path` exists and `overwrite` is False, it holds what is not of a bundle, or the disk does not take
            it. Nothing is changed then.
    """
    refuse_existing(path, overwrite=overwrite)
    manifest = replace(manifest, graph_sha256=graph_digest(files[GRAPH]), files={})
    contents = {**files, GRAPH: with_metadata(files[GRAPH], described(manifest.to_json()))}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    contents[MANIFEST] = to_json(replace(manifest, files=hashes).to_json())
    if sign is not None:
        contents[SIGNATURE] = sign(contents[MANIFEST])
    put(path, contents)
    return load(path)


def put(path: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, or replace those of one.

    Raises:
        ModelError: The disk does not take them. Nothing is changed then.
    """
    try:
        if path.suffix == archive.SUFFIX:
            disk.write(path, archive.pack(contents))
        else:
            disk.write_folder(path, contents, _replaceable)
    except BlockingIOError as error:
        raise ModelError(f"{path}: another process is writing it. Choose another --out, or wait for it.") from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be written ({error.strerror}). Make room or choose another --out.") from error


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise a ModelError if `path` exists and may not be replaced, or holds what a bundle does not list."""
    if not os.path.lexists(path):
        return
    if not overwrite:
        raise ModelError(f"{path} exists. Choose another --out, or replace it with --overwrite.")
    _replaceable(path)


def _replaceable(path: Path) -> set[str]:
    """The files of a bundle that is there.

    Raises:
        ModelError: It is none, or there are others.
    """
    there = _names_in_zip(path) if path.is_file() else _names_in_folder(path)
    if not there and path.is_dir():
        return set()
    listed = _listed(path) if MANIFEST in there else None
    if listed is None:
        raise ModelError(f"{path} is not a bundle, so nothing replaces it. Choose another --out.")
    if others := sorted(there - listed):
        more = f" and {len(others) - SHOWN:,} more" if len(others) > SHOWN else ""
        raise ModelError(
            f"{path} holds what its manifest does not list, {', '.join(others[:SHOWN])}{more}, so nothing replaces it. "
            "Move that elsewhere, or choose another --out."
        )
    return there


def _listed(path: Path) -> set[str] | None:
    """What the manifest of a bundle lists, and itself with its signature; None where it is none."""
    try:
        if path.is_file():
            with archive.opened(path) as packed:
                raw = packed.read(MANIFEST, strict.MAX_BYTES)
        else:
            raw = reading.content(path / MANIFEST, strict.MAX_BYTES)
        return None if raw is None else {*listed_files(strict.loads(raw), path), MANIFEST, SIGNATURE}
    except (OSError, ValueError, ModelError):
        return None


def _names_in_zip(path: Path) -> set[str]:
    try:
        with zipfile.ZipFile(path) as archived:
            return {entry.filename for entry in archived.infolist()}
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return {path.name}


def _names_in_folder(path: Path) -> set[str]:
    """Every file below a folder; links to folders count as files, and so does a folder without any."""
    names: set[str] = set()
    for folder, below, files in os.walk(path):
        inside = Path(folder).relative_to(path)
        links = [name for name in below if (Path(folder) / name).is_symlink()]
        names |= {(inside / name).as_posix() for name in (*files, *links)}
        if not below and not files and inside != Path():
            names.add(f"{inside.as_posix()}/")
    return names
