"""Runs a graph over one image: frames in, one score and one map out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge import libraries
from anomalib_lite.edge.bundle import admission
from anomalib_lite.edge.bundle.admission import Signature
from anomalib_lite.edge.golden.alignment import Alignment
from anomalib_lite.edge.golden.pairing import Pair, closest, pairs
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images.framing import Frame, Framing
from anomalib_lite.edge.images.thumbnail import SIDE, thumbnail
from anomalib_lite.edge.manifest import ImageSpec, normalised
from anomalib_lite.edge.sessions import Divided, Feed, Head, session
from anomalib_lite.errors import ErrorCode, ImageError, ModelError

FEATURES = 64  # of a thumbnail
TILES_PER_RUN = 4
PIXELS_PER_RUN = TILES_PER_RUN * 256 * 256  # of tiles: fewer where they are larger, so that memory stays bounded


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a model that compares has seen, all in the golden frame."""

    golden: NDArray[Any]  # (H, W, C)
    image: NDArray[Any]  # (h, w, C) the inspected image as the graph takes it
    anomaly_map: NDArray[np.float32]  # (h, w)
    alignment: Alignment | None = None  # where the inspected image was aligned


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the graph says of one image, in raw units: higher is more anomalous."""

    score: float
    anomaly_map: NDArray[np.float32]  # (h, w), covers the source image
    valid: NDArray[np.bool_]  # (h, w)
    comparison: Comparison | None = None  # where the model compares with a golden image
    seen: float | None = None  # share of what has to be shown that the image shows; None where it was not aligned
    rival: float | None = None  # the score in another pose, where that explains the image as well

    @property
    def peak(self) -> float:
        """Largest valid value of the map: what the map threshold is calibrated on."""
        return float(self.anomaly_map[self.valid].max())


class Glance:
    """The small graph that sees a thumbnail of a whole image, for the gate. Safe to use from several threads."""

    def __init__(self, graph: bytes | Head, spec: ImageSpec) -> None:
        """Load a graph.

        Args:
            graph: The ONNX file, or what is left of it beside one that several models share.
            spec: What is black and what is white, and how many channels there are.

        Raises:
            ModelError: The graph is not admitted, or does not load.
        """
        given: Signature = {"image": ("float", (None, SIDE, SIDE, spec.channels))}
        made: Signature = {"features": ("float", (None, FEATURES))}
        self._spec, self._session = spec, _loaded(graph, given, made, 1, "cpu", 1)

    def features(self, cells: NDArray[np.float64]) -> NDArray[np.float32]:
        """Features (d,) of a thumbnail (SIDE, SIDE, C)."""
        found: NDArray[np.float32] = self._session.run(["features"], self._feed(cells))[0][0]
        return found

    def begun(self, pixels: NDArray[np.generic]) -> Feed:
        """Of one that shares its graph: what all that share it see of an image (H, W, C)."""
        found: Feed = self._session.begin(self._feed(thumbnail(pixels)))
        return found

    def finished(self, handed: Feed) -> float:
        """`distance` of an image that another one has begun."""
        return float(np.linalg.norm(self._session.finish(["features"], handed)[0][0].astype(np.float64)))

    def _feed(self, cells: NDArray[np.float64]) -> Feed:
        return {"image": normalised(cells, self._spec.black, self._spec.white).astype(np.float32)[None]}

    def distance(self, pixels: NDArray[np.generic]) -> float:
        """How far an image (H, W, C) lies from the middle of the training, in units of its spread."""
        return float(np.linalg.norm(self.features(thumbnail(pixels)).astype(np.float64)))


class Runtime:
    """One loaded graph. Safe to use from several threads at once.

    Sizes never change between runs, since onnxruntime keeps memory for each new one: one image a run, or a fixed and
    padded number of tiles.
    """

    def __init__(
        self, graph: bytes | Head, framing: Framing, inputs: Sequence[str], *, provider: str = "cpu", threads: int = 0
    ) -> None:
        """Load a graph.

        Args:
            graph: The ONNX file, or what is left of it beside one that several models share.
            framing: How images become its inputs.
            inputs: Names that the manifest gives its inputs; compared with the graph's.
            provider: One of `PROVIDERS`.
            threads: For one run; 0 lets onnxruntime choose.

        Raises:
            ModelError: The graph is not admitted, is not what the manifest describes, or does not load.
            ConfigError: The provider is unknown, not installed, or does not start, or a library is too old.
        """
        libraries.check()
        self.framing = framing
        self._chunk = 1
        if framing.mode == "tile":
            self._chunk = min(TILES_PER_RUN, max(1, PIXELS_PER_RUN // (framing.spec.height * framing.spec.width)))
        self._inputs = tuple(inputs)
        self.provider, self.threads = provider, threads
        self._session = _loaded(graph, *_signature(framing, self._inputs), self._chunk, provider, threads)

    def measure(
        self, pixels: NDArray[np.generic], goldens: Sequence[View] = (), valid: NDArray[np.bool_] | None = None
    ) -> Measurement:
        """Measure one image (H, W, C) of the spec's dtype, RGB where it has colour.

        Args:
            pixels: The image.
            goldens: Where the model compares: what with. Of several, the one with the smallest score counts.
            valid: (H, W), what of the image is to be inspected; None for all of it.

        Raises:
            ImageError: Another dtype or other channels than the model takes; a result that is not finite; nothing of
                the image is inside the region of interest; it cannot be aligned with any of the golden images.
        """
        framing = self.framing.of(valid)
        if "reference" not in self._inputs:
            return self._measure(framing, framing.frames(pixels), None)
        found = [self._paired(one) for one in pairs(framing, pixels, goldens, valid)]
        least = framing.pose.least if framing.pose else 0.0
        shown = [one for one in found if one.seen is None or one.seen >= least]  # what shows little differs in little
        return min(shown or found, key=lambda measured: measured.score)

    def _paired(self, pair: Pair) -> Measurement:
        found = self._measure(pair.framing, pair.frames, pair)
        if pair.rival is None:
            return found
        return replace(found, rival=self._measure(pair.rival.framing, pair.rival.frames, pair.rival).score)

    def _measure(self, framing: Framing, frames: Sequence[Frame], pair: Pair | None) -> Measurement:
        if not any(frame.valid.any() for frame in frames):
            raise ImageError(
                "nothing of the image is inside the region of interest: check image.roi and Picture.valid",
                ErrorCode.WRONG_SIZE,
            )
        outputs = [self.run(feed) for feed in self._feeds(frames, pair.references if pair else ())]
        scores = [float(one) for scores, _ in outputs for one in scores][: len(frames)]
        maps = [one[0] for _, maps in outputs for one in maps][: len(frames)]
        score = max(one for one, frame in zip(scores, frames, strict=True) if frame.valid.any())
        if not (np.isfinite(scores).all() and all(np.isfinite(one).all() for one in maps)):
            raise ImageError("the model's result is not finite: the image cannot be judged", ErrorCode.NOT_FINITE)
        if pair is None:
            return Measurement(score, *framing.assemble(frames, maps))
        anomaly_map, valid = framing.assemble(frames, maps)
        comparison = Comparison(pair.golden, pair.image, anomaly_map, pair.alignment)
        return Measurement(score, *pair.to_source(anomaly_map, valid), comparison, pair.seen)

    def feeds(self, pixels: NDArray[np.generic], goldens: Sequence[View] = ()) -> Iterator[Feed]:
        """The inputs of each run for one image: names to arrays (N, h, w, C), N always the same.

        Of several golden images, the one that the image differs least from is its reference.

        Raises:
            ImageError: As `measure`.
        """
        if "reference" not in self._inputs:
            return self._feeds(self.framing.frames(pixels), ())
        one = closest(self.framing, pixels, goldens)
        return self._feeds(one.frames, one.references)

    def run(self, feed: Feed) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Run the graph: scores (N,) and maps (N, 1, h, w)."""
        scores, maps = self._session.run(["score", "anomaly_map"], feed)
        return scores, maps

    def _feeds(self, frames: Sequence[Frame], references: Sequence[Frame]) -> Iterator[Feed]:
        for start in range(0, len(frames), self._chunk):
            chosen = [min(index, len(frames) - 1) for index in range(start, start + self._chunk)]
            arrays: dict[str, list[NDArray[Any]]] = {
                "image": [frames[index].image for index in chosen],
                "reference": [references[index].image for index in chosen if references],
                "valid": [frames[index].valid[..., None].view(np.uint8) for index in chosen],
            }
            yield {name: np.stack(arrays[name]) for name in self._inputs}


def _loaded(graph: bytes | Head, inputs: Signature, outputs: Signature, batch: int, provider: str, threads: int) -> Any:
    """What runs a graph, once it is admitted; one beside another graph is loaded where it is first run."""
    if isinstance(graph, Head):
        return Divided(graph, inputs, outputs, batch)
    admission.admit(graph, inputs, outputs, batch)
    return session(graph, provider, threads)


def _signature(framing: Framing, inputs: Sequence[str]) -> tuple[Signature, Signature]:
    """Inputs and outputs of the graph that a manifest describes."""
    spec = framing.spec
    dtype = "float" if spec.dtype == "float32" else spec.dtype
    pixels = (dtype, (None, *(framing.source or (spec.height, spec.width)), spec.channels))
    known = {"image": pixels, "reference": pixels, "valid": ("uint8", (None, spec.height, spec.width, 1))}
    if strange := [name for name in inputs if name not in known]:
        raise ModelError(f"the manifest describes the unknown input '{strange[0]}'. Restore the bundle, or upgrade.")
    outputs = {"score": ("float", (None,)), "anomaly_map": ("float", (None, 1, spec.height, spec.width))}
    return {name: known[name] for name in inputs}, outputs
