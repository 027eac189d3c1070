"""The detector `change`: what is tolerated, what is learnt, what is found, and what is refused."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from anomalib_lite_change import changechip, looks, tolerance
from anomalib_lite_change.config import ChangeConfig
from anomalib_lite_change.detector import Change
from PIL import Image
from plain_run import PlainRun, map_of

from anomalib_lite.calibration.scoring import Scored
from anomalib_lite.config import ScoreConfig
from anomalib_lite.data import Sample
from anomalib_lite.detector import Batch, ImageSpec
from anomalib_lite.edge import bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images import imaging, kept
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.manifest import GoldenRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.graph.exporter import check_parity, to_onnx
from anomalib_lite.graph.inspector import Inspector
from anomalib_lite.pipeline import selfcheck
from anomalib_lite.pipeline.evaluate import _at_source
from anomalib_lite.pipeline.train import train as run_training
from anomalib_lite.registry import load
from anomalib_lite.training import plan as preparation
from anomalib_lite.training import sizing
from anomalib_lite.training.request import Request

ROOT = Path(__file__).parents[2]
BOARDS = ROOT / "data_samples/board"
GOLDENS = sorted((BOARDS / "golden").glob("*.jpg"))


def striped(offset: int = 0) -> torch.Tensor:
    """Columns 10 to 19 of 32 are white, moved by `offset`."""
    image = torch.zeros(1, 1, 32, 32)
    image[..., 10 + offset : 20 + offset] = 1
    return image


def highest_of(result: Result) -> float:
    """The largest value of the map."""
    assert result.anomaly_map is not None
    return float(result.anomaly_map.max())


def test_equal_images_do_not_differ() -> None:
    assert tolerance.difference(striped(), striped(), 2).max() == 0


@pytest.mark.parametrize("offset", [1, 2])
def test_an_edge_may_lie_elsewhere_by_the_tolerance(offset: int) -> None:
    assert tolerance.difference(striped(offset), striped(), 2).max() == 0


def test_an_edge_further_away_differs_where_it_leaves_the_tolerance() -> None:
    changed = tolerance.difference(striped(3), striped(), 2)[0, 0, 16]
    # image, white 13 to 22: 12 is black amid white, 22 white amid black; golden, white 10 to 19: 10 and 20 likewise
    assert torch.nonzero(changed).flatten().tolist() == [10, 12, 20, 22]


@pytest.mark.parametrize("swap", [False, True])
def test_a_thin_line_that_is_missing_or_added_differs_all_along_it(swap: bool) -> None:
    plain, line = torch.zeros(2, 1, 1, 32, 32)
    line[..., 15] = 0.5
    pair = (line, plain) if swap else (plain, line)
    changed = tolerance.difference(*pair, 2)
    assert torch.equal(changed, line)


def strokes(rising: bool, offset: int = 0) -> torch.Tensor:
    """A mark of strokes two pixels wide and six apart, on black."""
    y, x = torch.meshgrid(torch.arange(32), torch.arange(32), indexing="ij")
    image = torch.zeros(1, 1, 32, 32)
    image[0, 0, 10:22, 10:22] = ((x - y if rising else x + y) % 6 < 2)[10 - offset : 22 - offset, 10:22].float()
    return image


def test_strokes_that_run_the_other_way_differ_though_they_are_as_bright() -> None:
    right, mirrored = strokes(True), strokes(False)
    assert mirrored.mean() == pytest.approx(float(right.mean()), rel=0.05)
    assert tolerance.difference(mirrored, right, 3)[..., 14:18, 14:18].max() == 0  # each within reach of the others
    assert tolerance.changed(mirrored, right, 3)[..., 14:18, 14:18].min() > 0.1
    assert tolerance.changed(right, right, 3).max() == 0


def test_a_direction_is_that_of_edges_of_either_side_and_none_in_plain_areas() -> None:
    upright, level = striped(), striped().transpose(2, 3)
    at_edge = tolerance.direction(upright)[0, :, 16, 10]
    assert at_edge[0] > 0.1
    assert at_edge[1] == pytest.approx(0, abs=1e-6)
    assert torch.allclose(tolerance.direction(level)[0, :, 10, 16], -at_edge, atol=1e-6)
    assert torch.allclose(tolerance.direction(1 - upright), tolerance.direction(upright), atol=1e-6)
    assert tolerance.direction(upright)[..., 24:].abs().max() == 0


def test_smoothing_keeps_what_there_is() -> None:
    spot = torch.zeros(1, 1, 15, 15)
    spot[..., 7, 7] = 1
    found = tolerance.smoothed(spot, 1.0)
    assert found.sum() == pytest.approx(1, abs=1e-5)
    assert found[..., 7, 8] / found[..., 7, 7] == pytest.approx(np.exp(-0.5), abs=1e-5)


def test_kinds_of_places_share_every_pixel_and_rise_with_contrast() -> None:
    share = tolerance.membership(tolerance.kind(striped(), 2))
    assert torch.allclose(share.sum(1), torch.ones(1, 32, 32))
    assert share[0, 0, 16, 0] == 1  # plain
    assert share[0, -1, 16, 10] == 1  # the full contrast


def test_the_value_of_a_place_is_the_mean_over_its_kinds() -> None:
    place = tolerance.kind(torch.rand(2, 3, 20, 30, generator=torch.Generator().manual_seed(0)) ** 8, 0)
    values = torch.tensor([0.3, 0.1, 0.4, 0.1, 0.5, 0.9, 0.2, 0.6])
    expected = (tolerance.membership(place) * values.view(1, -1, 1, 1)).sum(1, keepdim=True)
    assert len(place.long().unique()) > 3
    assert torch.allclose(tolerance.between(values, place), expected, atol=1e-6)


def fitted(images: torch.Tensor, references: torch.Tensor, **options: Any) -> Change:
    detector = Change(ChangeConfig(**options), ImageSpec(32, 32, 1, "uint8", 255.0))
    detector.fit([Batch(images, references)], PlainRun())
    return detector


def test_a_place_that_varies_among_good_pairs_needs_a_larger_difference() -> None:
    golden = striped()
    noisy = golden.repeat(40, 1, 1, 1)
    noisy[:, 0, 4, 4] += torch.linspace(0, 0.4, 40)
    detector = fitted(noisy, golden.repeat(40, 1, 1, 1))
    image = golden.clone()
    image[0, 0, 4, 4] = image[0, 0, 28, 28] = 0.5
    changed = map_of(detector, image, golden)[0, 0]
    assert detector.place.shape == (1, 1, 32, 32)
    assert changed[28, 28] > 2 * changed[4, 4] > 0


def test_a_place_that_few_good_pairs_show_is_as_uncertain_as_they_say() -> None:
    golden = torch.full((1, 1, 32, 32), 0.5)
    images = golden.repeat(40, 1, 1, 1)
    images[:, 0, :, :] += 0.2 * torch.linspace(-1, 1, 40).view(-1, 1, 1)
    shown = torch.ones_like(images, dtype=torch.bool)
    shown[::2, :, :8, :8] = False
    detector = Change(ChangeConfig(), ImageSpec(32, 32, 1, "uint8", 255.0))
    detector.fit([Batch(images, golden.repeat(40, 1, 1, 1), valid=shown)], PlainRun())
    assert detector.place[0, 0, 2, 2] == pytest.approx(float(detector.place[0, 0, 20, 20]), rel=0.05)


def test_with_several_golden_images_the_kind_of_place_counts() -> None:
    references = torch.cat([striped(), striped(5)])
    images = references.clone()
    images[:, 0, :, 9:12] += 0.2 * torch.rand(2, 32, 3, generator=torch.Generator().manual_seed(0))
    detector = fitted(images, references)
    assert detector.place.numel() == 1
    assert detector.kinds[-1] > detector.kinds[0]


@pytest.mark.parametrize("goldens", [1, 2])
def test_the_map_is_in_units_of_what_good_pairs_hardly_reach(goldens: int) -> None:
    references = torch.cat([striped(), striped(5)])[torch.arange(60) % goldens]
    noise = 0.02 * torch.randn(120, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    detector = fitted(references + noise[:60], references)
    fresh = tolerance.smoothed(map_of(detector, references + noise[60:], references), 1.0)
    peaks = fresh.flatten(1).amax(1)
    assert (peaks > 1).float().mean() <= 0.1
    assert peaks.max() > 0.6


def marked(value: float) -> torch.Tensor:
    """A component of that brightness, 12 pixels wide, on a ground of 0.3."""
    image = torch.full((1, 1, 32, 32), 0.3)
    image[..., 10:22, 10:22] = value
    return image


def test_a_place_may_look_as_several_good_images_do() -> None:
    golden = marked(0.8)
    images = torch.cat([golden] * 5 + [marked(0.1)] * 3 + [marked(0.5)] * 2)
    detector = fitted(images, golden.repeat(10, 1, 1, 1))
    assert len(detector.looks) == 1
    assert map_of(detector, marked(0.1), golden).max() == 0
    assert map_of(detector, marked(0.8), golden).max() == 0
    without = fitted(images, golden.repeat(10, 1, 1, 1), looks=0)
    assert map_of(without, marked(0.1), golden).max() > 0
    third = map_of(detector, marked(1.0), golden)[0, 0, 16, 16] / map_of(detector, marked(0.5), golden)[0, 0, 16, 16]
    assert third > 0.4  # two images are no look


def test_each_place_has_looks_of_its_own() -> None:
    golden = torch.full((1, 1, 32, 64), 0.3)
    left, right = golden.clone(), golden.clone()
    left[..., 4:14, 4:14] = right[..., 4:14, 50:60] = 0.8
    pairs = [(torch.cat([left, right] * 4), golden.expand(8, 1, 32, 64), torch.ones(8, 1, 32, 64))]
    found = looks.learnt(pairs, most=3, shift=2, far=0.08)
    assert torch.equal(found, torch.maximum(left, right))


def test_an_edge_that_lies_elsewhere_is_no_look_nor_is_what_is_out_of_view() -> None:
    golden, shown = striped(), torch.ones(4, 1, 32, 32)
    four = golden.expand(4, 1, 32, 32)
    assert len(looks.learnt([(striped(4).expand(4, 1, 32, 32), four, shown)], most=3, shift=2, far=0.08)) == 0
    assert len(looks.learnt([(marked(0.8).expand(4, 1, 32, 32), four, shown)], most=3, shift=2, far=0.08)) == 1
    assert len(looks.learnt([(marked(0.8).expand(4, 1, 32, 32), four, 0 * shown)], most=3, shift=2, far=0.08)) == 0


def test_with_several_golden_images_a_place_has_no_other_look() -> None:
    images = marked(0.8).expand(4, 1, 32, 32)
    references = torch.cat([striped(), striped(), striped(5), striped(5)])
    assert len(looks.learnt([(images, references, torch.ones(4, 1, 32, 32))], most=3, shift=2, far=0.08)) == 0


def test_the_graph_knows_the_looks() -> None:
    golden = marked(0.8)
    detector = fitted(torch.cat([golden, marked(0.1)] * 4), golden.repeat(8, 1, 1, 1))
    wrapped = Inspector(detector, detector.image, ScoreConfig(sigma=1, least=1), reference=True, valid=True).eval()
    wrapped.fitted.fill_(True)
    runtime = Runtime(to_onnx(wrapped), Framing(detector.image), wrapped.inputs)
    pixels = {
        value: np.rint(255 * marked(value)[0].permute(1, 2, 0).numpy()).astype(np.uint8) for value in (0.1, 0.8, 1)
    }
    valid = np.ones((1, 32, 32, 1), np.uint8)
    feeds = [{"image": one[None], "reference": pixels[0.8][None], "valid": valid} for one in pixels.values()]
    assert check_parity(wrapped, runtime, [("a", feed) for feed in feeds]).score < 1e-5
    assert [float(runtime.run(feed)[0][0]) > 1 for feed in feeds] == [False, False, True]


def test_the_published_method_has_no_unit_that_scores_are_alike_in() -> None:
    info = load().detector("change")
    assert info.defaults["score.least"] == 1.0
    assert "score.least" not in ChangeConfig(method="changechip").describe(info).defaults


def test_the_published_method_finds_a_planted_blob() -> None:
    golden = 0.5 + 0.05 * torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0))
    image = golden + 0.01 * torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(1))
    image[..., 20:28, 30:38] = 0.9
    changed = changechip.change(image, golden, window=5, clusters=16)[0, 0] > 0.05
    planted = torch.zeros(48, 64, dtype=torch.bool)
    planted[20:28, 30:38] = True
    assert (changed & planted).sum() / (changed | planted).sum() > 0.5
    assert changechip.change(golden, golden, window=5, clusters=16).max() == 0


def test_the_published_method_does_not_amplify_rounding() -> None:
    """In drawings many differences are equal: centres that start in one point would be parted by rounding alone."""
    random = torch.Generator().manual_seed(0)
    golden = torch.zeros(1, 1, 96, 96, dtype=torch.float64)
    golden[..., ::12] = golden[..., 1::12] = golden[..., 2::12] = 1
    worst = 0.0
    for _ in range(30):
        image = golden.clone()
        for y, x, height, width in torch.randint(4, 60, (6, 4), generator=random).tolist():
            image[..., y : y + height // 4 + 4, x : x + width // 4 + 4] *= -1
            image[..., y : y + height // 4 + 4, x : x + width // 4 + 4] += 1
        nudged = image + 1e-13 * (image != golden) * torch.rand(image.shape, generator=random)
        one, other = (changechip.change(seen, golden, window=5, clusters=16) for seen in (image, nudged))
        worst = max(worst, float((one - other).abs().max()))
    assert worst < 1e-3


def test_principal_axes_are_those_of_an_eigendecomposition() -> None:
    random = np.random.default_rng(0)
    mixing = np.diag([5.0, 2.0, 1.0, 0.1, 0.1]) @ np.linalg.qr(random.normal(size=(5, 5)))[0]
    points = torch.from_numpy((random.normal(size=(4000, 5)) @ mixing).T[None].astype(np.float32))
    found = changechip._projected(points, 2)[0].numpy()
    values, vectors = np.linalg.eigh(np.cov(points[0].numpy()))
    expected = vectors[:, ::-1][:, :2].T @ points[0].numpy()
    for one, other in zip(found, expected, strict=True):
        assert abs(np.corrcoef(one, other)[0, 1]) > 0.999
    assert values[-1] > values[-2]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one golden board, from simulations alone."""
    folder = tmp_path_factory.mktemp("golden")
    shutil.copy(GOLDENS[0], folder / "design1.jpg")
    out = folder.parent / "model-of-a-golden-board"
    assert run_training(Request(detector="change", data=folder, out=out, simulate=20))
    return out


