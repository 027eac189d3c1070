"""Checks of the exported graph: it exists, it is standard, and it computes what torch computes."""

from __future__ import annotations

from anomalib_lite.edge.golden.views import View
from anomalib_lite.errors import ExportError, ParityFailed
from anomalib_lite.graph.exporter import check_parity
from anomalib_lite.testing.images import defective, golden, good
from anomalib_lite.testing.subject import FITTED, SPEC, Subject


def check_the_detector_can_be_exported(subject: Subject) -> None:
    """`forward` becomes one ONNX graph of standard operators, for any number of images."""
    try:
        subject.graph  # noqa: B018
    except ExportError as error:
        raise AssertionError(str(error)) from error


def check_the_graph_computes_the_same(subject: Subject) -> None:
    """The graph agrees with torch on images that were fitted, other good ones, and defects, within the tolerance."""
    images = [make(SPEC, 2000 + number) for make in (good, defective) for number in range(4)]
    views = [View(golden(SPEC))] if subject.compares else []
    fitted = [good(SPEC, number) for number in FITTED]  # where a difference from what was learnt is near 0
    named = [("a planted or a new image", one) for one in images] + [
        ("an image that was fitted", one) for one in fitted
    ]
    feeds = [(name, feed) for name, image in named for feed in subject.runtime.feeds(image, views)]
    try:
        check_parity(subject.fitted, subject.runtime, feeds)
    except ParityFailed as error:
        raise AssertionError(str(error)) from error
