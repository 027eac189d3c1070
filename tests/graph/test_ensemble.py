"""The graph of several siblings: its score is the rank among good parts, and what they share is there once."""

from __future__ import annotations

from copy import deepcopy
from typing import cast

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from gauss import Gauss, GaussConfig
from torch import Tensor, nn

from anomalib_lite.config import ScoreConfig
from anomalib_lite.detector import ImageSpec
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.graph.ensemble import Ensemble, Standing
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector

KNOWN = ([1.0, 2.0, 3.0], [10.0, 30.0])


class Head(nn.Module):
    """Says what it is given: the score of this head, and a map of it."""

    spec, inputs = ImageSpec(4, 4, 1, "uint8", 255.0), ("image",)

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def forward(
        self, image: Tensor, reference: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        score = image[:, self.place]
        return score, score[:, None, None, None].expand(-1, 1, 4, 4)


def standings() -> list[Standing]:
    return [Standing(scores, scores[1], 1.0, 0.0, 2.0) for scores in KNOWN]


def measured(*scores: tuple[float, float]) -> tuple[Tensor, Tensor]:
    ensemble = Ensemble(cast("list[Inspector]", [Head(0), Head(1)]), standings())
    score, anomaly_map = ensemble(torch.tensor(scores))
    return score, anomaly_map


def test_the_score_is_the_rank_by_the_heads_that_have_not_seen_a_part() -> None:
    both = [(0.0, 0.0), (1.5, 9.0), (2.0, 11.0), (9.0, 29.0), (2.5, 99.0), (9.0, 99.0)]
    scores, _ = measured(*both)
    ranks = [sum(one < a for one in KNOWN[0]) + sum(one < b for one in KNOWN[1]) for a, b in both]
    assert ranks == [0, 1, 2, 4, 4, 5]
    for threshold in range(6):
        assert [bool(one > threshold) for one in scores] == [rank >= threshold for rank in ranks]
    ties = scores[:5] - torch.tensor(ranks[:5])
    assert bool(((ties > 0.25) & (ties < 0.75)).all())


def test_above_all_parts_the_least_convinced_head_tells_more_from_less() -> None:
    scores, _ = measured((4.0, 31.0), (14.0, 31.0), (14.0, 41.0), (400.0, 4000.0))
    assert bool((scores[1:] > scores[:-1]).all())
    assert bool((scores >= 5).all())
    assert float(scores[3]) > 300, "nothing is squashed"


def test_the_map_is_the_mean_of_the_heads_in_their_units() -> None:
    _, maps = measured((4.0, 8.0))
    assert maps.shape == (1, 1, 4, 4)
    assert maps.unique().tolist() == [3.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_what_a_head_cannot_measure_has_no_score(bad: float) -> None:
    scores, _ = measured((bad, 20.0), (2.0, bad))
    assert not scores.isfinite().any()


def test_what_siblings_share_is_in_the_graph_once() -> None:
    spec = ImageSpec(48, 48, 1, "uint8", 255.0)
    first = Gauss(GaussConfig(), spec)
    first.spread = torch.full_like(first.spread, 0.02)
    second = deepcopy(first)
    second.mean = torch.full_like(second.mean, 0.3)
    heads = [Inspector(one, spec, ScoreConfig(), reference=False, valid=False) for one in (first, second)]
    for head in heads:
        head.fitted.fill_(True)
    ensemble = Ensemble(heads, [Standing([50.0, 200.0, 400.0], 200.0, 90.0, 1.0, 1.0)] * 2).eval()
    graph = to_onnx(ensemble)
    sizes = [int(np.prod(one.dims)) for one in onnx.load_from_string(graph).graph.initializer]
    assert sizes.count(48 * 48) == 3, "both means, and the spread that is the same"
    runtime = Runtime(graph, Framing(spec), ensemble.inputs)
    feeds = [("a", feed) for seed in range(4) for feed in runtime.feeds(picture(seed, defect=seed > 2))]
    assert check_parity(ensemble, runtime, feeds).score < 1e-4