@pytest.mark.slow
def test_a_bound_from_simulations_says_so(simulated: Path) -> None:
    manifest = Model(simulated).bundle.manifest
    assert manifest.calibration.simulated
    assert manifest.calibration.statement[0].startswith("Simulated:")
    assert "Simulated:" in (simulated / "report.html").read_text()
    assert manifest.reference == GoldenRecord(("reference/design1.jpg",), None)


@pytest.mark.slow
def test_the_model_carries_its_golden_image(simulated: Path) -> None:
    model = Model(simulated)
    same = model.inspect(GOLDENS[0])
    assert (same.verdict, highest_of(same), same.regions) == (Verdict.OK, 0.0, ())
    assert not any(one.flipped or one.error for one in replay(model))


@pytest.mark.slow
def test_a_blob_is_found_where_it_is_in_the_inspected_image(simulated: Path) -> None:
    pixels = np.rot90(imaging.read(GOLDENS[0]).pixels).copy()
    pixels[100:108, 140:148] = 255
    model = Model(simulated)
    result = model.inspect(pixels)
    assert result.verdict is Verdict.NG
    region, margin = result.regions[0], model.bundle.manifest.regions.margin
    left, top = region.x + margin, region.y + margin
    right, bottom = region.x + region.width - margin, region.y + region.height - margin
    width = min(right, 148) - max(left, 140)
    height = min(bottom, 108) - max(top, 100)
    assert width * height / ((right - left) * (bottom - top) + 64 - width * height) > 0.5
    assert result.comparison is not None
    assert result.comparison.image.shape == (256, 256, 3)


