"""From an image to a verdict on the device: fail-safe, safe from several threads, in constant memory."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from conftest import edited, picture, save

from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ConfigError, ModelError


@pytest.fixture(scope="module")
def model(model_path: Path) -> Model:
    return Model(model_path)


def test_path_bytes_and_array_give_the_same_result(model: Model, tmp_path: Path) -> None:
    pixels = picture(1, defect=True)
    path = save(tmp_path / "one.png", pixels)
    results = [model.inspect(source) for source in (path, str(path), path.read_bytes(), pixels)]
    assert {result.verdict for result in results} == {Verdict.NG}
    assert len({result.score for result in results}) == 1
    assert len({result.regions for result in results}) == 1
    assert results[0].sha256 == results[2].sha256 != ""


@pytest.mark.parametrize(
    ("image", "code"),
    [
        (np.zeros((48, 48), np.uint8), "wrong_channels"),
        (np.zeros((48, 48, 1), np.float32), "wrong_dtype"),
        (np.zeros((48, 48, 1), np.uint16), "wrong_dtype"),
        (np.zeros((48, 48, 3), np.uint8), "wrong_channels"),
        (np.zeros((0, 48, 1), np.uint8), None),
        (b"", "empty"),
        (b"nothing", "unreadable"),
        ("nowhere.png", "missing"),
        (None, None),
        (7, None),
        ([[1, 2]], None),
    ],
)
def test_what_cannot_be_measured_is_an_error(model: Model, image: Any, code: str | None) -> None:
    result = model.inspect(image)
    assert result.verdict is Verdict.ERROR
    assert result.score is None
    assert result.error
    assert result.error_code == code or code is None
    assert result.regions == ()


def test_a_score_that_is_not_a_number_is_an_error(model_path: Path) -> None:
    """A graph altered on purpose: nan > threshold is False, so an unchecked one would pass every part."""
    loaded = bundle.load(model_path)
    graph = onnx.load_from_string(loaded.graph)
    for tensor in graph.graph.initializer:
        if tensor.name.endswith("spread"):
            tensor.raw_data = np.full(48 * 48, np.nan, np.float32).tobytes()
    model = Model(replace(loaded, kept={bundle.GRAPH: graph.SerializeToString()}))
    result = model.inspect(picture(1))
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "not_finite")


def test_a_fault_of_ours_is_an_error_too(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Runtime, "measure", lambda *_: 1 / 0)
    result = model.inspect(picture(1))
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "internal")
    assert "ZeroDivisionError" in str(result.error)


def test_a_path_that_cannot_be_told_is_an_error(model: Model) -> None:
    class Gone:
        def __fspath__(self) -> str:
            raise OSError("the share is gone")

    result = model.inspect(Gone())
    assert (result.verdict, result.image) == (Verdict.ERROR, "Gone")
    assert "the share is gone" in str(result.error)


def test_eight_threads_get_what_one_gets(model: Model) -> None:
    images = [picture(seed, defect=seed % 3 == 0) for seed in range(40)]
    alone = [model.inspect(image) for image in images]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(model.inspect, images * 5))
    for result, expected in zip(together, alone * 5, strict=True):
        assert (result.score, result.verdict, result.regions) == (expected.score, expected.verdict, expected.regions)


def test_an_image_of_any_size_gets_regions_in_its_own_pixels(ungated_path: Path) -> None:
    model = Model(ungated_path)
    small = picture(3, defect=True)
    large = small.repeat(5, axis=0).repeat(3, axis=1)
    one, other = model.inspect(small).regions[0], model.inspect(large).regions[0]
    assert other.x == pytest.approx(3 * one.x, abs=3)
    assert other.y == pytest.approx(5 * one.y, abs=5)


def test_an_unknown_provider_names_those_that_work(model_path: Path) -> None:
    with pytest.raises(ConfigError, match="Usable here: cpu"):
        Model(model_path, provider="abacus")


@pytest.mark.filterwarnings("ignore:Specified provider")
def test_a_provider_that_does_not_start_is_refused(model_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime lists what it was built with, and runs on the processor where that does not start."""
    built = ["CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: built)
    with pytest.raises(ConfigError, match=r"cuda: .* cannot start it here.*--provider cpu"):
        Model(model_path, provider="cuda")


def test_a_graph_with_other_inputs_is_refused(model_path: Path) -> None:
    loaded = bundle.load(model_path)
    manifest = edited(loaded, "graph", {"inputs": ["image", "valid"]})
    with pytest.raises(ModelError, match="the manifest describes"):
        Model(replace(loaded, manifest=manifest))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("framing.mode", "crop", "stretch, letterbox, tile"),
        ("framing.mode", ["tile"], "stretch, letterbox, tile"),
        ("framing.overlap", -1, "whole number"),
        ("framing.convert", "no", "true or false"),
        ("framing.align", 1, "true or false"),
        ("image.height", "48", "whole number"),
        ("image.width", 0, "above 0"),
        ("image.channels", 17, "1 to 16"),
        ("image.dtype", "float64", "uint8"),
        ("image.black", "dark", "a number"),
        ("image.white", 0, "above 0"),
        ("image.white", float("inf"), "a number"),
        ("calibration.scores", [], "at least one"),
        ("calibration.scores", ["a"], "at least one finite number"),
        ("calibration.scores", [1.0, float("nan")], "at least one finite number"),
        ("calibration.scores", [10**400], "at least one finite number"),
        ("calibration.scores", [9, 1, 5], "ascending"),
    ],
)
def test_a_manifest_with_a_value_that_makes_no_sense_is_refused_by_its_key(
    model_path: Path, key: str, value: Any, said: str
) -> None:
    loaded = bundle.load(model_path)
    with pytest.raises(ModelError, match=rf"{key}=.*{said}.*Restore"):
        edited(loaded, key, value)


def test_tiles_without_a_core_are_refused_when_the_model_is_loaded(model_path: Path) -> None:
    loaded = bundle.load(model_path)
    framing = loaded.manifest.to_json()["framing"] | {"mode": "tile", "overlap": 24}
    with pytest.raises(ModelError, match=r"framing\.overlap=24.* half of the tile's 48"):
        edited(loaded, "framing", framing)


@pytest.mark.parametrize("mode", ["letterbox", "tile"])
def test_other_framings_find_the_defect_as_well(
    train: Callable[..., Any], parts: Path, tmp_path: Path, mode: str
) -> None:
    train(parts, tmp_path / "model", {"image.mode": mode, "image.overlap": 8, "image.height": 48})
    model = Model(tmp_path / "model")
    assert model.runtime.framing.masks
    for seed in (3000, 3100, 3500):
        assert model.inspect(picture(seed, defect=True)).verdict is Verdict.NG
        assert model.inspect(picture(seed + 1)).verdict is Verdict.OK
