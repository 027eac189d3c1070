"""What surrounds training steps: device, seeds, modes, determinism, interrupts, the progress bar."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import nn

from anomalib_lite.errors import ConfigError

WARM_UP = 0.05  # share of the training


def warm_up_cosine(progress: float) -> float:
    """Factor of the learning rate: rises over the first 5 % of the training, then falls to 0 as a half cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def device_kind(device: str, devices: int) -> str:
    """One of cpu, cuda and mps; "auto" takes the fastest that is there.

    Raises:
        ConfigError: torch does not find that many of them.
    """
    gpus = torch.cuda.device_count()
    if device == "auto":
        device = "cuda" if gpus else "mps" if torch.backends.mps.is_available() else "cpu"
    if device not in ("cpu", "cuda", "mps"):
        raise ConfigError(f"'{device}' is not a device: use auto, cpu, cuda or mps.")
    if device == "cuda" and gpus < devices:
        raise ConfigError(f"{devices} CUDA devices were asked for and torch finds {gpus}: use --device cpu, or fewer.")
    if device == "mps" and (devices > 1 or not torch.backends.mps.is_available()):
        raise ConfigError("torch finds no MPS device for this: use --device cpu (MPS trains with one process only).")
    return device


def seed_torch(*entropy: int) -> None:
    """Seed torch's global generators, on all devices, from several non-negative numbers at once."""
    torch.manual_seed(int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0]))


@contextmanager
def training_modes(module: nn.Module) -> Iterator[None]:
    """Training mode for all but the parts whose parameters are all frozen; afterwards the modes that were."""
    before = [(part, part.training) for part in module.modules()]
    _set_training(module)
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


def _set_training(module: nn.Module) -> None:
    parameters = list(module.parameters())
    if parameters and not any(parameter.requires_grad for parameter in parameters):
        return
    module.training = True
    for part in module.children():
        _set_training(part)


@contextmanager
def deterministic() -> Iterator[None]:
    """Deterministic algorithms where torch has them."""
    before = torch.are_deterministic_algorithms_enabled()
    only_warned = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=only_warned)


class Interrupts:
    """Turns Ctrl-C and SIGTERM into a request to stop after the step under way; a second one stops at once.

    Signals reach the main thread only; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def install(self) -> None:
        """Handle the signals from now on."""
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore(self) -> None:
        """Put back the handlers that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._before = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True


@contextmanager
def progress_bar(label: str, total: float | None, *, show: bool) -> Iterator[tuple[Progress, TaskID]]:
    """A bar on standard error with a field `note`; nothing unless `show`."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not show) as progress:
        yield progress, progress.add_task(label, total=total, note="")
