"""Which photographs of a watched folder are decided on as one part: all of them, too many, or too few for long."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from typing import TypeAlias

from anomalib_lite.edge.following import pattern
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.parts import refuse_photographs, refuse_single
from anomalib_lite.edge.results import Result

TIMEOUT = 60.0  # seconds

File: TypeAlias = tuple[str, str]  # name, and what tells the file from a later one of that name


class Gathering:
    """Gathers the photographs of each part. Nothing is kept on disk: they wait where they arrived."""

    def __init__(self, group: str, photographs: int, timeout: float = TIMEOUT) -> None:
        """Nothing has arrived yet.

        Args:
            group: A regular expression with the part in its first parentheses, for names within the folder.
            photographs: How many a part has.
            timeout: Seconds without another photograph after which a part that lacks some is decided: ERROR.

        Raises:
            ConfigError: The pattern is none, or has no parentheses.
        """
        self._pattern, self._photographs, self._timeout = pattern(group), photographs, timeout
        self.lacking_is_judged = False  # whether a part that lacks some is decided by those that are there
        self._waiting: dict[str, tuple[Collection[str], float]] = {}  # part -> what is there of it, since when

    @classmethod
    def fitting(cls, given: Gathering | None, model: Model | Joint) -> Gathering | None:
        """What gathers the photographs of a part for a model; None where it judges each for itself.

        Raises:
            ConfigError: The model decides once for a part, and nothing gathers its photographs; or the other way round.
        """
        if given is None:
            refuse_single(model.bundle.manifest.calibration, "watch", joint=isinstance(model, Joint))
        else:
            refuse_photographs(model.bundle.manifest.calibration, "--photographs")
            given.lacking_is_judged = isinstance(model, Joint) and model.bundle.manifest.lacking == "judged"
        return given

    def due(self, resting: Sequence[File], there: Collection[str]) -> Iterator[tuple[str | None, list[File], str]]:
        """A part, its photographs, and why it is incomplete, empty where it is not; None for files of no part.

        Args:
            resting: Files that may be opened, oldest first.
            there: Names of all that are to be judged, those that are being written among them.
        """
        names, files = defaultdict[str | None, set[str]](set), defaultdict[str | None, list[File]](list)
        for name in there:
            names[self._part(name)].add(name)
        for file in resting:
            files[self._part(file[0])].append(file)
        for file in files.pop(None, []):
            yield None, [file], f"{file[0]}: the pattern of --group finds no part in this name"
        self._waiting = {part: known for part, known in self._waiting.items() if part in names}
        for part, gathered in files.items():
            assert part is not None
            waits = self._waits(part, names[part])
            if len(gathered) < len(names[part]) or (len(gathered) < self._photographs and waits < self._timeout):
                continue
            yield part, gathered, self._lack(part, len(gathered))

    def _part(self, name: str) -> str | None:
        found = self._pattern.search(name) if self._pattern else None
        return found[1] if found else None

    def _waits(self, part: str, names: set[str]) -> float:
        """For how many seconds no other photograph of a part has come."""
        now = time.monotonic()
        known, since = self._waiting.get(part, ((), now))
        if names != known:
            since = now
        self._waiting[part] = names, since
        return now - since

    def _lack(self, part: str, number: int) -> str:
        """Why so many photographs make no part."""
        if number < self._photographs and self.lacking_is_judged:
            return ""
        if number < self._photographs:
            return f"{part}: {number} of {self._photographs} photographs arrived, and no other for {self._timeout:g} s"
        return f"{part}: {number} photographs, expected {self._photographs}" if number > self._photographs else ""


def twice(photographs: Sequence[Result]) -> str:
    """Which photographs of a part are the same file under two names, so that another one lacks; empty if none are."""
    counted = Counter(one.sha256 for one in photographs if one.sha256)
    same = [one.image for one in photographs if counted[one.sha256] > 1]
    return f"{' and '.join(same[:2])} are the same file: a photograph of the part lacks" if same else ""