@pytest.mark.slow
@pytest.mark.parametrize("columns", [13, 26, 64])
def test_what_was_not_seen_is_not_ok(simulated: Path, columns: int) -> None:
    model, golden = Model(simulated), imaging.read(GOLDENS[0]).pixels
    pose = model.framing.pose
    assert pose is not None
    assert model.bundle.manifest.to_json()["schema_version"] == 3  # older versions, and the runtimes in deploy/, refuse
    cut = golden[:, columns:].copy()
    result = model.inspect(cut)
    assert (result.verdict, result.error_code, result.score) == (Verdict.ERROR, "not_seen", None)
    assert result.seen == pytest.approx(1 - columns / 256, abs=0.04)
    assert result.row()["seen"] == result.seen
    lenient = Model.around(
        model.bundle,
        replace(model.intake, framing=replace(model.framing, pose=replace(pose, unseen="review"))),
        model.runtime,
    )
    result = lenient.inspect(cut)
    assert (result.verdict, result.error_code) == (Verdict.REVIEW, None)
    cut[100:112, 100:112] = 255  # a defect that is seen is one
    assert model.inspect(cut).verdict is Verdict.NG
    whole = model.inspect(golden)
    assert (whole.verdict, whole.seen) == (Verdict.OK, 1.0)


@pytest.mark.slow
def test_what_the_region_of_interest_leaves_out_need_not_be_seen(simulated: Path) -> None:
    model, golden = Model(simulated), imaging.read(GOLDENS[0]).pixels
    roi = np.zeros(golden.shape[:2], bool)
    roi[:, 80:] = True
    framing = replace(model.framing, roi=roi)
    runtime = Runtime(model.bundle.graph, framing, model.bundle.manifest.graph.inputs)
    narrow = Model.around(model.bundle, replace(model.intake, framing=framing), runtime)
    assert (narrow.inspect(golden[:, 60:].copy()).verdict, model.inspect(golden[:, 60:].copy()).verdict) == (
        "OK",
        "ERROR",
    )
    assert narrow.inspect(golden[:, :100].copy()).verdict is Verdict.ERROR  # the region is out of view as a whole


