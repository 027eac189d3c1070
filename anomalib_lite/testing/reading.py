"""Checks of a reader on files of its type, and of a writer on a made-up result."""

from __future__ import annotations

import importlib
import inspect
import os
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from anomalib_lite import registry
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images import imaging, readers
from anomalib_lite.edge.images.imaging import Opened
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.regions import find_regions
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import ConfigError, DataError, ImageError, PluginError
from anomalib_lite.hookspecs import ReaderInfo, WriterInfo, reader_name
from anomalib_lite.registry import Provider, Reader, resolve
from anomalib_lite.registry.describing import describe_options
from anomalib_lite.testing.description import imported_by, is_public
from anomalib_lite.testing.outcome import Outcome

FIRST, REPEATS, THREADED = (
    "check_files_become_pictures",
    "check_reading_repeats",
    "check_threads_get_what_one_gets",
)  # one fault shall be one failure
THREADS = 8
BOUND = 1 << 30  # bytes that reading a damaged file may take, beside what an undamaged one takes
DAMAGED = 24  # copies of a file, each with other bytes overwritten or cut off


@dataclass(frozen=True, eq=False)
class ReaderSubject:
    """A reader, and files of its type."""

    info: ReaderInfo
    reader: Reader
    examples: Sequence[Path]

    @property
    def opener(self) -> Opener:
        """Opens files with this reader alone."""
        return Opener({self.reader.suffix: self.reader})

    @cached_property
    def files(self) -> Mapping[Path, Sequence[Path]]:
        """Each example, or series of examples, with its files."""
        return self.opener.series(self.examples)

    def read(self, name: Path) -> list[tuple[str | None, Opened]]:
        """All images of an example."""
        limits, given = self.opener.limits, {self.reader.suffix: self.reader}
        return list(imaging.each(name, limits, readers=given, files=self.files[name]))


def check_files_become_pictures(subject: ReaderSubject) -> None:
    """Every example is read, and what is returned keeps the rules of `Picture`."""
    assert subject.files, "none of the examples is gathered: gather leaves all of them out"
    for name in subject.files:
        assert subject.read(name)


def check_reading_repeats(subject: ReaderSubject) -> None:
    """A file gives the same again: keys, pixels, and all that is said of them."""
    for name in subject.files:
        assert _same(subject.read(name), subject.read(name)), f"{name.name}: read twice, it differs"


def check_threads_get_what_one_gets(subject: ReaderSubject) -> None:
    """A reader is called from several threads at once."""
    for name in subject.files:
        alone = subject.read(name)
        with ThreadPoolExecutor(THREADS) as pool:
            for found in pool.map(subject.read, [name] * THREADS):
                assert _same(alone, found), f"{name.name}: read by {THREADS} threads at once, it differs"


def check_damaged_files_end_in_an_error_and_stay_small(subject: ReaderSubject) -> None:
    """Whatever is in a file, reading it ends: with a picture, or an error, and without filling the memory."""
    random = np.random.default_rng(0)
    for files in subject.files.values():
        contents = [path.read_bytes() for path in files]
        for number in range(DAMAGED):
            damaged = [_damaged(one, number, random) for one in contents]
            tracemalloc.start()
            try:
                list(readers.decode(subject.reader, subject.reader.suffix, damaged, files[0].name))
            except ImageError:
                continue
            finally:
                peak = tracemalloc.get_traced_memory()[1]
                tracemalloc.stop()
                room = BOUND + 64 * sum(map(len, contents))
                assert peak < room, f"{files[0].name}, damaged: takes {peak:,} bytes; look at sizes before allocating"


def check_guards_are_said_of_every_image(subject: ReaderSubject) -> None:
    """What `ReaderInfo.guards` names is a key of every `Picture.meta`."""
    for name in subject.files:
        for _, found in subject.read(name):
            missing = [key for key in subject.info.guards if key not in found.meta]
            assert not missing, f"{name.name}: guards has {missing[0]!r}, meta has {', '.join(found.meta) or 'nothing'}"


