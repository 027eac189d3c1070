"""What the methods share: in which bin of the diffusion time a place is."""

from __future__ import annotations

import torch
from anomalib_lite_vectors.diffusion import BINS
from torch import Tensor


def log_odds(logits: Tensor) -> Tensor:
    """The log odds that the time is beyond a border between bins, mean of the six borders.

    It orders as the expected bin does, but has no upper limit to tie at.

    Args:
        logits: (B, 7, h, w) of the bins.

    Returns:
        (B, 1, h, w) in nats.
    """
    beyond = [logits[:, k:].logsumexp(1, keepdim=True) for k in range(1, BINS)]
    before = [logits[:, :k].logsumexp(1, keepdim=True) for k in range(1, BINS)]
    return (torch.cat(beyond, 1) - torch.cat(before, 1)).mean(1, keepdim=True)
