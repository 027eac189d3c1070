r"""Sound and video of rendered welds, each alone and fused: AUROC over parts, from the rows that `predict` wrote.

usage: python tests/benchmarks/weld_senses.py RESULTS [RESULTS ...]

RESULTS holds what `predict --out` wrote of the same welds: sound/, video/ and fused/. For SEED in 1 2 3:

    python data_samples/render_weld.py welds --seed SEED
    anomalib-lite train neighbours welds/sound --out sound --seed SEED --group 'weld(\d+)' --per part-cusum \
        --holdout 50% --set gate.enabled=false --set readers.sound.window=0.5 --set readers.sound.step=0.25 \
        --set image.height=128 --set image.width=128
    anomalib-lite train neighbours welds/video --out video --seed SEED --group 'weld(\d+)' --per part-top \
        --holdout 50% --set gate.enabled=false --set image.height=96 --set image.width=160
    anomalib-lite fuse sound=sound video=video --out joint
    anomalib-lite predict sound welds/sound/test --group 'weld(\d+)' --out RESULTS/sound
    anomalib-lite predict video welds/video/test --group 'weld(\d+)' --out RESULTS/video
    anomalib-lite predict joint welds/sound/test welds/video/test --group 'weld(\d+)' --out RESULTS/fused

Only good welds are learnt from. The difference is that of fused and the best single sense; its standard error comes
from drawing parts again, the same for both, and of several seeds from their mean.
"""

from __future__ import annotations

import argparse
import csv
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import render_weld

from anomalib_lite.metrics.bootstrap import auroc_draws
from anomalib_lite.metrics.scores import auroc

SENSES = ("sound", "video", "fused")
GOOD = "good"


@dataclass(frozen=True)
class Compared:
    """What three models say of the same welds."""

    auroc: Mapping[str, float]  # of each of `SENSES`, all kinds
    of_kind: Mapping[str, Mapping[str, float]]  # of each of them against the same good welds
    difference: float  # fused less the best of the others
    error: float  # its standard error


def scores_of(results: Path) -> dict[str, float]:
    """The score of each part, in parts.csv.

    Raises:
        ValueError: One could not be measured.
    """
    with (results / "parts.csv").open(newline="", encoding="utf-8") as table:
        return {row["part"]: float(row["score"]) for row in csv.DictReader(table)}


def compared(scores: Mapping[str, Mapping[str, float]], kinds: Mapping[str, str]) -> Compared:
    """AUROC of each sense, and how much fusing brings.

    Args:
        scores: Sense to parts to scores.
        kinds: Part to "good" or what is wrong with it.
    """
    good = [part for part in kinds if kinds[part] == GOOD]
    bad = [part for part in kinds if kinds[part] != GOOD]

    def measured(sense: str, parts: Sequence[str]) -> float:
        found = auroc([scores[sense][one] for one in good], [scores[sense][one] for one in parts])
        assert found is not None  # there are both
        return found

    def drawn(sense: str) -> np.ndarray:
        of = scores[sense]
        return auroc_draws(([of[one] for one in good], good), ([of[one] for one in bad], bad))

    whole = {sense: measured(sense, bad) for sense in SENSES}
    best = max(SENSES[:2], key=lambda sense: whole[sense])
    shown = {kind: [part for part in bad if kinds[part] == kind] for kind in dict.fromkeys(kinds[part] for part in bad)}
    of_kind = {kind: {sense: measured(sense, parts) for sense in SENSES} for kind, parts in shown.items()}
    error = float((drawn("fused") - drawn(best)).std())
    return Compared(whole, of_kind, whole["fused"] - whole[best], error)


def line(name: str, values: Sequence[Mapping[str, float]]) -> str:
    """Mean and standard deviation over seeds, for each sense."""
    cells = []
    for sense in SENSES:
        each = [one[sense] for one in values]
        spread = f" ± {statistics.stdev(each):.3f}" if len(each) > 1 else ""
        cells.append(f"{statistics.fmean(each):.3f}{spread}")
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=Path, metavar="RESULTS")
    kinds = {f"{weld:03}": kind for weld, folder, kind in render_weld.plan() if folder.startswith("test/")}
    found = []
    for folder in parser.parse_args().results:
        found.append(compared({sense: scores_of(folder / sense) for sense in SENSES}, kinds))
        print(f"{folder}: fused - best single {found[-1].difference:+.3f}, standard error {found[-1].error:.3f}")
    print(f"| defects | {' | '.join(SENSES)} |\n|---|---|---|---|")
    print(line("all", [one.auroc for one in found]))
    for kind in found[0].of_kind:
        print(line(kind, [one.of_kind[kind] for one in found]))
    mean = statistics.fmean(one.difference for one in found)
    error = math.sqrt(sum(one.error**2 for one in found)) / len(found)
    print(f"fused - best single {mean:+.3f}, standard error {error:.3f}: {mean / error:.1f} standard errors")


if __name__ == "__main__":
    main()
