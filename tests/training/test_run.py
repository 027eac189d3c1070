from __future__ import annotations

import copy
import csv
import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from anomalib_lite.detector import Batch
from anomalib_lite.errors import ConfigError, DataError, PluginError
from anomalib_lite.training import descent
from anomalib_lite.training.batches import FrameBatches, TrainingFrame
from anomalib_lite.training.descent import warm_up_cosine
from anomalib_lite.training.files import Checkpoint
from anomalib_lite.training.run import LightningRun

Loss = Callable[[Batch], Tensor]


class Noise:
    """Ten random grey images of 8 x 8, one of which can be broken."""

    broken: int | None = None

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int, /) -> TrainingFrame:
        if index == self.broken:
            raise DataError(f"image {index} is broken")
        return TrainingFrame(np.random.default_rng(index).integers(0, 256, (8, 8, 1), dtype=np.uint8))


class Autoencoder(nn.Sequential):
    def __init__(self) -> None:
        torch.manual_seed(5)
        super().__init__(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1))


def denoising(module: nn.Module) -> Loss:
    def loss(batch: Batch) -> Tensor:
        restored: Tensor = module(batch.image + 0.1 * torch.randn_like(batch.image))
        return nn.functional.mse_loss(restored, batch.image)

    return loss


def batches(frames: Noise | None = None) -> FrameBatches:
    return FrameBatches(frames or Noise(), white=255, batch_size=4, seed=3, device=torch.device("cpu"))


def make(folder: Path, **options: Any) -> LightningRun:
    settings: dict[str, Any] = {"seed": 3, "device": "cpu"} | options
    return LightningRun(folder=folder, **settings)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "training.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def same(first: nn.Module, second: nn.Module) -> bool:
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def interrupting(loss: Loss, at: int, number: signal.Signals = signal.SIGINT) -> Loss:
    """The loss, during whose `at`-th evaluation a signal arrives."""
    calls = iter(range(1, 10**6))

    def interrupted(batch: Batch) -> Tensor:
        if next(calls) == at:
            os.kill(os.getpid(), number)
        return loss(batch)

    return interrupted


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_loss_falls_and_the_module_is_left_as_it_was(tmp_path: Path) -> None:
    handler = signal.getsignal(signal.SIGINT)
    run = make(tmp_path)
    frozen = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Dropout()).requires_grad_(False).eval()
    net = Autoencoder()
    module = nn.ModuleDict({"net": net, "frozen": frozen}).eval()
    before = copy.deepcopy(module)
    modes: list[bool] = []

    def loss(batch: Batch) -> Tensor:
        modes.extend(part.training for part in (net[1], frozen, frozen[1], frozen[2]))
        return denoising(net)(batch)

    run.minimise(loss, module, batches(), steps=60)
    losses = [loss for _, _, loss in run.curve]
    assert len(losses) == run.steps_done == 60
    assert np.mean(losses[-10:]) < 0.7 * np.mean(losses[:10])
    assert modes == [True, False, False, False] * 60
    assert not any(part.training for part in module.modules())
    assert same(module["frozen"], before["frozen"])
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == 1
    assert signal.getsignal(signal.SIGINT) == handler  # as it was, whoever started the tests


