"""The method `unet`: a network tells for every place how much noise it seems to have been given.

DTE-C of the paper estimates one time per vector. Here the time varies over the image, the noise has grains of many
sizes, and the network is a U-Net. EXPERIMENTS.md says what was tried instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812
from anomalib_lite_vectors.diffusion import BINS, STEPS, variances
from torch import Tensor, nn

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.features import principal_components
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.diffusion import log_odds

BLOCK = 4  # pixels

_FINE = 0.05  # added to the standard deviation of a block's components, in units of the image's
_FLAT = 0.01  # smallest spread of an image that is magnified to 1, share of white


class UNetMap(nn.Module):
    """Estimates the diffusion time of every block of 4 x 4 pixels, as the mean of several networks."""

    variance: Tensor  # (400,) of the noise at each time
    place: Tensor  # (1, 2, h, w): row and column of each block in [-1, 1]
    projection: Tensor  # (16 C, C, 4, 4): from blocks of pixels to their whitened principal components

    def __init__(self, config: DteConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        self.image = image
        self.register_buffer("variance", variances(STEPS).float(), persistent=False)
        components = image.channels * BLOCK**2
        self.register_buffer("projection", torch.eye(components).view(components, image.channels, BLOCK, BLOCK))
        inputs = components + 2 * config.position
        members = [UNet(inputs, BINS, config.widths) for _ in range(config.members)]
        self.members = nn.ModuleList(members)
        multiple = BLOCK * members[0].stride
        height, width = (size + -size % multiple for size in (image.height, image.width))
        self.padding = (0, width - image.width, 0, height - image.height)  # left, right, top, bottom
        rows, columns = (torch.linspace(-1, 1, size // BLOCK) for size in (height, width))
        place = torch.stack(torch.meshgrid(rows, columns, indexing="ij")).unsqueeze(0)
        self.register_buffer("place", place, persistent=False)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn the principal components of blocks of pixels, then to tell the time of noise given to good images."""
        self.projection = self._components(batches, run)
        run.minimise(
            lambda batch: self._loss(batch, run),
            self,
            batches,
            steps=self.config.steps,
            at_most=self.config.steps,
            optimiser=lambda parameters: torch.optim.AdamW(parameters, lr=self.config.learning_rate),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Tell how long each place seems to have diffused.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, H, W) in nats: the log odds that the time is beyond a border between bins, mean of the six borders
            and of the networks. It orders as the expected bin does, but has no upper limit to tie at.
        """
        blocks = self._blocks(_standardise(image))
        odds = torch.stack([log_odds(member(blocks)) for member in self.members]).mean(0)
        odds = F.interpolate(odds, scale_factor=float(BLOCK), mode="bilinear", align_corners=False)
        return odds[:, :, : self.image.height, : self.image.width]

    def _blocks(self, image: Tensor) -> Tensor:
        """(B, C, H, W) standardised to (B, components, h, w), a cell for each block of the padded image."""
        blocks = F.conv2d(F.pad(image, self.padding, mode="replicate"), self.projection, stride=BLOCK)
        if self.config.position:
            blocks = torch.cat([blocks, self.place.expand(blocks.shape[0], -1, -1, -1)], 1)
        return blocks

    def _components(self, batches: Batches, run: TrainingRun) -> Tensor:
        """Principal components of the blocks of good images, each scaled to a spread of about 1.

        Pixels of a block are nearly alike: without this the network would have to learn first to look at differences.
        """
        products, blocks = torch.zeros((), device=run.device, dtype=torch.float64), 0
        for batch in run.progress(batches, "components"):
            cells = F.pixel_unshuffle(F.pad(_standardise(batch.image), self.padding, mode="replicate"), BLOCK)
            vectors = cells.movedim(1, -1)[_counted(batch, self.padding) > 0].double()
            products, blocks = products + vectors.T @ vectors, blocks + len(vectors)
        size = self.projection.shape[0]
        covariance = products / max(blocks, 1) + _FINE**2 * torch.eye(size, device=run.device, dtype=torch.float64)
        whitening = principal_components(torch.zeros(size), covariance.cpu(), size)
        return whitening.projection.T.float().reshape(self.projection.shape).to(run.device)

    def _loss(self, batch: Batch, run: TrainingRun) -> Tensor:
        """Mean over the networks, each with noise of its own."""
        image, counted = _standardise(batch.image), _counted(batch, self.padding)
        losses, right = zip(*(self._surprise(member, image, counted) for member in self.members), strict=True)
        run.log("right_bin", torch.stack(right).mean())
        return torch.stack(losses).mean()

    def _surprise(self, member: nn.Module, image: Tensor, counted: Tensor) -> tuple[Tensor, Tensor]:
        """Cross-entropy of the bin of each block's time, over blocks that are wholly valid, and how many are right."""
        count, channels, height, width = image.shape
        cells = ((height + self.padding[3]) // BLOCK, (width + self.padding[1]) // BLOCK)
        time = time_map(count, *cells, regions=self.config.regions, steps=STEPS).to(image.device)
        spread = self.variance[time].sqrt().repeat_interleave(BLOCK, 2).repeat_interleave(BLOCK, 3)
        noise = grainy_noise(count, channels, height, width, grain=self.config.grain).to(image.device)
        logits = member(self._blocks(_standardise(image + spread[:, :, :height, :width] * noise)))
        bins, total = time.squeeze(1) * BINS // STEPS, counted.sum().clamp_min(1)
        surprise = F.cross_entropy(logits, bins, reduction="none")
        right = (logits.detach().argmax(1) == bins) * counted
        return (surprise * counted).sum() / total, right.sum() / total


def _standardise(image: Tensor) -> Tensor:
    """(B, C, H, W) with mean 0 in each channel, and variance 1 over all of them together."""
    image = image - image.mean((2, 3), keepdim=True)
    image = image - image.mean((2, 3), keepdim=True)  # a long sum in float32 is off by more than a flat image tolerates
    variance = image.square().mean((1, 2, 3), keepdim=True)
    return image / (variance + _FLAT**2).sqrt()


def _counted(batch: Batch, padding: tuple[int, int, int, int]) -> Tensor:
    """(B, h, w): 1 for blocks of the padded image that are wholly valid, 0 for others."""
    valid = torch.ones_like(batch.image[:, :1]) if batch.valid is None else batch.valid.to(batch.image.dtype)
    return -F.max_pool2d(-F.pad(valid, padding), BLOCK).squeeze(1)


def time_map(count: int, height: int, width: int, *, regions: int, steps: int) -> Tensor:
    """Diffusion times that are constant within irregular regions, and 0 elsewhere.

    A region is where a smooth random field, of one knot in 1 to 32 cells, exceeds a random level.

    Args:
        count: Maps.
        height: In cells.
        width: In cells.
        regions: Sorts of regions in each map, the later over the earlier.
        steps: T; the times of regions are uniform in [0, T).

    Returns:
        (count, 1, height, width) int64.
    """
    time = torch.zeros(count, 1, height, width, dtype=torch.int64)
    for _ in range(regions):
        knots = 2 ** int(torch.randint(6, ()))
        size = (max(2, height // knots) + 1, max(2, width // knots) + 1)
        field = F.interpolate(torch.randn(count, 1, *size), (height, width), mode="bicubic", align_corners=True)
        level = 0.3 + 1.5 * torch.rand(count, 1, 1, 1)
        time = torch.where(field > level, torch.randint(steps, (count, 1, 1, 1)), time)
    return time


def grainy_noise(count: int, channels: int, height: int, width: int, *, grain: int) -> Tensor:
    """Gaussian noise, each image with grains of its own: white, blotchy, or streaked along an axis.

    White noise would teach to find white noise: real defects are larger than a pixel.

    Args:
        count: Images.
        channels: Of each; in half the images all channels are alike.
        height: In pixels.
        width: In pixels.
        grain: Largest side of a grain in pixels; sides are powers of two.

    Returns:
        (count, channels, height, width), each image of variance 1.
    """
    return torch.stack([_noise(channels, height, width, grain) for _ in range(count)])


def _noise(channels: int, height: int, width: int, grain: int) -> Tensor:
    rows, columns = (2 ** torch.randint(grain.bit_length(), (2,))).tolist()
    alike, square, hard = (torch.rand(3) < 0.5).tolist()
    if square:
        columns = rows
    knots = torch.randn(1, 1 if alike else channels, max(2, -(-height // rows)), max(2, -(-width // columns)))
    noise = F.interpolate(knots, size=(height, width), mode="nearest" if hard else "bilinear")[0]
    return (noise / noise.square().mean().sqrt()).expand(channels, height, width)


class _Block(nn.Sequential):
    """Two 3 x 3 convolutions, each with group normalisation (so that an image never depends on its batch)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(outputs // 8, outputs),
            nn.SiLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
            nn.GroupNorm(outputs // 8, outputs),
            nn.SiLU(),
        )


class UNet(nn.Module):
    """Outputs of the resolution of the inputs.

    Args:
        inputs: Channels.
        outputs: Likewise; all 0 before training.
        widths: Channels from fine to coarse, multiples of 8; each level halves the resolution.
    """

    def __init__(self, inputs: int, outputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(_Block(a, b) for a, b in pairwise([inputs, *widths]))
        self.up = nn.ModuleList(_Block(a + b, a) for a, b in pairwise(widths))
        self.out = nn.Conv2d(widths[0], outputs, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)  # type: ignore[arg-type]

    def forward(self, blocks: Tensor) -> Tensor:
        """(B, inputs, h, w) to (B, outputs, h, w); h and w divisible by `stride`."""
        features = blocks
        if not torch.compiler.is_exporting():
            features = features.contiguous(memory_format=torch.channels_last)  # halves a training step on a processor
        skips: list[Tensor] = []
        for depth, block in enumerate(self.down):
            features = block(features if depth == 0 else F.avg_pool2d(features, 2))
            skips.append(features)
        for block, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            features = block(torch.cat([skip, F.interpolate(features, scale_factor=2.0, mode="nearest")], 1))
        logits: Tensor = self.out(features)
        return logits
