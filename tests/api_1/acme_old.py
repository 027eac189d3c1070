"""A plugin as it was written for API 1: it must be loaded, trained and checked for as long as API 2 is spoken."""

from typing import BinaryIO, Never

from torch import Tensor
from torch.nn.functional import avg_pool2d

from anomalib_lite import Detector, DetectorInfo, ReaderInfo, TrainingRun, hookimpl
from anomalib_lite.config import DetectorConfig
from anomalib_lite.detector import Batches


class OldConfig(DetectorConfig):
    place: bool = False
    """Whether the map depends on the place."""

    @property
    def positional(self) -> bool:
        return self.place


class Old(Detector):
    def fit(self, batches: Batches, run: TrainingRun) -> None:
        for batch in batches:
            assert batch.image.ndim == 4
            assert batch.reference is None

    def forward(self, image: Tensor, reference: Tensor | None = None) -> Tensor:
        return (image - avg_pool2d(image, 15, 1, 7, count_include_pad=False)).abs().mean(1, keepdim=True)


def read(file: BinaryIO) -> Never:
    raise ValueError("nothing to read here")


@hookimpl
def register_detectors() -> list[DetectorInfo]:
    return [DetectorInfo(name="acme_old", summary="Of API 1.", target="acme_old:Old", config=OldConfig, api=1)]


@hookimpl
def register_readers() -> list[ReaderInfo]:
    return [ReaderInfo(suffixes=(".old",), target="acme_old:read")]
