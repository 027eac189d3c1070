"""The method `features` of `dte`: whitening, times, and a map that is what the paper's classifier says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_dte import register_detectors
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.detector import DiffusionTime
from anomalib_lite_dte.feature_map import FeatureMap
from plain_run import PlainRun
from pydantic import ValidationError
from sklearn.decomposition import PCA
from torch import Tensor

from anomalib_lite import testing
from anomalib_lite.config import validate
from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import on_one_grid

(INFO,) = register_detectors()
SPEC = ImageSpec(height=64, width=96, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"method": "features", "weights": "none", "steps": 5, "layers": ("blocks.2", "blocks.4")}


def images(number: int, seed: int = 0) -> Tensor:
    return torch.rand(number, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(seed))


def fitted(batches: list[Batch], **options: Any) -> FeatureMap:
    torch.manual_seed(0)
    detector = DiffusionTime(DteConfig(**RANDOM | options), SPEC)
    detector.eval()
    detector.fit(batches, PlainRun())
    assert isinstance(detector.method, FeatureMap)
    return detector.method.requires_grad_(False).eval()


def test_cells_are_whitened_principal_components() -> None:
    seen, new = images(24), images(2, 9)
    made = fitted([Batch(part) for part in seen.split(8)])
    features = on_one_grid(made.features.backbone(seen)).movedim(1, -1).flatten(0, 2).double().numpy()
    expected = PCA(64, whiten=True, svd_solver="full").fit(features)
    found = made.features(new).movedim(1, -1).flatten(0, 2).double().numpy()
    wanted = expected.transform(on_one_grid(made.features.backbone(new)).movedim(1, -1).flatten(0, 2).double().numpy())
    np.testing.assert_allclose(np.abs(found[:, :8]), np.abs(wanted[:, :8]), rtol=0.02, atol=0.02)  # sign is free
    of_seen = made.features(seen).movedim(1, -1).flatten(0, 2)
    torch.testing.assert_close(of_seen.var(0)[:32], torch.ones(32), rtol=0.02, atol=0.02)


def test_each_place_is_judged_by_itself() -> None:
    made = fitted([Batch(images(8))])
    cells = torch.randn(1, 64, 8, 12)
    changed = cells.clone()
    changed[..., 3, 5] += 2
    moved = (made.head(changed) - made.head(cells)).abs().sum(1)[0] > 0
    assert moved.nonzero().tolist() == [[3, 5]]


def test_what_lies_farther_from_the_good_has_diffused_longer() -> None:
    made = fitted([Batch(part) for part in images(32).split(8)], steps=60)
    cells = made.features(images(8, 5))
    noise = torch.randn(cells.shape, generator=torch.Generator().manual_seed(1))
    means = [
        float(made.head(cells + spread * noise).softmax(1).mul(torch.arange(7).view(1, 7, 1, 1)).sum(1).mean())
        for spread in (0.0, 0.5, 0.9)
    ]
    assert means[0] + 0.1 < means[1] < means[2] - 0.1, means


def test_what_does_not_count_does_not_train() -> None:
    seen, valid = images(6), torch.zeros(6, 1, SPEC.height, SPEC.width, dtype=torch.bool)
    valid[..., :48] = True
    half = fitted([Batch(seen, valid=valid)])
    left = on_one_grid(half.features.backbone(seen))[..., :6]
    torch.testing.assert_close(half.features.mean[:, 0, 0], left.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    with pytest.raises(DataError, match=r"no pixel.*image.roi"):
        fitted([Batch(seen, valid=torch.zeros_like(valid))])


def test_the_map_does_not_depend_on_the_batch() -> None:
    made, new = fitted([Batch(images(8))], position=True), images(3, 3)
    together, alone = made(new), torch.cat([made(one[None]) for one in new])
    assert together.shape == (3, 1, 8, 12)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_graph_computes_the_same() -> None:
    testing.check_the_graph_computes_the_same(
        testing.Subject.of(INFO, "anomalib_lite_dte", {"method": "features", "weights": "none", "position": True}, 3)
    )


def test_weights_are_told_where_they_are_used() -> None:
    assert "Apache-2.0" in str(DteConfig(method="features").describe(INFO).weights)
    assert DteConfig().describe(INFO).weights is None


def test_each_place_is_told_in_units_of_the_good_images_there() -> None:
    seen = images(9)
    seen[..., 40:] = seen[..., 40:].round()  # not all places are alike
    made = fitted([Batch(seen)])
    of_good = made(seen)
    assert of_good.median(0).values.abs().mean() < 0.5, "smoothed over 3 x 3 cells"
    assert DteConfig(method="features").describe(INFO).positional
    assert not DteConfig(method="features", units=False).describe(INFO).positional
    plain = fitted([Batch(seen)], units=False)
    torch.testing.assert_close(of_good, (plain(seen) - made.median) / made.spread)


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"method": "unet", "layers": ["blocks.2"]}, "layers means nothing to method unet"),
        ({"method": "features", "grain": 8}, "grain means nothing to method features"),
    ],
)
def test_options_of_the_other_method_are_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(ConfigError, match=word):
        validate(DteConfig, options, where="options", help_command="plugins show dte")


def test_the_method_of_before_is_refused_with_what_takes_its_place() -> None:
    with pytest.raises(ValidationError, match="detector neighbours"):
        DteConfig(method="neighbours")


def test_images_that_the_backbone_does_not_suit() -> None:
    with pytest.raises(ConfigError, match="multiples of 16"):
        DiffusionTime(DteConfig(**RANDOM), ImageSpec(60, 96, 1, "uint8", 255))
