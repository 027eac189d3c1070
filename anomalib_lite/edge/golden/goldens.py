"""The golden images of a model, and which of them an inspected image is compared with."""

from __future__ import annotations

import re
import unicodedata
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images.kept import Kept, beside
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.picture import Corners, Picture, elsewhere
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError

FOLDER = "reference"  # of a bundle
MAX_GOLDENS = 32  # that a bundle carries
KEPT = 8  # golden images outside of the bundle whose features are kept


class Goldens:
    """The golden images of a model, and which of them an inspected image is compared with."""

    def __init__(
        self, sources: Mapping[str, Path | bytes | Kept], pattern: str | None = None, opener: Opener = PLAIN
    ) -> None:
        r"""Read all of them.

        Args:
            sources: Name -> file or its bytes.
            pattern: A regular expression; an image is compared with those golden ones whose name gives the same first
                capture: r"design(\d+)". None: with all of them.
            opener: Opens them.

        Raises:
            ConfigError: The pattern has no meaning, or finds nothing in a golden image's name.
            ImageError: A golden image cannot be read.
        """
        self._files = [_file(name, one, opener) for name, one in sources.items()]
        self.names = [one.name for one in self._files]
        self.pattern = pattern
        self._compiled = _compiled(pattern)
        self._keys = [self._key(name) for name in self.names]
        missed = [name for name, key in zip(self.names, self._keys, strict=True) if key is None]
        if pattern is not None and missed:
            raise ConfigError(f"golden pattern '{pattern}': finds nothing in the golden image's name {missed[0]}.")
        self.views = [_view(opener.read(one), one.name) for one in self._files]
        self._kept: OrderedDict[tuple[Path, object], View] = OrderedDict()

    @property
    def files(self) -> dict[str, bytes]:
        """Names in a bundle -> contents, with masks beside those that are not inspected all over."""
        files = {f"{FOLDER}/{one.name}": one.content for one in self._files}
        masks = {beside(f"{FOLDER}/{one.name}"): one.valid for one in self._files}
        return files | {name: mask for name, mask in masks.items() if mask is not None}

    @property
    def corners(self) -> dict[str, Corners]:
        """Names in a bundle -> where they lie, of those of which something says it."""
        named = zip(self.names, self.views, strict=True)
        return {f"{FOLDER}/{name}": view.corners for name, view in named if view.corners is not None}

    def named(self, name: str | None) -> Sequence[View]:
        """Those that an image of this name is compared with: all where there is no pattern, or no name.

        Raises:
            ImageError: No golden image has the name that the pattern asks for.
        """
        if self._compiled is None or name is None:
            return self.views
        key = self._key(name)
        chosen = [view for view, own in zip(self.views, self._keys, strict=True) if own == key and key is not None]
        if not chosen:
            raise ImageError(
                f"{name}: no golden image matches its name by the pattern '{self.pattern}'", ErrorCode.MISSING
            )
        return chosen

    def kept(self, path: Path, read: Callable[[Path], Picture]) -> View:
        """A golden image of an image's own; the latest `KEPT` stay in memory, with their features.

        Raises:
            ImageError: It cannot be read.
        """
        state = _state(path)
        view = self._kept.pop((path, state), None) or _view(read(path), path.name)
        if state is not None:
            self._kept[path, state] = view
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return view

    def _key(self, name: str) -> str | None:
        match = self._compiled.search(unicodedata.normalize("NFC", name)) if self._compiled else None
        return match[1] if match else None


def _file(name: str, one: Path | bytes | Kept, opener: Opener) -> Kept:
    if isinstance(one, Path):
        return opener.kept(one, name)
    return one if isinstance(one, Kept) else Kept(name, one)


def on_grid(picture: Picture, views: Sequence[View]) -> Sequence[View]:
    """Of golden images those that lie where an image lies, and those of which nothing says where they lie.

    Raises:
        ImageError: All lie elsewhere (`other_geometry`): they show other places.
    """
    apart = [_apart(picture, view) for view in views]
    if views and all(apart):
        more = f" (of {len(views)}: {views[0].name})" if len(views) > 1 else ""
        raise ImageError(
            f"the golden image{more} lies elsewhere than this one: their corners are {apart[0]}. Register one of them, "
            "and resample it onto the grid of the other",
            ErrorCode.OTHER_GEOMETRY,
        )
    return [view for view, far in zip(views, apart, strict=True) if not far]


def _apart(picture: Picture, view: View) -> str:
    """How far an image lies from a golden one, in words; empty where it does not, or nothing says."""
    if picture.corners and view.corners and (size := picture.pixels.shape[:2]) != view.pixels.shape[:2]:
        return f"those of {' x '.join(map(str, view.pixels.shape[:2]))} pixels, and of {' x '.join(map(str, size))}"
    return elsewhere(view.corners, picture.corners)


def _view(picture: Picture, name: str) -> View:
    return View(picture.pixels, name, picture.valid, picture.corners)


def _state(path: Path) -> tuple[int, int] | None:
    """What tells a file from a later one in its place; None where it is gone."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_mtime_ns, status.st_size


def _compiled(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(unicodedata.normalize("NFC", pattern))
    except re.error as error:
        raise ConfigError(
            f"golden pattern '{pattern}' is not a regular expression ({error}). Write it as in 'design(\\d+)'."
        ) from error
    if compiled.groups == 0:
        raise ConfigError(rf"golden pattern '{pattern}' captures nothing: put the name in brackets: 'design(\d+)'.")
    return compiled
