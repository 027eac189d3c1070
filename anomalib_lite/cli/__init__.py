"""The command line: parse, call one function of the pipeline, print. The only place that exits."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from typing import Annotated, NoReturn

import typer

from anomalib_lite.cli import (
    bench,
    calibrate,
    data,
    demo,
    doctor,
    evaluate,
    export,
    plugins,
    predict,
    serve,
    train,
    verify,
    watch,
)
from anomalib_lite.errors import AnomalibLiteError, ConfigError
from anomalib_lite.version import __version__

BUG = 70
EVERYWHERE = ("--debug", "--no-plugins")

app = typer.Typer(
    name="anomalib-lite",
    help="Anomaly and change detection from good images alone, with a certified false-reject rate.",
    epilog="Exit codes: 0 done, 1 NG found with --fail-on-ng, 2 usage or configuration, 3 data or an image "
    "that could not be measured with --fail-on-ng or --strict, 4 model refused, 5 plugin, 70 bug.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for module in (demo, train, predict, evaluate, calibrate, export, verify, bench, watch, serve, doctor):
    app.command()(getattr(module, module.__name__.rpartition(".")[2]))
app.add_typer(plugins.app, name="plugins")
app.add_typer(data.app, name="data")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"anomalib-lite {__version__}")
        raise typer.Exit


@app.callback()
def everywhere(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error. Anywhere on the line.")
    ] = False,
    no_plugins: Annotated[bool, typer.Option("--no-plugins", help="Load no plugins. Anywhere on the line.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Options that every command takes."""
    if no_plugins:
        os.environ["ANOMALIB_LITE_PLUGINS"] = ""  # reaches the processes of a distributed training, too


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    common = [word for word in given if word in EVERYWHERE]
    try:
        app(common + [word for word in given if word not in EVERYWHERE])
    except AnomalibLiteError as error:
        _fail(f"error: {error}", error.exit_code, debug="--debug" in common)
    except Exception as error:  # noqa: BLE001 - told as what it is, with a code of its own
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # whichever option or argument it was
            said = f"error: {error.filename}: the name is too long for this system."
            _fail(said, ConfigError.exit_code, debug="--debug" in common)
        said = f"This is a bug: {type(error).__name__}: {error}. Run again with --debug and report it."
        _fail(said, BUG, debug="--debug" in common)


def _fail(message: str, code: int, *, debug: bool) -> NoReturn:
    """Say what went wrong, after its traceback where that is asked for, and exit."""
    if debug:
        traceback.print_exc()
    typer.secho(message, fg="red", err=True)
    sys.exit(code)
