"""What a model found of defects that were planted into good images, and of those that are known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from anomalib_lite.edge.manifest.certificate import NEWER
from anomalib_lite.edge.manifest.parsing import Rule


@dataclass(frozen=True, slots=True)
class Planted:
    """Defects of one kind, each planted into a good image of its own and measured; a place in each list is a defect.

    sizes: in pixels of the image, across a spot and along a line.     contrasts: shares, in (0, 1].
    scores: of the images, in raw units.
    """

    kind: str
    sizes: tuple[float, ...]
    contrasts: tuple[float, ...]
    scores: tuple[float, ...]

    def rules(self) -> Iterator[Rule]:
        """What a curve is drawn through."""
        many = (len(self.sizes), len(self.contrasts), len(self.scores))
        yield Rule("scores", many, len(set(many)) == 1, "as many sizes and contrasts as scores")
        yield Rule("sizes", self.sizes, all(size > 0 for size in self.sizes), "pixels above 0")
        yield Rule("contrasts", self.contrasts, all(0 < one <= 1 for one in self.contrasts), "shares above 0")


@dataclass(frozen=True, slots=True)
class Known:
    """Labelled test images of one kind, "good" among them: their scores, and how many could not be measured."""

    kind: str
    scores: tuple[float, ...]
    unmeasured: int


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """What was planted and found, in raw units; `evidence.judging` says what it means at a threshold.

    planted: by kind.                  invisible: how many could not be planted so that they are seen, by kind.
    refused: images with a planted defect that could not be measured: ERROR, so never OK.
    patch: the score of the median good image with the dark patch of the self-check; None where it was not measured.
    trained_on: kinds that the training makes up, and so were left out.     finds: kinds that alone count; () for all.
    known: labelled test images.       learnt: all but one of several siblings have learnt from the good images.
    said: all that has to be said of it at the thresholds of the calibration.
    blind: why the model must not be trusted to find anything; empty where nothing speaks against it.
    """

    planted: tuple[Planted, ...]
    invisible: tuple[tuple[str, int], ...]
    refused: int
    patch: float | None
    trained_on: tuple[str, ...]
    finds: tuple[str, ...]
    known: tuple[Known, ...]
    said: tuple[str, ...]
    blind: tuple[str, ...]
    learnt: bool = field(default=False, metadata=NEWER)
