"""What becomes of pictures that show no part as it was learnt: verdicts by scene and detector.

    python tests/benchmarks/wrong_scenes.py                       # the rendered flange, boards as the other product
    python tests/benchmarks/wrong_scenes.py tiles/samples.csv --product cells/images

The gate does not depend on the detector, so each is trained for a few steps only: what it says of parts means nothing.
The other modality is a rendered slice of a head, or what --modality names.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from scenes import fitted, lit, slice_of_a_head, wrong_scenes  # noqa: E402

from anomalib_lite import registry  # noqa: E402
from anomalib_lite.data import TEST, find  # noqa: E402
from anomalib_lite.edge.images import imaging  # noqa: E402
from anomalib_lite.edge.manifest import HeldOut  # noqa: E402
from anomalib_lite.edge.model import Model  # noqa: E402
from anomalib_lite.pipeline.train import train  # noqa: E402
from anomalib_lite.training.request import Request  # noqa: E402

DETECTORS = ("draem", "dte", "inpainting", "neighbours")
PART = ROOT / "data_samples/part"
BOARDS = ROOT / "data_samples/board/inspected"


def pictures(folder: Path | None, number: int) -> list[Any]:
    """Images of a folder, or rendered slices of heads."""
    if folder is None:
        return [slice_of_a_head(np.random.default_rng(seed)) for seed in range(number)]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp"))
    return [imaging.read(path).pixels for path in paths[:: max(1, len(paths) // number)][:number]]


def trained(detector: str, asked: argparse.Namespace, out: Path) -> Path:
    """A model of a few steps."""
    overrides = {"training.steps": asked.steps, "training.seed": 0, "training.device": "cpu"}
    train(Request(detector=detector, data=asked.data, out=out, overrides=overrides, group=asked.group))
    return out


def good(model: Model, asked: argparse.Namespace) -> tuple[list[Any], int, int]:
    """As many good images of parts that were not fitted as asked for; and of those held out, how many are refused."""
    held_out: tuple[HeldOut, ...] = model.bundle.manifest.data.held_out
    refused = [one for one in held_out if one.score is None]
    dataset = find(asked.data, group=asked.group)
    names = {one.image for one in held_out}
    paths = [sample.path for sample in dataset.samples if sample.name in names]
    paths += [sample.path for sample in dataset.samples if sample.split == TEST and sample.is_good]
    return [imaging.read(path).pixels for path in paths[: asked.images]], len(refused), len(held_out)


def counted(verdicts: Counter[str], codes: Counter[str]) -> str:
    said = ", ".join(f"{verdicts[one]} {one}" for one in ("OK", "REVIEW", "NG", "ERROR") if verdicts[one])
    return f"{said} ({codes['not_alike']} not_alike)"


def table(model: Model, asked: argparse.Namespace, products: list[Any], modalities: list[Any]) -> None:
    """Print the verdicts on all scenes, and on what must pass."""
    images, refused, number = good(model, asked)
    scenes: dict[str, tuple[Counter[str], Counter[str]]] = {}
    for index, pixels in enumerate(images):
        random = np.random.default_rng(index)
        others = products[index % len(products)], modalities[index % len(modalities)]
        made = wrong_scenes(pixels, random, *others)
        made |= {f"as it is, {gain:.0%} of the light": lit(pixels, gain, random, 0.0) for gain in (0.9, 1.0, 1.1)}
        made |= {"moved by 3 %": np.roll(pixels, [side * 3 // 100 for side in pixels.shape[:2]], (0, 1))}
        made |= {"turned by half": np.ascontiguousarray(pixels[::-1, ::-1])}
        for name, picture in made.items():
            result = model.inspect(picture)
            verdicts, codes = scenes.setdefault(name, (Counter(), Counter()))
            verdicts[result.verdict.value] += 1
            codes[str(result.error_code)] += 1
    for name, (verdicts, codes) in scenes.items():
        print(f"  {name:28} {counted(verdicts, codes)}")
    print(f"  held-out good images refused: {refused} of {number}")


def defective(model: Model, asked: argparse.Namespace) -> None:
    """Print how many defective images are refused instead of judged."""
    dataset = find(asked.data, group=asked.group)
    bad = [sample for sample in dataset.samples if sample.is_good is False]
    results = [model.inspect(sample.path) for sample in bad]
    print(f"  defective images refused: {sum(one.error_code == 'not_alike' for one in results)} of {len(bad)}")


def cost(model: Model, pixels: Any) -> None:
    """Print which share of an inspection the gate takes, decoding left out: it is less with it."""
    off = Model.around(model.bundle, replace(model.intake, gate=None), model.runtime)
    gate = model.intake.gate
    assert gate is not None
    times: dict[str, list[float]] = {"gate": [], "all": []}
    for _ in range(20):
        for name, run in (("gate", gate.objection), ("all", off.inspect)):
            started = time.perf_counter()
            run(pixels)
            times[name].append(time.perf_counter() - started)
    one, rest = (1000 * float(np.median(times[name])) for name in ("gate", "all"))
    print(f"  gate {one:.1f} ms, the rest {rest:.1f} ms: {one / (one + rest):.0%} of an inspection")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", default=PART)
    parser.add_argument("--group", default=None)
    parser.add_argument("--product", type=Path, default=BOARDS)
    parser.add_argument("--modality", type=Path, default=None)
    parser.add_argument("--detectors", nargs="+", default=DETECTORS)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--images", type=int, default=50)
    asked = parser.parse_args()
    asked.group = r"part(\d+)" if asked.data == PART else asked.group
    products, modalities = pictures(asked.product, asked.images), pictures(asked.modality, asked.images)
    registry.load()
    for detector in asked.detectors:
        with tempfile.TemporaryDirectory() as folder:
            model = Model(trained(detector, asked, Path(folder) / "model"), threads=1)
            gate = model.bundle.manifest.gate
            assert gate is not None
            print(f"{detector}: gate learnt from {gate.images} images of {gate.parts} parts", flush=True)
            table(model, asked, products, modalities)
            defective(model, asked)
            cost(model, fitted(products[0], 1024, 1024, model.framing.spec.channels))
            sys.stdout.flush()


if __name__ == "__main__":
    main()
