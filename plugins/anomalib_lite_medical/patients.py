"""Whom a DICOM data set is of: what makes one patient, and what of him the path of its file says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any

CONSTANT = {  # without zeros
    "", "anon", "anonym", "anonymous", "anonymized", "anonymised", "anonymize", "deidentified", "none", "noname",
    "patient", "removed", "test", "unknown",
}  # fmt: skip
PLAIN = {"ø": "o", "æ": "ae", "œ": "oe", "ł": "l", "đ": "d", "\u0131": "i"}  # letters that are no accented ones
SPELT = (PLAIN, PLAIN | {"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})  # as paths spell them
ALONE = 4  # letters of a name, and of a number, from which on it is looked for within words, too


def identity(header: Any) -> str:
    """What tells a patient from others: the number, or where there is none the name; empty where there is neither.

    Two patients of one name and without a number are one: neither of them is then on both sides of a split.
    """
    number = str(header.get("PatientID") or "").strip()
    name = plain_name(header)
    return number or (f"name {name}" if name else "")


def plain_name(header: Any) -> str:
    """The name as DICOM compares it: in any case, whatever ends it."""
    return " ".join(re.findall(r"[^\W_]+", _folded(header.get("PatientName"))))


def notes(header: Any) -> list[str]:
    """What is to be said of the patient, and of the path of the file; nothing of the header is quoted."""
    number, name = _folded(header.get("PatientID")), _folded(header.get("PatientName"))
    said = []
    if not number.strip() and not name.strip(" ^="):
        said.append("its header names no patient, so each series counts as one: say with --group which are of one")
    elif re.sub(r"[\W_0]", "", number or name) in CONSTANT:
        said.append("its patient is called as an anonymiser calls all, and all who are count as one: use --group")
    return said + path_notes(header)


def path_notes(header: Any) -> list[str]:
    """What is to be said of the path alone."""
    kind = " and the ".join(_told(header))
    said = f"its path says the {kind} of the patient, and so do rows and reports: rename the file or folder"
    return [said] if kind else []


def _told(header: Any) -> list[str]:
    """What of a patient the path of a file says."""
    file = getattr(header, "filename", None)
    path = _folded(file)
    number, name = _folded(header.get("PatientID")).strip(), _folded(header.get("PatientName")).strip()
    named = any(_is_named(_folded(file, table), _folded(header.get("PatientName"), table)) for table in SPELT)
    numbered = len(number) >= ALONE and re.search(rf"(?<![^\W_]){re.escape(number)}(?![^\W_])", path)
    born = False
    if date := re.fullmatch(r"(\d{4})(\d\d)(\d\d)", str(header.get("PatientBirthDate") or "")):
        year, month, day = date.groups()
        orders = ((year, month, day), (day, month, year), (month, day, year))
        born = any(re.search(rf"(?<!\d){a}\W?{b}\W?{c}(?!\d)", path) for a, b, c in orders)
    if name == number:  # a number of a study, told as both
        named = False
    return [kind for kind, found in (("name", named), ("number", numbered), ("birth date", born)) if found]


def _is_named(path: str, name: str) -> bool:
    single = re.split(r"[\W\d_]+", path)
    return any(
        word in path if len(word) >= ALONE or not word.isascii() else word in single
        for word in _words(name)
        if len(word) > 1 and word not in CONSTANT
    )


def _words(name: str) -> list[str]:
    """The words of a name, in all its spellings."""
    return [one for one in re.split(r"[\W\d_]+", name) if one]


def _folded(text: Any, spelt: Mapping[str, str] = SPELT[0]) -> str:
    """Lower case, without accents: as a name is written in a path, composed or not; some letters spelt otherwise."""
    whole = unicodedata.normalize("NFKC", str(text or "")).casefold()
    apart = unicodedata.normalize("NFKD", "".join(spelt.get(one, one) for one in whole))
    return "".join(one for one in apart if not unicodedata.combining(one))
