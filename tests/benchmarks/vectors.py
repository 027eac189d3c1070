"""The published table of detectors for vectors beside ours, in three protocols; run by hand.

    python tests/benchmarks/vectors.py ../shared/data/adbench [--results FILE] [--methods np c ...]

Protocols (the first two are semi-supervised: half of the normal points trains, the rest and all anomalies test):
- published: sets of fewer than 1,000 points are drawn with replacement to 1,000, those above 10,000 thinned to 10,000;
  normal points in file order. Copies of training points reach the test half of the small sets.
- distinct: the same with every point once: duplicates are dropped, small sets are shuffled instead of drawn anew.
- unsupervised: every point once trains, anomalies among them, and is scored. The paper's figures are not of this one.

Every measurement is a line of the results file and is not repeated; the tables are printed from that file.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from anomalib_lite_vectors import DiffusionTimeEstimator, MahalanobisEstimator, ScaleLearner
from anomalib_lite_vectors.base import VectorEstimator
from anomalib_lite_vectors.diffusion_time import BATCH, MAX_DIMENSIONS
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

SMALL, LARGE = 1_000, 10_000
SEEDS = 5
PAPER = ("np", "ig", "c", "slad")
Rows = dict[tuple[str, ...], float]  # (set, protocol, method, seed) -> AUROC in percent
METHODS: dict[str, dict[str, Any]] = {
    "np published": {"variant": "np", "published": True},
    "np": {"variant": "np"},
    "c published": {"variant": "c", "published": True},
    "c": {"variant": "c"},
    "ig published": {"variant": "ig", "published": True},
    "ig": {"variant": "ig"},
    "c of 3": {"variant": "c", "n_members": 3},
    "c logits": {"variant": "c", "head": "logits"},
    "slad published": {"published": True},
    "slad": {},
    "mahalanobis": {},
}
USUAL = ("np published", "np", "c published", "c", "slad published", "slad", "mahalanobis")
# AUROC, mean and standard deviation of 5 seeds, of the paper (arXiv 2305.18593, appendix), protocol "published"
PUBLISHED: dict[str, dict[str, tuple[float, float]]] = {
    "breastw": {"np": (99.28, 0.12), "ig": (78.65, 11.1), "c": (92.78, 1.75), "slad": (99.53, 0.13)},
    "glass": {"np": (89.64, 3.54), "ig": (98.53, 0.86), "c": (92.42, 2.3)},
    "hepatitis": {"np": (93.22, 3.9), "ig": (99.93, 0.15), "c": (98.78, 0.88)},
    "lymphography": {"np": (99.93, 0.09), "ig": (99.98, 0.05), "c": (98.99, 0.4)},
    "thyroid": {"np": (98.63, 0.04), "ig": (89.43, 11.73), "c": (98.74, 0.14), "slad": (95.27, 0.24)},
    "ionosphere": {"np": (97.77, 1.39), "ig": (95.15, 3.6), "c": (95.42, 0.58)},
    "wdbc": {"np": (99.52, 0.38), "ig": (99.6, 0.31), "c": (98.48, 0.77), "slad": (99.49, 0.25)},
    "annthyroid": {"np": (92.9, 0.25), "ig": (87.6, 4.46), "c": (97.52, 0.15), "slad": (93.34, 0.36)},
    "cardio": {"np": (91.8, 0.59), "ig": (73.79, 14.09), "c": (87.26, 1.0)},
    "vowels": {"np": (81.42, 1.44), "ig": (85.68, 3.16), "c": (86.93, 2.25), "slad": (85.02, 0.02)},
    "stamps": {"np": (97.87, 0.37), "ig": (93.38, 3.31), "c": (91.6, 2.04)},
    "wilt": {"np": (62.91, 5.59), "ig": (93.75, 3.23), "c": (85.1, 1.13), "slad": (61.76, 0.11)},
    "mvtec-ad (15 classes)": {"np": (89.66, 1.51), "ig": (85.88, 3.63), "c": (89.39, 2.0)},
}


class Split(NamedTuple):
    train: NDArray[np.float64]  # normal points
    test: NDArray[np.float64]
    anomalous: NDArray[np.int64]  # of test: 1 for anomalies


def published(points: NDArray[Any], labels: NDArray[Any], seed: int) -> Split:
    """The split of the paper's table."""
    draw = np.random.RandomState(seed).choice
    if len(labels) < SMALL:
        chosen = draw(len(labels), SMALL, replace=True)
    elif len(labels) > LARGE:
        chosen = draw(len(labels), LARGE, replace=False)
    else:
        chosen = np.arange(len(labels))
    return _halves(points[chosen], labels[chosen])


