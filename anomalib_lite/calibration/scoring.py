"""Runs a graph over good images, for calibration: scores, and what could not be measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field, replace

from anomalib_lite.calibration.units import ScoredImage
from anomalib_lite.data import Sample
from anomalib_lite.edge.images.imaging import FileBytes
from anomalib_lite.edge.intake import Intake, Source
from anomalib_lite.edge.manifest import HeldOut
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ImageError

KEPT_BYTES = 512 << 20  # of files: self-check and report show some of them, and need not open them again


@dataclass(frozen=True, slots=True)
class Measured(ScoredImage):
    """A good image, measured."""

    sample: Sample
    sha256: str  # of its file
    file: FileBytes | None = field(default=None, repr=False)  # where there was room to keep it
    refused: str | None = None  # why it looks like none of the training: its score and its peak are infinite then

    @property
    def source(self) -> Source:
        """What can be inspected again."""
        return self.file or self.sample.path


@dataclass(frozen=True)
class Scored:
    """Measured good images, and those that could not be measured."""

    images: list[Measured] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)  # name, reason

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each measured file -> its group."""
        return {image.sha256: image.group for image in self.images}

    @property
    def record(self) -> tuple[HeldOut, ...]:
        """What a model remembers of them."""
        return tuple(
            HeldOut(one.image, one.group, one.sha256, _finite(one.score), _finite(one.map_peak), one.session)
            for one in self.images
        )

    @property
    def ranked(self) -> list[Measured]:
        """The images, the lowest score first; without those that the gate refused."""
        return sorted((image for image in self.images if not image.is_refused), key=lambda image: image.score)

    @property
    def unjudged(self) -> list[tuple[str, str]]:
        """Names and reasons: of what could not be measured, and of what the gate refused, which counts as rejected."""
        refused = [(one.image, f"counted as rejected: {one.refused}") for one in self.images if one.refused]
        return self.errors + refused

    def without(self, names: Collection[str]) -> Scored:
        """All but the images of these names."""
        return replace(self, images=[image for image in self.images if image.image not in names])


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def score(
    runtime: Runtime,
    samples: Iterable[Sample],
    intake: Intake,
    *,
    admit: Callable[[str, Sample], bool] | None = None,
) -> Scored:
    """Measure samples one after the other; each file is opened once.

    Args:
        runtime: The graph that will be shipped.
        samples: Good images.
        intake: How they become inputs of the graph.
        admit: Called with the SHA-256 and the sample before it is measured; False where it is to be passed over, and
            raises where it must not be used.
    """
    scored, room = Scored(), KEPT_BYTES
    for sample in samples:
        try:
            picture = intake.read(sample.path)
            if admit is not None and not admit(picture.sha256, sample):
                continue
            objection = intake.objection(sample.path, picture)
            if objection is None:
                candidates = intake.candidates(picture, sample.name, sample.reference)
                measured = runtime.measure(picture.pixels, candidates, picture.valid)
        except ImageError as error:
            scored.errors.append((sample.name, str(error)))
            continue
        file = picture.file if picture.file is not None and len(picture.file.content) <= room else None
        room -= len(file.content) if file else 0
        values = (math.inf, math.inf) if objection else (measured.score, measured.peak)
        scored.images.append(
            Measured(
                sample.name, sample.group, *values, sample, picture.sha256, file, objection, session=sample.session
            )
        )
    return scored
