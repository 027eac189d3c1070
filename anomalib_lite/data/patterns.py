"""Regular expressions that find the part in the name of an image, its session, or its view."""

from __future__ import annotations

import re
from collections.abc import Sequence

from anomalib_lite.data.samples import normal
from anomalib_lite.errors import ConfigError


def part_pattern(expression: str | None, what: str = "group") -> re.Pattern[str] | None:
    """What finds the part in the name of an image, or its session, as its first capture.

    Raises:
        ConfigError: It is no regular expression, or captures nothing.
    """
    if expression is None:
        return None
    example = {"group": r"part(\d+)", "session": r"(\d{4}-\d\d-\d\d)", "view": "(top|side)"}[what]
    try:
        pattern = re.compile(normal(expression))
    except re.error as error:
        raise ConfigError(
            f"{what}: '{expression}' is not a regular expression ({error}). Write it as in '{example}'."
        ) from error
    if pattern.groups == 0:
        raise ConfigError(f"{what}: '{expression}' captures nothing. Put what it finds in brackets, as in '{example}'.")
    return pattern


def view_pattern(expression: str | None, views: Sequence[str]) -> re.Pattern[str]:
    """What finds the view in the name of an image; without an expression, where a view's name stands by itself.

    Raises:
        ConfigError: It is no regular expression, or captures nothing.
    """
    named = "|".join(re.escape(normal(view)) for view in sorted(views, key=len, reverse=True))
    found = part_pattern(expression or rf"(?<![^\W_])({named})(?![^\W_])", "view")
    assert found is not None
    return found
