"""Inputs of the graph from images that were not learnt from: what graph and torch say of these must agree, too.

What is learnt by heart scores next to nothing, so that a difference has no scale among the images of the fit alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from anomalib_lite.data import Sample
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.runtime import Feed, Runtime
from anomalib_lite.errors import ImageError


def feeds(runtime: Runtime, intake: Intake, samples: Sequence[Sample], most: int) -> Iterator[tuple[str, Feed]]:
    """Names and inputs of some of the images, evenly over all; what cannot be measured is counted elsewhere."""
    for sample in samples[:: max(1, -(-len(samples) // most))]:
        try:
            pixels = intake.read(sample.path).pixels
            for feed in runtime.feeds(pixels, intake.candidates(sample.name, sample.reference)):
                yield sample.name, feed
        except ImageError:
            continue
