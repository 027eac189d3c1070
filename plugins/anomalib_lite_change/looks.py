"""Other legal looks of a place: what several good images show there alike, and the golden one does not.

Such as the components of a second supplier. A place is a tile of the golden frame; each has looks of its own, so that
any of them may stand beside any of its neighbours'.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from anomalib_lite_change.tolerance import changed, difference

TILE = 16  # pixels: side of a place
SOLID = 5  # pixels
FEWEST = 3  # good images that make a look: fewer may be defects
KEPT = 64  # images that the looks of a place are found among


def learnt(pairs: Iterable[tuple[Tensor, Tensor, Tensor]], *, most: int, shift: int, far: float) -> Tensor:
    """Looks (K, C, H, W) beside the golden image, K from 0 to `most`; it stands where a place has fewer.

    Nothing where pairs have several golden images: places of one are not those of another.

    Args:
        pairs: At least one batch of good images in the golden frame and of golden images (B, C, H, W), and where they
            are in view (B, 1, H, W), 1 or 0.
        most: Looks that a place may have beside the golden one.
        shift: Pixels by which an edge may lie elsewhere.
        far: Difference from which on a place looks otherwise.
    """
    shown: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
    golden = torch.empty(0)
    for images, references, counted in pairs:
        golden = golden if len(golden) else references[:1]
        if not (references == golden).all():
            return golden[:0]
        for number, row, column in _otherwise(images, counted, golden, shift, far):
            if len(shown[row, column]) < KEPT:
                shown[row, column].append(_place(images[number : number + 1], row, column).clone())
    found = golden.repeat(most, 1, 1, 1)
    used = 0
    for (row, column), patches in shown.items():
        for number, look in enumerate(_modes(torch.cat(patches), most, shift, far)):
            _place(found[number : number + 1], row, column).copy_(look)
            used = max(used, number + 1)
    return found[:used]


def _otherwise(images: Tensor, counted: Tensor, golden: Tensor, shift: int, far: float) -> list[list[int]]:
    """Number, row and column of each place that looks otherwise: beside a difference as large as `SOLID` each way.

    An edge that lies elsewhere is a difference, too, but a narrow one.
    """
    apart = ((difference(images, golden.expand_as(images), shift) > far) & (counted > 0)).to(images.dtype)
    solid = -F.max_pool2d(-apart, SOLID, 1, SOLID // 2)
    near = apart * F.max_pool2d(solid, 2 * TILE + 1, 1, TILE)
    whole = F.max_pool2d(1 - counted, TILE, ceil_mode=True) == 0
    otherwise = (F.max_pool2d(near, TILE, ceil_mode=True) > 0) & whole
    found: list[list[int]] = torch.nonzero(otherwise[:, 0]).tolist()
    return found


def _place(image: Tensor, row: int, column: int) -> Tensor:
    """A tile (1, C, h, w) of an image (1, C, H, W)."""
    return image[..., row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]


def _modes(patches: Tensor, most: int, shift: int, far: float) -> list[Tensor]:
    """Of patches (N, C, h, w), those that most others are like, each time among what is unlike the ones before."""
    found: list[Tensor] = []
    while len(patches) >= FEWEST and len(found) < most:
        pairs = [changed(patches, one.expand_as(patches), shift).flatten(1).amax(1) for one in patches.unsqueeze(1)]
        alike = torch.stack(pairs) <= far
        middle = int(alike.sum(1).argmax())
        if int(alike[middle].sum()) < FEWEST:
            break
        found.append(patches[middle])
        patches = patches[~alike[middle]]
    return found
