"""Loads graphs and runs them, alone or behind one that several models share: the only place that calls onnxruntime."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import onnxruntime
from numpy.typing import NDArray

from anomalib_lite.edge.bundle import admission
from anomalib_lite.edge.bundle.admission import Signature
from anomalib_lite.edge.manifest import SharedRecord
from anomalib_lite.errors import ConfigError, ModelError

Feed: TypeAlias = dict[str, NDArray[Any]]

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "coreml": "CoreMLExecutionProvider",
    "directml": "DmlExecutionProvider",
}


def session(graph: bytes, provider: str, threads: int, *, plans: bool = True) -> onnxruntime.InferenceSession:
    """Load a graph that was admitted.

    Args:
        graph: The ONNX file.
        provider: One of `PROVIDERS`.
        threads: For one run; 0 lets onnxruntime choose.
        plans: Whether memory is laid out after the first run, and kept: one piece for each graph.

    Raises:
        ModelError: It does not load.
        ConfigError: The provider is unknown, not installed, or does not start.
    """
    name = PROVIDERS.get(provider)
    available = onnxruntime.get_available_providers()
    if name not in available:
        usable = ", ".join(key for key, value in PROVIDERS.items() if value in available)
        raise ConfigError(f"--provider {provider}: not in this onnxruntime. Usable here: {usable}.")
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False  # with fixed sizes memory stays flat without it
    options.enable_mem_pattern = plans
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves a busy machine
    options.log_severity_level = 4
    try:
        loaded = onnxruntime.InferenceSession(graph, options, providers=[name])
    except Exception as error:
        raise ModelError(f"onnxruntime refuses the graph: {error}. Train or export the model again.") from error
    if name not in loaded.get_providers():  # it would run on the processor, many times slower, and say nothing
        raise ConfigError(
            f"--provider {provider}: this onnxruntime has it but cannot start it here. Install the driver and the "
            "libraries that it needs, or use --provider cpu."
        )
    return loaded


class Shared:
    """What several models compute alike of an image: loaded once, where the first of them needs it."""

    def __init__(self, graph: bytes, record: SharedRecord, *, provider: str, threads: int) -> None:
        """Hold a graph.

        Args:
            graph: The ONNX file.
            record: What goes in and out of it.
            provider: One of `PROVIDERS`.
            threads: For one run; 0 lets onnxruntime choose.
        """
        self.provider, self.threads, self.record = provider, threads, record
        self._graph, self._lock = graph, threading.Lock()
        self._batches: set[int] = set()
        self._session: onnxruntime.InferenceSession | None = None

    @property
    def handed(self) -> Signature:
        """What it hands on, as `admission` describes it."""
        return {name: ("float", (None, *sizes)) for name, sizes in self.record.handed.items()}

    def load(self, inputs: Signature, batch: int) -> None:
        """Load it for a head whose models take these inputs, where that has not been done.

        Raises:
            ModelError: It is not admitted, or does not load.
        """
        with self._lock:
            if batch not in self._batches:
                admission.admit(self._graph, _described(inputs, self.record.inputs), self.handed, batch)
                self._batches.add(batch)
            if self._session is None:
                self._session = session(self._graph, self.provider, self.threads)

    def run(self, names: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> Feed:
        """What it hands on under these names."""
        assert self._session is not None
        found = self._session.run(list(names), {name: feed[name] for name in self.record.inputs})
        return dict(zip(names, found, strict=True))


@dataclass(frozen=True, eq=False)
class Head:
    """What is left of a graph beside what it shares with others."""

    shared: Shared
    inputs: Sequence[str]  # of the image, and what is handed on
    read: Callable[[], bytes]  # the ONNX file, where it is loaded


class Divided:
    """Runs what models share, and then the head of one; like a session of onnxruntime. Loaded where it is first run."""

    def __init__(self, head: Head, inputs: Signature, outputs: Signature, batch: int) -> None:
        """Hold a head.

        Args:
            head: It.
            inputs: Of both together, as the manifest describes them.
            outputs: Likewise.
            batch: What stands for the symbolic size where they run.
        """
        self._head, self._inputs, self._outputs, self._batch = head, inputs, outputs, batch
        self._handed = [name for name in head.inputs if name in head.shared.record.handed]
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None

    def run(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[Any]:
        """Arguments and results as of a session.

        Raises:
            ModelError: One of the graphs is not admitted, or does not load.
        """
        return self.finish(outputs, {**feed, **self.begin(feed)})

    def begin(self, feed: Mapping[str, NDArray[Any]]) -> Feed:
        """What is shared alone."""
        self._loaded()
        return self._head.shared.run(self._handed, feed)

    def finish(self, outputs: Sequence[str], feed: Mapping[str, NDArray[Any]]) -> list[Any]:
        """The head alone, of what is shared: that of another model may have begun."""
        return list(self._loaded().run(list(outputs), {name: feed[name] for name in self._head.inputs}))

    def _loaded(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                shared, graph = self._head.shared, self._head.read()
                shared.load(self._inputs, self._batch)
                given = _described({**self._inputs, **shared.handed}, self._head.inputs)
                admission.admit(graph, given, self._outputs, self._batch)
                # without plans: these would be as large as all that is computed, for each of many products
                self._session = session(graph, shared.provider, shared.threads, plans=False)
            return self._session


def _described(known: Signature, names: Sequence[str]) -> Signature:
    """Some inputs of those that are known.

    Raises:
        ModelError: One is not.
    """
    if strange := [name for name in names if name not in known]:
        raise ModelError(f"a part of the graph reads '{strange[0]}', which nothing gives. Restore the set.")
    return {name: known[name] for name in names}
