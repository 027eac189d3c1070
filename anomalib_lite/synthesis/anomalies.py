"""Good images made defective: how often each source of anomalies is drawn, and what counts as changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from anomalib_lite.errors import ConfigError
from anomalib_lite.synthesis import sources
from anomalib_lite.synthesis.box import Box
from anomalib_lite.synthesis.draw import Draw
from anomalib_lite.synthesis.noise import procedural_textures

__all__ = ["SOURCES", "Anomalies"]

SOURCES = ("texture", "patch", "photometric", "filtered", "scratch", "spot", "edge")
_VISIBLE = 0.5  # mean change inside, in steps between neighbouring pixels, below which nothing counts as anomalous


@dataclass(frozen=True)
class Anomalies:
    """Plants synthetic anomalies into good images: one source per image, in the proportions asked for.

    Args:
        mix: Weights by name of source, see `SOURCES`; a source that is missing is not used.
        clean: Share of the images that is left as it is.
        textures: Draws (n, C, H, W) in [0, 1] for the source `texture`; `procedural_textures` by default.

    Raises:
        ConfigError: A source is unknown, a weight is negative, or all are 0.
    """

    mix: Mapping[str, float]
    clean: float = 0.5
    textures: Callable[[Draw, int, int, int, int], Tensor] = procedural_textures

    def __post_init__(self) -> None:
        unknown = sorted(set(self.mix) - set(SOURCES))
        if unknown:
            raise ConfigError(f"'{unknown[0]}' is no source of anomalies: expected some of {', '.join(SOURCES)}.")
        if min(self.mix.values(), default=0) < 0 or not sum(self.mix.values()):
            raise ConfigError("The weights of the sources of anomalies must not be negative, nor all 0.")

    def plant(self, draw: Draw, image: Tensor, allowed: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Change a part of some of the images.

        Args:
            draw: Source of randomness, on the images' device.
            image: (B, C, H, W) float32 in [0, 1].
            allowed: (B, 1, H, W) bool: where anomalies may be; None for everywhere. Edges, and what is large or
                small, are those of the smallest box around it.

        Returns:
            Two tensors: images (B, C, H, W) in [0, 1], and masks (B, 1, H, W) bool, True where they were changed. An
            image that is left clean, or whose change cannot be seen, is as it came and has an empty mask.
        """
        planted, cover = image.clone(), torch.zeros_like(image[:, :1])
        box = Box.whole(image) if allowed is None else Box.around(allowed)
        weights = torch.tensor([float(self.mix.get(name, 0)) for name in SOURCES], device=image.device)
        chosen = torch.where(draw.coin(self.clean, len(image)), -1, draw.choices(weights, len(image)))
        for number, name in enumerate(SOURCES):
            (index,) = (chosen == number).nonzero(as_tuple=True)
            if len(index):
                planted[index], cover[index] = self._apply(draw, name, image, box, index)
        if allowed is not None:
            cover = cover * allowed
        planted = torch.lerp(image, planted.clamp(0, 1), cover)
        mask = cover > 0.25
        visible = _change(image, planted, mask, allowed) > _VISIBLE
        return torch.where(visible, planted, image), mask & visible

    def _apply(self, draw: Draw, name: str, image: Tensor, box: Box, index: Tensor) -> tuple[Tensor, Tensor]:
        chosen, place = image[index], box.of(index)
        if name == "texture":
            return sources.texture(draw, chosen, self.textures(draw, *chosen.shape))
        if name == "patch":
            donors = draw.integers(0, len(image) - 1, len(index))
            return sources.patch(draw, chosen, place, image[donors], box.of(donors))
        source: Callable[[Draw, Tensor, Box], tuple[Tensor, Tensor]] = getattr(sources, name)
        return source(draw, chosen, place)


def _change(image: Tensor, planted: Tensor, mask: Tensor, allowed: Tensor | None) -> Tensor:
    """Mean absolute change inside the mask in units of the mean step between neighbouring pixels, (B, 1, 1, 1)."""
    difference = ((planted - image).abs().mean(1, keepdim=True) * mask).sum((1, 2, 3), keepdim=True)
    grain = torch.stack([_step(image, allowed, axis) for axis in (2, 3)]).mean(0).clamp_min(1 / 255)
    return difference / mask.sum((1, 2, 3), keepdim=True).clamp_min(1) / grain


def _step(image: Tensor, allowed: Tensor | None, axis: int) -> Tensor:
    """Mean absolute difference of neighbours along an axis, both of them allowed, (B, 1, 1, 1)."""
    steps = image.diff(dim=axis).abs().mean(1, keepdim=True)
    if allowed is None:
        return steps.mean((1, 2, 3), keepdim=True)
    size = image.shape[axis] - 1
    counted = allowed.narrow(axis, 0, size) & allowed.narrow(axis, 1, size)
    return (steps * counted).sum((1, 2, 3), keepdim=True) / counted.sum((1, 2, 3), keepdim=True).clamp_min(1)
