"""Messages: sentences, whatever they are made of."""

from __future__ import annotations

import pytest

from anomalib_lite.errors import AnomalibLiteError, DataError, ImageError


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("a.png: cannot be read. Copy it again.. Do this.", "a.png: cannot be read. Copy it again. Do this."),
        ("cannot be read (it is empty.). Do this..", "cannot be read (it is empty). Do this."),
        ("(found no file..) Do this", "(found no file.) Do this"),
        (
            "../parts: no such folder. Look in .. or a/.. instead.",
            "../parts: no such folder. Look in .. or a/.. instead.",
        ),
        ("expected key=value, such as 'a.'. See ...", "expected key=value, such as 'a.'. See ..."),
        (r"..\\parts and C:\\a\\.. are paths", r"..\\parts and C:\\a\\.. are paths"),
    ],
)
def test_a_sentence_has_one_full_stop(message: str, expected: str) -> None:
    assert str(AnomalibLiteError(message)) == expected
    assert str(DataError(f"x: {ImageError(message, 'empty')}")) == f"x: {expected}"
