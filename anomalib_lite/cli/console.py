"""What the commands print with: rich, imported when something is printed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Sized
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TextIO

import typer

from anomalib_lite.edge.quoting import shown

if TYPE_CHECKING:
    from rich.console import Console

    from anomalib_lite.calibration import Calibration
    from anomalib_lite.edge.manifest import EvidenceRecord, Manifest
    from anomalib_lite.pipeline.train import Trained
    from anomalib_lite.registry import Registry
    from anomalib_lite.registry.describing import Option

REASONS = 20  # of images that could not be measured, printed
UNWRAPPED = 1000  # columns of a table that another program reads


def say(message: str) -> None:
    """One line on standard error, where progress belongs; standard output is for results."""
    with suppress(OSError):  # that nobody can be told is no reason to stop
        typer.echo(shown(message), err=True)


def notes(lines: Iterable[str]) -> None:
    """What is to be said of the inputs, each on a line."""
    for line in lines:
        say(line)


def fail(message: str) -> None:
    """What ends the program, on standard error."""
    with suppress(OSError):
        typer.secho(shown(message), fg="red", err=True)


def alarm(message: str) -> None:
    """A warning that nobody must overlook, in red on standard error."""
    fail(message)


def out(line: str, file: TextIO | None = None) -> None:
    """One line on standard output, whatever names are in it."""
    typer.echo(shown(line), file=file)


def text(lines: str) -> None:
    """Several lines on standard output, of our own: JSON, an example."""
    typer.echo(lines)


def json(value: Any) -> None:
    """Print one JSON object."""
    from json import dumps

    text(dumps(value, indent=1, allow_nan=False))


def plugins(asked: str | None = None) -> Registry:
    """What is installed. On standard error, each plugin that cannot be used is named, with the reason.

    Args:
        asked: A detector that is used next: if it is broken, the error that follows says so.
    """
    from anomalib_lite import registry

    found = registry.load()
    told = found.problems_of(asked) if asked and asked.replace("-", "_") not in found.detectors else []
    for problem in found.problems:
        if problem not in told:
            say(f"warning: plugin {problem}")
    return found


def track(items: Iterable[Any], label: str) -> Iterator[Any]:
    """Pass items through; on a terminal, show how far they are."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield from items
        return
    total = len(items) if isinstance(items, Sized) else None
    yield from progress.track(items, description=label, console=console, total=total, transient=True)


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Print a table; every column but the first is aligned to the right."""
    from rich import box
    from rich.table import Table

    drawn = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        drawn.add_column(column, justify="left" if index == 0 else "right", overflow="fold")
    for row in rows:
        drawn.add_row(*(_plain(cell) for cell in row))
    _console().print(drawn)


def options(described: Iterable[Option]) -> None:
    """Print options: name, default, type and limits on a line, the meaning below."""
    for one in described:
        kind = f"{one.kind}, {one.limits}" if one.limits else one.kind
        out(f"  {one.name} = {one.default}    [{kind}]")
        paragraph(one.meaning, indent=6)


def errors(reasons: Sequence[tuple[str, str]]) -> None:
    """On standard error, why images could not be measured: the first of many."""
    for name, reason in reasons[:REASONS]:
        say(f"ERROR  {name}  ({reason})")
    if len(reasons) > REASONS:
        say(f"ERROR  {len(reasons) - REASONS} more: see results.csv of --out")


def exit_unmeasured(unmeasured: int, measured: int, *, strict: bool, where: str = "above") -> None:
    """Exit with 3 where no image could be measured or, if strict, one could not; `where` the reasons are told."""
    if measured == 0 or (strict and unmeasured):
        from anomalib_lite.data.samples import count

        say(f"error: {count(unmeasured, 'image')} could not be measured: see the reasons {where}.")
        raise typer.Exit(3)


def promised(calibration: Calibration) -> None:
    """Print the statement of a calibration."""
    for sentence in calibration.statement:
        paragraph(shown(sentence))


def calibrated(done: Trained) -> None:
    """Print the statement of a calibration, what could not be measured, and what else may be chosen."""
    promised(done.calibration)
    for name, reason in done.errors:
        paragraph(shown(f"ERROR {name}: {reason}"))
    menu(done.calibration, done.evidence)


def suspects(manifest: Manifest) -> None:
    """Print which of the good images are to be looked at."""
    from anomalib_lite.calibration import menu_words

    if said := menu_words.suspects(manifest.data.held_out):
        paragraph(shown(said))


def menu(calibration: Calibration, record: EvidenceRecord | None) -> None:
    """Print the rows that may be chosen, and what each finds; nothing where there is no choice."""
    from anomalib_lite.calibration import menu_words
    from anomalib_lite.evidence.menu import table as lines

    if len(calibration.menu) > 1:
        table(*lines(calibration, record), "Menu")
        paragraph(menu_words.advice(calibration))


def evidence(record: EvidenceRecord | None, calibration: Calibration) -> None:
    """Print what a model finds of planted defects, and of known ones; in red where it is blind."""
    from anomalib_lite.evidence.judging import known_found

    if record is None:
        return
    for sentence in (*record.said, *filter(None, [known_found(record, calibration)])):
        paragraph(shown(sentence))
    for reason in record.blind:
        alarm(f"WARNING: do not trust this model to find anything: {reason}.")


def known(manifest: Manifest) -> None:
    """Print how many known defects a model finds; in red, which are OK."""
    from anomalib_lite.evidence.known import named, passing

    if not manifest.known:
        return
    passed = passing(manifest)
    out(f"known defects  {len(manifest.known) - len(passed):,} of {len(manifest.known):,} are not OK")
    if passed:
        alarm(f"WARNING: {named(passed)}")


def paragraph(prose: str, *, indent: int = 0) -> None:
    """Print prose: wrapped between words on a terminal, on one line where another program reads it."""
    import shutil
    import sys
    from textwrap import fill

    margin = " " * indent
    if sys.stdout.isatty():
        width = max(40, min(100, shutil.get_terminal_size().columns))
        prose = fill(prose, width - indent, break_long_words=False, break_on_hyphens=False).replace("\n", f"\n{margin}")
    text(margin + prose)


def number(value: float | None, digits: int = 3) -> str:
    """A number for a table, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def _plain(text: str) -> str:
    """Text that rich shows as it is, brackets included."""
    from rich.markup import escape

    return escape(shown(text))


def _console() -> Console:
    from rich.console import Console

    console = Console()
    return console if console.is_terminal else Console(width=UNWRAPPED)
