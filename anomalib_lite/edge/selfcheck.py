"""The images that a bundle carries to prove, on any machine, that it still gives the same verdicts."""

from __future__ import annotations

from dataclasses import dataclass

from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.manifest import Expected
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ErrorCode, ModelError

FOLDER = "selfcheck"


@dataclass(frozen=True)
class Replayed:
    """One image, judged again here."""

    expected: Expected
    score: float | None
    verdict: Verdict
    error: str | None

    @property
    def flipped(self) -> bool:
        """Whether the verdict is another one than the one recorded, whatever the scores.

        Only images further than the tolerance from both thresholds are carried: their verdict is the same everywhere.
        """
        return self.verdict.value != self.expected.verdict

    @property
    def difference(self) -> float:
        """Absolute difference of the scores, in raw units; infinite where there is none."""
        return float("inf") if self.score is None else abs(self.score - self.expected.score)


def replay(model: Model) -> list[Replayed]:
    """Judge every self-check image from its file bytes.

    Raises:
        ModelError: The bundle carries none, or they need a reader that is not here.
    """
    listed = model.bundle.manifest.selfcheck
    if not listed:
        raise ModelError(
            f"{model.bundle.path}: carries no self-check images; train with --selfcheck images or rendered."
        )
    return [_replay_one(model, one) for one in listed]


def carried(bundle: Bundle, expected: Expected) -> tuple[Kept, Kept | None]:
    """A self-check image of a bundle and its golden one.

    Raises:
        ModelError: The bundle is damaged.
    """

    def kept(file: str, valid: str | None) -> Kept:
        return Kept(file, bundle.read(file), None if valid is None else bundle.read(valid))

    reference = None if expected.reference is None else kept(expected.reference, expected.reference_valid)
    return kept(expected.file, expected.valid), reference


def _replay_one(model: Model, expected: Expected) -> Replayed:
    image, reference = carried(model.bundle, expected)
    result = model.inspect(image, reference=reference)
    if result.error_code == ErrorCode.NO_READER:
        raise ModelError(f"{model.bundle.path}: cannot be verified here. {result.error}.")
    return Replayed(expected, result.score, result.verdict, result.error)
