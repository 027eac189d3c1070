"""Detectors for detectors: what a detector is made of, where it is made of others.

>>> from anomalib_lite.members import detectors
>>> isinstance(sorted(detectors()), list)
True

A detector that has members says so in its description (`DetectorInfo.members`, or by its options through
`DetectorConfig.describe`): the manifest then names their packages and weights, too.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from anomalib_lite import config as configuration
from anomalib_lite import registry
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import PLUGINS_VARIABLE, Registry, described
from anomalib_lite.registry.building import construct

if TYPE_CHECKING:
    from anomalib_lite.detector import Detector, ImageSpec

__all__ = ["build", "detectors"]


def detectors() -> Mapping[str, DetectorInfo]:
    """What the installed plugins provide, by name; what the user has left out is not among them."""
    return _plugins(os.environ.get(PLUGINS_VARIABLE)).detectors


def build(name: str, options: Mapping[str, Any], image: ImageSpec) -> Detector:
    """A new, untrained detector of another plugin, to be a member of yours: keep it as a submodule, and call its `fit`.

    Args:
        name: Of the detector.
        options: Its options; what is left out has its default.
        image: What it will see: the specification that your detector was given.

    Raises:
        PluginError: No working plugin provides it, or the user has left that out.
        ConfigError: An option is unknown or illegal.
    """
    info = _plugins(os.environ.get(PLUGINS_VARIABLE)).detector(name)
    show = f"anomalib-lite plugins show {info.name}"
    checked = configuration.validate(info.config, options, where=f"options of '{info.name}'", help_command=show)
    return construct(described(info, checked), checked, image)


@cache
def _plugins(restriction: str | None) -> Registry:
    """What is installed, looked up once: building a detector must touch no disk."""
    return registry.load()
