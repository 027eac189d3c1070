"""Takes files of foreign types out of a bundle: they may hold more than an image, such as the name of a patient."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.images import kept
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ErrorCode, ImageError, ModelError


def without_foreign_files(model: Model, draft: Bundle) -> Bundle:
    """The bundle with what their readers returned in the place of such files: pixels, and what of them is inspected.

    Raises:
        ModelError: A reader is not here, or a file is damaged.
    """
    foreign = [name for name in draft.kept if model.opener.suffix(name) and not draft.kept[name].startswith(kept.MAGIC)]
    try:
        found = {name: _converted(model, name, draft.kept[name]) for name in foreign}
    except ImageError as error:
        said = "its images cannot be read here" if error.code == ErrorCode.NO_READER else "an image is damaged"
        raise ModelError(f"{model.bundle.path}: {said}. {error}.") from error
    manifest = draft.manifest
    renamed = {name: one.name for name, one in found.items()}
    masked = {name: kept.beside(one.name) for name, one in found.items() if one.valid is not None}
    selfcheck = []
    for one in manifest.selfcheck:
        made = replace(one, file=renamed.get(one.file, one.file), valid=masked.get(one.file, one.valid))
        if one.reference is not None:
            valid = masked.get(one.reference, one.reference_valid)
            made = replace(made, reference=renamed.get(one.reference, one.reference), reference_valid=valid)
        selfcheck.append(made)
    golden = manifest.reference
    if golden is not None:
        masks = (*golden.valid, *(masked[name] for name in golden.files if name in masked))
        named = tuple(renamed.get(name, name) for name in golden.files)
        corners = {renamed.get(name, name): places for name, places in golden.corners.items()}
        golden = replace(golden, files=named, valid=masks, corners=corners)
    files = {name: content for name, content in draft.kept.items() if name not in found} | dict(_files(found.values()))
    return replace(draft, manifest=replace(manifest, selfcheck=tuple(selfcheck), reference=golden), kept=files)


def _converted(model: Model, name: str, content: bytes) -> Kept:
    return kept.of(model.opener.read(Kept(name, content)), name)


def _files(converted: Iterable[Kept]) -> Iterator[tuple[str, bytes]]:
    for one in converted:
        yield one.name, one.content
        if one.valid is not None:
            yield kept.beside(one.name), one.valid
