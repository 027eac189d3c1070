"""Plugins of API 1, as API 2 wants them.

What API 2 changed for a plugin: what depends on options is said by `DetectorConfig.describe`, no longer by the property
`positional` alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from anomalib_lite.hookspecs import API_VERSION, DetectorInfo, ReaderInfo, WriterInfo

Item = TypeVar("Item", bound=DetectorInfo | ReaderInfo | WriterInfo)

ADVICE = (
    "is written for plugin API 1 and works. For API 2 say api=2; in place of a property 'positional' its config has "
    "describe(self, info), which returns replace(info, positional=...)"
)


def adapted(item: Item) -> Item:
    """The description of a detector or a reader in the words of this API; as it is where it is not of API 1."""
    if item.api != 1:
        return item
    if not isinstance(item, DetectorInfo):
        return replace(item, api=API_VERSION)
    config = item.config
    if isinstance(getattr(config, "positional", None), property):
        config = type(config.__name__, (config,), {"__module__": config.__module__, "describe": _describe})
    return replace(item, config=config, api=API_VERSION)


def _describe(self: object, info: DetectorInfo) -> DetectorInfo:
    return replace(info, positional=info.positional or bool(getattr(self, "positional")))  # noqa: B009 - of API 1
