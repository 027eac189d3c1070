"""What surrounds training steps: device, seeds, modes, determinism, quiet, interrupts, the progress bar."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from torch import nn

from anomalib_lite.errors import ConfigError
from anomalib_lite.output.loggers import quiet_loggers


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
    if device == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read once; without it cuBLAS is not deterministic
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


@contextmanager
def quiet() -> Iterator[None]:
    """Without Lightning's tips and the warnings that mean nothing here."""
    with quiet_loggers("lightning.pytorch", "lightning.fabric"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r"Found \d+ module\(s\) in eval mode")
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        warnings.filterwarnings("ignore", message=".*does not have a deterministic implementation.*")
        yield


class Interrupts:
    """Turns Ctrl-C and SIGTERM into a request to stop after the step under way; a second one stops at once.

    Signals reach the main thread only; elsewhere this does nothing.
    """

    def __init__(self) -> None:
        self.requested = False
        here = threading.current_thread() is threading.main_thread()
        self._before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)} if here else {}

    def install(self) -> None:
        """Handle the signals from now on."""
        for number in self._before:
            signal.signal(number, self._handle)

    def restore(self) -> None:
        """Put back the handlers that were there."""
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)

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