@pytest.mark.slow
def test_regions_that_images_bring_are_judged_alone_and_travel_with_the_model(simulated: Path, tmp_path: Path) -> None:
    loaded, golden = bundle.load(simulated), imaging.read(GOLDENS[0]).pixels
    rows, columns = np.mgrid[:256, :256]
    disc = np.hypot(rows - 128, columns - 128) < 90
    files = {name: loaded.read(name) for name in loaded.manifest.files} | {
        "reference/design1.jpg-valid.png": kept.encode(disc[..., None].view(np.uint8) * 255)[1]
    }
    reference = GoldenRecord(("reference/design1.jpg",), valid=("reference/design1.jpg-valid.png",))
    bundle.write(tmp_path / "within", replace(loaded.manifest, reference=reference, selfcheck=()), files)
    whole, within = Model(simulated), Model(tmp_path / "within")
    outside, inside = golden.copy(), golden.copy()
    outside[10:22, 10:22], inside[120:132, 120:132] = 255, 255
    for own in (None, disc):
        looked = [within.look("x", read=replace(within.intake.read(one), valid=own)) for one in (outside, inside)]
        assert [one.result.verdict for one in looked] == ["OK", "NG"]
    most = replace(whole.intake.read(golden), valid=columns < 230)
    assert whole.look("x", read=most).result.error_code == "not_seen"  # of a golden image that asks for all
    half = within.look("x", read=replace(within.intake.read(golden), valid=disc & (columns < 170))).result
    assert (half.verdict, half.error_code) == (Verdict.ERROR, "not_seen")
    chosen = selfcheck.choose("rendered", Scored(), within.intake, within.runtime, within.thresholds)
    assert {one.valid is None for one in chosen.expected} == {False}


