"""Labels in the format "CVAT for images 1.1": a tag for the class of an image, polygons for its regions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from xml.etree import ElementTree

from anomalib_lite.review.decision import Label
from anomalib_lite.review.foreign import Said, decided, storable
from anomalib_lite.review.labels import Labelled, classes, names

VERSION = "1.1"
SIDES = (("width", "rx"), ("height", "ry"))  # of a mask, and of an ellipse


def document(found: Sequence[Labelled]) -> bytes:
    """All that is known of images that are there, as XML; an image is called by its name below their common folder."""
    root = ElementTree.Element("annotations")
    ElementTree.SubElement(root, "version").text = VERSION
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    ElementTree.SubElement(task, "name").text = "anomalib-lite labels"
    ElementTree.SubElement(task, "size").text = str(len(found))
    ElementTree.SubElement(task, "mode").text = "annotation"
    known = ElementTree.SubElement(task, "labels")
    for name in sorted({*classes(found), *Label}):
        label = ElementTree.SubElement(known, "label")
        ElementTree.SubElement(label, "name").text = storable(name)
        ElementTree.SubElement(label, "type").text = "any"
        ElementTree.SubElement(label, "attributes")
    _, called = names(found)
    for number, one in enumerate(found):
        height, width = one.size
        named = {
            "id": str(number),
            "name": storable(called[one.judged.key]),
            "width": str(width),
            "height": str(height),
        }
        image = ElementTree.SubElement(root, "image", named)
        if one.label:
            ElementTree.SubElement(image, "tag", {"label": storable(one.label), "source": "manual"})
        for kind, region in one.regions:
            points = ";".join(f"{x:.2f},{y:.2f}" for x, y in region.outline)
            shape = {"label": storable(kind), "source": "auto", "occluded": "0", "points": points, "z_order": "0"}
            ElementTree.SubElement(image, "polygon", shape)
    ElementTree.indent(root)
    return bytes(ElementTree.tostring(root, "utf-8", xml_declaration=True)) + b"\n"


def read(content: bytes) -> Iterator[Said]:
    """What a CVAT file says of each image: its tag, else the class of its largest shape.

    Raises:
        ValueError: It is no such document, or declares entities, by which a small file could fill the memory.
    """
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares a document type, which CVAT does not write")
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is no XML ({error})") from None
    if root.tag != "annotations":
        raise ValueError(f"it is <{root.tag}>, expected <annotations>")
    for image in root.iter("image"):
        tags = [one.get("label", "") for one in image.iter("tag")]
        shapes = [
            (one.get("label", ""), _area(one)) for one in image if one.tag in ("polygon", "box", "ellipse", "mask")
        ]
        yield Said(image.get("name", ""), "", decided(tags, shapes, ""))


def _area(shape: ElementTree.Element) -> float:
    """The area of the box of a shape, to tell the largest."""
    if points := shape.get("points"):
        corners = [[float(value) for value in point.split(",")] for point in points.split(";")]
        sides = [[corner[axis] for corner in corners] for axis in (0, 1)]
        return (max(sides[0]) - min(sides[0])) * (max(sides[1]) - min(sides[1]))
    if "xtl" in shape.attrib:
        left, top, right, bottom = (float(shape.attrib[name]) for name in ("xtl", "ytl", "xbr", "ybr"))
        return (right - left) * (bottom - top)
    width, height = (float(shape.get(side, 2 * float(shape.get(radius, 0)))) for side, radius in SIDES)
    return width * height
