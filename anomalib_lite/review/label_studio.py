"""Labels as tasks of Label Studio (JSON, version 1.0 and later), and the labelling configuration that shows them.

The class of an image is a choice, regions are polygons in per cent of the image. What a person decided is an
annotation; what nobody decided on is a prediction of the model, to be corrected there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote
from xml.sax.saxutils import quoteattr

from anomalib_lite.review.decision import UNDECIDED, Label
from anomalib_lite.review.foreign import Said, decided, storable, text
from anomalib_lite.review.labels import Labelled, classes, names

LOCAL = "/data/local-files/?d="  # how Label Studio names files below LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
UPLOAD = re.compile(r"/data/upload/\d+/")  # how it names files that it was given, of whatever folder they were
CHOICE, REGION, NOTE, IMAGE = "decision", "region", "note", "image"  # names of controls, and of what they are on
SHAPES = ("polygonlabels", "rectanglelabels", "brushlabels", "ellipselabels")


def document(found: Sequence[Labelled]) -> list[dict[str, Any]]:
    """A task for each image that is there, as JSON."""
    _, called = names(found)
    tasks = []
    for one in found:
        judged = one.judged
        data: dict[str, Any] = {
            "image": LOCAL + quote(called[judged.key]),
            "sha256": judged.sha256,
            "name": judged.image,
        }
        data |= {"verdict": judged.verdict.value, "score": judged.score}
        results = list(_results(one))
        task: dict[str, Any] = {"data": data}
        if one.line is not None:
            task["annotations"] = [{"result": results}]
        elif results:
            task["predictions"] = [{"model_version": judged.model_id, "score": judged.score, "result": results}]
        tasks.append(task)
    return tasks


def configuration(found: Sequence[Labelled]) -> str:
    """The labelling configuration: XML to be pasted into the settings of a project."""
    kinds = [name for name in classes(found) if name not in [*Label, UNDECIDED]]
    choices = [Label.GOOD, *kinds, Label.DEFECT, Label.UNSURE, Label.UNUSABLE]
    lines = ["<View>", f'  <Image name="{IMAGE}" value="$image" zoom="true"/>']
    lines += [f'  <Choices name="{CHOICE}" toName="{IMAGE}" choice="single">']
    lines += [f"    <Choice value={quoteattr(storable(name))}/>" for name in choices]
    lines += ["  </Choices>", f'  <PolygonLabels name="{REGION}" toName="{IMAGE}">']
    lines += [f"    <Label value={quoteattr(storable(name))}/>" for name in [*kinds, Label.DEFECT, UNDECIDED]]
    lines += ["  </PolygonLabels>", f'  <TextArea name="{NOTE}" toName="{IMAGE}"/>', "</View>"]
    return "\n".join(lines) + "\n"


def _results(one: Labelled) -> Iterator[dict[str, Any]]:
    height, width = one.size
    of = {"to_name": IMAGE, "original_width": width, "original_height": height, "image_rotation": 0}
    if one.label:
        yield {"id": "decision", "from_name": CHOICE, "to_name": IMAGE, "type": "choices"} | {
            "value": {"choices": [one.label]}
        }
    if one.note:
        yield {"id": "note", "from_name": NOTE, "to_name": IMAGE, "type": "textarea", "value": {"text": [one.note]}}
    for number, (kind, region) in enumerate(one.regions):
        points = [[round(100 * x / width, 4), round(100 * y / height, 4)] for x, y in region.outline]
        value = {"points": points, "closed": True, "polygonlabels": [kind]}
        yield {"id": f"region{number}", "from_name": REGION, "type": "polygonlabels", "value": value} | of


def read(document: Any) -> Iterator[Said]:
    """What the newest annotation of each task says; predictions and what was skipped say nothing.

    Raises:
        ValueError: It is no such document.
    """
    if not isinstance(document, list):
        raise ValueError("it is no list of tasks")
    for task in document:
        data = task["data"]
        made = [one for one in task.get("annotations") or [] if not one.get("was_cancelled")]
        results = made[-1].get("result", []) if made else []
        given = [text(word) for one in results if one["type"] == "choices" for word in one["value"]["choices"]]
        notes = [text(word) for one in results if one["type"] == "textarea" for word in _lines(one["value"])]
        shapes = [
            (text(word), _area(one["value"]))
            for one in results
            for kind in SHAPES
            for word in one["value"].get(kind, [])
        ]
        name = UPLOAD.sub("", unquote(text(data.get("image", "")).rpartition("?d=")[2]))
        yield Said(
            text(data.get("name", "")) or name, text(data.get("sha256", "")), decided(given, shapes, "\n".join(notes))
        )


def _lines(value: Mapping[str, Any]) -> list[Any]:
    """What was written into a field: one text, or several."""
    given = value.get("text", [])
    return given if isinstance(given, list) else [given]


def _area(value: Mapping[str, Any]) -> float:
    """The area of the box of a shape, to tell the largest."""
    if points := value.get("points"):
        across, down = ([float(point[axis]) for point in points] for axis in (0, 1))
        return (max(across) - min(across)) * (max(down) - min(down))
    return float(value.get("width", 0)) * float(value.get("height", 0))
