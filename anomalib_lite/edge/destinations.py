"""Where a judged file of a watched folder goes: a name that is free, and that the system takes."""

from __future__ import annotations

import os
from pathlib import Path

from anomalib_lite.edge.decision import Verdict

LONGEST_NAME = 255  # bytes, where the system does not say
LONGEST_SUFFIX = 32  # bytes of what is kept when a name is shortened


def free_place(folder: Path, verdict: Verdict, name: str) -> str:
    """VERDICT/NAME, numbered where there is one of that name already, and cut where the system takes no such name."""
    above, _, last = name.rpartition("/")
    above = f"{verdict.lower()}/{above}/" if above else f"{verdict.lower()}/"
    try:
        longest = os.pathconf(folder / verdict.lower(), "PC_NAME_MAX")
    except (OSError, ValueError, AttributeError):
        longest = LONGEST_NAME

    def numbered(number: int) -> str:
        return above + shortened(last, "" if number == 1 else f"-{number}", longest)

    def taken(number: int) -> bool:
        return os.path.lexists(folder / numbered(number))

    low, high = 0, 1  # low is taken, or 0; whoever calls all files alike waits for no count of them
    while taken(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if taken(middle) else (low, middle)
    return numbered(high)


def shortened(name: str, number: str, longest: int) -> str:
    """A name with a number before its suffix, in at most so many bytes."""
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path changes names such as "a..png"
    if len(os.fsencode(suffix)) > LONGEST_SUFFIX:
        stem, suffix = name, ""
    room = longest - len(os.fsencode(number + suffix))
    encoded = os.fsencode(stem)
    if len(encoded) > room:
        while room > 0 and encoded[room] & 0xC0 == 0x80:  # no half letter at its end
            room -= 1
        stem = os.fsdecode(encoded[:room])
    return stem + number + suffix
