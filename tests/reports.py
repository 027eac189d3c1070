"""Reports on made-up scores, for the tests of the report."""

from __future__ import annotations

from typing import Any

import numpy as np

from anomalib_lite.calibration import Calibration, ScoredImage, calibrate
from anomalib_lite.config import Rates
from anomalib_lite.edge import decision
from anomalib_lite.edge.regions import find_regions
from anomalib_lite.edge.results import Result
from anomalib_lite.metrics import Evaluation
from anomalib_lite.report.page import Gallery, Report, ScoredRow

HOSTILE = (
    "images/</script><script>document.title='owned'</script>\"'><img src=x onerror=alert(1)>{{ 7*7 }}"
    "\u202e\U0001f600\udcff.png"
)
MODEL = {"model": "0123456789ab", "detector": "gauss (tests 1.0)", "created": "2026-01-01T00:00:00+00:00"}
DATA = {"name": "parts", "layout": "mvtec", "unreadable": HOSTILE}


def calibration(n: int = 120, seed: int = 0, **options: Any) -> Calibration:
    """From one log-normal score per part."""
    scores = np.random.default_rng(seed).lognormal(0, 0.3, n)
    images = [ScoredImage(f"good/{i}.png", f"part{i}", float(s), float(s)) for i, s in enumerate(scores)]
    return calibrate(images, Rates.of(0.05), grouped=True, **options)


def row(image: str, label: str | None, score: float, made: Calibration, group: str = "") -> ScoredRow:
    return ScoredRow(image, label, group or image, decision.decide(score, made.limits).value, score)


def rows(made: Calibration, good: int = 60, bad: int = 40, seed: int = 1) -> list[ScoredRow]:
    """Two good images a part, two defect kinds, one ERROR, and one image exactly at the reject threshold."""
    random = np.random.default_rng(seed)
    scores = random.lognormal(0, 0.4, good)
    found = [row(f"good/{i}.png", "good", float(s), made, f"g{i // 2}") for i, s in enumerate(scores)]
    for index, score in enumerate(random.lognormal(1.2, 0.8, bad)):
        found.append(row(f"bad/{index}.png", ("crack", HOSTILE)[index % 2], float(score), made))
    found.append(row("good/at_threshold.png", "good", made.reject.value, made, "at"))
    return [*found, ScoredRow(HOSTILE, "crack", "e", "ERROR", None, f"truncated {HOSTILE}")]


def metrics(rows: list[ScoredRow]) -> dict[str, Any]:
    """As `evaluate` gives them, without pixels."""
    evaluation = Evaluation(grouped=True)
    for one in rows:
        evaluation.add(str(one.label), one.group, decision.Verdict(one.verdict), one.score or 0.0, ms=10.0)
    return evaluation.metrics()


def report(made: Calibration, found: list[ScoredRow], purpose: Any = "evaluate", **options: Any) -> Report:
    return Report("gauss on parts", purpose, MODEL, DATA, made, found, **options)


def result(one: ScoredRow, made: Calibration, size: int = 64) -> Result:
    """A result with a map whose peak is the score."""
    anomaly_map = np.zeros((size // 4, size // 4), np.float32)
    anomaly_map[3:6, 4:7] = one.score or 0
    regions = find_regions(anomaly_map, anomaly_map > 0, size, size) if one.verdict == "NG" else ()
    return Result(
        image=one.image,
        time="2026-01-01T00:00:00.000+00:00",
        verdict=decision.Verdict(one.verdict),
        reject_threshold=made.reject.value,
        review_threshold=made.review.value,
        model_id="0123456789ab",
        ms=1.0,
        score=one.score,
        regions=regions,
        anomaly_map=None if one.score is None else anomaly_map,
        shape=(size, size),
    )


def gallery(made: Calibration, found: list[ScoredRow], size: int = 64, **options: Any) -> Gallery:
    """Every row considered, with noise for a picture: what compresses worst."""
    kept = Gallery(0.0, 2 * made.reject.value, 255.0, **options)
    random = np.random.default_rng(2)
    for one in found:
        kept.consider(result(one, made, size), one.label, random.integers(0, 256, (size, size, 1), np.uint8))
    return kept
