"""A joint bundle: those of its members, each in a folder of its own, and a manifest that says how they decide."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from anomalib_lite.edge.bundle.files import MANIFEST, Bundle, Found, found, inside, to_json
from anomalib_lite.edge.bundle.signing import Key
from anomalib_lite.edge.bundle.writing import put, refuse_existing
from anomalib_lite.edge.manifest import JointManifest, is_joint


@dataclass(frozen=True, eq=False)
class JointBundle:
    """A loaded and verified joint bundle."""

    path: Path
    manifest: JointManifest
    model_id: str  # first 12 characters of the manifest's SHA-256
    members: Mapping[str, Bundle]


def load_any(path: Path, *, trust: Key | None = None) -> Bundle | JointBundle:
    """Open a bundle of either kind. Arguments and errors as of `files.load`."""
    return of_any(found(path, trust))


def of_any(outer: Found) -> Bundle | JointBundle:
    """What was read, as a bundle of either kind. Errors as of `files.load`."""
    if not is_joint(outer.document):
        return outer.bundle()
    manifest = JointManifest.from_json(outer.document, outer.path)
    members = {one.name: inside(outer, one.folder).bundle() for one in manifest.members}
    return JointBundle(outer.path, manifest, outer.model_id, members)


def write_joint(
    path: Path, manifest: JointManifest, members: Mapping[str, Bundle], *, overwrite: bool = False
) -> JointBundle:
    """Write a joint bundle. Its members are copied as they are, with all that they carry.

    Args:
        path: The folder to make, or the zip where the name ends so.
        manifest: `files` are set here.
        members: Name to bundle.
        overwrite: Replace an existing bundle: the files that it lists, and no others.

    Raises:
        ModelError: As of `writing.write`; or a member was changed since it was loaded.
    """
    refuse_existing(path, overwrite=overwrite)
    contents: dict[str, bytes] = {}
    for one in manifest.members:
        bundle = members[one.name]
        contents |= {f"{one.folder}{name}": bundle.read(name) for name in (*bundle.manifest.files, MANIFEST)}
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(contents.items())}
    contents[MANIFEST] = to_json(replace(manifest, files=hashes).to_json())
    put(path, contents)
    loaded = load_any(path)
    assert isinstance(loaded, JointBundle)
    return loaded
