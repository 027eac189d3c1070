"""What each part of `draem`, size `small`, is worth: one setting changed at a time, the same steps and seeds; by hand.

    python tests/benchmarks/draem_ablations.py magnetic_tile/samples.csv --config configs/magnetic_tile_draem.yaml \\
        --steps 1000 --seeds 0 --results FILE [--names default "size tiny" ...]

"last weights" and "not mirrored" come with "default": its training, exported anew, without the running average of the
weights, and without the mean over the mirrored image. Image AUROC of all images, and by the parity of the number of the
part: even ones are the development data. Every measurement is a line of the results file and is not repeated.
"""

from __future__ import annotations

import argparse
import csv
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

from anomalib_lite_draem import detector as draem
from anomalib_lite_draem.networks import Averaged
from sklearn.metrics import roc_auc_score

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.training.request import Request

SOURCES = ("texture", "patch", "photometric", "filtered", "scratch", "spot", "edge")


def only(*sources: str) -> tuple[str, ...]:
    return tuple(f"options.mix.{name}={float(name in sources)}" for name in SOURCES)


TRAININGS: dict[str, tuple[str, ...]] = {
    "default": (),
    "texture alone (the paper's)": only("texture"),
    "all sources alike": only(*SOURCES),
    "foreground": ("options.foreground=true",),
    "without vary": ("options.vary=false",),
    "size tiny": ("options.size=tiny",),
    "focal loss (the paper's)": ("options.gamma=2",),
}
AGAIN: dict[str, tuple[str, ...]] = {"last weights": (), "not mirrored": ("options.mirror=false",)}
Weights = dict[str, Any]


def measured(settings: tuple[str, ...], options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train and measure: AUROC of all, even, odd and each kind."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        asked = {"training.steps": options.steps, "training.seed": seed}
        request = Request(
            detector="draem",
            data=options.data,
            out=out / "model",
            config=options.config,
            overrides=asked,
            settings=("options.size=small", *settings),
        )
        run_training(request)
        evaluated = evaluate(Model(out / "model"), options.data, out=out / "measured")
        with (out / "measured/results.csv").open(newline="") as file:
            results = {row["image"]: row for row in csv.DictReader(file)}
    figures = {"all": evaluated.metrics["image_auroc"]}
    figures |= {name: kind["image_auroc"] for name, kind in evaluated.metrics["per_kind"].items()}
    with options.data.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["image"] in results]
    for parity, name in enumerate(("even", "odd")):
        mine = [row for row in rows if int("".join(filter(str.isdigit, row["group"]))) % 2 == parity]
        scores = [float(results[row["image"]]["score"]) for row in mine]
        figures[name] = roc_auc_score([row["label"] != "good" for row in mine], scores)
    return figures


def keeping(average: dict[str, Weights]) -> Callable[..., None]:
    """`Draem.fit`, whose averaged and last weights are kept under these names."""
    fit = draem.Draem.fit

    def kept(self: draem.Draem, batches: Any, run: Any) -> None:
        trainers: list[Averaged] = []

        def made(networks: Any) -> Averaged:
            trainers.append(Averaged(networks))
            return trainers[-1]

        with patch.object(draem, "Averaged", made):
            fit(self, batches, run)
        average["last weights"] = trainers[0].live.state_dict()
        average["not mirrored"] = trainers[0].average.state_dict()

    return kept


def loading(weights: Weights) -> Callable[..., None]:
    """A `Draem.fit` that trains nothing."""

    def loaded(self: draem.Draem, batches: Any, run: Any) -> None:
        self.networks.load_state_dict(weights)

    return loaded


def runs(options: argparse.Namespace, seed: int, done: set[tuple[str, int]]) -> None:
    def note(name: str, settings: tuple[str, ...]) -> None:
        figures = measured(settings, options, seed)
        line = {"name": name, "seed": seed, "steps": options.steps, "figures": figures}
        with options.results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(f"{name}, seed {seed}:", *(f"{key} {value:.3f}" for key, value in figures.items()), flush=True)

    weights: dict[str, Weights] = {}
    if "default" in options.names and any((name, seed) not in done for name in ("default", *AGAIN)):
        with patch.object(draem.Draem, "fit", keeping(weights)):
            note("default", ())
        for name, settings in AGAIN.items():
            with patch.object(draem.Draem, "fit", loading(weights[name])):
                note(name, settings)
    for name, settings in TRAININGS.items():
        if name != "default" and name in options.names and (name, seed) not in done:
            note(name, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--names", nargs="+", choices=tuple(TRAININGS), default=tuple(TRAININGS))
    options = parser.parse_args()
    lines = options.results.read_text().splitlines() if options.results.exists() else []
    done = {(one["name"], one["seed"]) for one in map(json.loads, lines) if one["steps"] == options.steps}
    for seed in options.seeds:
        runs(options, seed, done)


if __name__ == "__main__":
    main()
