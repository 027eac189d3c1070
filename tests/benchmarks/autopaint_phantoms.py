"""Lesions of phantoms that `autopaint` finds: rendered, trained, predicted and measured by the commands of the product.

    python tests/benchmarks/autopaint_phantoms.py DIR mr --seeds 0 1 2 --set options.rounds=0

KIND is mr, pet, ct, or petct: both as the channels of one image. Two minutes of one core for each seed.
Writes DIR/KIND (phantoms) and DIR/NAME-SEED (model, maps, measures); prints mean and standard deviation of the seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "data_samples"))
from render_scans import FIRST_ILL, render, write_nifti

HEALTHY, ILL = 30, 10
WINDOW = {"mr": "[0,150]", "pet": "[0,12]", "ct": "[-1000,600]", "petct": "[[0,12],[-1000,600]]"}
BODY = {"mr": "10", "pet": "0.35", "ct": "-300", "petct": "0.35"}
STEPS = 800


def phantoms(folder: Path, kind: str) -> None:
    """Healthy patients, others with lesions, and the truth, once."""
    if folder.exists():
        return
    for patient in [*range(1, HEALTHY + 1), *range(FIRST_ILL, FIRST_ILL + ILL)]:
        ill = patient >= FIRST_ILL
        for one in ("pet", "ct") if kind == "petct" else (kind,):
            scan = render(one, patient, lesions=1 + patient % 4 if ill else 0)
            name = f"patient{patient:02}" + (f"_{one.upper()}" if kind == "petct" else "") + ".nii.gz"
            write_nifti(folder / ("lesions" if ill else "good") / name, scan)
            if ill and one in (kind, "pet"):
                write_nifti(folder / "truth" / name, scan, truth=True)


def run(*command: str) -> None:
    subprocess.run([sys.executable, "-m", *command], check=True, stdout=subprocess.DEVNULL)


def measured(scans: Path, out: Path, kind: str, seed: int, options: list[str]) -> dict[str, float]:
    """One training; what its maps find."""
    settings = ["image.height=96", "image.width=96", f"readers.nifti.window={WINDOW[kind]}"]
    settings += [f"readers.nifti.body={BODY[kind]}", "options.residual=brighter"]
    if kind == "petct":
        settings.append("readers.nifti.channels=[PET,CT]")
    sets = [word for one in (*settings, *options) for word in ("--set", one)]
    train = ["anomalib_lite", "train", "autopaint", f"{scans / 'good'}", "--all-good", "--seed", f"{seed}"]
    train += ["--steps", f"{STEPS}", "--per", "part", "--max-false-reject", "30%", "--out", f"{out / 'model'}"]
    run(*train, *sets)
    run("anomalib_lite", "predict", f"{out / 'model'}", f"{scans / 'lesions'}", "--out", f"{out / 'found'}",
        "--write", "nifti_map")  # fmt: skip
    said = out / "lesions.json"
    run("anomalib_lite_medical", "lesions", f"{out / 'found/nifti_map'}", f"{scans / 'truth'}", "--json", f"{said}")
    found = json.loads(said.read_text(encoding="utf-8"))
    return {
        "average precision": found["average_precision"],
        "best Dice": found["best_dice"],
        "lesions hit at 1 false find per volume": found["froc"]["1.0"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("kind", choices=WINDOW)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--name", default="as-shipped")
    asked = parser.parse_args()
    scans = asked.out / asked.kind
    phantoms(scans, asked.kind)
    rows = []
    for seed in asked.seeds:
        out = asked.out / f"{asked.kind}-{asked.name}-{seed}"
        out.mkdir()
        rows.append(measured(scans, out, asked.kind, seed, asked.set))
    for name in rows[0]:
        values = [row[name] for row in rows]
        spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
        print(f"{name:40} {statistics.mean(values):.3f}{spread}")


if __name__ == "__main__":
    main()
