"""The options of `train` and `calibrate` that choose an operating point."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.edge.manifest import PER
from anomalib_lite.edge.manifest import Per as Per_
from anomalib_lite.errors import ConfigError

Per: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="UNIT",
        help="What the line decides on, and the bound is about: 'photograph', each for itself; 'part', by any of its "
        "photographs; or once by all of them (`predict --group`, `inspect_part`): 'part-median', 'part-mean', "
        "'part-top', the mean of the highest 10 %, 'part-cusum', the sum by which a stretch of them exceeds good ones. "
        "Default: photograph where parts have several, else part; in `calibrate` as in the last calibration.",
        rich_help_panel=options.RATES,
    ),
]
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

Holdout: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE",
        help="Share of the good parts that is kept from fitting, to certify the thresholds. Default: 30%.",
        rich_help_panel=options.RATES,
    ),
]
Crossfit: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="K",
        help="Train K siblings, each without one of K folds of the parts, and ship them as one model that ranks by "
        "all. What it promises is an average, no bound at a confidence; --holdout 50% mostly does better.",
        rich_help_panel=options.RATES,
    ),
]


def unit(text: str | None) -> Per_ | None:
    """One of the units, or None.

    Raises:
        ConfigError: It is none of them.
    """
    found: Per_ | None = None if text is None else options.one_of(text, PER, "--per")
    return found


def refuse_row_and_rate(row: int | None, max_false_reject: str | None) -> None:
    """Refuse two answers to what is rejected.

    Raises:
        ConfigError: A row and a rate.
    """
    if row is not None and max_false_reject is not None:
        raise ConfigError("--row and --max-false-reject both say what to reject: give one of them.")
