"""The option --copy of `predict`, `watch` and `serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.cli import options
from anomalib_lite.errors import ConfigError

if TYPE_CHECKING:
    from anomalib_lite.edge.copies import Copies
    from anomalib_lite.edge.decision import Verdict

Copy: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="Copy images with these verdicts, such as 'ng,review', and what is said of each, to copies/ng/NAME.png "
        "and copies/ng/NAME.json in the folder of the results. Nothing that is there is written over.",
        rich_help_panel=options.OUTPUT,
    ),
]


def verdicts(text: str | None) -> frozenset[Verdict]:
    """Verdicts from 'ng,review'.

    Raises:
        ConfigError: One is none.
    """
    from anomalib_lite.edge.decision import Verdict

    names = [one.strip().upper() for one in (text or "").split(",") if one.strip()]
    if unknown := [name for name in names if name not in list(Verdict)]:
        raise ConfigError(
            f"--copy {text}: '{unknown[0].lower()}' is none of {', '.join(one.lower() for one in Verdict)}."
        )
    return frozenset(map(Verdict, names))


def copies(folder: Path, text: str | None) -> Copies | None:
    """Where images with these verdicts are copied to; None where none are.

    Raises:
        ConfigError: One is none.
    """
    from anomalib_lite.edge.copies import FOLDER, Copies

    wanted = verdicts(text)
    return Copies(folder / FOLDER, wanted) if wanted else None
