"""What the model shows of a photograph, judged again where it is looked at: heat map, golden image, aligned image.

Results keep no maps. The model of the station draws them for the results that are its own, and for no others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from anomalib_lite.edge import drawing
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.station.pictures import PictureError, Pictures, encoded, whole
from anomalib_lite.station.results import Entry

SIDE = 1024  # pixels, the longer side of a heat map
KEPT = 8  # results whose pictures are kept


@dataclass(frozen=True)
class Drawn:
    """Pictures of one result; those of a comparison are in the frame of the golden image, the others in its own."""

    heat: bytes  # PNG, transparent where nothing is unusual
    compared: Mapping[str, tuple[bytes, str]]  # "golden", "aligned", "difference" -> file, media type
    placed: list[Any]  # outlines in pixels of the golden image
    frame: tuple[int, int] | None  # (W, H) of the golden image


class Maps:
    """Draws what a model sees. Safe from several threads: one photograph at a time."""

    def __init__(self, model: Model | Joint, pictures: Pictures) -> None:
        self.model, self._pictures = model, pictures
        self._lock, self._kept = Lock(), dict[tuple[int, int], Drawn]()

    @property
    def ids(self) -> set[str]:
        """Of the models whose results these maps are: the model, its members, and the one that it was exported from."""
        if isinstance(self.model, Joint):
            return {self.model.model_id, *(one.model_id for one in self.model.members.values())}
        exported = self.model.bundle.manifest.exported
        return {self.model.model_id, *([exported.origin] if exported is not None and exported.int8 is None else [])}

    @property
    def compares(self) -> bool:
        """Whether there are golden images."""
        return not isinstance(self.model, Joint) and self.model.bundle.manifest.compares

    def refuse(self, entry: Entry) -> None:
        """Raise where a result is of another model.

        Raises:
            PictureError: It is.
        """
        if entry.model_id not in self.ids:
            raise PictureError("other_model", f"judged by model {entry.model_id}, and this is {self.model.model_id}")

    def drawn(self, entry: Entry) -> Drawn:
        """The pictures of a result.

        Raises:
            PictureError: The photograph cannot be shown, the result is of another model, or it could not be measured.
        """
        self.refuse(entry)
        shown, key = self._pictures.shown(entry), (self._pictures.results.generation, entry.number)
        with self._lock:
            if key not in self._kept:
                made = self._draw(self.model.look(shown.path, name=entry.image).result)
                self._kept = {**dict(list(self._kept.items())[1 - KEPT :]), key: made}
            return self._kept[key]

    def _draw(self, result: Result) -> Drawn:
        if result.anomaly_map is None or result.shape is None or result.map_thresholds is None:
            raise PictureError("unmeasured", result.error or "this image could not be measured")
        low, high = drawing.colour_range(*result.map_thresholds)
        compared: dict[str, tuple[bytes, str]] = {}
        placed: list[Any] = []
        frame = None
        if result.comparison is not None:
            one, spec = result.comparison, self._of(result).framing.spec
            golden = drawing.plain(one.golden, spec.white, spec.black)
            aligned = np.asarray(Image.fromarray(drawing.plain(one.image, spec.white, spec.black)).resize(
                golden.shape[1::-1]))  # fmt: skip
            difference = (heat(one.anomaly_map, golden.shape[:2], low, high), "image/png")
            compared = {"golden": whole(golden), "aligned": whole(aligned), "difference": difference}
            placed = [region.outline for region in drawing.placed(result.regions, one)]
            frame = golden.shape[1], golden.shape[0]
        return Drawn(heat(result.anomaly_map, result.shape, low, high),
                     compared, placed, frame)  # fmt: skip

    def _of(self, result: Result) -> Model:
        return self.model.members[result.member] if isinstance(self.model, Joint) else self.model


def heat(anomaly_map: NDArray[np.float32], shape: tuple[int, ...], low: float, high: float) -> bytes:
    """A map as a transparent PNG: the hotter, the less transparent.

    Args:
        anomaly_map: (h, w), covers the image.
        shape: (H, W) of the image.
        low: Value that is transparent.
        high: Value of the hottest colour.
    """
    scale = min(1.0, SIDE / max(shape))
    height, width = (max(1, round(side * scale)) for side in shape[:2])
    drawn = drawing.layer(anomaly_map, height, width, low, high)
    return encoded(Image.fromarray(drawn), "PNG", compress_level=1)
