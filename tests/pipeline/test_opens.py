"""How often each image file is opened, counted by the interpreter itself; and how often a graph is loaded."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
from conftest import recalibrate

from anomalib_lite.edge.model import Model
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps

_counters: list[Counter[Path]] = []
GROUP = r"part(\d+)"


@cache
def _listen() -> None:
    """Once, for good: an audit hook cannot be taken back."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if _counters and event == "open" and isinstance(arguments[0], (str, bytes)):
            path = Path(arguments[0] if isinstance(arguments[0], str) else arguments[0].decode())
            for counter in _counters:
                counter[path] += 1

    sys.addaudithook(hook)


@contextmanager
def counted() -> Iterator[Counter[Path]]:
    _listen()
    counter: Counter[Path] = Counter()
    _counters.append(counter)
    try:
        yield counter
    finally:
        _counters.remove(counter)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What onnxruntime loads."""
    seen: list[object] = []
    session = onnxruntime.InferenceSession

    def load(graph: bytes, *rest: Any, **more: Any) -> Any:
        seen.append(graph)
        return session(graph, *rest, **more)

    monkeypatch.setattr(onnxruntime, "InferenceSession", load)
    return seen


def of(counter: Counter[Path], folder: Path) -> dict[str, int]:
    inside = {path: number for path, number in counter.items() if path.is_relative_to(folder)}
    return {path.name: number for path, number in inside.items() if path.suffix == ".png"}


def test_a_training_opens_each_image_twice_and_loads_its_graph_once(
    train: Callable[..., Any], parts: Path, tmp_path: Path, loads: list[object]
) -> None:
    """Before the fit, and when it is learnt from or scored: self-check and report open nothing again."""
    with counted() as counter:
        train(parts, tmp_path / "model")
    opens = of(counter, parts / "train")
    assert len(opens) == 40
    assert set(opens.values()) == {2}
    assert len(loads) == 1


def test_a_training_in_tiles_opens_no_image_more_often(train: Callable[..., Any], parts: Path, tmp_path: Path) -> None:
    with counted() as counter:
        train(parts, tmp_path / "model", {"image.mode": "tile", "image.overlap": 8}, detector="contrast")
    assert max(of(counter, parts / "train").values()) == 2


@pytest.mark.parametrize("heatmaps", [False, True])
@pytest.mark.parametrize("out", [False, True])
def test_predict_opens_each_image_once(
    model_path: Path, parts: Path, tmp_path: Path, out: bool, heatmaps: bool
) -> None:
    if heatmaps and not out:
        return
    model = Model(model_path)
    place, shown = tmp_path / "out" if out else None, Heatmaps.ALL if heatmaps else None
    with counted() as counter:
        predict(model, [parts / "test"], out=place, heatmaps=shown)
    opens = of(counter, parts / "test")
    assert len(opens) == 20
    assert set(opens.values()) == {1}


def test_evaluate_opens_each_image_once_beside_the_check_of_its_mask(
    model_path: Path, parts: Path, tmp_path: Path
) -> None:
    model = Model(model_path)
    with counted() as counter:
        evaluate(model, parts, out=tmp_path / "out", group=GROUP)
    assert set(of(counter, parts / "test/good").values()) == {1}
    assert set(of(counter, parts / "test/dent").values()) == {2}  # the header, to compare its size with the mask's


def test_calibrate_opens_each_image_once_and_loads_the_graph_once(
    model_path: Path, parts: Path, tmp_path: Path, loads: list[object]
) -> None:
    with counted() as counter:
        recalibrate(model_path, parts / "test/good", out=tmp_path / "model", group=GROUP)
    assert set(of(counter, parts / "test/good").values()) == {1}
    assert len(loads) == 1
