"""Runs a graph over good images, for calibration: scores, and what could not be measured."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

from anomalib_lite.calibration import ScoredImage
from anomalib_lite.data import Sample
from anomalib_lite.edge.golden.pairing import Goldens
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ImageError


@dataclass
class Scored:
    """Measured good images, and those that could not be measured."""

    images: list[ScoredImage] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)  # of `images`
    digests: list[str] = field(default_factory=list)  # SHA-256 of the files of `images`
    errors: list[tuple[str, str]] = field(default_factory=list)  # name, reason

    def extend(self, other: Scored) -> None:
        """Add what another graph measured."""
        self.images += other.images
        self.samples += other.samples
        self.digests += other.digests
        self.errors += other.errors

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each measured file -> its group."""
        return {digest: image.group for digest, image in zip(self.digests, self.images, strict=True)}

    def without(self, names: Collection[str]) -> Scored:
        """All but the images of these names."""
        kept = [number for number, image in enumerate(self.images) if image.image not in names]
        return Scored(
            [self.images[number] for number in kept],
            [self.samples[number] for number in kept],
            [self.digests[number] for number in kept],
            self.errors,
        )


def score(
    runtime: Runtime,
    samples: Iterable[Sample],
    goldens: Goldens | None = None,
    *,
    readers: Readers = NO_READERS,
    refuse: Callable[[str, Sample], None] | None = None,
) -> Scored:
    """Measure samples one after the other.

    Args:
        runtime: The graph that will be shipped.
        samples: Good images.
        goldens: What they are compared with, where the model compares.
        readers: For file types that the host does not read itself.
        refuse: Called with the SHA-256 and the sample before it is measured; raises where it must not be used.
    """
    scored = Scored()
    for sample in samples:
        try:
            picture = imaging.read(sample.path, readers=readers)
            if refuse:
                refuse(picture.sha256, sample)
            candidates = goldens.candidates(sample.name, sample.reference) if goldens else ()
            measured = runtime.measure(picture.pixels, candidates)
        except ImageError as error:
            scored.errors.append((sample.name, str(error)))
            continue
        scored.images.append(ScoredImage(sample.name, sample.group, measured.score, measured.peak))
        scored.samples.append(sample)
        scored.digests.append(picture.sha256)
    return scored
