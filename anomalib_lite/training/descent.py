"""One gradient descent, step by step: seeds, learning rate, loss, clipping, log and checkpoints."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias

import torch
from torch import Tensor, distributed, nn

from anomalib_lite.detector import Batch
from anomalib_lite.errors import ConfigError, PluginError
from anomalib_lite.training.context import Interrupts, seed_torch
from anomalib_lite.training.files import Checkpoint

MakeOptimiser: TypeAlias = Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]

CLIP_NORM = 1.0
LEARNING_RATE = 1e-3
LOGGED_ROWS = 1000  # at most, of one descent
SAVE_EVERY = 60.0  # seconds
WARM_UP = 0.05  # share of the training


def warm_up_cosine(progress: float) -> float:
    """Factor of the learning rate: rises over the first 5 % of the training, then falls to 0 as a half cosine."""
    if progress < WARM_UP:
        return max(progress / WARM_UP, 0.01)
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


def adamw(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    """The default optimiser."""
    return torch.optim.AdamW(parameters, lr=LEARNING_RATE)


class Run(Protocol):
    """What a descent asks of the run that it is a part of: `training.run.LightningRun`."""

    folder: Path
    seed: int
    rank: int
    world: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes."""
        ...

    def elapsed(self) -> float:
        """Seconds spent."""
        ...

    def agree_on_time(self) -> None:
        """Set the clocks of all processes alike."""
        ...

    def shared(self, error: BaseException) -> BaseException:
        """What to raise for something that all processes agree on."""
        ...

    def record(self, row: dict[str, float]) -> None:
        """Log a step."""
        ...


@dataclass(frozen=True)
class Course:
    """How a module is trained: for `steps`, or until `budget` (seconds of the run) where that is finite."""

    steps: int
    budget: float
    at_most: int | None  # steps, whatever the budget
    share: float  # of the time that is left when the descent begins
    optimiser: MakeOptimiser
    schedule: Callable[[float], float]  # factor of the learning rate, from progress in [0, 1]


