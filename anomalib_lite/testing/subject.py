"""The detector under check: how it is built, fitted and exported, the way the host does it."""

from __future__ import annotations

import importlib
import inspect
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from anomalib_lite import config as configuration
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.detector import Batches, Detector
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.graph.exporter import to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import described
from anomalib_lite.registry.adapter import adapted
from anomalib_lite.testing.images import Pixels, golden, good
from anomalib_lite.training.batches import FrameBatches
from anomalib_lite.training.fitting import build
from anomalib_lite.training.run import LightningRun

SPEC = ImageSpec(96, 128, 3, "uint8", 255.0)
TRAINING_IMAGES = 16
FITTED = range(100, 100 + TRAINING_IMAGES)  # their numbers
STEPS = 120  # of the fit that has to find defects
FEW_STEPS = 3  # of fits whose quality does not matter


@dataclass(frozen=True, eq=False)
class Subject:
    """One detector with one set of options.

    Args:
        info: What its plugin says of it.
        options: Validated options.
        module: The plugin's entry module, by name.
        steps: Optimiser steps of the fit that has to find planted defects.
        failures: Name of every check that was carried out to why it failed, None where it passed.
    """

    info: DetectorInfo
    options: DetectorConfig
    module: str
    steps: int = STEPS
    failures: dict[str, str | None] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(cls, info: DetectorInfo, module: str, options: Mapping[str, Any], steps: int | None) -> Subject:
        """A subject from unchecked options.

        Raises:
            ConfigError: An option is unknown or illegal.
        """
        info = adapted(info)
        checked = configuration.validate(
            info.config,
            options,
            where=f"options of '{info.name}'",
            help_command=f"anomalib-lite plugins show {info.name}",
            prefix=("options",),
        )
        return cls(described(info, checked), checked, module, steps or STEPS)

    @property
    def compares(self) -> bool:
        """Whether it takes a reference beside the image."""
        return "reference" in self.info.inputs

    @cached_property
    def config(self) -> Config:
        """The host's configuration with the detector's preferences."""
        merged = configuration.load(None, defaults=self.info.defaults)
        merged["detector"] = self.info.name
        return configuration.validate(
            Config, merged, where=f"defaults of '{self.info.name}'", help_command="anomalib-lite plugins show NAME"
        )

    @cached_property
    def fitted(self) -> Inspector:
        """Fitted well enough to find what is planted, at `SPEC`; on the CPU, in evaluation mode."""
        return self.fit(SPEC, steps=self.steps)

    @cached_property
    def graph(self) -> bytes:
        """`fitted` as an ONNX file."""
        self.fitted.fitted.fill_(True)
        return to_onnx(self.fitted)

    @cached_property
    def runtime(self) -> Runtime:
        """The graph of `fitted`, loaded."""
        return Runtime(self.graph, Framing(SPEC), self.fitted.inputs)

    def build(self, spec: ImageSpec, *, masked: bool = False) -> Inspector:
        """An inspector around a new detector; with `masked` its graph has the input `valid`."""
        framing = Framing(spec, mode="letterbox" if masked else "stretch")
        return build(self.info, self.options, self.config, framing).eval()

    def fit(
        self,
        spec: ImageSpec,
        *,
        steps: int = FEW_STEPS,
        images: int = TRAINING_IMAGES,
        seed: int = 0,
        valid: NDArray[np.bool_] | None = None,
    ) -> Inspector:
        """A new detector, fitted to rendered good images.

        Args:
            spec: Of the images.
            steps: Of every `minimise`.
            images: How many.
            seed: Of the run.
            valid: (H, W), what of each image counts; None for all.
        """
        with tempfile.TemporaryDirectory() as folder:
            run = LightningRun(folder=Path(folder) / "run", seed=seed, device="cpu", steps=steps)
            try:
                inspector = self.build(spec, masked=valid is not None)
                reference = golden(spec) if self.compares else None
                frames = [(good(spec, number), reference, valid) for number in FITTED[:images]]
                inspector.detector.fit(self._batches(frames, spec, seed), run)
            finally:
                run.close()
        return inspector.eval()

    def _batches(self, frames: Sequence[Any], spec: ImageSpec, seed: int) -> Batches:
        size = min(self.config.training.batch_size, 4)
        return FrameBatches(frames, white=spec.white, batch_size=size, seed=seed, device=torch.device("cpu"))

    def feed(self, images: Sequence[Pixels], spec: ImageSpec = SPEC) -> dict[str, Tensor]:
        """Inputs of an inspector: image, and the golden image where the detector compares."""
        batch = torch.from_numpy(np.stack(images))
        if not self.compares:
            return {"image": batch}
        return {"image": batch, "reference": torch.from_numpy(np.stack([golden(spec)] * len(images)))}

    def predict(self, images: Sequence[Pixels], inspector: Inspector | None = None) -> tuple[Tensor, Tensor]:
        """Scores (N,) and maps (N, 1, H, W) of images of `SPEC`, as the host's graph gives them."""
        inspector = inspector or self.fitted
        with torch.no_grad():
            score, anomaly_map = inspector(**self.feed(images))
        return score, anomaly_map

    def detect(self, detector: Detector, images: Sequence[Pixels], spec: ImageSpec = SPEC) -> tuple[Tensor, ...]:
        """What the detector itself returns: (map,) or (map, score)."""
        tensors = [one.permute(0, 3, 1, 2).to(torch.float32) / spec.white for one in self.feed(images, spec).values()]
        with torch.no_grad():
            prediction = detector(*tensors)
        return prediction if isinstance(prediction, tuple) else (prediction,)

    def sources(self) -> Iterator[Path]:
        """Every source file of the plugin: its package, or the modules of entry point, options and detector."""
        modules = {self.module, self.info.config.__module__, self.info.target.partition(":")[0]}
        for name in sorted({module.partition(".")[0] for module in modules} - {"anomalib_lite"}):
            file = Path(str(inspect.getsourcefile(importlib.import_module(name))))
            yield from sorted(file.parent.rglob("*.py")) if file.name == "__init__.py" else [file]