@pytest.mark.slow
@pytest.mark.parametrize(("pose", "fits"), [("fixed", False), ("any", True)])
def test_a_pose_that_good_pairs_contradict_is_told_at_the_training(tmp_path: Path, pose: str, fits: bool) -> None:
    (tmp_path / "good").mkdir()
    golden = imaging.read(GOLDENS[0]).pixels
    for place in range(4):
        Image.fromarray(np.roll(golden, 12 + place, axis=1)).save(tmp_path / f"good/{place}.png")
    request = Request(
        detector="change", data=tmp_path / "good", out=tmp_path / "model", golden=GOLDENS[:1],
        settings=[f"options.pose={pose}"],
    )  # fmt: skip
    if fits:
        assert any("pose: any (as asked)" in note for note in preparation.prepare(request, load(), tmp_path).notes())
        return
    with pytest.raises(ConfigError, match=r"options.pose=fixed: the good image 0.png is moved by 4.7% .*pose=any"):
        preparation.prepare(request, load(), tmp_path)


@pytest.mark.slow
def test_how_far_the_camera_moves_is_learnt_from_good_pairs(tmp_path: Path) -> None:
    request = Request(detector="change", data=BOARDS / "pairs.csv", out=tmp_path / "model")
    plan = preparation.prepare(request, load(), tmp_path)
    assert plan.intake.framing.pose is not None
    assert plan.intake.framing.pose.reach == "small"
    assert not plan.intake.framing.pose.bend  # these boards are flat
    assert 0 < plan.intake.framing.pose.edge <= 0.05
    assert any(note.startswith("pose: small (learnt from good pairs)") for note in plan.notes())


