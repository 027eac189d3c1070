"""Which known defects a model passes as OK, by the scores that it records."""

from __future__ import annotations

from collections.abc import Sequence

from anomalib_lite.edge.decision import Verdict, decide
from anomalib_lite.edge.manifest import KnownDefect, Manifest, Thresholds

SHOWN = 5  # in a message


def passing(manifest: Manifest, limits: Thresholds | None = None) -> tuple[KnownDefect, ...]:
    """The known defects that are OK, by thresholds or those of the model."""
    at = limits or manifest.calibration.limits
    return tuple(one for one in manifest.known if one.score is not None and decide(one.score, at) is Verdict.OK)


def unaccepted(manifest: Manifest) -> tuple[KnownDefect, ...]:
    """The known defects that are OK, and that nobody gave a reason for."""
    accepted = {sha256 for one in manifest.choices for sha256 in one.passed}
    return tuple(one for one in passing(manifest) if one.sha256 not in accepted)


def named(defects: Sequence[KnownDefect]) -> str:
    """Known defects in a message: "2 known defects are OK: a.png (scratch), b.png (dent)"."""
    verb = "is" if len(defects) == 1 else "are"
    noun = "known defect" if len(defects) == 1 else "known defects"
    told = [f"{one.image} ({one.kind})" for one in defects[:SHOWN]]
    more = f" and {len(defects) - SHOWN:,} more" if len(defects) > SHOWN else ""
    return f"{len(defects):,} {noun} {verb} OK: {', '.join(told)}{more}"
