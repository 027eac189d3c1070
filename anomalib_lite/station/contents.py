"""What the results of a folder are of: counts by part and kind, the highest good ones, and copies among photographs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data.copies import near_copies
from anomalib_lite.data.masks import smallest
from anomalib_lite.data.samples import GOOD, DataSet, Sample
from anomalib_lite.data.survey import Facts, look
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.quoting import shown
from anomalib_lite.review.decision import Label
from anomalib_lite.station.jobs import Track
from anomalib_lite.station.pictures import PictureError
from anomalib_lite.station.results import Entry
from anomalib_lite.station.state import Station
from anomalib_lite.training.sizing import made_smaller

PARTS, HIGHEST, SETS, OF_A_SET = 200, 12, 50, 12  # that are listed
ORDER = {GOOD: 0, Label.UNSURE.value: 2, Label.UNUSABLE.value: 3, "": 4}  # of kinds; those of defects are 1
AT_ONCE = 32  # photographs that are read before the count moves on


def kinds(station: Station) -> list[dict[str, Any]]:
    """What is said of results, by a decision or a label: how many images and parts, and their verdicts."""
    found: dict[str, list[Entry]] = {}
    for entry in station.results.entries:
        found.setdefault(station.kind(entry), []).append(entry)
    ordered = sorted(found.items(), key=lambda item: (ORDER.get(item[0], 1), -len(item[1]), item[0]))
    return [
        {
            "kind": shown(kind),
            "images": len(entries),
            "parts": len({entry.part for entry in entries if entry.part}),
            "verdicts": _verdicts(entries),
        }
        for kind, entries in ordered
    ]


def parts(station: Station) -> dict[str, Any]:
    """Photographs of each part and their kinds; first those whose number is another than that of most parts."""
    found: dict[str, list[Entry]] = {}
    for entry in station.results.entries:
        if entry.part:
            found.setdefault(entry.part, []).append(entry)
    sizes = Counter(len(entries) for entries in found.values())
    usual = max(sizes, key=lambda size: (sizes[size], size), default=0)
    ordered = sorted(found.items(), key=lambda item: (len(item[1]) == usual, item[0]))
    listed = [
        {
            "part": shown(part),
            "number": entries[0].number,
            "images": len(entries),
            "kinds": [[shown(kind), count] for kind, count in Counter(map(station.kind, entries)).most_common()],
            "verdicts": _verdicts(entries),
        }
        for part, entries in ordered[:PARTS]
    ]
    return {"of": len(found), "usual": usual, "others": len(found) - sizes[usual], "listed": listed}


def highest(station: Station) -> list[dict[str, Any]]:
    """The good results that look worst to the model: thresholds that leave them all OK lie above."""
    entries = station.results.entries
    counted = Counter(entry.model_id for entry in entries if entry.score is not None)
    single = isinstance(station.model, Model) and station.maps is not None  # others count in units of their own
    own = station.maps.ids if single and station.maps else {name for name, _ in counted.most_common(1)}
    good = [one for one in entries if one.score is not None and one.model_id in own and station.kind(one) == GOOD]
    good.sort(key=lambda one: (-(one.score or 0.0), one.number))
    distinct = list({one.sha256: one for one in reversed(good)}.values())[::-1]  # of copies, one
    return [
        {"number": one.number, "image": shown(one.image), "verdict": one.verdict, "score": one.score}
        for one in distinct[:HIGHEST]
    ]


@dataclass
class _Seen:
    """What is kept of the photographs that were read."""

    samples: list[Sample] = field(default_factory=list)
    thumbnails: list[NDArray[np.float16]] = field(default_factory=list)
    numbers: dict[str, int] = field(default_factory=dict)  # name of a sample -> its result
    largest: Facts | None = None
    lost: int = 0  # gone, changed, or not to be read


def looked(station: Station, track: Track) -> Mapping[str, Any]:
    """Read every photograph once: which look like copies of another part's, and what resizing leaves of a defect."""
    generation, seen = station.results.generation, _Seen()
    for batch in _batches(station, track, seen):
        facts, unreadable = look([sample for sample, _ in batch], station.pictures.opener)
        hashes = {sample.name: entry.sha256 for sample, entry in batch}
        seen.lost += len(unreadable)
        for sample, (fact, *_) in facts:
            if fact.sha256 != hashes[sample.name]:
                seen.lost += 1
                continue
            seen.samples.append(sample)
            seen.thumbnails.append(fact.thumbnail)
            if seen.largest is None or fact.height * fact.width > seen.largest.height * seen.largest.width:
                seen.largest = fact
    pairs = near_copies(seen.samples, seen.thumbnails)
    sets = [sorted(seen.numbers[name] for name in one) for one in _joined(pairs)]
    return {
        "generation": generation,
        "photographs": len(seen.samples),
        "lost": seen.lost,
        "sets": [{"of": len(one), "numbers": one[:OF_A_SET]} for one in sets[:SETS]],
        "of": len(sets),
        "smaller": _smaller(station, seen),
    }


def _batches(station: Station, track: Track, seen: _Seen) -> Iterator[list[tuple[Sample, Entry]]]:
    """Photographs that are there, each file of a part once."""
    batch: list[tuple[Sample, Entry]] = []
    known = set[tuple[str, str]]()
    for entry in track(list(station.results.entries), "photographs"):
        part = entry.part or entry.image
        if (entry.sha256, part) in known:
            continue
        known.add((entry.sha256, part))
        try:
            path = station.pictures.path(entry)
        except PictureError:
            seen.lost += 1
            continue
        name = str(entry.number)
        seen.numbers[name] = entry.number
        batch.append((Sample(path, name, group=part), entry))
        if len(batch) == AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _joined(pairs: Sequence[tuple[Sample, Sample]]) -> list[list[str]]:
    """Sets of the names of samples that pairs join; first those of the first pairs."""
    sets: dict[str, list[str]] = {}
    for one, other in ((first.name, second.name) for first, second in pairs):
        mine, theirs = sets.setdefault(one, [one]), sets.setdefault(other, [other])
        if mine is not theirs:
            mine += theirs
            sets.update(dict.fromkeys(theirs, mine))
    return list({id(one): one for one in sets.values()}.values())


def _smaller(station: Station, seen: _Seen) -> list[str] | None:
    """What the size of the model's input leaves of a defect; None without a model of one size."""
    if not isinstance(station.model, Model) or seen.largest is None:
        return None
    samples = station.pictures.samples
    marked = smallest(DataSet(station.pictures.root or station.results.folder, "", samples)) if samples else None
    return [shown(sentence) for sentence in made_smaller(station.model.framing, [seen.largest], marked)]


def _verdicts(entries: Sequence[Entry]) -> dict[str, int]:
    counts = Counter(entry.verdict for entry in entries)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}
