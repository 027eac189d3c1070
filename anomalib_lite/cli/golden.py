"""The golden image that an option names."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from anomalib_lite.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from anomalib_lite.edge.joint import Joint
    from anomalib_lite.edge.model import Model
    from anomalib_lite.edge.modelset import ModelSet


def golden_image(path: Path | None, model: Model | Joint | ModelSet, option: str) -> Path | None:
    """The golden image of an option, read once so that nothing is inspected against one that cannot be.

    Raises:
        ConfigError: The model compares with none, or this one cannot be read.
    """
    from anomalib_lite.edge.model import Model

    if path is None:
        return None
    if not isinstance(model, Model) or not model.bundle.manifest.compares:
        raise ConfigError(f"{option} {path}: {model.bundle.path} compares with nothing. Leave it out.")
    try:
        model.intake.read(path)
    except ImageError as error:
        raise ConfigError(f"{option} {error}") from error
    return path
