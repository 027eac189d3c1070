"""The detector `fusion`: members in units of their good images, on parts that none was fitted on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from anomalib_lite_fusion.config import FusionConfig
from anomalib_lite_fusion.detector import Fusion, _units
from plain_run import map_of
from torch.nn.functional import interpolate

from anomalib_lite.detector import Batch, Detector, ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import load

SPEC = ImageSpec(height=32, width=48, channels=1, dtype="uint8", white=255)
MEMBERS = ("gauss", "contrast")  # of the tests
INFO = load().detector("fusion")


class Run:
    """Divides the batches it is given in two, and notes what was fitted."""

    device = torch.device("cpu")
    seed = 0

    def split(self, batches: Any, share: float) -> tuple[Any, Any]:
        number = round(share * len(batches))
        return batches[:number], batches[number:]

    def progress(self, batches: Any, label: str) -> Any:
        return batches

    def map(self, compute: Any, batches: Any, label: str) -> Any:
        return map(compute, batches)


def batches() -> list[Batch]:
    torch.manual_seed(3)
    return [Batch(torch.rand(2, 1, SPEC.height, SPEC.width)) for _ in range(8)]


def fitted(**options: Any) -> Fusion:
    detector = Fusion(FusionConfig(members=MEMBERS, **options), SPEC)
    detector.eval()
    detector.fit(batches(), Run())  # type: ignore[arg-type]  # which needs no more of it
    return detector


@torch.no_grad()
def test_the_map_is_the_weighted_sum_of_members_in_units_of_their_scores() -> None:
    detector = fitted(weights=(3.0, 1.0))
    apart = torch.cat([batch.image for batch in batches()[:2]])
    image = torch.rand(3, 1, SPEC.height, SPEC.width)
    expected = torch.zeros(3, 1, SPEC.height, SPEC.width)
    for name, weight in zip(MEMBERS, (0.75, 0.25), strict=True):
        member = detector.members[name]
        assert isinstance(member, Detector)
        maps = [interpolate(map_of(member, one), (SPEC.height, SPEC.width), mode="bilinear") for one in (apart, image)]
        scores = maps[0].flatten(1).topk(round(0.01 * SPEC.height * SPEC.width)).values.mean(1)
        unit = scores.quantile(0.9) - scores.median()
        expected += weight * (maps[1] - scores.median()) / torch.maximum(unit, 1e-3 * scores.abs().max())
    torch.testing.assert_close(detector(image), expected, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_scores_of_members_that_have_their_own_are_added_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a member that scores whole images, such as `logic`, the highest places of its map say less than its score."""
    plain = fitted(weights=(3.0, 1.0))
    forward = type(plain.members["contrast"]).forward
    monkeypatch.setattr(
        type(plain.members["contrast"]), "forward", lambda self, image: (forward(self, image), image.mean((1, 2, 3)))
    )
    detector = fitted(weights=(3.0, 1.0))
    image = torch.rand(3, 1, SPEC.height, SPEC.width)
    anomaly_map, score = detector(image)
    apart = torch.cat([batch.image for batch in batches()[:2]]).mean((1, 2, 3))
    unit = torch.maximum(apart.quantile(0.9) - apart.median(), 1e-3 * apart.abs().max())
    member = detector.members["gauss"]
    assert isinstance(member, Detector)
    top = map_of(member, image).flatten(1).topk(round(0.01 * SPEC.height * SPEC.width)).values.mean(1)
    expected = 0.75 * (top - detector.middle[0]) / detector.unit[0]
    expected += 0.25 * (image.mean((1, 2, 3)) - apart.median()) / unit
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-4)
    assert anomaly_map.shape == (3, 1, SPEC.height, SPEC.width)


def test_a_member_counts_less_where_good_images_have_a_long_tail() -> None:
    normal = torch.distributions.Normal(2, 0.5).icdf((torch.arange(200) + 0.5) / 200)
    tailed = 2 + (normal - 2).abs().pow(3) * (normal - 2).sign()
    middle, unit, weight = _units(torch.stack([normal, tailed, torch.full_like(normal, 3)], 1))
    torch.testing.assert_close(middle, torch.tensor([2.0, 2.0, 3.0]), atol=0.01, rtol=0)
    torch.testing.assert_close(unit[0], torch.tensor(1.2816 * 0.5), atol=0.01, rtol=0)
    torch.testing.assert_close(weight[0], torch.tensor(1.0), atol=0.02, rtol=0)
    assert weight[1] < 0.5 * weight[0]
    assert unit[2] > 0, "of a member that says the same of all"


def test_a_member_that_cannot_be_trained_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Detector, batches: Any, run: Any) -> None:
        raise DataError("needs 9 images, there are 8: add some.")

    detector = Fusion(FusionConfig(members=MEMBERS), SPEC)
    monkeypatch.setattr(type(detector.members["contrast"]), "fit", refuse)
    with pytest.raises(DataError, match=r"member 'contrast' of 'fusion': needs 9 images.*options.members"):
        detector.fit(batches(), Run())  # type: ignore[arg-type]


def test_few_parts_to_set_the_units_are_told() -> None:
    few = [Batch(torch.rand(2, 1, SPEC.height, SPEC.width), parts=torch.tensor([2 * n, 2 * n + 1])) for n in range(8)]
    with pytest.warns(UserWarning, match="learnt from 4 parts"):
        Fusion(FusionConfig(members=MEMBERS), SPEC).eval().fit(few, Run())  # type: ignore[arg-type]


def test_its_description_names_members_and_their_weights() -> None:
    info = FusionConfig(members=("gauss", "neighbours")).describe(INFO)
    assert info.members == ("gauss", "neighbours")
    assert info.positional
    assert str(info.weights).startswith("neighbours: EfficientNet-Lite0")
    assert not FusionConfig(members=MEMBERS).describe(INFO).positional


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"members": ("gauss", "nobody")}, r"'nobody' is not installed. There are: .*draem"),
        ({"members": ("gauss", "difference")}, "'difference' does more than look at single images"),
        ({"members": ("gauss", "lot")}, "'lot' does more than look at single images of good parts"),
        ({"members": ("gauss", "fusion")}, "expected other detectors than 'fusion', each once"),
        ({"members": ("gauss", "gauss")}, "each once"),
        ({"members": MEMBERS, "weights": (1.0,)}, "options.weights: expected 2"),
        ({"members": MEMBERS, "options": {"draem": {}}}, "'draem' is none of the members"),
        ({"members": MEMBERS, "options": {"gauss": {"flor": 1}}}, "Did you mean 'floor'"),
    ],
)
def test_members_that_do_not_suit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        FusionConfig(**options).describe(INFO)


def test_it_is_trained_and_written_down(train: Callable[..., Trained], parts: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="matter of luck"):
        train(parts, tmp_path / "model", {"options.members": list(MEMBERS)}, detector="fusion")
    manifest = json.loads((tmp_path / "model/manifest.json").read_text())
    assert [one["name"] for one in manifest["detector"]["members"]] == list(MEMBERS)
    assert manifest["graph"]["parity"]["score"] < 1e-4
