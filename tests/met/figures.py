"""What users met with figures, lines 24 to 27."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import picture, save
from environments import ROOT

from met.case import CALIBRATE, EVALUATE, GROUP, TRAIN, Case, Places, bad, labelled, nothing

OUT = ("--out", "HERE/results")
READMES = {name: ROOT / f"plugins/anomalib_lite_{name}/README.md" for name in ("draem", "inpainting", "dte", "change")}


def good_of_defective_parts(root: Path) -> None:
    """Two parts with a defect have good photographs, too."""
    labelled(root)
    for part in (200, 201):
        save(root / f"test/good/part{part}_1.png", picture(100 * part + 1))


def unequal(*shots: int) -> Callable[[Path], object]:
    """Good parts that were photographed as often as these numbers say."""

    def make(root: Path) -> None:
        for part, number in enumerate(shots, start=500):
            for shot in range(number):
                save(root / f"part{part}_{shot}.png", picture(100 * part + shot))

    return make


def with_an_outlier(root: Path) -> None:
    """Twenty parts, one of which is black all over: with --max-false-reject 30% the rule ignores it."""
    unequal(*[1] * 20)(root)
    save(root / "part600_0.png", picture(600) * 0)


def fitted(root: Path) -> None:
    """Good photographs that the model was trained on."""
    bad(root, "test/dent")
    for part in range(20):
        save(root / f"test/good/part{part:02}_0.png", picture(100 * part))


def measured(places: Places) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((places.here / "results/metrics.json").read_text())
    return metrics


def says_what_it_is(places: Places) -> bool:
    metrics = measured(places)
    assert metrics.keys() >= {"warnings", "model_id", "thresholds", "bound", "image_auroc_interval"}
    assert metrics["image_auroc_interval"]["unit"] == "group"
    assert metrics["bound"]["statement"][0].startswith("At most")
    assert metrics["escape_rate"].keys() == {"images", "parts_any", "parts_wholly"}
    return True


def warns(places: Places) -> bool:
    return any("flatter" in warning for warning in measured(places)["warnings"])


def tolerance_is_small(places: Places) -> bool:
    """One image at a score of thousands does not reach the tolerance of a threshold of tens."""
    calibration = json.loads((places.out / "manifest.json").read_text())["calibration"]
    found = json.dumps(calibration)
    tolerance = float(re.findall(r'"tol(?:erance)?": ([\d.e-]+)', found)[0])
    return tolerance < 0.01


def publish_the_other_half(places: Places) -> bool:
    """Every table of tiles has the half that chose nothing beside the mean, and names what gives its interval."""
    for name, path in READMES.items():
        text = " ".join(path.read_text(encoding="utf-8").split())
        assert "chose nothing" in text, name
        assert "interval over" in text, name
        assert re.search(r"tests/benchmarks/(halves|deeppcb)\.py", text), name
    root = (ROOT / "README.md").read_text(encoding="utf-8")
    return "| the half that chose nothing |" in root and "tests/benchmarks/halves.py" in root


CASES = [
    Case(24, "good photographs of defective parts", good_of_defective_parts, (*EVALUATE, *GROUP), 0,
         ("false reject rate 0 % (0 of 6 parts)", "good images, defective parts", "of 2 parts")),
    Case(24, "none of them", labelled, (*EVALUATE, *GROUP), 0, ("0 of 6 parts",), ("good images, defective parts",)),
    Case(25, "what metrics.json says", labelled, (*EVALUATE, *GROUP, *OUT), 0,
         ("interval over parts", "escaped images", "parts with an escape", "parts escaped wholly"),
         check=says_what_it_is),
    Case(25, "warnings in metrics.json", fitted, (*EVALUATE, *GROUP, *OUT), 0,
         ("flatter the model",), check=warns),
    Case(26, "the half that chose nothing", nothing, ("--version",), 0, ("anomalib-lite",),
         check=publish_the_other_half),
    Case(27, "unequal photographs", unequal(1, 3, 2, 4, 1, 2), CALIBRATE, 0,
         ("in the same proportions (1 to 4 images each, median 2); safe is at most 1 image each",)),
    Case(27, "equal photographs", unequal(2, 2, 2, 2, 2, 2), CALIBRATE, 0, ("2 images each: fewer images per part",),
         ("in the same proportions",)),
    Case(27, "unequal photographs, trained", unequal(1, 3, 2, 4, 1, 2, 3, 1), (*TRAIN, *GROUP, "--per", "part"), 0,
         ("in the same proportions", "safe is at most")),
    Case(27, "an outlier", with_an_outlier,
         (*CALIBRATE, "--max-false-reject", "30%", "--review", "40%", "--all-good"), 0, ("model",),
         check=tolerance_is_small),
]  # fmt: skip
