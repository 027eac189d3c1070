"""Runs a graph over one image: frames in, one score and one map out. The only place that calls onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from anomalib_lite.edge.framing import Frame, Framing
from anomalib_lite.errors import ConfigError, ImageError, ModelError

TILES_PER_RUN = 4
PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}


@dataclass(frozen=True, eq=False)
class Measurement:
    """What the graph says of one image, in raw units: higher is more anomalous."""

    score: float
    anomaly_map: NDArray[np.float32]  # (h, w), covers the source image
    valid: NDArray[np.bool_]  # (h, w)

    @property
    def peak(self) -> float:
        """Largest valid value of the map: what the map threshold is calibrated on."""
        return float(self.anomaly_map[self.valid].max())


class Runtime:
    """One loaded graph. Safe to use from several threads at once.

    Sizes never change between runs, since onnxruntime keeps memory for each new one: one image a run, or a fixed and
    padded number of tiles.
    """

    def __init__(
        self, graph: bytes, framing: Framing, inputs: Sequence[str], *, provider: str = "cpu", threads: int = 0
    ) -> None:
        """Load a graph.

        Args:
            graph: The ONNX file.
            framing: How images become its inputs.
            inputs: Names that the manifest gives its inputs; compared with the graph's.
            provider: One of `PROVIDERS`.
            threads: For one run; 0 lets onnxruntime choose.

        Raises:
            ModelError: The graph does not load, or is not what the manifest describes.
            ConfigError: The provider is unknown or not installed.
        """
        self.framing = framing
        self._chunk = TILES_PER_RUN if framing.mode == "tile" else 1
        self._session = _session(graph, provider, threads)
        self._inputs = tuple(inputs)
        _check_signature(self._session, framing, self._inputs)

    def measure(self, pixels: NDArray[np.generic], reference: NDArray[np.generic] | None = None) -> Measurement:
        """Measure one image (H, W, C) of the spec's dtype, RGB where it has colour.

        Raises:
            ImageError: Another dtype or other channels than the model takes; a result that is not finite; nothing of
                the image is inside the region of interest.
        """
        frames = self.framing.frames(pixels)
        references = None if reference is None else self.framing.frames(reference)
        counted = [index for index, frame in enumerate(frames) if frame.valid.any()]
        if not counted:
            raise ImageError("nothing of the image is inside the region of interest: check image.roi", "wrong_size")
        scores = np.full(len(frames), -np.inf, np.float32)
        maps = np.empty((len(frames), self.framing.spec.height, self.framing.spec.width), np.float32)
        for start in range(0, len(frames), self._chunk):
            chosen = range(start, min(start + self._chunk, len(frames)))
            scores[chosen], maps[chosen] = self._run(frames, references, chosen)
        score = float(scores[counted].max())
        if not (np.isfinite(score) and np.isfinite(maps).all()):
            raise ImageError("the model's result is not finite: the image cannot be judged", "not_finite")
        anomaly_map, valid = self.framing.assemble(frames, list(maps))
        return Measurement(score, anomaly_map, valid)

    def _run(
        self, frames: Sequence[Frame], references: Sequence[Frame] | None, chosen: range
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Scores (n,) and maps (n, h, w) of up to one chunk of frames, padded with the last to the fixed number."""
        padded = [min(chosen.start + index, chosen.stop - 1) for index in range(self._chunk)]
        feed: dict[str, NDArray[Any]] = {"image": np.stack([frames[index].image for index in padded])}
        if "reference" in self._inputs:
            if references is None:
                raise ImageError("this model compares with a reference image, and none was given", "missing")
            feed["reference"] = np.stack([references[index].image for index in padded])
        if "valid" in self._inputs:
            feed["valid"] = np.stack([frames[index].valid for index in padded])[..., None].astype(np.uint8)
        scores, maps = self._session.run(["score", "anomaly_map"], feed)
        return scores[: len(chosen)], maps[: len(chosen), 0]


def _session(graph: bytes, provider: str, threads: int) -> onnxruntime.InferenceSession:
    name = PROVIDERS.get(provider)
    available = onnxruntime.get_available_providers()
    if name not in available:
        usable = ", ".join(key for key, value in PROVIDERS.items() if value in available)
        raise ConfigError(f"--provider {provider}: not in this onnxruntime. Usable here: {usable}.")
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # with fixed sizes memory stays flat without it
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves a busy machine
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(graph, options, providers=[name])
    except Exception as error:  # noqa: BLE001 - onnxruntime raises a type of its own for each failure
        raise ModelError(f"onnxruntime refuses the graph: {error}. Train or export the model again.") from error


def _check_signature(session: onnxruntime.InferenceSession, framing: Framing, inputs: tuple[str, ...]) -> None:
    spec = framing.spec
    pixels = [spec.height, spec.width, spec.channels]
    expected: Mapping[str, tuple[str, list[int]]] = {
        "image": (f"tensor({spec.dtype})", pixels),
        "reference": (f"tensor({spec.dtype})", pixels),
        "valid": ("tensor(uint8)", [spec.height, spec.width, 1]),
    }
    found = {item.name: (item.type, list(item.shape[1:])) for item in session.get_inputs()}
    wanted = {name: expected[name] for name in inputs}
    outputs = {item.name for item in session.get_outputs()}
    if found != wanted or outputs != {"score", "anomaly_map"}:
        raise ModelError(f"the graph takes {found} and gives {sorted(outputs)}; the manifest describes {wanted}.")
