"""The rendered sample parts, and the plain comparison that a detector must beat."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from anomalib_lite.data import TEST, find, training_samples
from anomalib_lite.edge.images import imaging
from anomalib_lite.metrics import auroc

_PACKAGE = Path(__file__).parent


def sample_parts(out: Path, say: Callable[[str], None]) -> Path:
    """The folder of sample parts: of the source tree, or rendered into OUT/samples where there is none."""
    committed = _PACKAGE.parent / "data_samples" / "part"
    if committed.is_dir():
        return committed
    rendered = out / "samples"
    if not (rendered / "part").is_dir():
        say("rendering sample parts")
        script = _PACKAGE / "rendering" / "render.py"
        subprocess.run([sys.executable, str(script), "--out", str(rendered)], check=True, stdout=subprocess.DEVNULL)
    return rendered / "part"


def mean_image_auroc(data: Path) -> float | None:
    """Image AUROC of the mean absolute difference from the mean good image, in [0, 1]: the simplest detector."""
    dataset = find(data)
    good = np.stack([imaging.read(sample.path).pixels.astype(np.float32) for sample in training_samples(dataset)])
    mean = good.mean(axis=0)
    tested = [sample for sample in dataset.samples if sample.split == TEST]
    scores = [float(np.abs(imaging.read(sample.path).pixels - mean).mean()) for sample in tested]
    of_good = [score for score, sample in zip(scores, tested, strict=True) if sample.is_good]
    of_defective = [score for score, sample in zip(scores, tested, strict=True) if not sample.is_good]
    return auroc(of_good, of_defective)