@pytest.mark.slow
@pytest.mark.parametrize("settings", [[], ["options.bend=false"]])
def test_that_parts_bend_is_learnt_from_good_pairs(tmp_path: Path, settings: list[str]) -> None:
    cv2 = pytest.importorskip("cv2")
    golden = imaging.read(GOLDENS[0]).pixels
    y, x = (grid.astype(np.float32) for grid in np.mgrid[:256, :256])
    bow = ((x - 127.5) / 127.5) ** 2
    (tmp_path / "good").mkdir()
    for number in range(4):
        lifted = cv2.remap(golden, x + number / 4, y + (3 + number / 2) * bow, cv2.INTER_CUBIC)
        Image.fromarray(lifted).save(tmp_path / f"good/{number}.png")
    request = Request(
        detector="change", data=tmp_path / "good", out=tmp_path / "model", golden=GOLDENS[:1], settings=settings
    )
    plan = preparation.prepare(request, load(), tmp_path)
    assert plan.intake.framing.pose is not None
    assert plan.intake.framing.pose.bend is not bool(settings)
    assert any(note.startswith("bend: sought (good pairs are bent") for note in plan.notes()) is not bool(settings)


@pytest.mark.slow
def test_the_region_of_interest_moves_with_the_part(tmp_path: Path) -> None:
    """The camera stands 40 pixels to the right: metrics must count the pixels that were compared."""
    (tmp_path / "golden").mkdir()
    shutil.copy(GOLDENS[0], tmp_path / "golden/design1.jpg")
    roi = np.zeros((256, 256), np.uint8)
    roi[:, 128:] = 255
    Image.fromarray(roi).save(tmp_path / "roi.png")
    settings = [f"image.roi={tmp_path / 'roi.png'}"]
    request = Request(
        detector="change", data=tmp_path / "golden", out=tmp_path / "model", simulate=8, settings=settings
    )
    assert run_training(request)
    model, file = Model(tmp_path / "model"), tmp_path / "moved.png"
    moved = imaging.read(GOLDENS[0]).pixels[:, 40:]
    Image.fromarray(moved).save(file)
    result = model.inspect(file)
    assert result.shape == (256, 216)
    counted = _at_source(model, Sample(file, "moved.png", "good", group="moved"), result).valid
    assert counted is not None
    assert counted.shape == (256, 216)
    assert abs(int(np.flatnonzero(counted.any(0))[0]) - (128 - 40)) <= 1


