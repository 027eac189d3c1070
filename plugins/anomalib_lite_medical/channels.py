"""Several co-registered series as the channels of one image: which files they are, by the words in their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from anomalib_lite.errors import ErrorCode, ImageError

MISSING, OTHER_GRID = "missing_channel", ErrorCode.OTHER_GEOMETRY


def word_in(name: str, words: Sequence[str]) -> tuple[str, str] | None:
    """The last of some words that stands by itself in a path, in any case, and the path without it; None without any.

    `t1` stands by itself in `p7_t1.nii.gz` and in `p7/T1/1.dcm`, not in `p7_t1ce.nii.gz`.
    """
    found = [(match, word) for word in words for match in _standing(word).finditer(name)]
    if not found:
        return None
    match, word = max(found, key=lambda one: one[0].end())
    return word, f"{name[: match.start()]}\0{name[match.end() :]}"


def _standing(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![^\W_]){re.escape(word)}(?![^\W_])", re.IGNORECASE)


def beside(pattern: str, word: str, suffixes: Sequence[str]) -> Path | None:
    """The file that is called as a pattern of `word_in` with a word in its gap, in any of some types; None without."""
    base = next((pattern[: -len(end)] for end in suffixes if pattern.lower().endswith(end)), pattern)
    names = [base.replace("\0", one) + end for one in (word, word.lower(), word.upper()) for end in suffixes]
    return next((Path(name) for name in names if Path(name).is_file()), None)


def arranged(files: Sequence[BinaryIO], named: Sequence[str | None], words: Sequence[str]) -> list[int]:
    """The place of the file or series of each word; where names say nothing, as they were given.

    Args:
        files: Of which there are as many as `named`; their names are for messages.
        named: The word of each, None where it has none.
        words: Of all channels.

    Raises:
        ImageError: One is missing, is there twice, or is of no channel.
    """
    if not any(named) and len(named) == len(words):
        return list(range(len(words)))
    here = Path(str(getattr(files[0], "name", ""))).name
    if None in named:
        strange = Path(str(getattr(files[named.index(None)], "name", ""))).name
        said = f"{strange} is of no channel: none of {', '.join(words)} stands in its name. Correct it, or the option"
        raise ImageError(f"{said} 'channels' of the reader", MISSING)
    twice = next((word for word in words if named.count(word) > 1), None)
    if twice is not None:
        said = f"has {named.count(twice)} series of the channel {twice}; leave one there, or name it in a table"
        raise ImageError(said, "mixed_series")
    missing = [word for word in words if word not in named]
    if missing:
        there = ", ".join(word for word in words if word in named)
        said = (
            f"has no channel {' and '.join(missing)}: {here} ({there}) needs a file of that word beside it, or where "
            f"words are modalities a series of its study; or give that of {words[0]}, after which an image of several "
            "is called"
        )
        raise ImageError(said, MISSING)
    return [named.index(word) for word in words]


def joined(meta: Sequence[Mapping[str, Any]], key: str) -> str | None:
    """What the headers of all channels say of something, "CT+PT"; None where the first says nothing."""
    said = [one.get(key) for one in meta]
    return None if said[0] is None else "+".join(str(one) for one in said)
