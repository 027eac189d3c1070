from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest
import torch

from anomalib_lite.errors import DataError, ModelError
from anomalib_lite.training.files import Checkpoint, TrainingLog, prepare, seconds_spent
from anomalib_lite.training.partial import is_first_process


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    weight = torch.arange(6.0).reshape(2, 3)
    saved = Checkpoint(1, 7, 20, 1.5, 9.0, finished=False, module={"w": weight}, optimiser={"state": {0: weight}})
    saved.save(tmp_path)
    loaded = Checkpoint.load(Checkpoint.path(tmp_path, 1))
    assert (loaded.call, loaded.seed, loaded.step, loaded.began, loaded.elapsed) == (1, 7, 20, 1.5, 9.0)
    assert torch.equal(loaded.module["w"], weight)
    assert seconds_spent(tmp_path) == 9.0
    assert [path.name for path in tmp_path.iterdir()] == ["minimise-1.ckpt"]


def test_full_disk_keeps_the_checkpoint_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Checkpoint(0, 0, step=1).save(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match=r"No space left.*--resume"):
        Checkpoint(0, 0, step=2).save(tmp_path)
    assert Checkpoint.load(Checkpoint.path(tmp_path, 0)).step == 1
    assert len(list(tmp_path.iterdir())) == 1


class Foreign:
    """Code that a checkpoint must not bring along."""


def test_damaged_and_foreign_checkpoints_are_refused(tmp_path: Path) -> None:
    Checkpoint(0, 0, module={"w": torch.zeros(1000)}).save(tmp_path)
    path = Checkpoint.path(tmp_path, 0)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ModelError, match="--resume"):
        Checkpoint.load(path)
    torch.save({"call": Foreign()}, path)
    with pytest.raises(ModelError, match="--resume"):
        Checkpoint.load(path)


def test_prepare_removes_what_is_stale_unless_resumed(tmp_path: Path) -> None:
    folder = tmp_path / "model.partial"
    prepare(folder, resume=False)
    Checkpoint(0, 0).save(folder)
    (folder / "training.csv").write_text("call\n")
    (folder / "tensorboard").mkdir()
    (folder / "plan.json").write_text("{}")
    prepare(folder, resume=True)
    assert len(list(folder.iterdir())) == 4
    prepare(folder, resume=False)
    assert [path.name for path in folder.iterdir()] == ["plan.json"]


def test_names_become_columns_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    log = TrainingLog(path, write=True, resume=False)
    log.add({"call": 0, "step": 1, "seconds": 0.5, "loss": 2.0, "lr": 0.1})
    log.add({"call": 0, "step": 2, "seconds": 0.6, "loss": 1.0, "lr": 0.1, "ssim": 0.25})
    log.add({"call": 1, "seconds": 0.7, "components": 8})
    assert path.read_text().splitlines() == [
        "call,step,seconds,loss,lr,ssim,components",
        "0,1,0.5,2.0,0.1,,",
        "0,2,0.6,1.0,0.1,0.25,",
        "1,,0.7,,,,8",
    ]
    assert log.curve == [(0, 1, 2.0), (0, 2, 1.0)]


def test_resuming_drops_what_is_done_again(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    log = TrainingLog(path, write=True, resume=False)
    log.add({"call": 0, "seconds": 0.0, "closed": 1.0})
    for call, step in [(0, 1), (0, 2), (1, 1), (1, 2)]:
        log.add({"call": call, "step": step, "seconds": 1.0, "loss": 10.0 * call + step, "lr": 0.1})
    with path.open("a") as file:
        file.write("1,3,1.0,1e")  # torn by a crash
    again = TrainingLog(path, write=True, resume=True)
    again.rewind(1, 1)
    assert [(row["call"], row["step"], row["closed"]) for row in table(path)] == [
        ("0", "1", ""),
        ("0", "2", ""),
        ("1", "1", ""),
    ]
    again.add({"call": 1, "step": 2, "seconds": 1.0, "loss": 5.0, "lr": 0.1})
    assert again.curve == [(0, 1, 1.0), (0, 2, 2.0), (1, 1, 11.0), (1, 2, 5.0)]
    assert len(table(path)) == 4


def test_curve_is_thinned_with_both_ends(tmp_path: Path) -> None:
    log = TrainingLog(tmp_path / "training.csv", write=False, resume=False)
    for step in range(1, 1334):
        log.add({"call": 0, "step": step, "loss": float(step)})
    assert len(log.curve) == 500
    assert log.curve[0] == (0, 1, 1.0)
    assert log.curve[-1] == (0, 1333, 1333.0)
    assert not (tmp_path / "training.csv").exists()  # another process writes it


@pytest.mark.parametrize("rank", ["LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"])
def test_the_first_process_is_told_from_others_by_whoever_started_them(
    monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    """Lightning and Slurm number nodes and processes by other names than torchrun."""
    for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID"):
        monkeypatch.setenv(name, "0")
    assert is_first_process()
    monkeypatch.setenv(rank, "1")
    assert not is_first_process()
