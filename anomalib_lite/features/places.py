"""What detectors do with maps of features, place by place: one grid, which cells count, and the units of each place."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

LEAST = 0.1  # of the mean spread of all places: by so much that of each is increased
NORMAL = 1.4826  # of the median absolute deviation to the standard deviation, where values are normal


def on_one_grid(maps: Sequence[Tensor]) -> Tensor:
    """Describe each place by all maps together: the mean of 3 x 3 cells of each, on the grid of the first.

    Roth et al., Towards total recall in industrial anomaly detection, CVPR 2022, section 3.1.

    Args:
        maps: (B, d_i, h_i, w_i), from fine to coarse, as a `Backbone` gives them.

    Returns:
        (B, sum of d_i, h, w), h and w those of the first map.
    """
    pooled = [F.avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in maps]
    grid = pooled[0].shape[2:]
    others = [F.interpolate(one, grid, mode="bilinear", align_corners=False) for one in pooled[1:]]
    return torch.cat([pooled[0], *others], 1)


def cells_that_count(image: Tensor, valid: Tensor | None, grid: tuple[int, int]) -> Tensor:
    """Which cells have a pixel that is valid.

    Args:
        image: (B, C, H, W).
        valid: (B, 1, H, W) of `Batch`; None for all pixels.
        grid: h and w.

    Returns:
        (B, h, w) bool.
    """
    if valid is None:
        return torch.ones(len(image), *grid, dtype=torch.bool, device=image.device)
    return F.adaptive_max_pool2d(valid.to(image.dtype), grid).squeeze(1) > 0


def place_units(values: Tensor, counted: Tensor, *, each: bool = True) -> tuple[Tensor, Tensor]:
    """Median and spread of what good images have at each place: the units to tell the values of another image in.

    The spread is the median absolute deviation, scaled to the standard deviation of normal values, and a tenth of its
    mean over all places is added. A place where nothing counts has the mean median and the widest spread.

    Args:
        values: (N, 1, h, w) of good images.
        counted: (N, 1, h, w) bool, which of them count.
        each: For each place; the same for all places otherwise.

    Returns:
        Two tensors (1, 1, h, w), the second above 0; of each place, the mean of 3 x 3 cells.
    """
    if each:  # row by row, so that no more than the values themselves is held for all images
        rows = zip(values.split(1, 2), counted.split(1, 2), strict=True)
        found = [_middle(torch.where(count, value, torch.nan)) for value, count in rows]
        median, deviation = (torch.cat(one, 2) for one in zip(*found, strict=True))
    else:
        median, deviation = _middle(values[counted][:, None, None, None])
    spread = deviation + LEAST * deviation.nanmean() + 1e-6
    middle, widest = median.nanmean(), spread.nan_to_num(0).amax()
    median, spread = (torch.where(one.isnan(), other, one) for one, other in ((median, middle), (spread, widest)))
    smooth = [F.avg_pool2d(one, 3, 1, 1, count_include_pad=False) for one in (median, spread)]
    return (smooth[0], smooth[1]) if each else (median.expand_as(values[:1]), spread.expand_as(values[:1]))


def _middle(known: Tensor) -> tuple[Tensor, Tensor]:
    """Median over the first axis, and median absolute deviation as a standard deviation; NaN does not count."""
    median = known.nanmedian(0, keepdim=True).values
    return median, NORMAL * (known - median).abs().nanmedian(0, keepdim=True).values
