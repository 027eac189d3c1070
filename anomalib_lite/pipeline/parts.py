"""Verdicts on parts beside those on their photographs: `predict --group`."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from anomalib_lite.calibration.binomial import exact_interval
from anomalib_lite.edge import disk, parts
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.manifest import MEMBERS, ONCE
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.modelset import ModelSet
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result, csv_line
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.result_folder import PARTS


@dataclass(frozen=True)
class Collected:
    """The results of photographs by their parts, in the order in which these were met; without maps."""

    model: Model | Joint
    results: dict[str, list[Result]] = field(default_factory=dict)

    def add(self, part: str | None, result: Result) -> None:
        """One more photograph; none of no part."""
        if part is not None:
            light = replace(result, anomaly_map=None, valid=None, comparison=None, regions=())
            self.results.setdefault(part, []).append(light)

    def rates(self, defective: Collection[str]) -> dict[str, Any]:
        """How the parts fare that are decided on once: rejected good ones, escaped defective ones, exact intervals.

        Args:
            defective: The parts of which any photograph shows a defect.
        """
        good: Counter[Verdict] = Counter()
        bad: Counter[Verdict] = Counter()
        calibration = self.model.bundle.manifest.calibration
        for part, seen in self.results.items():
            verdict = self.model.judge(part, seen).verdict
            (bad if part in defective else good)[verdict] += 1
        ng, ok = Verdict.NG, Verdict.OK
        measured_good, measured_bad = good.total() - good[Verdict.ERROR], bad.total() - bad[Verdict.ERROR]
        return {
            "decided_by": calibration.per.removeprefix("part-"),
            "false_reject_rate": _rate(good[ng], measured_good),
            "escape_rate": _rate(measured_bad - bad[ng], measured_bad),
            "escape_rate_after_review": _rate(bad[ok], measured_bad),
            "errors": good[Verdict.ERROR] + bad[Verdict.ERROR],
        }

    def judged(self, out: Path | None, each: Callable[[PartResult], None]) -> Counter[Verdict] | None:
        """How many parts got which verdict, told one by one and written to OUT/parts.csv; None where there is none.

        Raises:
            DataError: The disk does not take them.
        """
        if not self.results:
            return None
        found = [self.model.judge(part, seen) for part, seen in self.results.items()]
        for one in found:
            each(one)
        if out is not None:
            also = (MEMBERS,) if isinstance(self.model, Joint) else ()
            rows = ({**dict.fromkeys(also), **one.row()} for one in found)
            columns = (*parts.COLUMNS, *also)
            lines = [csv_line(columns), *(csv_line(row[column] for column in columns) for row in rows)]
            try:
                disk.write(out / PARTS, "".join(lines).encode("utf-8", "backslashreplace"))
            except OSError as error:
                raise DataError(
                    f"{out / PARTS}: cannot be written ({error.strerror}). Make room or choose another --out."
                ) from error
        return Counter(one.verdict for one in found)


def _rate(count: int, n: int) -> dict[str, Any]:
    """A share of parts, and its exact interval."""
    if not n:
        return {"value": None, "count": 0, "n": 0}
    low, high = exact_interval(count, n)
    return {"value": count / n, "count": count, "n": n, "low": low, "high": high, "confidence": 0.95}


def refuse(model: Model | Joint | ModelSet, images: Sequence[Chosen], group: str | None) -> bool:
    """Whether parts are judged; raise where they cannot be, or have to be and are not known.

    Raises:
        ConfigError: The model decides on photographs and parts are asked for; or on parts, and they are not known. Or
            it is a set, and parts would be judged, or nothing tells which product an image shows.
    """
    if isinstance(model, ModelSet):
        return _refuse_several(model, images, group)
    calibration = model.bundle.manifest.calibration
    known = all(one.part is not None for one in images)
    once = calibration.per in ONCE or isinstance(model, Joint)
    if once and not known:
        raise ConfigError(
            "this model decides once for a part, by all its photographs: say which images show one part with --group "
            "REGEX, such as '(.+)/' for a folder of each, or with a column 'group' of a CSV file."
        )
    if calibration.per == "photograph" and group is None:
        return False  # a table may name parts, and nobody asked
    if group is not None:
        parts.refuse_photographs(calibration)
    told = once or any(one.part != os.fspath(one.path) for one in images)  # unread files are parts of their own
    return known and told and bool(images)


def _refuse_several(models: ModelSet, images: Sequence[Chosen], group: str | None) -> bool:
    once = [name for name in models.products if models.product(name).bundle.manifest.calibration.per in ONCE]
    if group is not None or once:
        why = "--group is about the parts of one product" if group is not None else (
            f"'{once[0]}' decides once for a part, by all its photographs"
        )  # fmt: skip
        raise ConfigError(f"{why}: judge one product at a time, with --product NAME.")
    if any(one.product is None for one in images):
        models.refuse_unrecognised()
    return False
