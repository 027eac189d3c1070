"""The command line: parse, call one function of the pipeline, print. The only place that exits."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, TypeAlias

import typer

from anomalib_lite.cli import (
    audit,
    bench,
    bundle_set,
    calibrate,
    compare,
    console,
    data,
    demo,
    doctor,
    evaluate,
    export,
    fuse,
    labels,
    lot,
    merge,
    monitor,
    plugins,
    predict,
    rescore,
    review,
    serve,
    train,
    train_many,
    verify,
    watch,
)
from anomalib_lite.cli.help import SHARED, Command, Group
from anomalib_lite.errors import AnomalibLiteError, ConfigError
from anomalib_lite.output.standard import OutputError, standard_output
from anomalib_lite.version import __version__

FULL = 3  # a disk, or standard output, does not take what is written
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
BUG = 70
READER_GONE = 141  # as the shell says of a program that SIGPIPE ended
EVERYWHERE = ("--debug", "--no-plugins")  # anywhere on the line

COMMANDS = {
    "Make a model": (demo, train, train_many, evaluate, compare, calibrate, rescore, fuse, bundle_set, export),
    "Use a model": (predict, merge, verify, bench, watch, serve, monitor, review, audit),
    "Without a model": (lot,),
}
OTHERS = "Look around"
EPILOG = """\
Exit codes:
   0 done
   1 NG found with --fail-on-ng, or drift by `monitor`
   2 usage or configuration
   3 data, an image that could not be measured with --fail-on-ng or --strict,
     or a product that could not be trained by `train-many`
   4 model refused
   5 plugin
  70 bug
 141 whoever read standard output is gone

Begin with `anomalib-lite demo`. The help of each command ends with examples:
`anomalib-lite train --help`."""

app = typer.Typer(
    cls=Group,
    name="anomalib-lite",
    help="Anomaly and change detection from good images alone. The share of good parts that are rejected is certified.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for heading, modules in COMMANDS.items():
    for module in modules:
        app.command(cls=Command, rich_help_panel=heading)(getattr(module, module.__name__.rpartition(".")[2]))
app.command(cls=Command, rich_help_panel=OTHERS)(doctor.doctor)
app.add_typer(labels.app, name="labels", rich_help_panel="Use a model")
app.add_typer(plugins.app, name="plugins", rich_help_panel=OTHERS)
app.add_typer(data.app, name="data", rich_help_panel=OTHERS)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.out(f"anomalib-lite {__version__}")
        raise typer.Exit


Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", help="Show the traceback of an error.", rich_help_panel=SHARED)
]
NoPlugins: TypeAlias = Annotated[bool, typer.Option("--no-plugins", help="Load no plugins.", rich_help_panel=SHARED)]
Version: TypeAlias = Annotated[
    bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
]


@app.callback()
def everywhere(
    version: Version = False,
    debug: Debug = False,
    no_plugins: NoPlugins = False,
) -> None:
    """Options that every command takes."""
    if no_plugins:
        os.environ["ANOMALIB_LITE_PLUGINS"] = ""  # reaches the processes of a distributed training, too


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its code."""
    given = sys.argv[1:] if arguments is None else arguments
    common = [word for word in given if word in EVERYWHERE]
    try:
        with standard_output(), _plain_warnings():
            _refuse_empty(given)
            app(common + [word for word in given if word not in EVERYWHERE])
    except OutputError as error:
        if error.reader_is_gone:  # as `head` is once it has what it wants
            sys.exit(READER_GONE)
        _fail(f"error: standard output cannot be written ({error}). Lead it to where there is room.", FULL, debug=False)
    except AnomalibLiteError as error:
        _fail(f"error: {error}", error.exit_code, debug="--debug" in common)
    except Exception as error:  # noqa: BLE001 - told as what it is, with a code of its own
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:  # whichever option or argument it was
            said = f"error: {error.filename}: the name is too long for this system."
            _fail(said, ConfigError.exit_code, debug="--debug" in common)
        if isinstance(error, OSError) and error.errno in NO_ROOM:  # whatever it was that was written
            said = (
                f"error: {error.filename or 'a file'} cannot be written ({error.strerror}). Make room and run it again."
            )
            _fail(said, FULL, debug="--debug" in common)
        what = f"{type(error).__name__}: {error}".rstrip(". :")
        said = f"This is a bug: {what}. Run again with --debug and report it."
        _fail(said, BUG, debug="--debug" in common)


@contextmanager
def _plain_warnings() -> Iterator[None]:
    """What a detector warns the user of, without the place in its code."""
    before = warnings.formatwarning

    def plain(message: Any, category: type[Warning], *place: Any, **line: Any) -> str:
        return f"warning: {message}\n" if category is UserWarning else before(message, category, *place, **line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = before


def _refuse_empty(words: Sequence[str]) -> None:
    """Raise where a word is empty, as of a shell variable that is not set: as a path it would be the current folder.

    Raises:
        ConfigError: One is.
    """
    for place, word in enumerate(words):
        option = word.removesuffix("=") if word.startswith("--") else ""
        if not word or (option != word and option):
            before = option or (words[place - 1] if place else "")
            what = f"{before} has an empty value" if before.startswith("--") else f"argument {place + 1} is empty"
            raise ConfigError(f"{what}: is a variable of your shell not set? Give it a value, or leave it out.")


def _fail(message: str, code: int, *, debug: bool) -> NoReturn:
    """Say what went wrong, after its traceback where that is asked for, and exit."""
    if debug:
        for line in traceback.format_exc().splitlines():
            console.say(line)
    console.fail(message)
    sys.exit(code)
