"""Opens a folder of results for the station: rows, log, model, and the data set where `evaluate` read one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from anomalib_lite.data import find
from anomalib_lite.data.patterns import part_pattern
from anomalib_lite.data.samples import Sample
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.joint import Joint, load
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import AnomalibLiteError
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.review.results import evaluated
from anomalib_lite.station.maps import Maps
from anomalib_lite.station.pictures import Pictures
from anomalib_lite.station.results import Results
from anomalib_lite.station.state import Station


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What `review` is asked, as the command line gives it."""

    folder: Path
    model: Path | None = None
    data: Path | None = None  # the data set that was evaluated; default: as `evaluate` noted it
    group: str | None = None
    session: str | None = None
    operator: str = ""
    read_only: bool = False
    readers: Readers = field(default_factory=lambda: NO_READERS)


def opened(asked: Asked) -> Station:
    """A station on a folder of results.

    Raises:
        DataError: It holds no results, or `data` is no data set.
        ConfigError: A pattern is none.
        ModelError: The model cannot be loaded.
    """
    part, lot = part_pattern(asked.group), part_pattern(asked.session, "session")
    results = Results(asked.folder, part, lot)
    model = load(asked.model, readers=asked.readers) if asked.model is not None else None
    opener = model.opener if model is not None else Opener(asked.readers)
    root, notes = asked.data or evaluated(asked.folder), list[str]()
    samples: Mapping[str, Sample] = {}
    if root is not None:
        try:
            samples = {sample.name: sample for sample in find(root, opener=opener).samples}
        except AnomalibLiteError as error:
            if asked.data is not None:
                raise
            notes.append(f"ground truth is not shown: {error}")
    folder = None if root is None else root if root.is_dir() else root.parent
    pictures = Pictures(results, opener, samples, _levels(model), folder)
    station = Station(results, DecisionLog(asked.folder), pictures, model, asked.model, asked.operator,
                      asked.read_only, notes)  # fmt: skip
    if model is not None:
        station.maps = Maps(model, pictures)
    station.refresh()
    return station


def _levels(model: Model | Joint | None) -> tuple[str, float, float] | None:
    """(dtype, black, white) of a model; members of a joint one may differ."""
    if not isinstance(model, Model):
        return None
    spec = model.framing.spec
    return spec.dtype, spec.black, spec.white
