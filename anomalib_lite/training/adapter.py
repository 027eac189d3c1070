"""What Lightning calls in each step of a descent, passed on."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from anomalib_lite.detector import Batch
from anomalib_lite.training.descent import Descent


class Adapter(pl.LightningModule):
    """A descent, as Lightning wants it."""

    def __init__(self, descent: Descent, show: Callable[[], None]) -> None:
        super().__init__()
        self.module = descent.module  # registered here: Lightning moves it and synchronises its gradients
        self.unused = nn.Parameter(torch.zeros(1))  # so that DDP, told to look for unused ones, does not warn of none
        self._descent = descent
        self._show = show

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The optimiser, where it stood."""
        return self._descent.make_optimiser()

    def on_train_start(self) -> None:
        """Agree on the time."""
        self._descent.start()

    def on_train_batch_start(self, batch: Batch, index: int) -> None:
        """Set this step's learning rate."""
        self._descent.set_rate()

    def training_step(self, batch: Batch, index: int) -> Tensor:
        """The loss of this step."""
        return self._descent.measure(batch)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradient."""
        self._descent.clip()

    def on_train_batch_end(self, outputs: Any, batch: Batch, index: int) -> None:
        """Count the step, and stop after the last one."""
        if self._descent.advance():
            self.trainer.should_stop = True
        self._show()

    def on_train_end(self) -> None:
        """Share what gradients do not keep in step."""
        self._descent.share_buffers()


def tensorboard(folder: Path, call: int) -> TensorBoardLogger | None:
    """Where TensorBoard finds the values of a descent; None where it is not installed, or takes no such folder."""
    if importlib.util.find_spec("tensorboard") is None or not str(folder).isprintable():  # such as a name without UTF-8
        return None
    return TensorBoardLogger(folder, name="tensorboard", version=f"minimise-{call}")
