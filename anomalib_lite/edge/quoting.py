"""Quotes what a stranger may have named for where it is shown: a terminal, a report, a table, a line of JSON."""

from __future__ import annotations

import re
import unicodedata

FORMULA = "=+-@\N{MINUS SIGN}"  # begins one in a spreadsheet, full-width signs too
OBEYED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # by a terminal, line breaks and tabs apart
UNSEEN = re.compile("[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")


def shown(text: str) -> str:
    """Text on one line, of which a terminal obeys nothing: what cannot be seen is written as an escape."""
    return text if text.isprintable() else "".join(map(_shown, text))


def visible(value: object) -> object:
    """What a template puts into a page: text as `shown` has it; what is HTML already, and numbers, as they are."""
    return shown(value) if type(value) is str else value


def _shown(letter: str) -> str:
    if letter.isprintable() or unicodedata.category(letter) == "Zs":  # blanks of other scripts
        return letter
    return letter.encode("unicode_escape", "surrogatepass").decode("ascii")


def cell(text: str) -> str:
    """Text for a table: an apostrophe goes before what a spreadsheet takes for a formula, whatever blanks come first.

    Line breaks stay, since a cell may have several lines; what a terminal obeys is written as an escape. What looks as
    if it had such an apostrophe gets another, so that it can be told from what has one.
    """
    text = OBEYED.sub(lambda match: f"\\x{ord(match[0]):02x}", text)
    bare = text.lstrip("'")
    first = next((one for one in bare if unicodedata.category(one)[0] not in "ZC"), "")
    begins = unicodedata.normalize("NFKC", first)[:1]
    return f"'{text}" if (begins and begins in FORMULA) or bare[:1] in ("\t", "\r", "\n") else text


def json_escaped(text: str) -> str:
    """JSON in which a terminal obeys nothing, either."""
    return UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
