"""The processes that train together: Lightning starts them, and they divide what a closed-form fit computes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.strategies import DDPStrategy
from torch import Tensor, nn

from anomalib_lite.detector import Batch
from anomalib_lite.training.batches import FrameBatches
from anomalib_lite.training.context import quiet

T = TypeVar("T")


def trainer(kind: str, world: int, settings: dict[str, Any], logger: TensorBoardLogger | None = None) -> pl.Trainer:
    """Lightning's trainer, bare, for so many processes in all."""
    alone = world == 1
    return pl.Trainer(
        accelerator=kind,
        strategy="auto" if alone else DDPStrategy(find_unused_parameters=True),
        plugins=[LightningEnvironment()] if alone else None,  # alone, whatever a cluster's variables say
        logger=logger or False,
        max_epochs=-1,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )


def computed(compute: Callable[[Batch], T], batches: FrameBatches, bare: Callable[[], pl.Trainer]) -> Iterator[T]:
    """What comes of each batch of one pass, in their order and the same in every process; each computes its share.

    Args:
        compute: From a batch to a tensor, or a tuple of tensors.
        batches: Of this process.
        bare: Makes a trainer, which starts the other processes where nobody has.
    """
    if not torch.distributed.is_initialized():
        with quiet():
            bare().validate(_Nothing(), [0], verbose=False)
    for mine, count in batches.turns():
        found: list[Any] = [None] * batches.world
        torch.distributed.all_gather_object(found, None if mine is None else _to(compute(mine), torch.device("cpu")))
        yield from (_to(one, batches.device) for one in found[:count])


class _Nothing(pl.LightningModule):
    """Nothing is computed; the processes have to be there for it."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))

    def validation_step(self, batch: Any, index: int) -> None:
        """Pass."""


def _to(found: Any, device: torch.device) -> Any:
    return found.to(device) if isinstance(found, Tensor) else tuple(one.to(device) for one in found)
