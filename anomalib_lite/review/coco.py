"""Labels in the format of COCO for object detection (2017): regions as polygons with their boxes.

COCO has no class of an image: what a person decided stands in `images`, in keys of our own that others pass over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from anomalib_lite.review.foreign import Said, decided, text
from anomalib_lite.review.labels import Labelled, classes

INFO = {"description": "anomalib-lite labels", "version": "1.0"}


def document(found: Sequence[Labelled]) -> dict[str, Any]:
    """All that is known of images that are there, as JSON."""
    numbers = {name: number for number, name in enumerate(classes(found), start=1)}
    images, annotations = [], list[dict[str, Any]]()
    for number, one in enumerate(found, start=1):
        height, width = one.size
        images.append(
            {"id": number, "file_name": one.path.as_posix(), "width": width, "height": height}
            | {"sha256": one.judged.sha256, "label": one.label, "note": one.note}
        )
        for kind, region in one.regions:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": numbers[kind],
                    "bbox": [region.x, region.y, region.width, region.height],
                    "area": region.area,
                    "segmentation": [[value for point in region.outline for value in point]],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name, "supercategory": "defect"} for name, number in numbers.items()]
    return {"info": INFO, "licenses": [], "images": images, "annotations": annotations, "categories": categories}


def read(document: Any) -> Iterator[Said]:
    """What a COCO file says of each image: what was decided in it, else the class of its largest region.

    An image without any region says nothing: it may be good, or not looked at.

    Raises:
        ValueError: It is no such document.
    """
    if not isinstance(document, Mapping) or not isinstance(document.get("images"), list):
        raise ValueError("it has no list of images")
    names = {one["id"]: text(one["name"]) for one in document.get("categories", [])}
    shapes: dict[Any, list[tuple[str, float]]] = {}
    for one in document.get("annotations", []):
        _, _, width, height = one.get("bbox") or (0, 0, 0, 0)
        area = float(one.get("area") or width * height)
        shapes.setdefault(one["image_id"], []).append((names[one["category_id"]], area))
    for one in document["images"]:
        given = [label] if (label := text(one.get("label", ""))) else []
        said = decided(given, shapes.get(one["id"], []), text(one.get("note", "")))
        yield Said(text(one["file_name"]), text(one.get("sha256", "")), said)
