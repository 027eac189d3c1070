"""Work that is spread over an engine: the part of `predict`, `evaluate` and `train-many` that chooses it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from anomalib_lite.cli import options
from anomalib_lite.edge.manifest import PRODUCTS
from anomalib_lite.errors import ConfigError

if TYPE_CHECKING:
    from anomalib_lite.data.store import Store
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.modelset import ModelSet
    from anomalib_lite.engines import Engine
    from anomalib_lite.pipeline.looking import Judging
    from anomalib_lite.pipeline.predict import Predicted

GPU = ("cuda", "tensorrt")  # providers that need one


def place(out: str) -> Path | Store:
    """Where `--out` writes: a folder, or one at an address.

    Raises:
        ConfigError: It is no name of a folder.
        DataError: It is an address that holds a secret.
    """
    from anomalib_lite.data.addresses import is_address
    from anomalib_lite.data.store import Store

    return Store(out) if is_address(out) else options.folder(Path(out))


@contextmanager
def judging(model: Model | Joint, ray: str | None, workers: int) -> Iterator[Judging | None]:
    """What judges images in a cluster; None where none is asked for.

    Raises:
        ConfigError: The cluster cannot be joined.
    """
    if ray is None:
        yield None
        return
    from anomalib_lite.engines.cluster import Cluster
    from anomalib_lite.pipeline.looking import Looking

    gpu = model.runtime.provider in GPU
    with Cluster(ray, model.runtime.threads or 1, workers or None, gpu) as cluster:
        yield Looking(model, cluster)


@contextmanager
def engine(
    ray: str | None, workers: int, threads: int, gpu: bool | None = None, *, apart: bool = False
) -> Iterator[Engine]:
    """The cluster that is asked for, or so many processes of this machine.

    Args:
        ray: Its address; None for none.
        workers: Pieces at once; of a cluster 0 for as many as it has cores.
        threads: That a piece computes on.
        gpu: Whether each takes a GPU of the cluster; None where it has any.
        apart: Whether one at a time has a process of its own, too.

    Raises:
        ConfigError: The cluster cannot be joined.
    """
    from anomalib_lite.engines import Local
    from anomalib_lite.output.capture import stdout_for_results

    if ray is None:
        yield Local(max(1, workers), threads, apart)
        return
    from anomalib_lite.engines.cluster import Cluster

    with stdout_for_results(), Cluster(ray, threads, workers or None, gpu) as cluster:
        yield cluster


@contextmanager
def trainings(ray: str | None, workers: int, threads: int, *, apart: bool = False) -> Iterator[tuple[Engine, int]]:
    """Where trainings run beside each other, and the threads of one; 0 leaves these to onnxruntime.

    Arguments and errors as of `engine`.
    """
    from anomalib_lite.engines.room import cores

    if not threads and (ray or workers > 1):
        threads = 1 if ray else max(1, cores() // workers)
    with engine(ray, workers, threads or (cores() if apart else 1), apart=apart) as chosen:
        yield chosen, threads


def predict(
    model: Model | Joint | ModelSet, inputs: Sequence[str], ray: str | None, workers: int, *, out: Path | Store | None,
    refused: Mapping[str, Any], **asked: Any,
) -> Predicted:  # fmt: skip
    """Judge images by shares.

    Raises:
        ConfigError: There is no --out, an option has no meaning here, or the model is a set, or of one.
    """
    from anomalib_lite.edge.modelset import ModelSet
    from anomalib_lite.pipeline.spread import spread

    what = "--ray" if ray else "an address, or a Parquet list,"
    for option, given in refused.items():
        if given:
            raise ConfigError(f"{option} has no meaning with {what.rstrip(',')}: rows go to --out. Leave it out.")
    if isinstance(model, ModelSet) or model.bundle.path.parent.name == PRODUCTS:
        raise ConfigError(f"{what.rstrip(',')} takes single models: give the one that the product was made of.")
    if out is None:
        raise ConfigError(f"{what} needs a folder to write to: add --out DIR.")
    threads = model.runtime.threads or 1
    with engine(ray, workers, threads, model.runtime.provider in GPU) as chosen:
        return spread(model, inputs, chosen, out=out, threads=threads, **asked)
