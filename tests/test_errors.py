"""Messages: sentences, whatever they are made of."""

from __future__ import annotations

import pickle

import pytest

from anomalib_lite.errors import AnomalibLiteError, DataError, ImageError, MissingExtra, NotAnImage


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


@pytest.mark.parametrize(
    "error", [DataError("said"), ImageError("said", "empty"), NotAnImage(), MissingExtra("torch", "train", "training")]
)
def test_an_error_comes_from_another_process_as_it_was(error: AnomalibLiteError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
