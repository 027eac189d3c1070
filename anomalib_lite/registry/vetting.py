"""Whether what a plugin's hooks return is what `anomalib_lite.hookspecs` describes: found on loading, not in use."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from anomalib_lite import config as configuration
from anomalib_lite.config import Config, DetectorConfig, ReaderConfig
from anomalib_lite.edge.images import readers
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import API_VERSION, PLANTED, DetectorInfo, ReaderInfo, WriterInfo

NAME = re.compile(r"[a-z][a-z0-9_]*")
TARGET = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")
FIT_ON = ("good", "unlabelled")
MEDIA = re.compile(r"[a-z0-9.+-]+/[a-z0-9.+-]+")
SUFFIX = re.compile(r"(\.[a-z0-9_+-]+)+")
INPUTS = (("image",), ("image", "reference"))


def faults(info: DetectorInfo | ReaderInfo | WriterInfo) -> list[str]:
    """What is wrong with a description, half a sentence each; nothing else is looked at where the API differs."""
    if info.api != API_VERSION:
        return [f"it speaks plugin API {info.api!r}, this host speaks {API_VERSION}: install a matching version"]
    if isinstance(info, WriterInfo):
        return list(_writer(info))
    return list(_detector(info) if isinstance(info, DetectorInfo) else _reader(info))


def _detector(info: DetectorInfo) -> Iterator[str]:
    if not _matches(NAME, info.name):
        yield f"name {_shown(info.name)}: expected lower-case letters, digits and underscores, such as 'acme_gauss'"
    if not isinstance(info.summary, str) or not info.summary.strip() or "\n" in info.summary:
        yield f"summary {_shown(info.summary)}: expected a line of text"
    if not _matches(TARGET, info.target):
        yield f"target {_shown(info.target)}: expected 'package.module:Class'"
    if info.inputs not in INPUTS:
        yield f"inputs {_shown(info.inputs)}: expected {INPUTS[0]} or {INPUTS[1]}"
    elif info.align and "reference" not in info.inputs:
        yield "align: there is no reference among the inputs to align with"
    for name, value in (("align", info.align), ("positional", info.positional)):
        if not isinstance(value, bool):
            yield f"{name} {_shown(value)}: expected True or False"
    if info.fit_on not in FIT_ON:
        yield f"fit_on {_shown(info.fit_on)}: expected 'good' or 'unlabelled'"
    for name, text in (("paper", info.paper), ("weights", info.weights)):
        if not isinstance(text, str | None):
            yield f"{name} {_shown(text)}: expected text or None"
    if not isinstance(info.members, tuple) or not all(_matches(NAME, one) for one in info.members):
        yield f"members {_shown(info.members)}: expected a tuple of detectors' names"
    for name, kinds in (("plants", info.plants), ("finds", info.finds)):
        if not isinstance(kinds, tuple) or not all(one in PLANTED for one in kinds):
            yield f"{name} {_shown(kinds)}: expected a tuple of some of {', '.join(PLANTED)}"
    yield from _config(info.config, DetectorConfig)
    yield from _defaults(info.defaults)


def _config(config: Any, base: type[BaseModel]) -> Iterator[str]:
    if not isinstance(config, type) or not issubclass(config, base):
        yield f"config {_shown(config)}: expected a subclass of anomalib_lite.config.{base.__name__}"
        return
    try:
        config()
    except ValidationError as error:
        found = " ".join(configuration.faults(config, error)).rstrip(".")
        yield f"config {config.__name__}: its defaults are not legal, and every option needs one: {found}"


def _defaults(defaults: Any) -> Iterator[str]:
    """Preferences for the host's own sections: dotted keys to values."""
    if not isinstance(defaults, Mapping) or not all(isinstance(key, str) for key in defaults):
        yield f"defaults {_shown(defaults)}: expected dotted keys of the host's configuration: {{'score.sigma': 2}}"
        return
    own = sorted(key for key in defaults if key.partition(".")[0] in ("detector", "options"))
    if own:
        yield f"defaults {_shown(own)}: the detector's own options have their defaults in its config"
        return
    try:
        Config.model_validate(configuration.load(None, defaults={"detector": "any", **defaults}))
    except ValidationError as error:
        yield f"defaults: {' '.join(configuration.faults(Config, error)).rstrip('.')}"
    except ConfigError as error:
        yield f"defaults: {str(error).rstrip('.')}"


def _reader(info: ReaderInfo) -> Iterator[str]:
    if not _matches(TARGET, info.target):
        yield f"target {_shown(info.target)}: expected 'package.module:function'"
    for what, target in (("gather", info.gather), ("sniff", info.sniff)):
        if target is not None and not _matches(TARGET, target):
            yield f"{what} {_shown(target)}: expected 'package.module:function', or None"
    if info.name != "" and not _matches(NAME, info.name):
        yield f"name {_shown(info.name)}: expected lower-case letters, digits and underscores, such as 'dicom'"
    if not isinstance(info.summary, str) or "\n" in info.summary:
        yield f"summary {_shown(info.summary)}: expected a line of text"
    if not isinstance(info.guards, tuple) or not all(isinstance(one, str) and one for one in info.guards):
        yield f"guards {_shown(info.guards)}: expected a tuple of keys of Picture.meta, such as ('modality',)"
    if not isinstance(info.content_types, tuple) or not all(_matches(MEDIA, one) for one in info.content_types):
        yield f"content_types {_shown(info.content_types)}: expected a tuple such as ('application/dicom',)"
    if info.config is not None:
        yield from _config(info.config, ReaderConfig)
    if not isinstance(info.suffixes, tuple) or not info.suffixes:
        yield f"suffixes {_shown(info.suffixes)}: expected a tuple such as ('.dcm',)"
        return
    yield from filter(None, map(readers.fault, info.suffixes))


def _writer(info: WriterInfo) -> Iterator[str]:
    if not _matches(NAME, info.name):
        yield f"name {_shown(info.name)}: expected lower-case letters, digits and underscores, such as 'dicom_seg'"
    if not isinstance(info.summary, str) or not info.summary.strip() or "\n" in info.summary:
        yield f"summary {_shown(info.summary)}: expected a line of text"
    if not _matches(TARGET, info.target):
        yield f"target {_shown(info.target)}: expected 'package.module:function'"
    if not _matches(SUFFIX, info.suffix):
        yield f"suffix {_shown(info.suffix)}: expected a dot and lower-case letters or digits, such as '.nii.gz'"
    if not isinstance(info.whole, bool):
        yield f"whole {_shown(info.whole)}: expected True for one file for all images of a file, or False"


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _shown(value: Any) -> str:
    """A value of any kind in a few characters, even one that cannot show itself."""
    return reprlib.repr(value)
