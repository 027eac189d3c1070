"""Several files that are one image or one series: which files a reader gathers under which name."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any

from anomalib_lite.edge.images.readers import (
    HEAD,
    KEY,
    Gather,
    Read,
    Reader,
    Readers,
    of_one_type,
    sniffed,
    suffix_of,
    takes_options,
    tells_nothing,
    whole,
)
from anomalib_lite.errors import PluginError

NONE: Mapping[Path, str] = MappingProxyType({})


def files_of(source: Any, readers: Readers) -> Sequence[Any]:
    """The files that are one: of a path, those that its reader gathers under this name."""
    suffix = suffix_of(os.fsdecode(source), readers) if isinstance(source, str | os.PathLike) else None
    if suffix is None or whole(readers[suffix]).gather is None:
        return [source]
    path, alike = Path(source), of_one_type(suffix, readers)
    if path.exists():
        return gathered(readers[suffix], suffix, [path]).get(path) or [source]
    for pattern in ("*", "**/*"):
        beside = sorted(one for one in path.parent.glob(pattern) if one.is_file() and _is_of(one, alike, readers))
        if found := gathered(readers[suffix], suffix, beside).get(path):
            return found
    return [source]


def _is_of(path: Path, suffixes: Collection[str], readers: Readers) -> bool:
    """Whether a reader of such files reads a file, by its name or its first bytes."""
    if not tells_nothing(path.name):
        return suffix_of(path.name, readers) in suffixes
    with suppress(OSError), path.open("rb") as file:
        return sniffed(path.name, file.read(HEAD), readers) in suffixes
    return False


def gathered(
    reader: Reader | Read, suffix: str, paths: Sequence[Path], suffixes: Mapping[Path, str] = NONE
) -> dict[Path, list[Path]]:
    """The images or series that files are of: each under a name in the folder that its files share.

    A file of its own keeps its name; so does the first of several where it takes the place of the key. What `gather`
    leaves out is passed over. Files beside those that it was given may belong to an image, too.

    Args:
        reader: The reader.
        suffix: Of its files.
        paths: The files.
        suffixes: Of files of another one: a series has that of its first file.

    Raises:
        PluginError: `gather` raises, names a file twice, or one that is not there, or a key twice.
    """
    whole_one, known, found = whole(reader), set(paths), dict[Path, list[Path]]()
    if (gather := whole_one.gather) is None:
        return {path: [path] for path in paths}
    options = None if whole_one.options is None else SimpleNamespace(**whole_one.options)

    def wrong(what: str) -> PluginError:
        return PluginError(f"the reader of '{suffix}' files: gather {what}.")

    try:
        groups = [(key, [Path(file) for file in files]) for key, files in gather_with(gather, list(paths), options)]
    except Exception as error:
        raise wrong(f"failed ({' '.join(f'{type(error).__name__}: {error}'.split())}) on {len(paths)} files") from error
    used: set[Path] = set()
    for key, files in groups:
        known |= {one for one in files if one not in used and one.is_file()}
        if not files or not known.issuperset(files) or len(set(files)) < len(files):
            raise wrong(f"gave the key {key!r} no file, one that it was not given, or one twice: {files[:3]}")
        if key != files[0] and (not isinstance(key, str | int) or not KEY.fullmatch(str(key))):
            raise wrong(f"gave the key {key!r}; expected a number, or up to 64 letters, digits and any of _=+-. within")
        own, called = len(files) == 1 or key == files[0], f"{key}{suffixes.get(files[0], suffix)}"
        name = files[0] if own else Path(os.path.commonpath([one.parent for one in files])) / called
        if name in found:
            raise wrong(f"gave the key '{key}' twice in {name.parent}")
        found[name] = files
        used.update(files)
        known -= used
    return found


def gather_with(gather: Gather, paths: Sequence[Path], options: Any) -> Iterable[tuple[str | Path, Sequence[Path]]]:
    """What `gather` makes of paths; where it takes two arguments, with the options of its reader."""
    return gather(paths, options) if takes_options(gather) else gather(paths)