@contextmanager
def watched() -> Iterator[list[str]]:
    """Collects what Python code opens or connects to meanwhile. Imports open files, too: do them before."""
    _listen()
    seen: list[str] = []
    _watchers.append(seen)
    try:
        yield seen
    finally:
        _watchers.remove(seen)


@contextmanager
def watching_statistics() -> Iterator[list[str]]:
    """Collects what kinds of frozen layers change their running statistics by being run meanwhile."""
    before: dict[int, Tensor] = {}
    changed: list[str] = []

    def frozen(layer: nn.Module) -> bool:
        parameters = list(layer.parameters())
        return bool(parameters) and not any(one.requires_grad for one in parameters)

    def enter(layer: nn.Module, _: Any) -> None:
        mean = getattr(layer, "running_mean", None)
        if isinstance(mean, Tensor) and frozen(layer):
            before[id(layer)] = mean.clone()

    def leave(layer: nn.Module, *_: Any) -> None:
        known, mean = before.pop(id(layer), None), getattr(layer, "running_mean", None)
        if known is not None and isinstance(mean, Tensor) and not torch.equal(known, mean):
            changed.append(type(layer).__name__)

    hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave)]
    try:
        yield changed
    finally:
        for hook in hooks:
            hook.remove()


_watchers: list[list[str]] = []


@cache
def _listen() -> None:
    """Once, for good: an audit hook cannot be taken back."""
    telling = {"open": 0, "os.listdir": 0, "socket.connect": 1, "socket.getaddrinfo": 0}

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _watchers and event in telling:
            for seen in _watchers:
                seen.append(f"{event} {arguments[telling[event]]}")

    sys.addaudithook(hook)
