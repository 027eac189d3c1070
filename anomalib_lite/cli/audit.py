"""anomalib-lite audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options

Log: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="LOG",
        help="A log of decisions, or the folder of results with decisions.jsonl in it.",
    ),
]
Holds: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="DIGEST",
        help="A digest that an earlier audit gave: an error where no line has it, as when lines at the end were "
        "removed or the whole log was written anew.",
        rich_help_panel=options.RUNNING,
    ),
]


def audit(log: Log, holds: Holds = None) -> None:
    """Verify that no line of a log of decisions was changed.

    Each line names the digest of the one before. Write the digest of the last line down, where nobody who can write to
    the log can reach it: it vouches for every line before it, at the next audit with --holds.
    """
    from anomalib_lite.cli import console
    from anomalib_lite.review.audit import audit as run

    done = run(options.named(log), holds)
    if done.torn:
        console.say(f"behind the last line, {done.torn:,} bytes of one that was never confirmed: it does not count")
    for number in done.turned_back:
        console.say(f"line {number}: its time is before that of the line before; a clock was set back, or differs")
    console.out(f"lines      {len(done.lines):,}, {done.in_force:,} decisions in force")
    if done.lines:
        console.out(f"first      {done.lines[0].time.isoformat(timespec='seconds')}")
        console.out(f"last       {done.lines[-1].time.isoformat(timespec='seconds')}")
    for name, count in sorted(done.operators.items()):
        console.out(f"by         {name}: {count:,}")
    console.out(f"digest     {done.digest}")
    console.out("the chain is whole")
