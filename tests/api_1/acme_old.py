"""A plugin as it was written for API 1: it must be loaded, trained and checked for as long as API 2 is spoken."""

from torch.nn.functional import avg_pool2d

from anomalib_lite import Detector, DetectorInfo, ReaderInfo, hookimpl
from anomalib_lite.config import DetectorConfig


class OldConfig(DetectorConfig):
    place: bool = False
    """Whether the map depends on the place."""

    @property
    def positional(self):
        return self.place


class Old(Detector):
    def fit(self, batches, run):
        for batch in batches:
            assert batch.image.ndim == 4
            assert batch.reference is None

    def forward(self, image, reference=None):
        return (image - avg_pool2d(image, 15, 1, 7, count_include_pad=False)).abs().mean(1, keepdim=True)


def read(file):
    raise ValueError("nothing to read here")


@hookimpl
def register_detectors():
    return [DetectorInfo(name="acme_old", summary="Of API 1.", target="acme_old:Old", config=OldConfig, api=1)]


@hookimpl
def register_readers():
    return [ReaderInfo(suffixes=(".old",), target="acme_old:read")]