def test_same_seed_same_weights_whatever_was_drawn_before(tmp_path: Path) -> None:
    nets = [Autoencoder() for _ in range(3)]
    for number, net in enumerate(nets):
        run = make(tmp_path / str(number), seed=3 if number < 2 else 4)
        torch.rand(number)
        run.minimise(denoising(net), net, batches(), steps=5)
        nets[number].register_buffer("drawn", torch.rand(3))  # what a closed-form step after it would draw
    assert same(nets[0], nets[1])
    assert not same(nets[0], nets[2])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, number: signal.Signals) -> None:
    def fit(run: LightningRun, first: nn.Module, second: nn.Module, interrupt: int | None = None) -> None:
        run.minimise(denoising(first), first, batches(), steps=1)
        second.register_buffer("offset", torch.rand(1))
        loss = denoising(second)
        loss = loss if interrupt is None else interrupting(loss, interrupt, number)
        run.minimise(loss, second, batches(), steps=1, optimiser=lambda p: torch.optim.SGD(p, 0.1, momentum=0.9))

    whole = Autoencoder(), Autoencoder()
    fit(make(tmp_path / "whole", steps=23), *whole)

    folder = tmp_path / "parts"
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        fit(make(folder, steps=23), Autoencoder(), Autoencoder(), interrupt=9)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert Checkpoint.load(Checkpoint.path(folder, 1)).step == 9  # the step under way was completed
    resumed = Autoencoder(), Autoencoder()
    run = make(folder, steps=23, resume=True)
    fit(run, *resumed)
    assert same(whole[0], resumed[0])
    assert same(whole[1], resumed[1])
    assert run.steps_done == 46
    timeless = [[{**row, "seconds": ""} for row in rows(tmp_path / name)] for name in ("whole", "parts")]
    assert timeless[0] == timeless[1]


