"""What the station knows: results, decisions, the model, photographs. Every tab answers from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import RLock
from typing import Any

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.errors import DataError
from anomalib_lite.review.decision import Key, Line, key_of
from anomalib_lite.review.log import DecisionLog
from anomalib_lite.station.maps import Maps
from anomalib_lite.station.pictures import Pictures
from anomalib_lite.station.query import Query
from anomalib_lite.station.results import Entry, Results

LISTED = 200  # kinds, lots and models that a filter offers: the most frequent ones


@dataclass
class Station:
    """One folder of results, and what is there beside it. Safe from several threads."""

    results: Results
    log: DecisionLog
    pictures: Pictures
    model: Model | Joint | None = None
    model_path: Path | None = None
    operator: str = ""  # who decides, where the page names nobody else
    read_only: bool = False
    notes: list[str] = field(default_factory=list)  # what whoever opens the page has to know
    maps: Maps | None = None
    problem: str = ""  # why the log of decisions cannot be used
    _decided: Mapping[Key, Line] = field(default_factory=dict, repr=False)
    _read: int = 0  # lines that these are of
    _lock: RLock = field(default_factory=RLock, repr=False)
    _last: tuple[object, list[int]] = field(default=(None, []), repr=False)  # the last question and its answer

    def refresh(self) -> None:
        """Read what came since the last look: results, and decisions of others."""
        with self._lock:
            self.results.refresh()
            try:
                self.log.refresh()
                read = len(self.log.lines)  # before they are looked at: what comes meanwhile is read by the next look
                if read != self._read:
                    self._decided, self._read = self.log.current(), read
                self.problem = ""
            except DataError as error:
                self.problem = str(error)

    def decision(self, entry: Entry) -> Line | None:
        """The decision in force for a result."""
        return self._decided.get(key_of(entry.image, entry.sha256))

    def label(self, entry: Entry) -> str:
        """What was decided on a result; empty where nothing was."""
        line = self.decision(entry)
        return line.decision.label.value if line is not None and line.decision is not None else ""

    def kind(self, entry: Entry) -> str:
        """Good, unsure, unusable or a kind of defect, by a decision or else a label; empty where nothing is known."""
        line = self.decision(entry)
        if line is None or line.decision is None:
            return entry.kind or ""
        return line.decision.kind or line.decision.label.value

    def history(self, entry: Entry) -> list[Line]:
        """All that was ever said of a result, in its order."""
        key = key_of(entry.image, entry.sha256)
        return [line for line in self.log.lines if line.key == key]

    def answer(self, query: Query) -> list[int]:
        """Numbers of the results that a query names; kept, since a list asks for it page by page."""
        with self._lock:
            results = self.results
            asked = (query, results.generation, len(results.entries), self._read)
            if self._last[0] != asked:
                self._last = asked, query.answer(results.entries, self.label)
            return self._last[1]

    def told(self) -> dict[str, Any]:
        """The state of it all, which the page asks for every other second."""
        entries = self.results.entries
        models = Counter(one.model_id for one in entries)
        verdicts = Counter(one.verdict for one in entries)
        return {
            "folder": shown(self.results.folder.resolve().name),
            "generation": self.results.generation,
            "rows": len(entries),
            "broken": self.results.broken,
            "decisions": self._read,
            "decided": len(self._decided),
            "problem": shown(self.problem),
            "notes": [shown(note) for note in self.notes],
            "readOnly": self.read_only,
            "operator": shown(self.operator),
            "verdicts": {verdict.value: verdicts[verdict.value] for verdict in Verdict},
            "kinds": _listed(Counter(one.kind for one in entries if one.kind)),
            "lots": _listed(Counter(one.lot for one in entries if one.lot)),
            "models": [shown(name) for name, _ in models.most_common(LISTED)],
            "model": self._model(models),
        }

    def _model(self, models: Counter[str]) -> dict[str, Any] | None:
        if self.model is None or self.maps is None:
            return None
        own = sum(models[name] for name in self.maps.ids)
        return {"id": self.model.model_id, "own": own, "compares": self.maps.compares}


def _listed(counted: Counter[str]) -> list[dict[str, Any]]:
    """What a filter offers: the word as it is asked for, as it is shown, and how often it is there."""
    return [{"value": word, "shown": shown(word), "count": count} for word, count in counted.most_common(LISTED)]
