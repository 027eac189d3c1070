"""The method `neighbours`: how far features of a frozen backbone are from those of good images.

DTE-NP of the paper in closed form, m / d as in `estimator`, for the vector of every place: m is the mean squared
distance to the 5 nearest vectors of a gallery, d their dimensions. Scaler, projection and gallery are in the graph.
"""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision import models  # type: ignore[import-untyped]

from anomalib_lite.detector import Batch, Batches, ImageSpec, TrainingRun
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.features import farthest_first
from anomalib_lite_dte.config import DteConfig
from anomalib_lite_dte.diffusion import Whitening, principal_components

STRIDE = 8  # pixels from one vector to the next
LEAST = 32  # pixels of a side: two cells of the third layer
DIMENSIONS = {"resnet18": 128 + 256, "wide_resnet50_2": 512 + 1024}
COMPONENTS = 64
NEIGHBOURS = 5
POOL = 1 << 25  # numbers: 128 MiB of vectors that the projection is learnt from, and the gallery chosen of
DISTANCES = 1 << 26  # of one image to the gallery: 256 MiB
SKETCH = 32  # dimensions of the random projection in which the gallery is chosen
CHUNK = 8192  # vectors at a time


class NeighbourMap(nn.Module):
    """Estimates the diffusion time at every eighth pixel from distances to good feature vectors.

    Raises:
        ConfigError: The images are too small for the backbone, or so large that the distances to the gallery would take
            more than 256 MiB.
    """

    place: Tensor  # (1, 0 or 2, h, w): row and column of each cell, of mean 0 and spread about 1
    mean: Tensor  # (d,) of the features of good images
    projection: Tensor  # (d, k): from standardised features to whitened principal components, both in one
    gallery: Tensor  # (n, k)

    def __init__(self, config: DteConfig, image: ImageSpec) -> None:
        super().__init__()
        self.config = config
        self.image = image
        height, width = (-(-size // STRIDE) for size in (image.height, image.width))
        _check_size(image, height * width, config.gallery)
        self.features = PatchFeatures(config.backbone)
        place = torch.stack(torch.meshgrid(_axis(height), _axis(width), indexing="ij"))
        self.register_buffer("place", place[: 2 * config.position].unsqueeze(0), persistent=False)
        inputs, outputs = (known + self.place.shape[1] for known in (DIMENSIONS[config.backbone], COMPONENTS))
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("projection", torch.zeros(inputs, outputs))
        self.register_buffer("gallery", torch.zeros(config.gallery, outputs))

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Take the backbone's weights over, learn the projection, and choose the gallery. Nothing is trained.

        Raises:
            ConfigError: The weights cannot be had.
            DataError: No pixel of the images counts.
        """
        self.features.load(self.config.weights)
        pool = self._pool(batches, run)
        whitening = _whitening(pool, self.place.shape[1])
        vectors = torch.cat([whitening(part) for part in torch.split(pool, CHUNK)])
        sketch = vectors @ torch.randn(vectors.shape[1], SKETCH)
        steps = run.progress(range(self.config.gallery), "gallery")
        chosen = [index for index, _ in zip(farthest_first(sketch), steps, strict=False)]
        self.mean, self.projection, self.gallery = (one.to(run.device) for one in (*whitening, vectors[chosen]))

    def forward(self, image: Tensor) -> Tensor:
        """Tell how long each place would have diffused.

        Args:
            image: (B, C, H, W) in [0, 1].

        Returns:
            (B, 1, H, W), at least 0: the most probable variance of the noise on an unbounded axis of time, m / d.
        """
        vectors = (self._cells(image) - self.mean) @ self.projection  # (B, h, w, k)
        squares = vectors.square().sum(-1, keepdim=True) + self.gallery.square().sum(-1)
        squares = squares - 2 * vectors @ self.gallery.T  # (B, h, w, n)
        nearest = squares.topk(min(NEIGHBOURS, len(self.gallery)), largest=False).values.clamp_min(0)
        variance = nearest.mean(-1).unsqueeze(1) / self.gallery.shape[1]
        return onto_grid(variance, STRIDE, self.image.height, self.image.width)

    def _cells(self, image: Tensor) -> Tensor:
        """(B, C, H, W) to (B, h, w, d): features of each cell, and its place where that is wanted."""
        place = self.place.expand(image.shape[0], -1, -1, -1)
        return torch.cat([self.features(image), place], 1).movedim(1, -1)

    @torch.no_grad()
    def _pool(self, batches: Batches, run: TrainingRun) -> Tensor:
        """(n, d) vectors of good images, as many of each batch; all, where they fit into `POOL`."""
        share = max(1, POOL // len(self.mean) // len(batches))
        pool = []
        for batch in run.progress(batches, "features"):
            found = self._cells(batch.image)[_counted(batch)]
            pool.append(found[torch.randperm(len(found))[:share].to(found.device)].cpu())
        vectors = torch.cat(pool)
        if not len(vectors):
            raise DataError("no pixel of the training images counts: expected 1 at least. Check the mask of image.roi.")
        return vectors


def _whitening(vectors: Tensor, places: int) -> Whitening:
    """Standardise (n, d) vectors and whiten them, both in one, float32; the last `places` columns stay as they are."""
    features = vectors[:, : vectors.shape[1] - places]
    mean = features.mean(0, dtype=torch.float64)
    parts = (part.double() - mean for part in torch.split(features, CHUNK))
    covariance = sum((part.T @ part for part in parts), torch.zeros(())) / max(len(features) - 1, 1)
    spread = covariance.diag().sqrt()
    spread = torch.where(spread > 0, spread, 1.0)
    whitening = principal_components(mean, covariance / spread.outer(spread), COMPONENTS)
    projection = torch.block_diag(whitening.projection / spread.unsqueeze(1), torch.eye(places))
    return Whitening(F.pad(mean, (0, places)).float(), projection.float())


def _axis(cells: int) -> Tensor:
    """Places of cells along a side, as far spread as a principal component."""
    return torch.linspace(-1, 1, cells) * 3**0.5


def _counted(batch: Batch) -> Tensor:
    """(B, h, w): whether the value of a cell, interpolated to pixels, reaches one that is valid."""
    valid = torch.ones_like(batch.image[:, :1]) if batch.valid is None else batch.valid.to(batch.image.dtype)
    return F.max_pool2d(valid, 2 * STRIDE - 1, STRIDE, STRIDE - 1).squeeze(1) > 0


def _check_size(image: ImageSpec, cells: int, gallery: int) -> None:
    if min(image.height, image.width) < LEAST:
        raise ConfigError(
            f"Images of {image.height} x {image.width} pixels are too small for the backbone of 'dte', which needs "
            f"{LEAST} x {LEAST}: raise image.height and image.width, or use method=unet."
        )
    if cells * gallery > DISTANCES:
        raise ConfigError(
            f"A gallery of {gallery} vectors is too large for images of {image.height} x {image.width} pixels: their "
            f"distances would take more than {DISTANCES >> 18} MiB. Use options.gallery={DISTANCES // cells} at most, "
            "smaller images, or image.mode=tile."
        )


class PatchFeatures(nn.Module):
    """Second and third layer of a ResNet, each the mean of 3 x 3 cells, on the grid of the second.

    After Roth et al.: Towards total recall in industrial anomaly detection (PatchCore), CVPR 2022, section 3.1.

    Args:
        backbone: "resnet18" or "wide_resnet50_2". Its weights are random until `load`.
    """

    mean: Tensor  # (1, 3, 1, 1) of ImageNet's red, green and blue
    spread: Tensor

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.backbone = backbone
        network: Any = models.get_model(backbone, weights=None)
        network.layer4 = network.avgpool = network.fc = nn.Identity()
        self.network = network.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("spread", torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> PatchFeatures:
        """Stay in evaluation mode: what is frozen normalises by its own statistics, not by those of a batch."""
        return super().train(False)

    def forward(self, image: Tensor) -> Tensor:
        """Describe the surroundings of every eighth pixel.

        Args:
            image: (B, 1 or 3, H, W) in [0, 1], sides of 32 pixels or more.

        Returns:
            (B, d, h, w), d as in `DIMENSIONS`, h and w an eighth of H and W, rounded up. Cell i lies at pixel 8 i.
        """
        network: Any = self.network
        values = (image - self.mean) / self.spread  # grey becomes three channels
        values = network.maxpool(network.relu(network.bn1(network.conv1(values))))
        second = network.layer2(network.layer1(values))
        third = network.layer3(second)
        height, width = second.shape[2:]
        return torch.cat([_mean_of_nine(second), onto_grid(_mean_of_nine(third), 2, height, width)], 1)

    def load(self, weights: str | Path) -> None:
        """Take weights over.

        Args:
            weights: "imagenet", "none", or a file with a state dict of the backbone.

        Raises:
            ConfigError: They cannot be downloaded or read, or are not those of the backbone.
        """
        if weights == "none":
            warnings.warn(
                f"the weights of {self.backbone} are random: expect to find coarse changes of brightness and texture, "
                "and little else. Give options.weights=imagenet, or a file.",
                stacklevel=2,
            )
            return
        state = _download(self.backbone) if weights == "imagenet" else _read(Path(weights))
        own = {name: tensor for name, tensor in self.network.state_dict().items() if "num_batches" not in name}
        fault = next((fault for name, tensor in own.items() if (fault := _fault(name, tensor, state.get(name)))), None)
        if fault:
            raise ConfigError(f"{weights}: {fault}. Expected torchvision's state dict of {self.backbone}.")
        self.network.load_state_dict({name: state[name] for name in own}, strict=False)


def onto_grid(cells: Tensor, step: int, height: int, width: int) -> Tensor:
    """Bilinear interpolation between cells that lie `step` apart, the first at 0: where strided convolutions have them.

    Args:
        cells: (B, C, h, w).
        step: Whole number.
        height: Between `step * (h - 1) + 1` and `step * h`; beyond the last cell it counts on unchanged.
        width: Likewise.

    Returns:
        (B, C, height, width).
    """
    rows, columns = (step * (size - 1) + 1 for size in cells.shape[2:])
    between = F.interpolate(cells, size=(rows, columns), mode="bilinear", align_corners=True)
    return F.pad(between, (0, width - columns, 0, height - rows), mode="replicate")


def _mean_of_nine(cells: Tensor) -> Tensor:
    return F.avg_pool2d(cells, 3, 1, 1, count_include_pad=False)


def _download(backbone: str) -> Mapping[str, Any]:
    """Of the first version: those of the second are trained to classify better, with features that are less local."""
    weights = models.get_model_weights(backbone)["IMAGENET1K_V1"]
    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch.hub prints what it downloads
            state: Mapping[str, Any] = weights.get_state_dict(progress=False, check_hash=True, weights_only=True)
    except Exception as error:  # of the network, of the disk, of a damaged file: no common base
        raise ConfigError(
            f"the ImageNet weights of {backbone} cannot be had: {error}. "
            f"Fetch {weights.url} where there is a network, and give the file as options.weights."
        ) from error
    return state


def _read(file: Path) -> Mapping[str, Any]:
    if not file.is_file():
        raise ConfigError(f"options.weights: there is no file {file}. Expected imagenet, none, or a state dict's file.")
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load names no common base of what it raises
        reason = str(error).partition("\n")[0]
        raise ConfigError(f"{file} cannot be read as tensors saved with torch.save: {reason}") from error
    if not isinstance(state, Mapping):
        raise ConfigError(f"{file} holds a {type(state).__name__}: expected a state dict, names to tensors.")
    return state


def _fault(name: str, own: Tensor, found: Any) -> str | None:
    """What is wrong with the value that a file has for a name."""
    if not isinstance(found, Tensor):
        return f"there is no tensor '{name}'"
    if found.shape != own.shape:
        return f"'{name}' is of shape {tuple(found.shape)}, not {tuple(own.shape)}"
    return None if found.isfinite().all() else f"'{name}' is not finite"
