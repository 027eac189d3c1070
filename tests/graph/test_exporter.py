"""The exported graph computes what torch computes, from file bytes to verdict, and holds nothing of its build."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from conftest import picture
from gauss import Difference, Gauss, GaussConfig
from needs import need

from anomalib_lite.config import ScoreConfig
from anomalib_lite.detector import MAP_TOLERANCE, ImageSpec
from anomalib_lite.edge import decision
from anomalib_lite.edge.decision import tolerance
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ExportError, ParityFailed
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector, gaussian_kernel
from anomalib_lite.training.fitting import build

TILES = Path(__file__).parents[3] / "shared" / "data" / "magnetic_tile"


def inspector(*, score: ScoreConfig | None = None, valid: bool = False, dtype: str = "uint8") -> Inspector:
    spec = ImageSpec(48, 48, 1, dtype, 255.0 if dtype == "uint8" else 4095.0)
    detector = Gauss(GaussConfig(), spec)
    wrapped = Inspector(detector, spec, score or ScoreConfig(), reference=False, valid=valid)
    wrapped.fitted.fill_(True)
    return wrapped.eval()


@pytest.mark.parametrize("reduction", ["max", "top"])
@pytest.mark.parametrize("valid", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_every_form_of_the_graph_agrees_with_torch(reduction: Any, valid: bool, dtype: str) -> None:
    wrapped = inspector(score=ScoreConfig(reduction=reduction, top_share=0.05), valid=valid, dtype=dtype)
    framing = Framing(wrapped.spec, "letterbox" if valid else "stretch")
    runtime = Runtime(to_onnx(wrapped), framing, wrapped.inputs)
    pictures = [picture(seed, size=30 + 20 * seed).astype(dtype) for seed in range(4)]
    parity = check_parity(wrapped, runtime, [("a", feed) for one in pictures for feed in runtime.feeds(one)])
    assert parity.frames == 4
    assert parity.score < 1e-5


def test_the_graph_tells_image_and_reference_apart() -> None:
    spec = ImageSpec(48, 48, 1, "uint8", 255.0)
    wrapped = Inspector(Difference(None, spec), spec, ScoreConfig(sigma=0), reference=True, valid=False).eval()
    wrapped.fitted.fill_(True)
    runtime = Runtime(to_onnx(wrapped), Framing(spec), wrapped.inputs)
    assert (
        check_parity(wrapped, runtime, [("a", feed) for feed in runtime.feeds(picture(1), [View(picture(2))])]).score
        < 1e-5
    )
    assert runtime.measure(picture(1), [View(picture(2))]).score > 0


def test_the_score_is_the_mean_of_the_top_share_of_valid_pixels() -> None:
    wrapped = inspector(score=ScoreConfig(reduction="top", top_share=0.1, sigma=0), valid=True)
    wrapped.top = 5
    values = torch.arange(48 * 48, dtype=torch.float32).view(1, 1, 48, 48)
    counted = torch.zeros(1, 1, 48, 48, dtype=torch.bool)
    counted[..., 0, :3] = True  # fewer valid pixels than the share: they alone are averaged
    assert wrapped._masked_score(values, counted).item() == pytest.approx(1.0)
    counted[..., 1, :] = True
    assert wrapped._masked_score(values, counted).item() == pytest.approx(np.mean([95, 94, 93, 92, 91]))
    assert wrapped._masked_score(-values, counted).item() == pytest.approx(np.mean([0, -1, -2, -48, -49]))


def test_no_threshold_lies_amid_scores_below_the_least() -> None:
    wrapped = inspector(score=ScoreConfig(least=2.0))
    raw = torch.tensor([0.0, 0.5, 1.9, 2.0, 2.1, 7.0])
    scores = wrapped._from_least(raw)
    assert (scores.diff() > 0).all()
    assert torch.equal(scores[3:], raw[3:])
    for base in scores[:4].tolist():
        assert base + tolerance(base, [base]) > 2.0
    assert torch.equal(inspector()._from_least(raw), raw)


def test_smoothing_is_the_gaussian_of_scipy() -> None:
    from scipy.ndimage import gaussian_filter

    wrapped = inspector(score=ScoreConfig(sigma=2.0))
    noise = np.random.default_rng(0).normal(size=(48, 48)).astype(np.float32)
    smoothed = wrapped._smooth(torch.from_numpy(noise)[None, None])[0, 0].numpy()
    assert np.allclose(smoothed, gaussian_filter(noise, 2.0, mode="nearest", truncate=3.0), atol=1e-5)
    assert gaussian_kernel(0.0).tolist() == [1.0]


def test_the_graph_says_nothing_of_its_build() -> None:
    graph = to_onnx(inspector())
    assert b"/" not in b"".join(part for part in graph.split(b"\x00") if b".py" in part)
    assert str(Path(__file__).parents[2]).encode() not in graph
    model = onnx.load_from_string(graph)
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    assert {node.domain for node in model.graph.node} == {""}
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert to_onnx(inspector()) == graph


def test_what_is_not_fitted_is_not_exported() -> None:
    wrapped = inspector()
    wrapped.fitted.fill_(False)
    with pytest.raises(ExportError, match="not fitted"):
        to_onnx(wrapped)


def test_what_cannot_be_traced_is_an_export_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gauss, "forward", lambda self, image: torch.linalg.svd(image).S.sum() * image)
    with pytest.raises(ExportError, match="keep it as a buffer"):
        to_onnx(inspector())


def test_a_graph_that_computes_something_else_fails() -> None:
    wrapped = inspector()
    runtime = Runtime(to_onnx(wrapped), Framing(wrapped.spec), wrapped.inputs)
    with torch.no_grad():
        wrapped.detector.get_buffer("mean").add_(0.1)
    feeds = [(f"{seed}.png", feed) for seed in (1, 2) for feed in runtime.feeds(picture(seed))]
    with pytest.raises(ParityFailed, match=r"of the range of the scores, on [12]\.png \(allowed 0\.0001"):
        check_parity(wrapped, runtime, feeds)


@pytest.mark.slow
def test_torch_and_the_bundle_agree_on_real_images(tmp_path: Path, train: Callable[..., Any]) -> None:
    """From file bytes to verdict, 36 photographs of many sizes: scores within tol, maps within 1e-3, no flip."""
    need(TILES.is_dir(), "the magnetic tiles are not beside this checkout")
    from safetensors.torch import load_file

    from anomalib_lite import registry
    from anomalib_lite.training.plan import configure
    from anomalib_lite.training.request import Request

    with (TILES / "samples.csv").open() as file:
        rows = list(csv.DictReader(file))
    good = [row for row in rows if row["split"] == "train"][::12]
    table = tmp_path / "some.csv"
    table.write_text("image,group\n" + "".join(f"{TILES / row['image']},{row['group']}\n" for row in good))
    small = {"image.height": 96, "image.width": 96, "training.steps": 30, "gate.enabled": False}
    train(table, tmp_path / "model", small, detector="inpainting", group=None, settings=["options.widths=[8, 16]"])
    model = Model(tmp_path / "model")
    request = Request(
        detector="inpainting", data=table, out=tmp_path, overrides=small, settings=["options.widths=[8, 16]"]
    )
    info, options, config = configure(request, registry.load())
    assert info == registry.load().detector("inpainting")
    wrapped = build(info, options, config, model.framing)
    wrapped.load_state_dict(load_file(tmp_path / "model/weights.safetensors"))
    wrapped.eval()
    chosen = [TILES / row["image"] for row in rows[::25]][:36]
    sizes = {imaging.read(path).pixels.shape for path in chosen}
    assert len(chosen) >= 32
    assert len(sizes) >= 3
    for path in chosen:
        result = model.inspect(path)
        frame = model.framing.frames(imaging.read(path.read_bytes()).pixels)[0]
        with torch.no_grad():
            score, anomaly_map = wrapped(torch.from_numpy(frame.image)[None])
        expected = anomaly_map[0, 0].numpy()
        assert result.anomaly_map is not None
        assert result.score is not None
        assert abs(result.score - float(score)) <= model.thresholds.tol
        assert np.abs(result.anomaly_map - expected).max() <= MAP_TOLERANCE * np.ptp(expected)
        if decision.is_decisive(float(score), model.thresholds):
            assert result.verdict is decision.decide(float(score), model.thresholds)
