"""A weld that is heard and seen: each sense finds what only it can, and both together find either."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import render_weld
import weld_senses
from anomalib_lite_signals.entry import register_readers
from needs import need

from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.fuse import Fusion, fuse
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Provider, Registry, load
from anomalib_lite.registry.loading import Reader

GROUP = r"weld(\d+)"
KINDS = ("good", "good", "good", "gas", "gas", "off_seam", "off_seam")
GOOD = 40
SMALL: Mapping[str, Mapping[str, Any]] = {
    "sound": {"score.sigma": 2.0, "readers.sound.window": 0.5, "readers.sound.step": 0.25},
    "video": {"readers.video.rate": 4.0},
}


def with_readers() -> Registry:
    """The plugins, those of this package among them however they were installed."""
    provider, infos = Provider("signals", "anomalib-lite", "0"), register_readers()
    readers = {suffix: Reader.of(one, suffix, provider) for one in infos for suffix in one.suffixes}
    return replace(load(), readers=readers, reader_infos={suffix: one for one in infos for suffix in one.suffixes})


@pytest.fixture(scope="module")
def welds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("welds")
    plan = [(weld, "train/good", "good") for weld in range(GOOD)]
    plan += [(GOOD + at, f"test/{kind}", kind) for at, kind in enumerate(KINDS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(render_weld, "SECONDS", 2.25)
        patch.setattr(render_weld, "FRAME_RATE", 8)
        render_weld.write(root, 0, plan)
    return root


@pytest.fixture(scope="module")
def results(train: Callable[..., Trained], welds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the models of the sound, of the video and of both wrote of the test welds."""
    need(find_spec("soundfile"), "soundfile is not installed")
    out, plugins = tmp_path_factory.mktemp("senses"), with_readers()
    common: dict[str, Any] = {"calibration.per": "part-top", "calibration.holdout": 0.6, "gate.enabled": False}
    for sense, own in SMALL.items():
        train(welds / sense, out / sense, common | dict(own), group=GROUP, plugins=plugins)
    joined = Fusion(models=[(sense, out / sense) for sense in SMALL], out=out / "joint", max_false_reject=0.3)
    fuse(joined, plugins=plugins)
    for sense in SMALL:
        model = Model(out / sense, readers=plugins.readers)
        predict(model, [welds / sense / "test"], out=out / "results" / sense, group=GROUP, workers=1)
    joint = Joint(out / "joint", readers=plugins.readers)
    both = [welds / sense / "test" for sense in SMALL]
    predict(joint, both, out=out / "results/fused", group=GROUP, workers=1)
    return out / "results"


def test_each_sense_finds_its_defects_and_both_find_either(results: Path) -> None:
    scores = {sense: weld_senses.scores_of(results / sense) for sense in weld_senses.SENSES}
    kinds = {f"{GOOD + at:03}": kind for at, kind in enumerate(KINDS)}
    found = weld_senses.compared(scores, kinds)
    assert found.of_kind["gas"]["sound"] == found.of_kind["off_seam"]["video"] == 1.0
    assert found.auroc["fused"] == 1.0
    assert found.difference > 0
    assert max(found.auroc["sound"], found.auroc["video"]) < 1.0


def test_rows_tell_the_time_and_parts_both_senses(results: Path, welds: Path) -> None:
    with (results / "fused/results.csv").open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert len(rows) == len(KINDS) * (8 + 9), "all windows and frames, by the options that each model was made with"
    seen = [float(row["seconds"]) for row in rows if row["image"].startswith(str(welds / "video/test/gas/weld043"))]
    assert seen == pytest.approx([at / 4 for at in range(9)])
    for sense, file in (("sound", "weld043.wav</bdi>"), ("video", "weld043.avi</bdi>")):
        assert (results / sense / "report.html").read_text().count(file) == 1, "its time line"
