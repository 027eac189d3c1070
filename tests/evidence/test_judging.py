"""What is said of evidence, and when a model is called blind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from anomalib_lite.calibration import Calibration
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import EvidenceRecord, Known, Planted
from anomalib_lite.evidence.judging import judged, kinds_found, known_found


@pytest.fixture
def calibration(model_path: Path) -> Calibration:
    return bundle.load(model_path).manifest.calibration


def record(found: dict[str, int], calibration: Calibration, of: int = 30, **more: object) -> EvidenceRecord:
    """Evidence with so many found of each kind, the largest ones."""
    reject = calibration.reject.value
    sizes = tuple(2 * 32 ** (place / of) for place in range(of))
    scores = {kind: (reject,) * (of - hits) + (reject + 1,) * hits for kind, hits in found.items()}
    planted = tuple(Planted(kind, sizes, (0.3,) * of, scores[kind]) for kind in found)
    empty = EvidenceRecord(planted, (), 0, reject + 1, (), (), (), (), ())
    return judged(replace(empty, **more), calibration)  # type: ignore[arg-type]


def test_what_is_at_the_threshold_is_not_found(calibration: Calibration) -> None:
    one, other = kinds_found(record({"dark spot": 0, "ring": 7}, calibration), calibration)
    assert (one.found, other.found, other.planted) == (0, 7, 30)


def test_it_is_called_evidence_and_no_rate(calibration: Calibration) -> None:
    said = record({"dark spot": 20, "ring": 0}, calibration).said
    assert said[0].startswith("Evidence of detection, no detection rate: of 60 defects planted")
    assert "20 are found at this threshold (dark spot 20 of 30, ring 0 of 30)" in said[0]
    assert "ring not reached up to 57 px" in said[1]


def test_a_model_that_finds_less_than_a_tenth_is_blind(calibration: Calibration) -> None:
    assert record({"dark spot": 3, "ring": 3}, calibration).blind == ()
    (reason,) = record({"dark spot": 3, "ring": 2}, calibration).blind
    assert reason == "it finds 5 of 60 planted defects, fewer than a tenth"
    assert record({"ring": 0}, calibration, of=9).blind == ()  # too few to say so


def test_a_model_that_passes_the_dark_patch_is_blind(calibration: Calibration) -> None:
    below = calibration.review.value
    assert "dark patch" in record({"ring": 30}, calibration, patch=below).blind[0]
    assert record({"ring": 30}, calibration, patch=None).blind == ()  # it could not be measured: ERROR, not OK


def test_kinds_that_a_detector_is_for_alone_count(calibration: Calibration) -> None:
    """Also where its training makes them up, and whatever it does with the dark patch."""
    found = {"swap": 20, "dark spot": 0, "ring": 0, "stain": 0, "warp": 0, "blur": 0, "scratch": 0}
    for_all = record(found, calibration, patch=0.0)
    assert len(for_all.blind) == 2
    assert record(found, calibration, patch=0.0, finds=("swap",)).blind == ()
    assert record(found, calibration, patch=0.0, finds=("ring",)).blind == (
        "it finds 0 of 30 planted defects, fewer than a tenth",
    )


def test_what_is_left_out_is_said(calibration: Calibration) -> None:
    said = record({"ring": 9}, calibration, trained_on=("blur",), invisible=(("warp", 30),), refused=2).said
    assert "Not planted, since this detector learns from such: blur." in said
    assert any("for lack of texture or size: warp 30" in one for one in said)
    assert any(one.startswith("2 images with a planted defect could not be measured (ERROR)") for one in said)


def test_nothing_planted_is_no_evidence_and_not_blind(calibration: Calibration) -> None:
    one = record({"ring": 0}, calibration, of=0)
    assert one.said[0].startswith("No evidence of detection")
    assert one.blind == ()


def test_known_images_are_told_on_one_line(calibration: Calibration) -> None:
    reject = calibration.reject.value
    known = (Known("crack", (reject, reject + 1), 1), Known("good", (0.0, 0.0, reject + 1), 0))
    said = known_found(record({"ring": 9}, calibration, known=known), calibration)
    assert said == "Labelled test images at this threshold: good rejected 1 of 3, crack found 1 of 2 (1 ERROR)."
    assert known_found(record({"ring": 9}, calibration), calibration) == ""
