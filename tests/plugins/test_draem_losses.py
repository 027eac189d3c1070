"""The terms of the loss of `draem`, against independent computations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from anomalib_lite_draem.losses import dissimilarity, focal, presence, recall


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_loss_of_two_logits(gamma: float) -> None:
    logits = torch.randn(4, 2, 5, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 5
    mask = torch.rand(4, 5, 6) > 0.7
    # by the definition: softmax, then (1 - p)^gamma log p
    p = torch.exp(logits) / torch.exp(logits).sum(1, keepdim=True)
    right = torch.where(mask, p[:, 1], p[:, 0])
    expected = -((1 - right) ** gamma) * right.log()
    torch.testing.assert_close(focal(logits[:, 1] - logits[:, 0], mask, gamma), expected, rtol=0, atol=1e-6)
    undecided = focal(torch.tensor([0.0]), torch.tensor([True]), gamma).item()
    assert undecided == pytest.approx(0.5**gamma * math.log(2))


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_focal_loss_is_finite_where_a_softmax_is_not(gamma: float) -> None:
    margin = torch.tensor([-200.0, 200.0], requires_grad=True)
    value = focal(margin, torch.tensor([True, False]), gamma).sum()
    value.backward()
    assert value.item() == pytest.approx(400)
    assert margin.grad is not None
    torch.testing.assert_close(margin.grad, torch.tensor([-1.0, 1.0]))


def test_structural_similarity_against_an_independent_implementation() -> None:
    metrics = pytest.importorskip("skimage.metrics")
    a, b = np.random.default_rng(0).random((2, 40, 33))
    _, oracle = metrics.structural_similarity(
        a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    mine = dissimilarity(torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None])[0, 0].numpy()
    np.testing.assert_allclose(1 - mine[5:-5, 5:-5], oracle[5:-5, 5:-5], atol=1e-6)


def test_structural_similarity_at_the_edge_counts_zeros_outside() -> None:
    # both images have the same mean m there, m = the window's share inside: flat images are alike, whatever it is
    flat = torch.full((1, 2, 16, 20), 0.5)
    torch.testing.assert_close(dissimilarity(flat, flat), torch.zeros(1, 2, 16, 20), atol=1e-6, rtol=0)
    weights = np.exp(-(np.arange(-5, 6) ** 2) / 4.5)
    inside = weights[5:].sum() / weights.sum()  # half of the window, and its middle
    mean_a, mean_b, square_a, square_b, product = (inside**2 * one for one in (0.5, 0.25, 0.25, 0.0625, 0.125))
    c1, c2 = 1e-4, 9e-4
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    variances = square_a - mean_a**2 + square_b - mean_b**2
    structure = (2 * (product - mean_a * mean_b) + c2) / (variances + c2)
    corner = dissimilarity(flat.double(), flat.double() / 2)[0, 0, 0, 0].item()
    assert corner == pytest.approx(1 - luminance * structure, abs=1e-6)


def test_presence_and_recall_by_hand() -> None:
    margin = torch.full((2, 1, 10, 10), -3.0)
    margin[0, 0, 4:7, 4:7] = 2.0  # one pixel has a mean of 2 over its 3 x 3
    mask = margin > 0
    expected = [math.log(1 + math.exp(-2)), math.log(1 + math.exp(-3))]
    found = presence(margin, mask.float(), share=0.01)
    assert found.tolist() == pytest.approx(expected, abs=1e-6)
    losses = torch.arange(100.0).view(1, 1, 10, 10).expand(2, 1, 10, 10)
    assert recall(losses, mask.float()).tolist() == pytest.approx([55.0, 0.0])
