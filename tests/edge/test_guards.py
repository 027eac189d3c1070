"""What a file says of its image has to be as in the training: the same, or about the same size."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
import pytest

from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import ImageSpec, Range
from anomalib_lite.errors import ErrorCode, ImageError
from anomalib_lite.pipeline.record import _guarded

SIZE = Range(0.8, 1.6)


def refused(known: Sequence[Any], said: object) -> str | None:
    """Why a file that says this is not inspected by a model whose training said that; None where it is."""

    def read(file: BytesIO) -> Picture:
        return Picture(np.zeros((4, 4, 1), np.uint8), meta={"size": said})  # type: ignore[dict-item]

    intake = Intake(Framing(ImageSpec(4, 4, 1, "uint8", 255.0)), Opener({".x": read}), guards={"size": known})
    try:
        intake.read(FileBytes("a.x", b"x"))
    except ImageError as error:
        return str(error) if error.code == ErrorCode.WRONG_META else "for another reason"
    return None


@pytest.mark.parametrize("said", [0.64, 0.8, 1.0, 1.6, 2.0])
def test_a_number_with_a_fraction_may_lie_a_quarter_beyond(said: float) -> None:
    assert refused([SIZE], said) is None


@pytest.mark.parametrize("said", [0.639, 2.001, 0.0, -1.0, 1, True, "1.0"])
def test_what_lies_farther_beyond_or_is_no_such_number_is_refused(said: object) -> None:
    assert "a.x: the model was trained on images with size 0.8 to 1.6, this one says" in str(refused([SIZE], said))


def test_the_message_says_what_to_do() -> None:
    said = "a.x: the model was trained on images with size 0.8 to 1.6 or None, this one says 3, more than a quarter"
    assert refused([SIZE, None], 3.0) == f"{said} beyond; resample it, or train another model"
    assert refused([SIZE, None], None) is None
    assert str(refused([SIZE], None)).endswith("this one says nothing of it; train another model")
    assert "with size None, this one says 3.0; train another model" in str(refused([None], 3.0))


@pytest.mark.parametrize("known", [0.5, 7, "CT", True, None])
def test_all_else_has_to_be_the_same(known: object) -> None:
    """Numbers in models of older versions, too."""
    assert refused([known], known) is None
    for other in (0.51, 8, "MR", False, None, 1):
        if other is not known:
            assert refused([known], other) is not None


def test_a_training_keeps_a_range_and_each_other_value_once() -> None:
    assert _guarded([1.5, None, 1.1, None, 3.0]) == (Range(1.1, 3.0), None)
    assert _guarded(["CT", "PT", "CT"]) == ("CT", "PT")
    assert _guarded([16000, 16000]) == (16000,)
    assert _guarded([-1.5, 0.0, 0.0]) == (-1.5, 0.0), "what is not above 0 has no quarter"
    assert _guarded([]) == ()
