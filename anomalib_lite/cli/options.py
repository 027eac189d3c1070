"""Options that several commands share, and their one wording."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from anomalib_lite.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from anomalib_lite.edge.model import Model as LoadedModel

Model: TypeAlias = Annotated[
    Path, typer.Argument(help="A trained model: a folder, or a zip that export made.", show_default=False)
]
Data: TypeAlias = Annotated[
    Path, typer.Argument(help="A folder of images, a folder in the MVTec layout, or a CSV file.", show_default=False)
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Images whose path gives the same first capture show the same physical part: 'part(\\d+)'.",
        show_default=False,
    ),
]
Column: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--column",
        metavar="NAME=CSVNAME",
        help="Read a field from another CSV column: group=board.",
        show_default=False,
    ),
]
MaxFalseReject: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE", help="Largest share of good parts that may be rejected; default 1%.", show_default=False
    ),
]
Confidence: TypeAlias = Annotated[
    str | None, typer.Option(metavar="RATE", help="Confidence of the bounds; default 95%.", show_default=False)
]
Review: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that are not OK; default max(5 %, 5 x max-false-reject).",
        show_default=False,
    ),
]
GoldenImage: TypeAlias = Annotated[
    Path | None,
    typer.Option("--golden", metavar="FILE", help="Golden image, for models that compare.", show_default=False),
]
Overwrite: TypeAlias = Annotated[bool, typer.Option("--overwrite", help="Replace what --out names.")]
Provider: TypeAlias = Annotated[
    str, typer.Option(help="Where onnxruntime runs: cpu, cuda, tensorrt, openvino, coreml, directml.")
]


def named(path: Path) -> Path:
    """A path that has a name to put another one beside: of '.', the folder that it stands for."""
    return path if path.name else path.absolute()


def golden_image(path: Path | None, model: LoadedModel, option: str) -> Path | None:
    """The golden image of an option, read once so that nothing is inspected against one that cannot be.

    Raises:
        ConfigError: The model compares with none, or this one cannot be read.
    """
    if path is not None and not model.bundle.manifest.compares:
        raise ConfigError(f"{option} {path}: {model.bundle.path} compares with nothing. Leave it out.")
    if path is not None:
        from anomalib_lite.edge.images import imaging

        try:
            imaging.read(path, readers=model.readers)
        except ImageError as error:
            raise ConfigError(f"{option} {error}") from error
    return path


def rate(text: str | None, option: str) -> float | None:
    """A share from '1%', '1 %' or '0.01'.

    Raises:
        ConfigError: It is neither.
    """
    if text is None:
        return None
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number) / (100 if percent else 1)
    except ValueError:
        value = -1.0
    if rest.strip() or not 0 < value < 1:
        raise ConfigError(f"{option} {text}: expected a share above 0 and below 100 %, such as 1% or 0.01.")
    return value


def columns(pairs: list[str] | None) -> dict[str, str]:
    """`--column group=board` as {"group": "board"}.

    Raises:
        ConfigError: There is no '='.
    """
    named = {}
    for pair in pairs or []:
        name, equals, column = pair.partition("=")
        if not equals or not name or not column:
            raise ConfigError(f"--column {pair}: expected NAME=CSVNAME, such as group=board.")
        named[name] = column
    return named
