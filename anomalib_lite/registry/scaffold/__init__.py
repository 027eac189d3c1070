"""`plugins new`: a package with a detector that works as written, under the name of its author's choice."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, TypeAlias

from jinja2 import Environment, PackageLoader, StrictUndefined

from anomalib_lite import registry
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import API_VERSION
from anomalib_lite.version import __version__

__all__ = ["create", "package_name"]


Kind: TypeAlias = Literal["image", "reference", "backbone", "reader"]


def create(name: str, out: Path, kind: Kind = "image") -> Path:
    """Write a new package, whole or not at all.

    Args:
        name: Of the detector, or the reader, and of its import package; hyphens count as underscores.
        out: The folder to write into; created.
        kind: What the detector looks at: pixels of the image, those of a golden image beside it, or features of a
            pretrained backbone; or a reader in its place.

    Returns:
        The folder of the package, OUT/acme-gauss for the detector acme_gauss.

    Raises:
        ConfigError: The name is no good or taken, the folder exists, or it cannot be written.
    """
    package = package_name(name)
    folder = out / package.replace("_", "-")
    if folder.exists() or folder.is_symlink():
        raise ConfigError(
            f"{folder} exists already, and is left as it is. Choose another NAME, or another folder: --out."
        )
    files = _render(package, kind)
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=out, prefix=f".{folder.name}-") as temporary:
            unfinished = Path(temporary) / folder.name
            for place, text in files.items():
                path = unfinished / place
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            unfinished.rename(folder)
    except OSError as error:
        raise ConfigError(
            f"{folder}: cannot be written ({error.strerror or error}). Choose another folder: --out."
        ) from error
    return folder


def package_name(name: str) -> str:
    """The import package of a detector: its name with underscores.

    Raises:
        ConfigError: It is no name for a package, or another package would clash with it.
    """
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", package):
        suggestion = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        raise ConfigError(
            f"'{name}' cannot name a detector: expected lower-case letters, digits and single underscores or hyphens, "
            f"a letter first, such as '{suggestion or 'acme_gauss'}'."
        )
    if keyword.iskeyword(package) or package in sys.stdlib_module_names:
        raise ConfigError(
            f"'{name}' is a word or a module of Python itself: put your own before it, as 'acme_{package}'."
        )
    installed = registry.load()
    taken = [str(installed.providers[package])] if package in installed.detectors else []
    taken += [
        str(problem.provider)
        for problem in installed.problems
        if package in (problem.provider.entry_point, *problem.names)
    ]
    if taken:
        raise ConfigError(f"a detector '{package}' is installed already, from {taken[0]}. Choose another NAME.")
    module = importlib.util.find_spec(package)
    if module is not None and module.origin is not None:  # None: a mere folder of this name
        raise ConfigError(f"a package '{package}' is installed already ({module.origin}). Choose another NAME.")
    return package


def _render(package: str, kind: Kind) -> dict[str, str]:
    """The texts of the package by their places in it."""
    environment = Environment(
        loader=PackageLoader("anomalib_lite.registry.scaffold"),
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    templates = {
        "pyproject.toml": "pyproject.toml",
        "README.md": "README.md",
        "LICENSE": "LICENSE",
        ".gitignore": "gitignore",
        ".github/workflows/ci.yml": "ci.yml",
        f"src/{package}/__init__.py": f"{kind}/entry.py",
        f"tests/test_{package}.py": f"{kind}/test.py",
    }
    modules = ("reading.py",) if kind == "reader" else ("config.py", "detector.py")
    templates |= {f"src/{package}/{module}": f"{kind}/{module}" for module in modules}
    if kind == "reader":
        templates["README.md"] = "reader/README.md"
    values = {
        "package": package,
        "distribution": package.replace("_", "-"),
        "kind": kind,
        "api": API_VERSION,
        "host": __version__,
    }
    return {
        place: environment.get_template(f"{template}.jinja").render(values) for place, template in templates.items()
    }
