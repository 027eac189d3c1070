"""Whether images are new to a model: what it was fitted on certifies nothing, and flatters an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from anomalib_lite.data import DataSet, Sample, groups, some
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import DataError


def refuse_fitted(model: Model, dataset: DataSet) -> Callable[[str, Sample], None]:
    """Raise for images, and for parts, that the model was fitted on."""
    data = model.bundle.manifest["data"]
    hashes, parts = data["fit"], set(data["fit"].values()) if data["grouped"] and dataset.grouped else set()

    def refuse(sha256: str, sample: Sample) -> None:
        if sha256 in hashes or sample.group in parts:
            what = "image" if sha256 in hashes else f"part {sample.group}"
            raise DataError(
                f"{sample.name}: the model was fitted on this {what}, so its score says nothing of new ones. "
                "Calibrate on good images that took no part in training."
            )

    return refuse


def overlap_notes(overlap: int, samples: Sequence[Sample], fitted: Mapping[str, str], dataset: DataSet) -> list[str]:
    """Say where the evaluation is not independent of the training."""
    notes = []
    if overlap:
        notes.append(f"warning: {overlap} of {len(samples)} images were fitted on: these figures flatter the model")
    shared = set(fitted.values()) & groups(samples) if dataset.grouped else set()
    if shared:
        notes.append(f"warning: parts that were fitted on are tested: {some(sorted(shared), 3)}")
    return notes
