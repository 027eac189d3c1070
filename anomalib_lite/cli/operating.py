"""The options of `train` and `calibrate` that choose an operating point."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.errors import ConfigError

Row: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=0,
        help="Take this row of the menu, which lets N parts lie above the reject threshold, instead of "
        "--max-false-reject. The bounds of all rows hold together: one may be chosen after looking.",
        rich_help_panel=options.RATES,
    ),
]


def refuse_row_and_rate(row: int | None, max_false_reject: str | None) -> None:
    """Refuse two answers to what is rejected.

    Raises:
        ConfigError: A row and a rate.
    """
    if row is not None and max_false_reject is not None:
        raise ConfigError("--row and --max-false-reject both say what to reject: give one of them.")