def check_sniff_knows_its_files_alone(subject: ReaderSubject) -> None:
    """`sniff` says yes to the examples, no to others, and raises for nothing, however short."""
    sniff = subject.reader.sniff
    if sniff is None:
        return
    for path in subject.examples:
        assert sniff(path.read_bytes()[: readers.HEAD]) is True, f"{path.name}: sniff does not know it"
    for head in (b"", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", bytes(readers.HEAD), b"{}"):
        assert sniff(head) is False, f"sniff takes {head[:8]!r} for one of its files"


def check_gather_does_not_depend_on_the_order(subject: ReaderSubject) -> None:
    """`gather` gives the same series, their files in the same order, whatever order it is given."""
    one = {key: list(files) for key, files in subject.opener.series(subject.examples).items()}
    other = {key: list(files) for key, files in subject.opener.series(list(subject.examples)[::-1]).items()}
    assert one == other, "gather gives other series for the same files in another order: sort them"


def check_options_of_the_reader_are_described(subject: ReaderSubject) -> None:
    """An option has a default and a sentence."""
    for option in describe_options(subject.info.config) if subject.info.config else ():
        assert option.default != "required", f"option '{option.name}' has no default"
        assert option.meaning, f"option '{option.name}' has no description: put a docstring below it"


def check_the_reader_imports_public_names_alone(subject: ReaderSubject) -> None:
    """The API version covers `anomalib_lite` and its public modules; anything else may change in any release."""
    module = importlib.import_module(subject.info.target.partition(":")[0])
    path = Path(str(inspect.getsourcefile(module)))
    for source, name in imported_by(path.read_text("utf-8")):
        assert is_public(source, name), f"{path.name} imports {name or source} from the host's private part ({source})"


READER_CHECKS: Mapping[str, Callable[[ReaderSubject], None]] = {
    name: check for name, check in list(globals().items()) if name.startswith("check_")
}
"""Every rule for readers, in the order in which they are best mended."""


def run_reader_checks(reader: str | ReaderInfo, examples: Sequence[Path]) -> Iterator[Outcome]:
    """Check a reader on files of its type, one rule after the other. Arguments as for `check_reader`."""
    subject = _subject(reader, examples)
    failed: set[str] = set()
    for name, check in READER_CHECKS.items():
        first = {FIRST, REPEATS} if name == THREADED else {FIRST} - {name}
        blocked = next(iter(sorted(first & failed)), None)
        outcome = Outcome(name, None if blocked else _failure(check, subject), blocked=blocked)
        if outcome.failure:
            failed.add(name)
        yield outcome


def check_reader(reader: str | ReaderInfo, examples: Sequence[str | os.PathLike[str]]) -> list[Outcome]:
    """Check that a reader keeps all rules.

    Args:
        reader: A name: `anomalib-lite plugins list`; or what a plugin says of it.
        examples: Files of its type, at least one; of a series all.

    Raises:
        AssertionError: Lists every check that failed, and why.
        PluginError: No plugin provides the reader.
        ConfigError: There are no examples.
    """
    outcomes = list(run_reader_checks(reader, [Path(one) for one in examples]))
    wrong = [str(outcome) for outcome in outcomes if not outcome.is_fine]
    assert not wrong, f"the reader breaks {len(wrong)} of {len(READER_CHECKS)} rules:\n" + "\n".join(wrong)
    return outcomes


def check_writer(writer: str | WriterInfo) -> None:
    """Check that a writer writes the file that it is given, and no other, of every kind of result.

    It may refuse pictures with a `DataError`, where its format has no place for their kind.

    Args:
        writer: A name, or what a plugin says of it.

    Raises:
        AssertionError: It does not.
        PluginError: No plugin provides the writer.
    """
    info = registry.load().writer(writer) if isinstance(writer, str) else writer
    write = resolve(info.target, f"writer '{info.name}'")
    for verdict in (Verdict.OK, Verdict.REVIEW, Verdict.NG):
        pictures = Picture(np.zeros((32, 48, 1), np.uint8)), Picture(np.zeros((32, 48, 3), np.int16), "p", (1, 2))
        for picture in pictures:
            with tempfile.TemporaryDirectory() as folder:
                target = Path(folder) / f"image#1{info.suffix}"
                anomaly_map = np.linspace(0, 1, 32 * 48, dtype=np.float32).reshape(32, 48)
                measured = _result(verdict, anomaly_map), picture, anomaly_map
                unmeasured = _unmeasured(measured[0]), picture, np.full_like(anomaly_map, np.nan)
                try:
                    write(target, iter([measured, unmeasured])) if info.whole else write(target, *measured)
                except DataError:  # a source that its format has no place for
                    continue
                there = sorted(path.name for path in Path(folder).rglob("*"))
                assert there == [target.name], f"writer '{info.name}' wrote {there}, expected {target.name} alone"
                assert target.stat().st_size, f"writer '{info.name}' wrote an empty file"


def _result(verdict: Verdict, anomaly_map: Any) -> Result:
    marked = anomaly_map > (0.9 if verdict is not Verdict.OK else 2)
    return Result(
        image="image#1", time="2025-01-01T00:00:00.000+00:00", verdict=verdict, reject_threshold=0.9,
        review_threshold=0.8, model_id="0" * 12, ms=1.0, score=1.0, p_value=0.1, shape=(32, 48),
        map_thresholds=(0.8, 0.9), anomaly_map=anomaly_map, regions=find_regions(anomaly_map, marked, 32, 48),
    )  # fmt: skip


def _unmeasured(result: Result) -> Result:
    return replace(result, verdict=Verdict.ERROR, score=None, p_value=None, anomaly_map=None, regions=())


def _subject(reader: str | ReaderInfo, examples: Sequence[Path]) -> ReaderSubject:
    if isinstance(reader, str):
        found = registry.load().reader(reader)
        if found is None:
            raise PluginError(f"no reader '{reader}'. `anomalib-lite plugins list` names those that are installed.")
        reader = found
    mine = [suffix for suffix in reader.suffixes if any(path.name.lower().endswith(suffix) for path in examples)]
    if not examples:
        raise ConfigError(f"reader '{reader_name(reader)}': give files of its type to check it on.")
    suffix = (mine or list(reader.suffixes))[0]
    return ReaderSubject(reader, Reader.of(reader, suffix, Provider(reader_name(reader), "?", "?")), examples)


def _failure(check: Callable[[ReaderSubject], None], subject: ReaderSubject) -> str | None:
    try:
        check(subject)
    except AssertionError as error:
        return str(error).partition("\nassert ")[0]
    except Exception as error:  # noqa: BLE001 - whatever a reader raises is what the check has to tell
        return f"{type(error).__name__}: {error}"
    return None


def _same(first: Sequence[tuple[str | None, Opened]], second: Sequence[tuple[str | None, Opened]]) -> bool:
    def said(one: tuple[str | None, Opened]) -> tuple[Any, ...]:
        key, found = one
        valid = None if found.valid is None else found.valid.tobytes()
        plain = found.part, found.spacing, dict(found.meta), found.pixels.dtype, found.pixels.shape
        return key, *plain, found.pixels.tobytes(), valid

    return list(map(said, first)) == list(map(said, second))


def _damaged(content: bytes, number: int, random: np.random.Generator) -> bytes:
    """A copy that is cut off, or of which some of the first bytes are others."""
    if number % 3 == 0:
        return content[: len(content) * number // DAMAGED]
    copy = bytearray(content)
    for place in random.integers(0, max(1, min(len(copy), 512)), 4):
        if copy:
            copy[place] = 255 if number % 2 else int(random.integers(256))
    return bytes(copy)