def distinct(points: NDArray[Any], labels: NDArray[Any], seed: int) -> Split:
    """The same with every point once."""
    first = np.sort(np.unique(points, axis=0, return_index=True)[1])
    points, labels = points[first], labels[first]
    random = np.random.RandomState(seed)
    if len(labels) < SMALL:
        chosen = random.permutation(len(labels))
    elif len(labels) > LARGE:
        chosen = random.choice(len(labels), LARGE, replace=False)
    else:
        chosen = np.arange(len(labels))
    return _halves(points[chosen], labels[chosen])


def _halves(points: NDArray[Any], labels: NDArray[Any]) -> Split:
    normal, anomalies = np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)
    half = round(0.5 * len(normal))
    rest = np.concatenate([normal[half:], anomalies])
    return Split(points[normal[:half]].astype(np.float64), points[rest].astype(np.float64), labels[rest].astype(int))


def unsupervised(points: NDArray[Any], labels: NDArray[Any], seed: int) -> Split:
    """All points, to learn from and to score."""
    first = np.sort(np.unique(points, axis=0, return_index=True)[1])
    if len(first) > LARGE:
        first = np.random.RandomState(seed).choice(first, LARGE, replace=False)
    chosen = points[first].astype(np.float64)
    return Split(chosen, chosen, labels[first].astype(int))


def made(method: str, seed: int) -> VectorEstimator:
    """An estimator that nothing has been shown to."""
    if method == "mahalanobis":
        return MahalanobisEstimator()
    kind = ScaleLearner if method.startswith("slad") else DiffusionTimeEstimator
    return kind(random_state=seed, **METHODS[method])


PROTOCOLS = {"published": published, "distinct": distinct, "unsupervised": unsupervised}


def measure(path: Path, protocol: str, method: str, seed: int) -> dict[str, Any]:
    """One line of the results."""
    with np.load(path) as file:
        split = PROTOCOLS[protocol](file["X"], file["y"], seed)
    estimator = made(method, seed)
    started = time.process_time()
    estimator.fit(split.train)
    auroc = 100 * roc_auc_score(split.anomalous, estimator.score_samples(split.test))
    return {"auroc": float(auroc), "train": len(split.train), "seconds": round(time.process_time() - started, 1)}


