"""Trains one model in several processes of a Ray cluster, with Ray Train: `train --devices N` in its process group.

usage: python ray_train.py ADDRESS N train DETECTOR DATA --out MODEL [OPTIONS of train]

ADDRESS is HOST:PORT, auto or local, as of --ray. Every node needs `pip install 'anomalib-lite[train,cluster]' pandas`
and the folder that this is called in. Processes get a GPU each where the cluster has any. `ray_results` is Ray's own.
"""

from __future__ import annotations

import os
import sys
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path
from typing import Any

from anomalib_lite.engines.cluster import Cluster

SAID = 2000  # last characters of what a process said that fails


def train(asked: dict[str, Any]) -> None:
    """In each process: the command, which finds its rank and the process group there.

    Raises:
        RuntimeError: It fails.
    """
    from anomalib_lite.cli import main

    os.chdir(asked["folder"])
    with redirect_stderr(StringIO()) as said:
        try:
            main(asked["words"])
        except SystemExit as exit:
            if exit.code:
                raise RuntimeError(f"exit code {exit.code}: {said.getvalue()[-SAID:]}") from None


def run(address: str, processes: int, words: list[str]) -> None:
    """Train in so many processes."""
    here = str(Path.cwd())
    asked = {"folder": here, "words": [*words, "--devices", str(processes)]}
    with Cluster(address):
        import ray
        from ray.train import RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer

        scaling = ScalingConfig(num_workers=processes, use_gpu="GPU" in ray.cluster_resources())
        storage = RunConfig(storage_path=str(Path(here) / "ray_results"))
        TorchTrainer(train, train_loop_config=asked, scaling_config=scaling, run_config=storage).fit()


if __name__ == "__main__":
    run(sys.argv[1], int(sys.argv[2]), sys.argv[3:])