def test_a_second_interrupt_stops_at_once_and_keeps_what_was_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "SAVE_EVERY", 0.0)
    handler = signal.getsignal(signal.SIGINT)
    net = Autoencoder()

    def loss(batch: Batch) -> Tensor:
        if run.curve and run.curve[-1][1] == 4:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("the second signal should have ended this")
        return denoising(net)(batch)

    run = make(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run.minimise(loss, net, batches(), steps=20)
    assert Checkpoint.load(Checkpoint.path(tmp_path, 0)).step == 4
    assert signal.getsignal(signal.SIGINT) == handler  # as it was, whoever started the tests


def test_an_unreadable_image_loses_no_step(tmp_path: Path) -> None:
    frames, net = Noise(), Autoencoder()
    frames.broken = int(np.random.default_rng([3, 0]).permutation(10)[9])  # the last of the first pass: third batch
    with pytest.raises(DataError, match="is broken"):
        make(tmp_path, steps=12).minimise(denoising(net), net, batches(frames), steps=1)
    resumed, whole = Autoencoder(), Autoencoder()
    make(tmp_path, steps=12, resume=True).minimise(denoising(resumed), resumed, batches(), steps=1)
    make(tmp_path / "whole", steps=12).minimise(denoising(whole), whole, batches(), steps=1)
    assert same(whole, resumed)


def test_a_loss_that_is_not_finite_is_named_and_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(descent, "SAVE_EVERY", 0.0)
    net = Autoencoder()

    def loss(batch: Batch) -> Tensor:
        value = denoising(net)(batch)
        return value * math.nan if len(run.curve) == 6 else value

    run = make(tmp_path)
    with pytest.raises(ConfigError, match=r"loss became nan in step 7 .*learning rate"):
        run.minimise(loss, net, batches(), steps=20)
    state = Checkpoint.load(Checkpoint.path(tmp_path, 0))
    assert state.step == 6
    assert all(torch.isfinite(tensor).all() for tensor in state.module.values())


def test_a_gradient_that_is_not_finite_changes_no_weight(tmp_path: Path) -> None:
    net = nn.Conv2d(1, 1, 1)
    before = copy.deepcopy(net)
    with pytest.raises(ConfigError, match="gradient became nan in step 1 "):
        make(tmp_path).minimise(lambda batch: (net(batch.image) * 0).sqrt().mean(), net, batches(), steps=5)
    assert same(net, before)


def test_the_clock_ends_a_run_with_a_low_learning_rate(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path, minutes=1.5 / 60)
    assert 0 < run.time_left() <= 1.5
    run.minimise(denoising(net), net, batches(), steps=10**9)
    assert run.time_left() == 0
    assert run.steps_done > 1
    assert not run.ended_early
    rates = [float(row["lr"]) for row in rows(tmp_path)]
    assert max(rates) > 10 * rates[-1]
    with pytest.raises(ConfigError, match=r"part 2 of the training could begin: resume with more minutes"):
        run.minimise(denoising(net), net, batches(), steps=1)


def test_a_budget_ends_early_where_no_more_steps_are_of_use(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path, minutes=10)
    run.minimise(denoising(net), net, batches(), steps=10**9, at_most=20)
    assert run.steps_done == 20
    assert run.ended_early
    rates = [float(row["lr"]) for row in rows(tmp_path)]
    assert max(rates) > 10 * rates[-1]
    longer = make(tmp_path / "longer", steps=30)
    longer.minimise(denoising(net), net, batches(), steps=1, at_most=20)
    assert longer.steps_done == 30
    assert not longer.ended_early


def test_a_later_part_uses_the_time_that_an_earlier_one_left(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path, minutes=10)
    run.minimise(denoising(net), net, batches(), steps=1, at_most=3)
    assert run.ended_early
    run._started -= 595  # nearly ten minutes ago
    run.minimise(denoising(net), net, batches(), steps=1)
    assert run.time_left() == 0
    assert not run.ended_early


def test_a_part_takes_its_share_of_the_time(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path, minutes=10)
    run._started -= 400  # 200 seconds are left
    with pytest.MonkeyPatch.context() as patch:
        clock = iter(range(0, 10**6, 25))
        patch.setattr(run, "elapsed", lambda: 400.0 + next(clock))
        run.minimise(denoising(net), net, batches(), steps=10**6, share=0.5)
    assert 3 <= run.steps_done <= 5  # 25 seconds each, in half of the time that was left


def test_a_resumed_run_only_gets_the_time_that_is_left(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path, minutes=1)
    run._started -= 40  # forty seconds ago
    with pytest.raises(KeyboardInterrupt):
        run.minimise(interrupting(denoising(net), 3), net, batches(), steps=1)
    assert 10 < make(tmp_path, minutes=1, resume=True).time_left() < 20
    assert make(tmp_path, minutes=1).time_left() > 50  # begun anew


def test_schedule_and_optimiser_are_those_given(tmp_path: Path) -> None:
    net = Autoencoder()
    seen: list[float] = []

    def schedule(progress: float) -> float:
        seen.append(progress)
        return 1 - progress

    run = make(tmp_path)
    run.minimise(
        denoising(net), net, batches(), steps=4, optimiser=lambda p: torch.optim.SGD(p, lr=0.5), schedule=schedule
    )
    assert seen == [0, 0.25, 0.5, 0.75]
    assert [float(row["lr"]) for row in rows(tmp_path)] == [0.5, 0.375, 0.25, 0.125]


def test_gradients_are_clipped_to_norm_one(tmp_path: Path) -> None:
    net = nn.Conv2d(1, 1, 1, bias=False)
    before = net.weight.item()
    run = make(tmp_path)
    run.minimise(
        lambda batch: 1e6 * net.weight.sum(),
        net,
        batches(),
        steps=1,
        optimiser=lambda p: torch.optim.SGD(p, lr=0.25),
        schedule=lambda progress: 1.0,
    )
    assert net.weight.item() == pytest.approx(before - 0.25, rel=1e-5)


def test_default_schedule() -> None:
    assert warm_up_cosine(0) == 0.01
    assert warm_up_cosine(0.025) == 0.5
    assert warm_up_cosine(0.05) == 1
    assert warm_up_cosine(0.525) == pytest.approx(0.5)
    assert warm_up_cosine(1) == pytest.approx(0)


def test_logged_values_stand_beside_their_step_and_rows_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(descent, "LOGGED_ROWS", 10)
    net = nn.Conv2d(1, 1, 1)
    run = make(tmp_path)
    run.log("components", 8)
    count = iter(range(100))

    def loss(batch: Batch) -> Tensor:
        run.log("number", torch.tensor(float(next(count))))
        return denoising(net)(batch)

    run.minimise(loss, net, batches(), steps=40)
    table = rows(tmp_path)
    assert (table[0]["call"], table[0]["step"], table[0]["components"]) == ("0", "", "8.0")
    assert [int(row["step"]) for row in table[1:]] == [1, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]
    assert all(int(row["step"]) == float(row["number"]) + 1 for row in table[1:])
    assert [step for _, step, _ in run.curve] == [1, 4, 8, 12, 16, 20, 24, 28, 32, 36, 40]


def test_tensorboard_gets_the_same_values(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tensorboard's own imports
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    net = nn.Conv2d(1, 1, 1)
    run = make(tmp_path)
    run.minimise(denoising(net), net, batches(), steps=3)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "minimise-0")).Reload()
    logged = [(0, event.step, event.value) for event in events.Scalars("loss")]
    assert logged == [pytest.approx(point) for point in run.curve]


