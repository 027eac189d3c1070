"""Siblings of one detector as one graph: how an image ranks among good parts, by the heads that did not see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomalib_lite.detector import Detector
from anomalib_lite.graph.inspector import Inspector


@dataclass(frozen=True)
class Standing:
    """What one head says of the good parts of its fold, which it has not seen, in its own raw units."""

    scores: Sequence[float]  # of each part, ascending, the tolerance added
    middle: float  # median of the scores
    spread: float  # their standard deviation, robustly; above 0
    map_middle: float  # the same of the largest pixels of the maps
    map_spread: float


class Ensemble(nn.Module):
    """Inspectors that were each fitted without one fold of the parts. In and out like an `Inspector`.

    `score` (N,): as many as there are good parts below the image, each ranked by the head that has not seen it, and
    what tells apart images that rank alike: between 1/4 and 3/4 by the mean of the heads, and above all parts how far
    the least convinced head puts it, in standard deviations. So a score is above s exactly where the image ranks above
    s parts, for s = 0, 1, 2, ... `anomaly_map` (N, 1, H, W): the mean of the heads' maps, each in standard deviations.
    """

    known: Tensor  # (heads, most parts), the largest float32 where a fold has fewer
    top: Tensor  # (heads,)
    middle: Tensor  # (heads,), and so on
    spread: Tensor
    map_middle: Tensor
    map_spread: Tensor

    def __init__(self, heads: Sequence[Inspector], standings: Sequence[Standing]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)
        self.spec, self.inputs = heads[0].spec, heads[0].inputs
        known = torch.full((len(heads), max(len(one.scores) for one in standings)), torch.finfo(torch.float32).max)
        for place, one in enumerate(standings):
            known[place, : len(one.scores)] = torch.tensor(one.scores, dtype=torch.float32)
        self.register_buffer("known", known)
        self.register_buffer("top", torch.tensor([one.scores[-1] for one in standings], dtype=torch.float32))
        for name in ("middle", "spread", "map_middle", "map_spread"):
            values = [getattr(one, name) for one in standings]
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32))

    @property
    def detector(self) -> Detector:
        """That of the first head: all are of one kind."""
        head = self.heads[0]
        assert isinstance(head, Inspector)
        return head.detector

    @property
    def fitted(self) -> Tensor:
        """Whether all are."""
        return torch.stack([head.fitted for head in self.heads if isinstance(head, Inspector)]).all()

    def forward(
        self, image: Tensor, reference: Tensor | None = None, valid: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Measure a batch, as `Inspector.forward`."""
        measured = [head(image, reference, valid) for head in self.heads]
        scores = torch.stack([score for score, _ in measured], 1)  # (N, heads)
        below = (self.known < scores[:, :, None]).to(torch.float32).sum((1, 2))
        units = ((scores - self.middle) / self.spread).mean(1)
        tie = 0.5 + 0.25 * units / (1 + units.abs())  # not a number where a head's score is infinite
        beyond = ((scores - self.top) / self.spread).amin(1).clamp_min(0)
        maps = torch.cat([one for _, one in measured], 1)  # (N, heads, H, W)
        maps = (maps - self.map_middle[:, None, None]) / self.map_spread[:, None, None]
        return below + tie + beyond, maps.mean(1, keepdim=True)
