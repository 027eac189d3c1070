"""A set: what many models share, once, and of each what it has for itself, in a folder of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from anomalib_lite.edge.bundle.archive import MAX_FILES, SUFFIX
from anomalib_lite.edge.bundle.files import MANIFEST, Bundle, Found, found, to_json
from anomalib_lite.edge.bundle.joint import JointBundle, of_any
from anomalib_lite.edge.bundle.signing import Key
from anomalib_lite.edge.bundle.writing import put, refuse_existing
from anomalib_lite.edge.manifest import (
    HEAD,
    HEAD_GLANCE,
    SHARED,
    SHARED_GLANCE,
    Manifest,
    ProductRecord,
    SetManifest,
    is_set,
    listed_files,
    strict,
)
from anomalib_lite.errors import ModelError


@dataclass(frozen=True, eq=False)
class SetBundle:
    """A loaded and verified set: every file of it is what the manifest lists. Products are parsed when asked for."""

    path: Path
    manifest: SetManifest
    model_id: str  # first 12 characters of the manifest's SHA-256
    files: Found

    @cached_property
    def records(self) -> Mapping[str, ProductRecord]:
        """The products by name."""
        return {one.name: one for one in self.manifest.products}

    @property
    def shared(self) -> bytes:
        """The graph that all have in common."""
        return self.files.read(SHARED)

    @property
    def glance(self) -> bytes:
        """The graph that those of their gates have in common."""
        return self.files.read(SHARED_GLANCE)

    def head(self, name: str) -> bytes:
        """What is left of the graph of a product.

        Raises:
            ModelError: It was changed meanwhile.
        """
        return self.files.read(f"{self.records[name].folder}{HEAD}")

    def glance_head(self, name: str) -> bytes:
        """What is left of the graph of its gate. Errors as of `head`."""
        return self.files.read(f"{self.records[name].folder}{HEAD_GLANCE}")

    def product(self, name: str) -> Bundle:
        """The bundle that a product was made of, less its graphs and what no device needs.

        Raises:
            ModelError: Its manifest is none, or lists other files.
        """
        record = self.records[name]
        folder = record.folder
        raw = self.files.read(f"{folder}{MANIFEST}")
        path = self.path / folder
        try:
            document = strict.loads(raw)
        except ValueError as error:
            raise ModelError(f"{path / MANIFEST}: is not a manifest ({error}). Restore the set.") from error
        known = listed_files(document, path)
        listed = {
            one.removeprefix(folder): digest for one, digest in self.files.files.items() if one.startswith(folder)
        }
        own = {one: digest for one, digest in listed.items() if one not in (MANIFEST, HEAD, HEAD_GLANCE)}
        model_id = hashlib.sha256(raw).hexdigest()[:12]
        if not own.items() <= known.items() or model_id != record.model_id:
            raise ModelError(f"{path}: is not the product that {self.path} lists. Restore the set from its origin.")
        kept = {one: self.files.kept[f"{folder}{one}"] for one in own if f"{folder}{one}" in self.files.kept}
        return Bundle(path, Manifest.from_json(document, path), model_id, {**kept, MANIFEST: raw})


def load_every(path: Path, *, trust: Key | None = None) -> Bundle | JointBundle | SetBundle:
    """Open a bundle of any kind, a set among them. Arguments and errors as of `files.load`."""
    outer = found(path, trust)
    return of(outer) if is_set(outer.document) else of_any(outer)


def of(files: Found) -> SetBundle:
    """A set of files that were read, or will be written."""
    return SetBundle(files.path, SetManifest.from_json(files.document, files.path), files.model_id, files)


def drafted(path: Path, manifest: SetManifest, contents: Mapping[str, bytes]) -> SetBundle:
    """A set as `write_set` will write it.

    Args:
        path: Where.
        manifest: `files` are set here.
        contents: Relative names to contents.
    """
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    document = replace(manifest, files=hashes).to_json()
    return of(Found(path, to_json(document), document, hashes, contents))


def write_set(draft: SetBundle, *, overwrite: bool = False) -> SetBundle:
    """Write what was drafted.

    Raises:
        ModelError: As of `writing.write`; or a zip cannot hold so many files.
    """
    path, contents = draft.path, {**draft.files.kept, MANIFEST: draft.files.raw}
    refuse_existing(path, overwrite=overwrite)
    if path.suffix == SUFFIX and len(contents) > MAX_FILES:
        raise ModelError(
            f"{path}: the set has {len(contents):,} files, a zip of a bundle at most {MAX_FILES:,}. Write it to a "
            "folder: leave .zip out of --out."
        )
    put(path, contents)
    loaded = load_every(path)
    assert isinstance(loaded, SetBundle)
    return loaded
