"""What turns a source into what the graph sees: the same object in training, calibration and on the device."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.gate import Gate
from anomalib_lite.edge.golden.goldens import Goldens, on_grid
from anomalib_lite.edge.golden.pairing import Pair, closest
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Frame, Framing
from anomalib_lite.edge.images.imaging import File, FileBytes, Limits, Opened
from anomalib_lite.edge.images.kept import Kept, beside
from anomalib_lite.edge.images.opener import PLAIN, Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Readers, complete
from anomalib_lite.edge.manifest import GoldenRecord, Range
from anomalib_lite.edge.runtime import Glance
from anomalib_lite.errors import ErrorCode, ImageError, ModelError

Source: TypeAlias = File | NDArray[np.generic]

ROI, GATE = "roi.png", "gate.onnx"  # of a bundle


@dataclass(frozen=True, eq=False)
class Intake:
    """Framing, golden images and readers of one model."""

    framing: Framing
    opener: Opener = PLAIN
    goldens: Goldens = field(default_factory=lambda: Goldens({}))  # those that the model carries
    compares: bool = False  # whether the graph has the input `reference`
    guards: Mapping[str, Sequence[Range | Any]] = field(default_factory=dict)  # key of `Picture.meta` -> the training's
    gate: Gate | None = None

    @classmethod
    def of(cls, bundle: Bundle, readers: Readers, glance: Glance | None = None) -> Self:
        """That of a bundle.

        Args:
            bundle: The bundle.
            readers: For file types that the host does not read itself.
            glance: What sees features of whole images, where it is not the bundle's own graph.

        Raises:
            ModelError: A golden image cannot be read, or needs a reader that is not here, or the gate is not whole.
            ConfigError: A reader cannot have its suffix.
        """
        manifest = bundle.manifest
        record = manifest.framing
        opener = Opener(complete(readers, manifest.readers), Limits.of(record.max_pixels))
        framing = Framing(
            spec=manifest.image,
            mode=record.mode,
            overlap=record.overlap,
            convert=record.convert,
            source=record.source,
            masked=record.masked,
            roi=region_of_interest(bundle.read(ROI)) if record.roi else None,
            align=record.align,
            pose=record.pose,
        )
        gate = None if manifest.gate is None else Gate(manifest.gate, manifest.image, glance or _glance(bundle))
        return cls(framing, opener, _goldens(bundle, opener), manifest.compares, manifest.guards, gate)

    def read(self, source: Source) -> Opened:
        """One image, as it is.

        Raises:
            ImageError: It cannot be measured, or its file says what no file of the training said (`wrong_meta`).
        """
        return self.guarded(source, self.opener.read(source))

    def guarded(self, source: Source, picture: Opened) -> Opened:
        """A picture that was read from `source`. Errors as of `read`."""
        if isinstance(source, Kept):  # the bundle's own, not all of which say where they lie
            return replace(picture, corners=None)
        if not isinstance(source, np.ndarray):  # whose files nobody has
            for key, known in self.guards.items():
                self._check(key, picture.meta.get(key), known, imaging.named(source))
        return picture

    def objection(self, source: Source, picture: Opened) -> str | None:
        """Why a picture that was read from `source` looks like none of the training; None where it does, or no gate is.

        Raises:
            ImageError: Its depth, its channels or its size are not the model's.
        """
        if self.gate is None or isinstance(source, Kept):  # which is the bundle's own
            return None
        pixels = imaging.conform(picture.pixels, self.framing.spec, convert=self.framing.convert)
        self.framing.check(pixels)
        return self.gate.objection(pixels)

    @staticmethod
    def _check(key: str, value: object, known: Sequence[Any], name: str) -> None:
        if any(_is_alike(value, one) for one in known):
            return
        there = " or ".join(str(one) if isinstance(one, Range) else repr(one) for one in known)
        said, mended = "says nothing of it" if value is None else f"says {value!r}", ""
        if isinstance(value, float) and any(isinstance(one, Range) for one in known):
            said, mended = f"says {value:g}, more than a quarter beyond", "resample it, or "
        raise ImageError(
            f"{name}: the model was trained on images with {key} {there}, this one {said}; {mended}train another model",
            ErrorCode.WRONG_META,
        )

    def candidates(self, picture: Picture, name: str | None, reference: Source | None = None) -> Sequence[View]:
        """The golden images that an image is compared with; none where the model compares with nothing.

        One of its own (`reference`) goes before those that the model carries. Of these, the image's name chooses; an
        image without a name is compared with all. Of several, the one with the smallest score counts. What lies
        elsewhere, as both say, is compared with nothing.

        Raises:
            ImageError: `reference` cannot be read, or its file says what no file of the training said; no golden image
                has the name that the pattern asks for, or all of them lie elsewhere (`other_geometry`).
        """
        if not self.compares:
            return ()
        if reference is None:
            return on_grid(picture, self.goldens.named(name))
        if isinstance(reference, (str, os.PathLike)):
            return on_grid(picture, [self.goldens.kept(Path(reference), self.read)])
        golden = self.read(reference)
        return on_grid(picture, [View(golden.pixels, valid=golden.valid, corners=golden.corners)])

    def frames(self, picture: Picture, candidates: Sequence[View]) -> Iterator[tuple[Frame, Frame | None]]:
        """The frames that a detector learns from: of the image, each with that of the closest golden image.

        Raises:
            ImageError: It cannot be aligned with any, or says that it is to be inspected in part where none can be.
        """
        framing = self.framing.of(picture.valid)
        if not self.compares:
            yield from ((frame, None) for frame in framing.frames(picture.pixels))
            return
        pair: Pair = closest(framing, picture.pixels, candidates, picture.valid)
        yield from zip(pair.frames, pair.references, strict=True)


def region_of_interest(source: Source) -> NDArray[np.bool_]:
    """A mask image as (H, W) bool: True where any channel is not 0.

    Raises:
        ImageError: It cannot be read, or excludes everything.
    """
    inside: NDArray[np.bool_] = np.any(imaging.read(source).pixels, axis=2)
    if not inside.any():
        raise ImageError(
            "the region of interest is empty: paint what is to be inspected in any value but 0", ErrorCode.EMPTY
        )
    return inside


def _is_alike(value: object, known: Range | Any) -> bool:
    """Whether what a file says is what files of the training said."""
    if isinstance(known, Range):
        return known.holds(value)
    return bool(value == known) and isinstance(value, bool) == isinstance(known, bool)


def _glance(bundle: Bundle) -> Glance | None:
    """What sees features of whole images for the gate.

    Raises:
        ModelError: They have a limit and no graph, or a graph and no limit, or the graph is not admitted.
    """
    limited = bundle.manifest.gate is not None and "features" in bundle.manifest.gate.limits
    if limited != (GATE in bundle.manifest.files):
        raise ModelError(f"{bundle.path}: {GATE} and the gate's limit of features belong together. Restore the bundle.")
    return Glance(bundle.read(GATE), bundle.manifest.image) if limited else None


def _goldens(bundle: Bundle, opener: Opener) -> Goldens:
    """The golden images that a bundle carries."""
    record = bundle.manifest.reference or GoldenRecord(files=())
    try:
        masks = {one: bundle.read(one) for one in record.valid}
        kept = [Kept(one, bundle.read(one), masks.get(beside(one)), record.corners.get(one)) for one in record.files]
        sources = {(name := PurePosixPath(one.name).name): replace(one, name=name) for one in kept}
        return Goldens(sources, record.pattern, opener)
    except ImageError as error:
        if error.code == ErrorCode.NO_READER:
            raise ModelError(f"{bundle.path}: its golden images cannot be read here. {error}.") from error
        raise ModelError(f"{bundle.path}: a golden image is damaged: {error}. Restore the bundle.") from error


def name_of(source: Source) -> str:
    """What a result calls an image that is given no name."""
    if isinstance(source, FileBytes):
        return source.name
    if isinstance(source, (str, os.PathLike)):
        return os.fspath(source)
    return "bytes" if isinstance(source, bytes) else "array"