@pytest.mark.slow
def test_large_golden_images_are_compared_in_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizing, "LARGE", 256 * 255)
    monkeypatch.setattr(sizing, "GOLDEN_TILE", 128)
    (tmp_path / "golden").mkdir()
    shutil.copy(GOLDENS[0], tmp_path / "golden/design1.jpg")
    request = Request(detector="change", data=tmp_path / "golden", out=tmp_path / "model", simulate=8)
    assert run_training(request)
    model = Model(tmp_path / "model")
    assert (model.framing.mode, model.framing.spec.width) == ("tile", 128)
    same = model.inspect(GOLDENS[0])
    assert (same.verdict, highest_of(same)) == (Verdict.OK, 0.0)
    pixels = imaging.read(GOLDENS[0]).pixels.copy()
    pixels[100:108, 140:148] = 255
    result = model.inspect(pixels)
    assert result.verdict is Verdict.NG
    assert result.anomaly_map is not None
    assert result.anomaly_map.shape == (256, 256)
    peak = np.unravel_index(result.anomaly_map.argmax(), result.anomaly_map.shape)
    assert 98 <= peak[0] < 110
    assert 138 <= peak[1] < 150

    request = replace(request, out=tmp_path / "whole", overrides={"image.mode": "stretch"})
    assert run_training(request)
    assert Model(tmp_path / "whole").framing.spec.width == 256


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image", "reference", "code"),
    [
        (np.full((256, 256, 3), 90, np.uint8), None, "not_alike"),
        (imaging.read(GOLDENS[1]).pixels, None, "alignment_failed"),
        (imaging.read(GOLDENS[0]).pixels[..., :1].copy(), None, "wrong_channels"),
        (imaging.read(GOLDENS[0]).pixels, "nowhere.png", "missing"),
        (imaging.read(GOLDENS[0]).pixels, np.zeros((256, 256, 1), np.uint16), "wrong_dtype"),
    ],
    ids=["blank wall", "another product", "grey", "no such reference", "depth of the reference"],
)
def test_what_cannot_be_compared_is_an_error(
    simulated: Path, image: Pixels, reference: str | Pixels | None, code: str
) -> None:
    result = Model(simulated).inspect(image, reference=reference)
    assert (result.verdict, result.error_code, result.score) == (Verdict.ERROR, code, None)


@pytest.mark.slow
def test_of_several_golden_images_the_smallest_change_counts_or_the_name_chooses(tmp_path: Path) -> None:
    inspected = tmp_path / "inspected"
    inspected.mkdir()
    for number in (1, 7, 13, 19, 2, 8, 14, 20):  # designs 2, 2, 2, 2, 3, 3, 3, 3
        shutil.copy(
            BOARDS / f"inspected/board{number:03}.jpg",
            inspected / f"design{2 + (number in (2, 8, 14, 20))}_{number}.jpg",
        )
    request = Request(detector="change", data=inspected, out=tmp_path / "any", golden=GOLDENS[1:3])
    assert run_training(request)
    model = Model(tmp_path / "any")
    for golden in GOLDENS[1:3]:
        assert highest_of(model.inspect(golden)) == 0
    named = Request(
        detector="change", data=inspected, out=tmp_path / "named", golden=GOLDENS[1:3], golden_pattern=r"(design\d)"
    )
    assert run_training(named)
    model = Model(tmp_path / "named")
    pixels = imaging.read(GOLDENS[1]).pixels
    assert highest_of(model.inspect(pixels, name="design2_new.jpg")) == 0
    assert model.inspect(pixels, name="design3_new.jpg").error_code == "alignment_failed"
    assert model.inspect(pixels, name="design9_new.jpg").error_code == "missing"


@pytest.mark.slow
def test_beyond_what_a_model_carries_the_self_check_brings_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preparation, "MAX_GOLDENS", 1)
    assert run_training(Request(detector="change", data=BOARDS / "pairs.csv", out=tmp_path / "model"))
    model = Model(tmp_path / "model")
    assert model.bundle.manifest.reference == GoldenRecord(())
    assert list((tmp_path / "model/selfcheck").glob("reference-*"))
    assert not any(one.flipped or one.error for one in replay(model))
    assert model.inspect(GOLDENS[0]).error_code == "missing"
    assert highest_of(model.inspect(GOLDENS[0], reference=GOLDENS[0])) == 0


def test_golden_images_are_asked_for_and_refused_where_they_mean_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(4):
        Image.fromarray(np.full((40, 40), 10 * number, np.uint8)).save(folder / f"{number}.png")
    with pytest.raises(DataError, match="--golden FILE"):
        run_training(Request(detector="change", data=folder, out=tmp_path / "model"))
    with pytest.raises(ConfigError, match="leave out --golden"):
        run_training(Request(detector="gauss", data=folder, out=tmp_path / "model", golden=[folder / "0.png"]))
    with pytest.raises(DataError, match="no such file"):
        run_training(Request(detector="change", data=folder, out=tmp_path / "model", golden=[tmp_path / "x.png"]))


def test_a_window_without_a_middle_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="use 5"):
        ChangeConfig(window=4)