def test_progress_passes_everything_through_and_can_be_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    net = nn.Conv2d(1, 1, 1)
    quiet = make(tmp_path / "quiet")
    assert sum(len(batch.image) for batch in quiet.progress(batches(), "collecting")) == 10
    quiet.minimise(denoising(net), net, batches(), steps=3)
    assert capfd.readouterr() == ("", "")
    shown = make(tmp_path / "shown", show_progress=True)
    assert list(shown.progress(iter([1, 2]), "collecting")) == [1, 2]
    shown.minimise(denoising(net), net, batches(), steps=3)
    out, err = capfd.readouterr()
    assert out == ""
    assert "collecting" in err
    assert "loss" in err


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    net = Autoencoder()
    make(tmp_path, steps=2).minimise(denoising(net), net, batches(), steps=1)
    with pytest.raises(ConfigError, match="begun with seed 3"):
        make(tmp_path, steps=2, resume=True, seed=4).minimise(denoising(net), net, batches(), steps=1)
    other = nn.Conv2d(1, 1, 1)
    with pytest.raises(ConfigError, match="other options"):
        make(tmp_path, steps=2, resume=True).minimise(denoising(other), other, batches(), steps=1)


def test_a_finished_part_is_not_trained_again(tmp_path: Path) -> None:
    net, again = Autoencoder(), Autoencoder()
    make(tmp_path).minimise(denoising(net), net, batches(), steps=5)

    def never(batch: Batch) -> Tensor:
        raise AssertionError

    run = make(tmp_path, resume=True)
    run.minimise(never, again, batches(), steps=5)
    assert same(net, again)
    assert run.steps_done == 5
    assert len(run.curve) == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"minutes": 1, "steps": 1}, "not both"),
        ({"minutes": 0}, "positive"),
        ({"steps": 0}, "positive"),
        ({"device": "gpu"}, "auto, cpu, cuda or mps"),
        ({"device": "cuda", "devices": 1000}, "1000 CUDA devices"),
        ({"device": "mps", "devices": 2}, "one process"),
    ],
)
def test_impossible_settings_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(tmp_path, **options)


def test_a_detector_that_cannot_be_trained_is_told_so(tmp_path: Path) -> None:
    net = Autoencoder()
    with pytest.raises(PluginError, match="no trainable parameters"):
        make(tmp_path).minimise(denoising(net), nn.ReLU(), batches(), steps=1)
    with pytest.raises(PluginError, match=r"shape \(4, 1, 8, 8\)"):
        make(tmp_path).minimise(lambda batch: net(batch.image), net, batches(), steps=1)
    with pytest.raises(PluginError, match="without batches"):
        make(tmp_path).minimise(denoising(net), net, [], steps=1)


def test_precision_is_that_of_the_loss_alone(tmp_path: Path) -> None:
    net = Autoencoder()
    seen: set[torch.dtype] = set()

    def loss(batch: Batch) -> Tensor:
        seen.add(net(batch.image).dtype)
        return denoising(net)(batch).float()

    make(tmp_path, precision="bf16-mixed").minimise(loss, net, batches(), steps=3)
    assert seen == {torch.bfloat16}
    assert {parameter.dtype for parameter in net.parameters()} == {torch.float32}


def test_any_batches_will_do(tmp_path: Path) -> None:
    net = Autoencoder()
    run = make(tmp_path)
    run.minimise(denoising(net), net, list(batches()), steps=7)
    assert run.steps_done == 7