class Descent:
    """The state of one `minimise`. A step is `set_rate`, `measure`, `clip` (after the gradient) and `advance`.

    A checkpoint is written only between two steps, so that what is resumed is never half of one.
    """

    def __init__(
        self, run: Run, loss: Callable[[Batch], Tensor], module: nn.Module, course: Course, state: Checkpoint
    ) -> None:
        self.module = module
        self.call, self.step, self.began, self.elapsed = state.call, state.step, state.began, state.elapsed
        self.values: dict[str, float | Tensor] = {}  # logged by name in the step under way
        self.interrupts = Interrupts()
        self._between_steps = True
        self._run, self._loss, self._course = run, loss, course
        self._optimiser_state = state.optimiser
        self.interrupted = False  # by agreement of the processes
        self._saved = time.monotonic()

    @property
    def done(self) -> float:
        """Progress in [0, 1]."""
        if math.isinf(self._course.budget):
            return min(1.0, self.step / self._course.steps)
        by_clock = (self.elapsed - self.began) / max(self._course.share * (self._course.budget - self.began), 1e-9)
        return min(1.0, max(by_clock, self.step / self._course.at_most if self._course.at_most else 0.0))

    @property
    def ended_early(self) -> bool:
        """Whether it took as many steps as make sense, and left time over."""
        end = self.began + self._course.share * (self._course.budget - self.began)
        return bool(self._course.at_most) and self.done >= 1 and self.elapsed < end < math.inf

    def make_optimiser(self) -> torch.optim.Optimizer:
        """The optimiser, where it stood."""
        parameters = [parameter for parameter in self.module.parameters() if parameter.requires_grad]
        if not parameters:
            raise PluginError("A detector called `minimise` on a module that has no trainable parameters.")
        self._optimiser = self._course.optimiser(parameters)
        self._rates = [float(group["lr"]) for group in self._optimiser.param_groups]
        if self._optimiser_state is not None:
            self._optimiser.load_state_dict(self._optimiser_state)
        return self._optimiser

    def start(self) -> None:
        """Agree on the time, and refuse to begin without any.

        Raises:
            ConfigError: No time is left for a descent that has not begun.
        """
        self._run.agree_on_time()
        self.elapsed = self._mean(self._run.elapsed())[0]
        if self.step == 0:
            self.began = self.elapsed
            if self.began >= self._course.budget:
                raise self._run.shared(
                    ConfigError(
                        f"--minutes were over before part {self.call + 1} of the training could begin: "
                        "resume with more minutes; the parts before it are kept."
                    )
                )
        self.interrupts.install()

    def set_rate(self) -> None:
        """Set the learning rate for this step's progress."""
        factor = self._course.schedule(self.done)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor

    def measure(self, batch: Batch) -> Tensor:
        """The loss of this step, with its own randomness.

        Raises:
            ConfigError: It is not finite.
            PluginError: It is not a scalar.
        """
        self._between_steps = False
        run = self._run
        seed_torch(run.seed, self.call, self.step, run.rank)
        loss = self._loss(batch)
        if loss.ndim:
            raise PluginError(f"A detector's loss must be a scalar and has shape {tuple(loss.shape)}: return a mean.")
        self._value, stop, self._now = self._mean(loss.item(), self.interrupts.requested, run.elapsed())
        self.interrupted = stop > 0
        self._check(self._value, "loss")
        return loss

    def clip(self) -> None:
        """Clip the gradient to norm `CLIP_NORM`.

        Raises:
            ConfigError: It is not finite.
        """
        norm = nn.utils.clip_grad_norm_(self.module.parameters(), CLIP_NORM)
        self._check(norm.item(), "gradient")

    def advance(self) -> bool:
        """Count the step, log and save where it is time to; whether it was the last one."""
        before = self.done
        self.step += 1
        self.elapsed = self._now
        self._between_steps = True
        if self.step == 1 or int(self.done * LOGGED_ROWS) > int(before * LOGGED_ROWS):
            self._log()
        self.values.clear()
        if time.monotonic() - self._saved >= SAVE_EVERY:
            self.save()
        return self.interrupted or self.done >= 1

    def save(self) -> None:
        """Write the state, unless it is that of half a step; the optimiser's only while there is more to do."""
        if self._run.is_main and self.step and self._between_steps:
            finished = self.done >= 1
            Checkpoint(
                call=self.call,
                seed=self._run.seed,
                step=self.step,
                began=self.began,
                elapsed=self.elapsed,
                finished=finished,
                module=self.module.state_dict(),
                optimiser=None if finished else self._optimiser.state_dict(),
            ).save(self._run.folder)
        self._saved = time.monotonic()

    def share_buffers(self) -> None:
        """Give every process the buffers of process 0: statistics that gradients do not keep in step."""
        if self._run.world > 1:
            for buffer in self.module.buffers():
                distributed.broadcast(buffer, src=0)
            distributed.barrier()

    def note(self) -> str:
        """For the progress bar."""
        if self.interrupts.requested:
            return "stopping after this step; Ctrl-C again stops at once"
        of = f" of {self._course.steps:,}" if math.isinf(self._course.budget) else ""
        return f"step {self.step:,}{of}, loss {self._value:.4g}"

    def _log(self) -> None:
        values = {name: float(value) for name, value in self.values.items()}
        rate = self._optimiser.param_groups[0]["lr"]
        row = {"call": self.call, "step": self.step, "seconds": round(self.elapsed, 3), "loss": self._value, "lr": rate}
        self._run.record(row | values)

    def _mean(self, *values: float) -> list[float]:
        """Means over the processes, so that all of them decide alike."""
        if self._run.world == 1:
            return list(values)
        shared = torch.tensor(values, dtype=torch.float64, device=self._run.device)
        distributed.all_reduce(shared)
        return [value / self._run.world for value in shared.tolist()]

    def _check(self, value: float, what: str) -> None:
        if not math.isfinite(value):
            raise self._run.shared(
                ConfigError(
                    f"The {what} became {value} in step {self.step + 1} of part {self.call + 1} of the training: "
                    "lower the learning rate or look for unusual images, and train again."
                )
            )