def _same(path: Path, protocol: str, seed: int) -> bool:
    """Whether `c` is `c published` to the last bit here: neither its steps are limited nor the features projected."""
    with np.load(path) as file:
        train = PROTOCOLS[protocol](file["X"], file["y"], seed).train
    ours = DiffusionTimeEstimator("c")
    return train.shape[1] <= MAX_DIMENSIONS and -(-len(train) // BATCH) * ours.epochs <= ours.max_steps


def name_of(path: Path) -> str:
    """`38_thyroid.npz` -> thyroid."""
    return path.stem.split("_", 1)[1].lower() if path.stem[0].isdigit() else path.stem.lower()


def tasks(
    paths: list[Path], protocols: list[str], methods: list[str], seeds: int
) -> Iterator[tuple[Path, str, str, int]]:
    """Small sets first; seeds outermost but one, so that an interrupted run has every set."""
    ordered = sorted(paths, key=lambda path: path.stat().st_size)
    for method in methods:
        for protocol in protocols:
            for seed in range(seeds):
                for path in ordered:
                    yield path, protocol, method, seed


def table(rows: Rows, protocol: str, methods: list[str]) -> str:
    """Markdown: a set per row, mean (standard deviation) of the paper and of each method; means over sets below."""
    names = sorted({key[0] for key in rows}, key=lambda name: (name.startswith("mvtec"), name))
    theirs = {} if protocol == "unsupervised" else PUBLISHED
    lines = [f"| {protocol} | " + " | ".join([*(f"paper {one}" for one in PAPER), *methods]) + " |"]
    lines.append("|---" * (1 + len(PAPER) + len(methods)) + "|")
    for name in names:
        known = theirs.get(name, {})
        paper = [_shown(*known[one]) if one in known else "-" for one in PAPER]
        ours = [_cell(_values(rows, name, protocol, method)) for method in methods]
        lines.append(f"| {name} | " + " | ".join(paper + ours) + " |")
    tabular = [name for name in names if name in PUBLISHED]
    embedded = [name for name in names if name.startswith("mvtec")]
    for label, chosen in ((f"mean of {len(tabular)}", tabular), (f"mean of {len(embedded)} mvtec-ad", embedded)):
        figures = [[theirs.get(name, {}).get(one, ())[:1] for name in chosen] for one in PAPER]
        paper = [_mean([list(one) for one in row]) for row in figures]
        ours = [_mean([_values(rows, name, protocol, method) for name in chosen]) for method in methods]
        lines.append(f"| {label} | " + " | ".join(paper + ours) + " |")
    return "\n".join(lines)


def _values(rows: Rows, *key: str) -> list[float]:
    return [value for found, value in rows.items() if found[:3] == key]


def _shown(mean: float, spread: float) -> str:
    return f"{mean:.1f} ({spread:.1f})"


def _cell(values: list[float]) -> str:
    if not values:
        return "-"
    number = "" if len(values) == SEEDS else f" [{len(values)}]"
    return _shown(float(np.mean(values)), float(np.std(values))) + number


def _mean(values: list[list[float]]) -> str:
    """Mean over sets of their means, where every set was measured."""
    return f"{np.mean([np.mean(one) for one in values]):.2f}" if values and all(values) else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .npz files with X (n, d) and y (1 = anomaly)")
    parser.add_argument("--results", type=Path, default=Path("vectors.jsonl"), help="measurements, kept")
    parser.add_argument("--methods", nargs="*", default=USUAL, choices=METHODS)
    parser.add_argument("--protocols", nargs="*", default=list(PROTOCOLS), choices=PROTOCOLS)
    parser.add_argument("--sets", nargs="*", help="names, such as thyroid; default: all")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many")
    options = parser.parse_args()
    torch.set_num_threads(1)
    paths = [path for path in options.data.glob("*.npz") if not options.sets or name_of(path) in options.sets]
    known = [json.loads(line) for line in options.results.read_text().splitlines()] if options.results.exists() else []
    rows = {tuple(line["key"]): line["auroc"] for line in known}
    with options.results.open("a") as file:
        for path, protocol, method, seed in tasks(paths, options.protocols, options.methods, options.seeds):
            key = (name_of(path), protocol, method, str(seed))
            if key not in rows:
                other = rows.get((*key[:2], "c published", key[3])) if method == "c" else None
                if other is not None and _same(path, protocol, seed):
                    result = {"auroc": other, "as": "c published"}
                else:
                    result = measure(path, protocol, method, seed)
                rows[key] = result["auroc"]
                print(json.dumps({"key": key, **result}), file=file, flush=True)
    for protocol in options.protocols:
        print(table(rows, protocol, options.methods), end="\n\n")


if __name__ == "__main__":
    main()
