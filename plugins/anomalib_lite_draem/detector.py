"""The detector: plant anomalies into good images, and learn to outline what was planted."""

from __future__ import annotations

import warnings
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, Detector, ImageSpec, TrainingRun
from anomalib_lite.synthesis import Anomalies, Draw, TextureFolder, foreground, procedural_textures, vary
from anomalib_lite_draem.config import FALLBACK, DraemConfig
from anomalib_lite_draem.losses import dissimilarity, focal, presence, recall
from anomalib_lite_draem.networks import Averaged, Networks, build
from anomalib_lite_draem.outline import Outline
from anomalib_lite_draem.published import read_published

_STEPS = 3000
_STEPS_ON_FEATURES = 1000
_PUBLISHED_EPOCHS = 700
_RECONSTRUCTION, _RECALL, _PRESENCE = 0.1, 0.3, 0.3  # weights of the terms where they are not the paper's
_HIGHEST = 2e-4  # share of the pixels that stands for the image's score
_LOOKED_AT = 64  # batches, at most, from which the spread of the features is learnt
_FAR = 50.0  # a margin that tells nothing
_FEW = 8  # good images below which what is learnt is mostly those images by heart


class Draem(Detector):
    """Outlines of planted anomalies, learnt on pretrained features, or together with a reconstruction as published."""

    config: DraemConfig

    def __init__(self, config: DraemConfig, image: ImageSpec) -> None:
        super().__init__(config, image)
        self.networks = build(config.size, image, weights=config.weights, as_published=config.checkpoint is not None)

    def fit(self, batches: Batches, run: TrainingRun) -> None:
        """Learn from good images with planted anomalies, or load the authors' weights.

        Raises:
            ConfigError: The checkpoint, or the pretrained weights, do not fit.
            MissingExtra: The packaged weights are not installed.
            DataError: The folder of textures holds none.
        """
        if self.config.checkpoint is not None:
            assert isinstance(self.networks, Networks)
            read_published(self.config.checkpoint, self.networks.reconstruction, self.networks.segmentation)
            return
        _warn_of_few(batches)
        if self.config.falls_back:
            warnings.warn(f"Training 'draem' {FALLBACK}", stacklevel=2)
        if isinstance(self.networks, Outline):
            self.networks.prepare(run.progress(islice(batches, _LOOKED_AT), "features"))
        textures = procedural_textures if self.config.textures is None else TextureFolder(self.config.textures)
        anomalies = Anomalies(self.config.mix.model_dump(), textures=textures)
        trainer = Averaged(self.networks.to(memory_format=torch.channels_last))
        large = self.config.size == "large"
        steps = {"features": _STEPS_ON_FEATURES, "large": _PUBLISHED_EPOCHS * len(batches)}
        run.minimise(
            lambda batch: self._loss(trainer, anomalies, batch, run),
            trainer,
            batches,
            steps=self.config.steps or steps.get(self.config.size, _STEPS),
            optimiser=lambda weights: (
                torch.optim.Adam(weights, lr=1e-4) if large else torch.optim.AdamW(weights, lr=2e-3)
            ),
            schedule=published_schedule if large else None,
        )
        trainer.update()  # by the last step
        self.networks = trainer.average

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        """Tell how anomalous each place is.

        Args:
            image: (B, C, H, W) in [0, 1], of the size of the specification.
            reference: Not used.

        Returns:
            (B, 1, H, W): logit of anomalous less logit of normal. Above 0 where a planted anomaly is likelier than
            none; the softmax of the paper would tie at 1 for clear defects.
        """
        if image.shape[1] == 1 and self.config.checkpoint is not None:
            image = image.expand(-1, 3, -1, -1)
        margin = _judged(self.networks, image)[0]
        if self.config.mirrored:
            margin = (margin + _judged(self.networks, image.flip(3))[0].flip(3)) / 2
        return margin

    def _loss(self, trainer: Averaged, anomalies: Anomalies, batch: Batch, run: TrainingRun) -> Tensor:
        """Plant, and outline; the terms are those of `_terms`."""
        trainer.update()  # by the step before: this is called once in each
        draw = Draw(batch.image.device)
        good, valid = batch.image, batch.valid
        if self.config.varied:
            good, valid = vary(draw, good, valid)
        allowed = valid
        if self.config.foreground:
            object_ = foreground(good)
            allowed = object_ if allowed is None else allowed & object_
        planted, mask = anomalies.plant(draw, good, allowed)
        margin, reconstructed = _judged(trainer.live, planted, good)
        with torch.autocast(good.device.type, enabled=False):  # the terms are too fine for 16 bits
            terms = self._terms(margin.float(), mask, reconstructed, valid)
            for name, value in terms.items():
                run.log(name, value.detach())
            return torch.stack(list(terms.values())).sum()

    def _terms(
        self, margin: Tensor, mask: Tensor, reconstructed: Reconstructed | None, valid: Tensor | None
    ) -> dict[str, Tensor]:
        """Scalars by name, weighted. `large` has the paper's three, of weight 1; for the others see README.md."""
        counted = torch.ones_like(mask) if valid is None else valid
        published = self.config.size == "large"
        weight, gamma = (1.0, 2.0) if published else (_RECONSTRUCTION, self.config.gamma)
        outline, planted = focal(margin, mask, gamma), mask.to(margin.dtype)
        terms = {"outline": _average(outline, counted)}
        if reconstructed is not None:
            terms["l2"] = weight * _average((reconstructed.found - reconstructed.target).square(), counted)
            terms["ssim"] = weight * _average(dissimilarity(*reconstructed), counted)
        if not published:
            highest = torch.where(counted, margin, torch.full_like(margin, -_FAR))
            terms["recall"] = _RECALL * recall(outline, planted).mean()
            terms["presence"] = _PRESENCE * presence(highest, planted, _HIGHEST).mean()
        return terms


class Reconstructed(NamedTuple):
    """What an autoencoder made of a planted image, and the good one, in the networks' units."""

    found: Tensor  # (B, C, H, W)
    target: Tensor


def _judged(
    networks: Networks | Outline, image: Tensor, good: Tensor | None = None
) -> tuple[Tensor, Reconstructed | None]:
    """The margin (B, 1, H, W); and, where they reconstruct, the image beside the good one."""
    if isinstance(networks, Outline):
        return networks(image), None
    gain, offset = networks.units(image)
    reconstruction, margin = networks(gain * image + offset)
    return margin, None if good is None else Reconstructed(reconstruction.float(), gain * good + offset)


def _average(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of (B, C, H, W) over the counted pixels (B, 1, H, W)."""
    weights = counted.to(values.dtype).expand_as(values)
    return (values * weights).sum() / weights.sum().clamp_min(1)


def published_schedule(progress: float) -> float:
    """Factor of the learning rate as published: x 0.2 at 80 % and again at 90 % of the training."""
    return 1.0 if progress < 0.8 else 0.2 if progress < 0.9 else 0.04


def _warn_of_few(batches: Batches) -> None:
    """Warn where there are too few images to learn from; iterates only over what is few."""
    if len(batches) >= _FEW:
        return
    count = sum(len(batch.image) for batch in batches)
    if count < _FEW:
        warnings.warn(
            f"Training 'draem' on {count} good images: expect it to know these by heart and to call other good "
            f"images defective. Use at least {_FEW}, better some hundred.",
            stacklevel=2,
        )
