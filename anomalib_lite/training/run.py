"""Training runs on Lightning: timed or counted, logged, interruptible, resumable, over one process or several."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, TypeVar

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches
from anomalib_lite.errors import ConfigError, DataError, PluginError
from anomalib_lite.training import processes
from anomalib_lite.training.adapter import Adapter, tensorboard
from anomalib_lite.training.batches import FrameBatches, endless
from anomalib_lite.training.context import deterministic, device_kind, progress_bar, quiet, seed_torch, training_modes
from anomalib_lite.training.descent import Course, Descent, MakeOptimiser, adamw, warm_up_cosine
from anomalib_lite.training.files import Checkpoint, TrainingLog, prepare, seconds_spent
from anomalib_lite.training.plan import Plan

T = TypeVar("T")
R = TypeVar("R")


class LightningRun:
    """The host's `TrainingRun`.

    Same seed, same weights: constructing the run seeds torch (build the detector after it), and every step and the end
    of every `minimise` seed it again from (seed, call, step, process). So a run that was stopped and resumed ends as
    one that was not: bit for bit on a CPU with counted steps. Gradients are clipped to norm 1.

    With `devices` x `nodes` > 1, Lightning starts the other processes by running the same command line again; each
    constructs its own run and makes the same calls. Process 0 alone writes into `folder`, which all must see. The
    gradient is the mean over the processes' slices of a batch; running statistics of batch normalisation are those of
    process 0. Afterwards call `close` in each process, and let those that are not `is_main` return.

    Args:
        folder: Where checkpoints, training.csv and TensorBoard's files go; created.
        seed: Sets all randomness.
        device: "auto", "cpu", "cuda" or "mps".
        devices: Processes on this machine, one per device.
        nodes: Machines.
        precision: "32-true" (default), or "bf16-mixed" on CUDA.
        minutes: Time budget of the whole run, counted on across interruptions. A `minimise` takes all that is left.
        steps: Steps of every `minimise`, instead of what the detector asks for.
        resume: Continue what `folder` holds; otherwise it is removed.
        show_progress: Draw progress bars on standard error.

    Raises:
        ConfigError: The device is not there; `minutes` or `steps` are not positive, or both are given.
        ModelError: A checkpoint to resume from is damaged.
    """

    def __init__(
        self,
        *,
        folder: Path,
        seed: int = 0,
        device: str = "auto",
        devices: int = 1,
        nodes: int = 1,
        precision: str | None = None,
        minutes: float | None = None,
        steps: int | None = None,
        resume: bool = False,
        show_progress: bool = False,
    ) -> None:
        if minutes is not None and steps is not None:
            raise ConfigError("A run ends by the clock or by its steps: give --minutes or --steps, not both.")
        if (minutes is not None and minutes <= 0) or (steps is not None and steps < 1):
            raise ConfigError("--minutes and --steps must be positive.")
        self.folder = folder
        self.seed = seed
        self.world = devices * nodes
        self.steps_done = 0
        self.ended_early = False  # left time over, because more steps would gain nothing
        self._steps = steps
        self._budget = math.inf if minutes is None else 60 * minutes
        self._kind = device_kind(device, devices)
        self._settings: dict[str, Any] = {"devices": devices, "num_nodes": nodes, "precision": precision or "32-true"}
        self._threads = torch.get_num_threads()
        self.rank, local_rank = self._place()
        self.device = torch.device("cuda", local_rank) if self._kind == "cuda" else torch.device(self._kind)
        self.resume = resume
        self._show = show_progress and self.is_main
        self._calls = 0
        self._descent: Descent | None = None
        self._logger: TensorBoardLogger | None = None
        if self.is_main:
            prepare(folder, resume=resume)
        self._started = time.monotonic() - (seconds_spent(folder) if resume else 0.0)
        self._table = TrainingLog(folder / "training.csv", write=self.is_main, resume=resume)
        seed_torch(seed)

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Self:
        """The run of one of the fits that a plan asks for: they share its time."""
        asked = plan.config.training
        fits = plan.config.calibration.crossfit or 1
        return cls(
            folder=folder,
            seed=asked.seed,
            device=asked.device,
            devices=asked.devices,
            nodes=asked.nodes,
            precision=asked.precision,
            minutes=asked.minutes / fits if asked.minutes else None,
            steps=asked.steps,
            resume=plan.request.resume,
            show_progress=plan.request.show_progress,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        return self.rank == 0

    @property
    def curve(self) -> list[tuple[int, int, float]]:
        """(call, step, loss) as in training.csv, at most 500 points."""
        return self._table.curve

    def elapsed(self) -> float:
        """Seconds spent on this run, those before an interruption included."""
        return time.monotonic() - self._started

    def time_left(self) -> float:
        """Seconds until the time budget ends; infinite without `minutes`."""
        return max(0.0, self._budget - self.elapsed())

    def agree_on_time(self) -> None:
        """Set the clocks of all processes by that of process 0."""
        if self.world > 1:
            elapsed = torch.tensor(self.elapsed(), device=self.device)
            torch.distributed.broadcast(elapsed, src=0)
            self._started = time.monotonic() - elapsed.item()

    def log(self, name: str, value: float | Tensor) -> None:
        """Record a value of the current step, as process 0 sees it; between the calls of `minimise`, a row of it."""
        if self._descent is None:
            self._table.add({"call": self._calls, "seconds": round(self.elapsed(), 3), name: float(value)})
        else:
            self._descent.values[name] = value

    def split(self, batches: Batches, share: float) -> tuple[Batches, Batches]:
        """See `TrainingRun.split`.

        Raises:
            DataError: The images are of one part.
        """
        if not isinstance(batches, FrameBatches):
            raise PluginError("A detector called `split` with other batches than those that `fit` was given.")
        return batches.split(share)

    def progress(self, batches: Iterable[T], label: str) -> Iterator[T]:
        """Pass items through and show how far a closed-form fit has come."""
        total = len(batches) if isinstance(batches, Sized) else None
        with progress_bar(label, total, show=self._show) as (bar, task):
            for item in batches:
                yield item
                bar.advance(task)

    def map(self, compute: Callable[[Batch], R], batches: Batches, label: str) -> Iterator[R]:
        """See `TrainingRun.map`."""
        if self.world == 1 or not isinstance(batches, FrameBatches):
            yield from map(compute, self.progress(batches, label))
            return
        found = processes.computed(compute, batches, self._trainer)
        yield from (one for one, _ in zip(found, self.progress(range(len(batches)), label), strict=True))

    def minimise(
        self,
        loss: Callable[[Batch], Tensor],
        module: nn.Module,
        batches: Batches,
        *,
        steps: int,
        optimiser: MakeOptimiser | None = None,
        schedule: Callable[[float], float] | None = None,
        at_most: int | None = None,
        share: float = 1.0,
    ) -> None:
        """See `TrainingRun.minimise`.

        The module is trained in training mode, except parts whose parameters are all frozen, which keep their mode.
        It is left on `device` in the modes it had.

        Raises:
            ConfigError: The loss or the gradient is not finite, or no time is left. What was saved can be resumed.
            PluginError: There is nothing to train, or the loss is not a scalar.
            KeyboardInterrupt: Interrupted or terminated; a checkpoint was written first.
        """
        call, self._calls = self._calls, self._calls + 1
        course = Course(
            steps=self._steps or steps,
            budget=self._budget,
            optimiser=optimiser or adamw,
            schedule=schedule or warm_up_cosine,
            at_most=at_most,
            share=share,
        )
        state = self._restore(call, module)
        descent = Descent(self, loss, module, course, state)
        if not state.finished:
            self._descend(descent, batches)
        self.steps_done += descent.step
        self.ended_early = descent.ended_early  # a later part may use what an earlier one left
        seed_torch(self.seed, call)

    def close(self) -> None:
        """Part from the other processes, waiting for none, and undo what their launcher set here."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()
        torch.set_num_threads(self._threads)

    def record(self, row: dict[str, float]) -> None:
        """Log a step, in training.csv and TensorBoard."""
        self._table.add(row)
        if self._logger is not None:
            metrics = {name: value for name, value in row.items() if name not in ("call", "step")}
            self._logger.log_metrics(metrics, int(row["step"]))

    def shared(self, error: BaseException) -> BaseException:
        """What to raise for something that all processes agree on: one reports it, the others end quietly."""
        return error if self.is_main else SystemExit(0)

    def _restore(self, call: int, module: nn.Module) -> Checkpoint:
        """Where the call stands; what it learnt so far is loaded into the module."""
        path = Checkpoint.path(self.folder, call)
        state = Checkpoint(call, self.seed)
        if self.resume and path.exists():
            state = Checkpoint.load(path)
            if state.seed != self.seed:
                raise ConfigError(f"{path} was begun with seed {state.seed}: resume with --seed {state.seed}.")
            try:
                module.load_state_dict(state.module)
            except RuntimeError as error:
                raise ConfigError(f"{path} is of other options: resume with those it was begun with.") from error
        if not state.finished:
            self._table.rewind(call, state.step)
        return state

    def _descend(self, descent: Descent, batches: Batches) -> None:
        """Carry out the plan, and save the outcome, or the state in which it was interrupted."""
        if isinstance(batches, FrameBatches) and (batches.rank, batches.world) != (self.rank, self.world):
            raise ValueError("FrameBatches and LightningRun must be given the same rank and world.")
        if descent.done >= 1:  # resumed with fewer steps than were done
            return
        self._descent = descent
        try:
            with (
                quiet(),
                deterministic(),
                training_modes(descent.module),
                progress_bar(f"training {descent.call + 1}", 1, show=self._show) as (bar, task),
            ):
                self._logger = tensorboard(self.folder, descent.call)
                adapter = Adapter(descent, lambda: bar.update(task, completed=descent.done, note=descent.note()))
                trainer = self._trainer(self._logger)
                trainer.fit(adapter, train_dataloaders=endless(batches, descent.step))
        except SystemExit as error:  # Lightning turns an interrupt into this
            if isinstance(error.__context__, KeyboardInterrupt):
                raise self.shared(KeyboardInterrupt()) from None
            raise
        except Exception:
            with suppress(DataError):  # the first error is the one to read
                descent.save()
            raise
        finally:
            descent.interrupts.restore()
            descent.module.to(self.device)
            self._descent = self._logger = None
        descent.save()
        if descent.interrupted:
            raise self.shared(KeyboardInterrupt())

    def _trainer(self, logger: TensorBoardLogger | None = None) -> pl.Trainer:
        return processes.trainer(self._kind, self.world, self._settings, logger)

    def _place(self) -> tuple[int, int]:
        """Rank among all processes, and among those of this machine."""
        with quiet():
            trainer = self._trainer()
        return trainer.global_rank, trainer.local_rank
