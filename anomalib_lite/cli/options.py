"""Options that several commands share, and their one wording."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from anomalib_lite.errors import ConfigError

if TYPE_CHECKING:
    from anomalib_lite.data.samples import Folders

OUTPUT = "Output"  # the headings that several commands have
IMAGES = "Images"
RATES = "Certified rates"
GOLDEN = "Golden images, for detectors that compare"
RUNNING = "Running"
EXIT_CODE = "Exit code"
SMALLEST = 1e-6  # share that can be promised: three million parts have to be held out for it
SETTINGS = "Settings"

Model: TypeAlias = Annotated[
    Path,
    typer.Argument(metavar="MODEL", help="A trained model: a folder, or a zip file that `export` made."),
]
Data: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="DATA",
        help="The images: a folder of them, a folder in the MVTec layout (train/good, test/KIND, ground_truth/KIND), "
        "or a CSV file with a column 'image'.",
    ),
]
Detector: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="DETECTOR",
        help="Name of a detector. `anomalib-lite plugins list` names those that are installed.",
    ),
]
Group: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Finds the physical part in the path of an image, such as 'part(\\d+)': images with the same text in the "
        "parentheses show one part. Default: each image shows another part, or what the CSV file says.",
        rich_help_panel=IMAGES,
    ),
]
Session: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="REGEX",
        help="Finds the session in the path of an image, such as '(\\d{4}-\\d\\d-\\d\\d)': the day, lot, camera or "
        "scanner. How each session would fare by the threshold of the others is measured. Default: what the CSV file "
        "says.",
        rich_help_panel=IMAGES,
    ),
]
Column: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=CSVNAME",
        help="Read a field from another column of the CSV file, such as group=board. May be repeated.",
        rich_help_panel=IMAGES,
    ),
]
Good: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER",
        help="This folder of DATA holds good images, whatever it is called: a path below DATA, or a name that folders "
        "have anywhere in it. May be repeated.",
        rich_help_panel=IMAGES,
    ),
]
Defective: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FOLDER",
        help="This folder of DATA holds defective images: they are not trained on. May be repeated.",
        rich_help_panel=IMAGES,
    ),
]
AllGood: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--all-good",
        help="All images of DATA are good, whatever folders they lie in: dates, cameras, lots.",
        rich_help_panel=IMAGES,
    ),
]
GoldenImage: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Compare with this golden image. Default: those that the model carries.",
        rich_help_panel=GOLDEN,
    ),
]
Overwrite: TypeAlias = Annotated[
    bool, typer.Option("--overwrite", help="Replace what --out names.", rich_help_panel=OUTPUT)
]
Strict: TypeAlias = Annotated[
    bool, typer.Option("--strict", help="Exit with 3 if any image could not be measured.", rich_help_panel=EXIT_CODE)
]
Threads: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Threads that one image is judged with; 0 leaves it to onnxruntime.",
        rich_help_panel=RUNNING,
    ),
]
Workers: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Processes that judge images; 0 takes as many as pay, by cores, free memory and number of images. The "
        "cores are shared among them, unless --threads is given. With --ray, how many are at work in the cluster at "
        "once; 0 takes as many as it has cores.",
        rich_help_panel=RUNNING,
    ),
]
Ray: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Run on a Ray cluster: HOST:PORT or ray://HOST:PORT; alone, that which runs on this machine, or one of "
        "its own. Needs the extra 'cluster'.",
        rich_help_panel=RUNNING,
    ),
]
MaxFalseReject: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be rejected. Default: 1%.",
        rich_help_panel=RATES,
    ),
]
Confidence: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="RATE", help="Confidence of the bounds. Default: 95%.", rich_help_panel=RATES),
]
Review: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="RATE",
        help="Largest share of good parts that may be other than OK, the rejected ones among them. "
        "Default: 5%, or five times --max-false-reject where that is more.",
        rich_help_panel=RATES,
    ),
]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", help="Read settings from a YAML file. Options given here win over it.", rich_help_panel=SETTINGS
    ),
]
Settings: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as score.sigma=2. It wins over the file. May be repeated. "
        "`anomalib-lite plugins show DETECTOR` explains every setting.",
        rich_help_panel=SETTINGS,
    ),
]
Provider: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="PROVIDER",
        help="Where onnxruntime runs: cpu, cuda, tensorrt, openvino, coreml or directml.",
        rich_help_panel=RUNNING,
    ),
]


def named(path: Path) -> Path:
    """A path that has a name to put another one beside: of '.', the folder that it stands for."""
    return path if path.name else path.absolute()


FILES = {
    *(".onnx", ".pt", ".pth", ".ckpt", ".safetensors", ".csv", ".json", ".jsonl", ".html", ".yaml", ".yml", ".txt"),
    *(".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".zip", ".gz", ".tar", ".pdf"),
}


def folder(path: Path, *, zipped: bool = False) -> Path:
    """Where `--out` writes a folder: a name that looks like a file's is a mistake.

    Args:
        path: What `--out` names.
        zipped: Whether a name that ends in .zip is one file.

    Returns:
        A path that has a name, as `named` makes it.

    Raises:
        ConfigError: It is such a name.
    """
    if (suffix := path.suffix.lower()) in FILES and not (zipped and suffix == ".zip"):
        either = "a folder, or a zip file where the name ends in .zip," if zipped else "a folder"
        raise ConfigError(f"--out {path}: {either} is written, and not a file '{suffix}'. Leave '{suffix}' out.")
    return named(path)


def rate(text: str | None, option: str) -> float | None:
    """A share from '1%', '1 %' or '0.01'.

    Raises:
        ConfigError: It is neither.
    """
    if text is None:
        return None
    from anomalib_lite.config.reading import share

    try:
        value = float(share(text))
    except ValueError:
        value = -1.0
    if not SMALLEST <= value <= 1 - SMALLEST:
        raise ConfigError(
            f"{option} {text}: expected a share above 0 and below 100 %, from 0.0001% to 99.9999%, such as 1% or 0.01."
        )
    return value


def folders(good: list[str] | None, defective: list[str] | None, all_good: bool) -> Folders:
    """Which folders hold good images.

    Raises:
        ConfigError: All are said to be good, and some are named.
    """
    from anomalib_lite.data.samples import Folders

    if all_good and (good or defective):
        raise ConfigError("--all-good says that no folder is to be told from another: leave out --good, --defective.")
    return Folders(tuple(good or ()), tuple(defective or ()), all_good)


def overrides(
    training: Mapping[str, Any], rates: Mapping[str, str | None], calibration: Mapping[str, Any]
) -> dict[str, Any]:
    """What was asked for of two sections, by dotted keys.

    Raises:
        ConfigError: A rate is none.
    """
    read = {name: rate(text, f"--{name.replace('_', '-')}") for name, text in rates.items()}
    asked = {f"training.{name}": value for name, value in training.items()}
    asked |= {f"calibration.{name}": value for name, value in (read | dict(calibration)).items()}
    return {key: value for key, value in asked.items() if value is not None}


def one_of(text: str, allowed: tuple[str, ...], option: str) -> Any:
    """One of a few words.

    Raises:
        ConfigError: It is another one.
    """
    if text not in allowed:
        raise ConfigError(f"{option} {text}: expected {' or '.join(allowed)}.")
    return text


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
