"""anomalib-lite demo: train and evaluate on rendered parts, beside the plain comparison that a detector must beat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.cli import console, options

if TYPE_CHECKING:
    from anomalib_lite.pipeline.evaluate import Evaluated
    from anomalib_lite.training.request import Request

CHOICES = Path(__file__).with_suffix(".yaml")
GROUP = r"part(\d+)"  # of the names of the sample parts
PACKAGE = Path(__file__).parents[1]
TRAINING = "Training"

Out: TypeAlias = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER", help="Write the model and its evaluation to this folder.", rich_help_panel=options.OUTPUT
    ),
]
Detector: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DETECTOR",
        help="Train this detector. Default: neighbours, which takes a minute.",
        rich_help_panel=TRAINING,
    ),
]
Minutes: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="MINUTES", help="Time budget of the training. Default: 2.", rich_help_panel=TRAINING),
]
Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", help="Optimiser steps, instead of a time budget.", rich_help_panel=TRAINING),
]


def demo(out: Out = Path("demo"), detector: Detector = None, minutes: Minutes = None, steps: Steps = None) -> None:
    """Train, certify and evaluate on rendered parts, offline.

    Takes a minute or two on a processor, and ends with a report to look at.
    """
    from anomalib_lite.edge.model import Model
    from anomalib_lite.pipeline.evaluate import evaluate
    from anomalib_lite.pipeline.train import train

    out = options.folder(out)
    parts = sample_parts(out, console.say)
    request = _request(parts, out, detector, minutes, steps)
    trained = train(request, plugins=console.plugins(request.detector), say=console.say, track=console.track)
    if trained is None:
        return
    evaluated = evaluate(
        Model(request.out), parts, out=out / "evaluation", group=GROUP, overwrite=True, track=console.track
    )
    console.out("")
    console.calibrated(trained)
    console.evidence(trained.evidence, trained.calibration)
    console.out("")
    _show(evaluated, parts)
    console.out(f"model   {request.out}")
    console.out(f"report  {out / 'evaluation' / 'report.html'}")


def sample_parts(out: Path, say: Callable[[str], None]) -> Path:
    """The folder of sample parts: of the source tree, or rendered into OUT/samples where there is none."""
    import subprocess
    import sys

    committed = PACKAGE.parent / "data_samples" / "part"
    if committed.is_dir():
        return committed
    rendered = out / "samples"
    if not (rendered / "part").is_dir():
        say("rendering sample parts")
        script = PACKAGE / "rendering" / "render.py"
        subprocess.run([sys.executable, str(script), "--out", str(rendered)], check=True, stdout=subprocess.DEVNULL)
    return rendered / "part"


def mean_image_auroc(data: Path) -> float | None:
    """Image AUROC of the mean absolute difference from the mean good image, in [0, 1]: the simplest detector."""
    import numpy as np

    from anomalib_lite.data import TEST, find, training_samples
    from anomalib_lite.edge.images import imaging
    from anomalib_lite.metrics import auroc

    dataset = find(data)
    good = np.stack([imaging.read(sample.path).pixels.astype(np.float32) for sample in training_samples(dataset)])
    mean = good.mean(axis=0)
    tested = [sample for sample in dataset.samples if sample.split == TEST]
    scores = [float(np.abs(imaging.read(sample.path).pixels - mean).mean()) for sample in tested]
    of_good = [score for score, sample in zip(scores, tested, strict=True) if sample.is_good]
    of_defective = [score for score, sample in zip(scores, tested, strict=True) if not sample.is_good]
    return auroc(of_good, of_defective)


def _request(parts: Path, out: Path, detector: str | None, minutes: float | None, steps: int | None) -> Request:
    """The demo's choices, with what the command line asks for instead."""
    from anomalib_lite import config
    from anomalib_lite.training.request import Request

    choices: dict[str, Any] = config.load(CHOICES)
    own = choices.pop("detector")
    if detector not in (None, own):
        del choices["options"]
    if steps:
        choices["training"] = {"steps": steps}
    elif minutes:
        choices["training"] = {"minutes": minutes}
    return Request(
        detector=detector or own,
        data=parts,
        out=out / "model",
        overrides={f"{section}.{key}": value for section, keys in choices.items() for key, value in keys.items()},
        group=GROUP,
        overwrite=True,
        show_progress=True,
    )


def _show(evaluated: Evaluated, parts: Path) -> None:
    """Print the verdicts, the metrics, and what the plain comparison reaches."""
    from anomalib_lite.cli import evaluate
    from anomalib_lite.edge.decision import Verdict

    console.table(
        ("images", *Verdict),
        [(label, *(str(counts[verdict]) for verdict in Verdict)) for label, counts in evaluated.verdicts.items()],
    )
    evaluate.show(evaluated.metrics)
    auroc = evaluated.metrics["image_auroc"]
    console.out(f"image AUROC {auroc:.3f}; the difference from the mean good image: {mean_image_auroc(parts):.3f}")
