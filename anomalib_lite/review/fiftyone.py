"""Labels as FiftyOne reads them, written without its package: `FiftyOneImageDetectionDataset`.

    fo.Dataset.from_dir(dataset_dir=OUT, dataset_type=fo.types.FiftyOneImageDetectionDataset)

`data.json` says where each image lies, so none is copied. The class of each image is in decisions.json, which
`fo.types.FiftyOneImageClassificationDataset` reads, with labels_path="decisions.json".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from anomalib_lite.review.decision import UNDECIDED
from anomalib_lite.review.labels import Labelled, by_label, classes


def documents(found: Sequence[Labelled]) -> dict[str, Any]:
    """Names of files to what is in them, as JSON, of images that are there."""
    kinds, labels = classes(found), sorted(by_label(found))
    data, detections, decisions = {}, {}, {}
    for number, one in enumerate(found):
        name = f"{number:06}"
        height, width = one.size
        data[name] = one.path.absolute().as_posix()
        decisions[name] = labels.index(one.label or UNDECIDED)
        detections[name] = [
            {
                "label": kinds.index(kind),
                "bounding_box": [
                    *(region.x / width, region.y / height),
                    *(region.width / width, region.height / height),
                ],
                "attributes": {"decision": one.label or UNDECIDED, "note": one.note, "peak": region.peak},
            }
            for kind, region in one.regions
        ]
    return {
        "data.json": data,
        "labels.json": {"classes": kinds, "labels": detections},
        "decisions.json": {"classes": labels, "labels": decisions},
    }
