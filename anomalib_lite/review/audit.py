"""What a log of decisions holds, once its chain is checked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from anomalib_lite.errors import DataError
from anomalib_lite.review.decision import Line
from anomalib_lite.review.log import DecisionLog


@dataclass(frozen=True)
class Audited:
    """What a log holds whose chain is whole."""

    lines: tuple[Line, ...]
    in_force: int  # decisions that were neither replaced nor taken back
    digest: str  # of the last line: to be written down
    torn: int  # bytes of a line behind it that was never confirmed

    @property
    def operators(self) -> Counter[str]:
        """Who decided, and how many lines are theirs."""
        return Counter(line.operator for line in self.lines)

    @property
    def turned_back(self) -> list[int]:
        """Numbers of lines whose clock is behind that of the line before."""
        times = [line.time for line in self.lines]
        return [line.number for before, line in zip(times, self.lines[1:], strict=False) if line.time < before]


def audit(path: Path, holds: str | None = None) -> Audited:
    """Read a log, and check its chain.

    Args:
        path: The file, or the folder of results that it lies in.
        holds: A digest that an earlier audit gave.

    Raises:
        DataError: It is not there, or its chain is broken: the message has the number of the line; or no line has the
            digest.
    """
    log = DecisionLog(path)
    if not log.path.is_file():
        raise DataError(f"{log.path}: is no file. Name a log of decisions, or the folder of results it lies in.")
    in_force = len(log.current())
    if holds is not None and not log.holds(holds):
        raise DataError(
            f"{log.path}: no line has the digest {holds}. Lines were removed or written anew since it was written "
            "down, or it is of another log."
        )
    return Audited(log.lines, in_force, log.digest, log.torn)
