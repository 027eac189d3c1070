"""What a fit in closed form holds does not grow with the images, once it has something of as many as it keeps."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from typing import Any

import pytest
import torch
from plain_run import PlainRun
from torch import Tensor

from anomalib_lite.detector import Batch, Batches, ImageSpec
from anomalib_lite.registry import load
from anomalib_lite.registry.building import construct

SPEC = ImageSpec(height=32, width=32, channels=1, dtype="uint8", white=255)
RANDOM: dict[str, Any] = {"weights": "none", "layers": ("blocks.1", "blocks.2")}
FEW, MANY = 5, 15  # batches; fewer fill what is kept


class Rendered:
    """Batches that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Batch]:
        for number in range(self.count):
            image = torch.rand(2, 1, SPEC.height, SPEC.width, generator=torch.Generator().manual_seed(number))
            golden = torch.full_like(image, 0.5)
            yield Batch(
                image, reference=golden, images=2 * number + torch.arange(2), parts=2 * number + torch.arange(2)
            )


def held() -> int:
    """Bytes behind all tensors that were made since the collector was frozen."""
    storages = [one.untyped_storage() for one in gc.get_objects() if issubclass(type(one), Tensor)]
    return sum({one.data_ptr(): one.nbytes() for one in storages}.values())


class Weighed(PlainRun):
    """Weighs what is held at the end of each pass."""

    most = 0

    def split(self, batches: Batches, share: float) -> tuple[Batches, Batches]:
        return batches, batches

    def progress(self, batches: Iterable[Any], label: str) -> Iterator[Any]:
        try:
            yield from batches
        finally:
            self.most = max(self.most, held())

    def map(self, compute: Callable[[Batch], Any], batches: Batches, label: str) -> Iterator[Any]:
        yield from map(compute, self.progress(batches, label))


DETECTORS: dict[str, dict[str, Any]] = {
    "neighbours": {"gallery": 16},
    "invariants": {"map_layers": ("blocks.2",)},
    "logic": {"words": 8},
    "dte": {"method": "features", "steps": 1},
    "inpainting": {"method": "features", "steps": 1},
    "musc": {"images": 5},
    "change": {},
    "fusion": {"members": ("neighbours", "logic"), "weights": (1, 1), "options": {}},
}


@pytest.mark.parametrize("name", DETECTORS)
def test_four_times_the_images_take_no_more_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("neighbours.detector", "invariants.detector", "logic.detector", "dte.feature_map",
                   "inpainting.feature_map", "fusion.detector", "change.looks"):  # fmt: skip
        where = import_module(f"anomalib_lite_{module}")
        for limit, few in {"KEPT": 2, "POOL": 10, "MEASURED": 2}.items():
            if hasattr(where, limit):
                monkeypatch.setattr(where, limit, few)
    info, options = load().detector(name), dict(DETECTORS[name])
    if name == "fusion":
        options["options"] = {"neighbours": RANDOM | DETECTORS["neighbours"], "logic": RANDOM | DETECTORS["logic"]}
    elif name != "change":
        options = RANDOM | options
    found = []
    for batches in (FEW, MANY):
        torch.manual_seed(0)
        detector = construct(info, info.config(**options), SPEC)
        detector.eval()
        run = Weighed(1)
        gc.collect()
        gc.freeze()
        try:
            detector.fit(Rendered(batches), run)
        finally:
            gc.unfreeze()
        found.append(run.most)
    assert found[1] <= found[0], found
