"""The templates of the pages: one environment for all, so that what comes from outside stands in each as text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from anomalib_lite.edge.quoting import visible
from anomalib_lite.version import __version__


@cache
def _environment() -> Environment:
    """One for all pages of a process: it keeps what it has compiled."""
    environment = Environment(
        loader=PackageLoader("anomalib_lite.report"),
        autoescape=True,
        finalize=visible,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.globals["version"] = __version__
    environment.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return environment


def template(name: str, filters: Mapping[str, Callable[..., Any]] | None = None) -> Template:
    """A template of this folder: what it is given is escaped, and a variable that is missing is an error.

    Args:
        name: Of its file.
        filters: What it calls.
    """
    environment = _environment()
    environment.filters |= filters or {}
    return environment.get_template(name)
