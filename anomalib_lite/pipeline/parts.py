"""Verdicts on parts beside those on their photographs: `predict --group`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anomalib_lite.edge import disk, parts
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result, csv_line
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.inputs import Chosen
from anomalib_lite.pipeline.result_folder import PARTS


@dataclass(frozen=True)
class Collected:
    """The results of photographs by their parts, in the order in which these were met; without maps."""

    model: Model
    results: dict[str, list[Result]] = field(default_factory=dict)

    def add(self, part: str | None, result: Result) -> None:
        """One more photograph; none of no part."""
        if part is not None:
            light = replace(result, anomaly_map=None, valid=None, comparison=None, regions=())
            self.results.setdefault(part, []).append(light)

    def judged(self, out: Path | None, each: Callable[[PartResult], None]) -> Counter[Verdict] | None:
        """How many parts got which verdict, told one by one and written to OUT/parts.csv; None where there is none.

        Raises:
            DataError: The disk does not take them.
        """
        if not self.results:
            return None
        calibration = self.model.bundle.manifest.calibration
        found = [parts.judged(part, seen, calibration, self.model.model_id) for part, seen in self.results.items()]
        for one in found:
            each(one)
        if out is not None:
            lines = [csv_line(parts.COLUMNS), *(csv_line(one.row().values()) for one in found)]
            try:
                disk.write(out / PARTS, "".join(lines).encode("utf-8", "backslashreplace"))
            except OSError as error:
                raise DataError(
                    f"{out / PARTS}: cannot be written ({error.strerror}). Make room or choose another --out."
                ) from error
        return Counter(one.verdict for one in found)


def refuse(model: Model, images: Sequence[Chosen], group: str | None) -> bool:
    """Whether parts are judged; raise where they cannot be, or have to be and are not known.

    Raises:
        ConfigError: The model decides on photographs and parts are asked for; or on parts, and they are not known.
    """
    calibration = model.bundle.manifest.calibration
    known = all(one.part is not None for one in images)
    if calibration.per in parts.ONCE and not known:
        raise ConfigError(
            "this model decides once for a part, by all its photographs: say which images show one part with --group "
            "REGEX, or with a column 'group' of a CSV file."
        )
    if calibration.per == "photograph" and group is None:
        return False  # a table may name parts, and nobody asked
    if group is not None:
        parts.refuse_photographs(calibration)
    return known and bool(images)
