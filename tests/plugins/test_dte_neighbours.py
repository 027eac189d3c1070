"""The method `neighbours` of `dte`: where its weights come from, its gallery, and its score computed independently."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

models = pytest.importorskip("torchvision.models")

from anomalib_lite_dte import neighbour_map, register_detectors  # noqa: E402
from anomalib_lite_dte.config import DteConfig  # noqa: E402
from anomalib_lite_dte.detector import DiffusionTime  # noqa: E402
from anomalib_lite_dte.neighbour_map import (  # noqa: E402
    DIMENSIONS,
    NeighbourMap,
    PatchFeatures,
    onto_grid,
)
from plain_run import PlainRun, map_of  # noqa: E402
from pydantic import ValidationError  # noqa: E402
from scipy.ndimage import map_coordinates, uniform_filter  # noqa: E402
from sklearn.decomposition import PCA  # noqa: E402
from sklearn.neighbors import NearestNeighbors  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402
from test_dte import texture  # noqa: E402

from anomalib_lite import testing  # noqa: E402
from anomalib_lite.config import validate  # noqa: E402
from anomalib_lite.detector import Batch, ImageSpec  # noqa: E402
from anomalib_lite.errors import ConfigError, DataError  # noqa: E402
from anomalib_lite.testing import parametrize_with_checks  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:the weights of resnet18 are random")
(INFO,) = register_detectors()
Maps = NDArray[np.float64]


def options(**changed: Any) -> DteConfig:
    return DteConfig(**{"method": "neighbours", "gallery": 300} | changed)


def detector(height: int = 48, width: int = 48, channels: int = 1, **changed: Any) -> DiffusionTime:
    torch.manual_seed(0)
    return DiffusionTime(options(**changed), ImageSpec(height, width, channels, "uint8", 255.0)).eval()


def neighbours_of(made: DiffusionTime) -> NeighbourMap:
    assert isinstance(made.method, NeighbourMap)
    return made.method


class LocalFeatures(nn.Module):
    """Mean and spread of each block of 8 x 8 pixels, in place of a backbone that sees half of a small image."""

    def load(self, weights: Any) -> None:
        pass

    def forward(self, image: Tensor) -> Tensor:
        mean, square = (functional.avg_pool2d(one[:, :1], 8, ceil_mode=True) for one in (image, image.square()))
        pair = torch.cat([mean, (square - mean.square()).clamp_min(0).sqrt()], 1)
        return functional.pad(pair, (0, 0, 0, 0, 0, DIMENSIONS["resnet18"] - 2))


def fitted(images: Tensor, *, local: bool = False, **changed: Any) -> DiffusionTime:
    _, channels, height, width = images.shape
    made = detector(height, width, channels, **changed)
    if local:
        neighbours_of(made).features = LocalFeatures()  # type: ignore[assignment]
    made.fit([Batch(part) for part in images.split(8)], PlainRun())
    return made


def lively_backbone(name: str = "resnet18", seed: int = 1) -> dict[str, Tensor]:
    """A state dict as torchvision saves it, with statistics and scales that are not those of a new network."""
    torch.manual_seed(seed)
    state: dict[str, Tensor] = models.get_model(name, weights=None).state_dict()
    for key, tensor in state.items():
        if "running_mean" in key:
            state[key] = 0.1 * torch.randn_like(tensor)
        elif "running_var" in key or (".bn" in key and key.endswith("weight")):
            state[key] = 0.5 + torch.rand_like(tensor)
    return state


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(lively_backbone(), path)
    return path


# -- features


def features_by_hand(state: dict[str, Tensor], images: Tensor, name: str = "resnet18") -> Maps:
    """(B, d, h, w) from hooks on torchvision's own network, averaged and interpolated by scipy."""
    network = models.get_model(name, weights=None)
    network.load_state_dict(state)
    seen: list[Maps] = []
    for layer in (network.layer2, network.layer3):
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output.double().numpy()))
    colour = images.expand(-1, 3, -1, -1)
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        network.eval()((colour - mean.view(3, 1, 1)) / spread.view(3, 1, 1))
    second, third = (mean_of_nine(one) for one in seen)
    rows, columns = np.meshgrid(*(np.arange(size) / 2 for size in second.shape[2:]), indexing="ij")
    on_grid = [[map_coordinates(plane, [rows, columns], order=1, mode="nearest") for plane in one] for one in third]
    return np.concatenate([second, on_grid], 1)


def mean_of_nine(values: Maps) -> Maps:
    """Over 3 x 3 cells, of those that there are."""
    size = (1, 1, 3, 3)
    share = uniform_filter(np.ones_like(values), size, mode="constant")
    return np.asarray(uniform_filter(values, size, mode="constant") / share)


@pytest.mark.parametrize(("height", "width", "channels"), [(48, 48, 1), (67, 45, 3)])
def test_weights_of_a_file_give_the_features_of_that_file(
    weights: Path, height: int, width: int, channels: int
) -> None:
    features, images = PatchFeatures("resnet18"), torch.rand(2, channels, height, width)
    before = features(images)
    features.load(weights)
    found = features(images)
    assert found.shape == (2, DIMENSIONS["resnet18"], -(-height // 8), -(-width // 8))
    expected = features_by_hand(torch.load(weights, weights_only=True), images)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())
    assert not torch.allclose(found, before, rtol=0.1)


@pytest.mark.slow
def test_the_wide_backbone(tmp_path: Path) -> None:
    state, images = lively_backbone("wide_resnet50_2"), torch.rand(1, 3, 40, 32)
    torch.save(state, tmp_path / "wide.pth")
    features = PatchFeatures("wide_resnet50_2")
    features.load(tmp_path / "wide.pth")
    expected = features_by_hand(state, images, "wide_resnet50_2")
    np.testing.assert_allclose(features(images), expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_the_backbone_is_frozen_in_training_mode() -> None:
    features, images = PatchFeatures("resnet18").eval(), torch.rand(2, 1, 48, 48)
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    expected = features(images)
    torch.testing.assert_close(features.train()(images), expected, rtol=0, atol=0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in features.state_dict().items())
    assert not any(parameter.requires_grad for parameter in features.parameters())


def test_cells_lie_where_strided_convolutions_have_them() -> None:
    cells = torch.tensor([[0.0, 8.0, 4.0]]).view(1, 1, 1, 3).expand(1, 1, 2, 3)
    found = onto_grid(cells, 4, 8, 11)
    assert found.shape == (1, 1, 8, 11)
    assert found[0, 0, 7].tolist() == [0, 2, 4, 6, 8, 7, 6, 5, 4, 4, 4]


# -- weights


def refused(source: Any, *words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        PatchFeatures("resnet18").load(source)
    for word in words:
        assert word in str(caught.value)


def test_files_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "gone.pth", "gone.pth", "imagenet, none")
    refused(tmp_path, "there is no file")
    (tmp_path / "text.pth").write_text("hello")
    refused(tmp_path / "text.pth", "text.pth cannot be read")
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", "a list", "state dict")
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pth")  # would be executed, were it not for weights_only
    refused(tmp_path / "module.pth", "module.pth cannot be read")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer3.1.bn2.bias"), "there is no tensor 'layer3.1.bn2.bias'"),
        (lambda state: state.update({"conv1.weight": 3}), "there is no tensor 'conv1.weight'"),
        (lambda state: state.update({"conv1.weight": torch.zeros(64, 1, 7, 7)}), "(64, 1, 7, 7), not (64, 3, 7, 7)"),
        (lambda state: state["bn1.bias"].fill_(torch.nan), "'bn1.bias' is not finite"),
    ],
    ids=["name", "type", "shape", "values"],
)
def test_weights_of_another_network_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, tmp_path: Path
) -> None:
    state: dict[str, Any] = lively_backbone()
    change(state)
    torch.save(state, tmp_path / "other.pth")
    refused(tmp_path / "other.pth", "other.pth", message, "torchvision's state dict of resnet18")


def test_old_files_without_counters_and_files_without_a_head_are_read(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    needed = {k: v for k, v in state.items() if "num_batches" not in k and not k.startswith(("fc.", "layer4."))}
    torch.save(needed, tmp_path / "old.pth")
    one, other, images = PatchFeatures("resnet18"), PatchFeatures("resnet18"), torch.rand(1, 3, 40, 40)
    one.load(weights)
    other.load(tmp_path / "old.pth")
    assert torch.equal(one(images), other(images))


def test_weights_that_torchvision_has_downloaded_are_taken_from_there(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *arguments, **_: pytest.fail("downloads"))
    cached = tmp_path / "hub" / "checkpoints" / Path(models.ResNet18_Weights.IMAGENET1K_V1.url).name
    cached.parent.mkdir(parents=True)
    cached.write_bytes(weights.read_bytes())
    one, other, images = PatchFeatures("resnet18"), PatchFeatures("resnet18"), torch.rand(1, 3, 40, 40)
    one.load("imagenet")
    other.load(weights)
    assert torch.equal(one(images), other(images))


def test_without_a_network_the_error_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def unreachable(*arguments: Any, **_: Any) -> None:
        raise URLError("no network")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    refused("imagenet", "no network", "https://download.pytorch.org/models/resnet18-f37072fd.pth", "options.weights")
    assert not capsys.readouterr().out


def test_random_weights_are_warned_of_and_come_from_the_seed() -> None:
    with pytest.warns(UserWarning, match=r"random: expect .* options.weights=imagenet"):
        fitted(texture(8, 0))
    images, found = torch.rand(1, 1, 40, 40), []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        found.append(PatchFeatures("resnet18")(images))
    assert torch.equal(found[0], found[1])
    assert not torch.allclose(found[0], found[2])


def test_pretrained_weights_are_not_warned_of(weights: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        PatchFeatures("resnet18").load(weights)


# -- gallery and score


def score_by_hand(weights: Path, good: Tensor, images: Tensor, position: bool) -> Maps:
    """(B, h, w): all good vectors are in the gallery."""
    state = torch.load(weights, weights_only=True)
    train, test = (features_by_hand(state, one).transpose(0, 2, 3, 1) for one in (good, images))
    whiten = make_pipeline(StandardScaler(), PCA(64, whiten=True, svd_solver="full"))
    whiten.fit(train.reshape(-1, train.shape[-1]))
    gallery, queries = (whiten.transform(one.reshape(-1, one.shape[-1])) for one in (train, test))
    if position:
        rows, columns = np.mgrid[-1 : 1 : train.shape[1] * 1j, -1 : 1 : train.shape[2] * 1j]
        place = 3**0.5 * np.stack([rows, columns], -1).reshape(-1, 2)
        gallery, queries = (np.hstack([one, np.tile(place, (len(one) // len(place), 1))]) for one in (gallery, queries))
    distance, _ = NearestNeighbors(n_neighbors=5, algorithm="brute").fit(gallery).kneighbors(queries)
    return np.asarray((distance**2).mean(1).reshape(test.shape[:3]) / gallery.shape[1])


@pytest.mark.parametrize("position", [False, True])
def test_the_score_agrees_with_an_independent_computation(weights: Path, position: bool) -> None:
    good, images = texture(8, 0), torch.cat([texture(2, 1), torch.rand(1, 1, 48, 48)])
    made = fitted(good, weights=weights, gallery=1000, position=position)
    assert neighbours_of(made).gallery.shape == (8 * 36, 66 if position else 64)
    with torch.no_grad():
        found = map_of(made, images)
    assert found.shape == (3, 1, 48, 48)
    cells = found[:, 0, ::8, ::8].numpy()
    # the features differ by float32, and whitening magnifies what the good images lack
    np.testing.assert_allclose(cells, score_by_hand(weights, good, images, position), rtol=0.01)
    between = 0.5 * (cells[:, :, :-1] + cells[:, :, 1:])
    np.testing.assert_allclose(found[:, 0, ::8, 4::8].numpy()[:, :, :5], between, rtol=1e-4)


def test_the_gallery_is_chosen_of_the_good_vectors() -> None:
    good = texture(8, 0)
    good[3, :, 16:24, 16:24] = 1  # rare, but good
    everything, some = (neighbours_of(fitted(good, local=True, gallery=size)) for size in (1000, 40))
    assert some.gallery.shape == (40, 2)
    torch.testing.assert_close(some.projection, everything.projection)
    assert {tuple(row) for row in some.gallery.tolist()} <= {tuple(row) for row in everything.gallery.tolist()}
    at_random = everything.gallery[torch.randperm(len(everything.gallery))[:40]]
    radius, other = (torch.cdist(everything.gallery, one).amin(1).max() for one in (some.gallery, at_random))
    assert radius < 0.5 * other  # nothing good is far from what is kept


def test_vectors_are_drawn_evenly_where_all_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    made, run = neighbours_of(detector()), PlainRun()
    batches = [Batch(part) for part in texture(32, 0).split(8)]
    everything = made._pool(batches, run)
    assert len(everything) == 32 * 36
    monkeypatch.setattr(neighbour_map, "POOL", DIMENSIONS["resnet18"] * 400)
    some = made._pool(batches, run)
    assert len(some) == 400
    rows = {tuple(row): number // (8 * 36) for number, row in enumerate(everything.tolist())}
    assert [rows[tuple(row)] for row in some.tolist()] == [number // 100 for number in range(400)]


@pytest.mark.parametrize("position", [False, True])
@pytest.mark.parametrize(("height", "width", "channels"), [(48, 40, 1), (37, 53, 3), (32, 64, 1)])
def test_any_size_and_batch(position: bool, height: int, width: int, channels: int) -> None:
    made = fitted(torch.rand(3, channels, height, width), position=position)
    images = torch.rand(3, channels, height, width)
    with torch.no_grad():
        together = map_of(made, images)
        alone = torch.cat([map_of(made, one[None]) for one in images])
    assert together.shape == (3, 1, height, width)
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    assert (together > 0).all()


def test_what_is_right_elsewhere_is_wrong_here_with_position() -> None:
    torch.manual_seed(0)
    good = texture(12, 0).repeat(1, 1, 1, 2)
    good[..., 48:] = 0.8 + 0.2 * (good[..., 48:] - 0.5)  # brighter and flatter on the right
    moved = good[:4].roll(-48, 3)
    unchanged, told = (fitted(good, local=True, position=position, gallery=2000) for position in (False, True))
    with torch.no_grad():
        here, there = (map_of(unchanged, one)[..., ::8, ::8] for one in (good[:4], moved))
        torch.testing.assert_close(there, here.roll(-6, 3))
        right, wrong = (map_of(told, one)[:, 0, ::8, 0] for one in (good[:4], moved))
    # half the width away from what looks like it: 6 cells in units of the places' spread, over 4 dimensions
    assert float(wrong.mean() - right.mean()) > 0.5 * (6 / 11 * 2 * 3**0.5) ** 2 / 4


def test_only_cells_that_bear_on_valid_pixels_are_learnt() -> None:
    made, image = neighbours_of(detector(48, 64)), torch.rand(2, 1, 48, 64)
    valid = torch.zeros(2, 1, 48, 64, dtype=torch.bool)
    valid[0, :, 9, 17] = True  # between the cells at 8 and 16, 16 and 24
    found = made._pool([Batch(image, valid=valid)], PlainRun())
    cells = made._cells(image)
    expected = [cells[0, row, column] for row in (1, 2) for column in (2, 3)]
    torch.testing.assert_close(
        found[found[:, 0].argsort()], torch.stack(expected)[torch.stack(expected)[:, 0].argsort()]
    )
    with pytest.raises(DataError, match=r"no pixel .* 1 at least.*roi"):
        made._pool([Batch(image, valid=torch.zeros_like(valid))], PlainRun())


@pytest.mark.parametrize("images", [torch.full((3, 1, 48, 48), 0.5), texture(1, 0)], ids=["flat", "single"])
def test_little_to_learn_from_gives_finite_maps(images: Tensor) -> None:
    made = fitted(images)
    for one in (images[:1], torch.rand(1, 1, 48, 48), torch.zeros(1, 1, 48, 48)):
        with torch.no_grad():
            assert map_of(made, one).isfinite().all()


# -- options


def test_too_small_images_and_too_large_galleries_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"31 x 64 pixels are too small.* 32 x 32"):
        detector(31, 64)
    with pytest.raises(
        ConfigError, match=r"2000 vectors .* 2048 x 2048 pixels.* 256 MiB.* options.gallery=1024 at most"
    ):
        detector(2048, 2048, gallery=2000)
    detector(2048, 2048, gallery=1024)
    with pytest.raises(ConfigError, match=r"gallery.*16384.*found 20000"):
        validate(
            DteConfig,
            {"method": "neighbours", "gallery": 20000},
            where="options of 'dte'",
            help_command="anomalib-lite plugins show dte",
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"method": "knn"}, "unet"),
        ({"method": "neighbours", "backbone": "vgg16"}, "resnet18"),
        ({"method": "neighbours", "gallery": 7}, "8"),
        ({"method": "neighbours", "grain": 16}, "grain means nothing to method neighbours: set method=unet"),
        ({"weights": "imagenet"}, "weights means nothing to method unet: set method=neighbours"),
    ],
    ids=str,
)
def test_illegal_options_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DteConfig(**wrong)


@pytest.mark.parametrize("source", ["imagenet", "none", "folder/file.pth"])
def test_the_source_of_weights_survives_a_file(source: str) -> None:
    made = options(weights=source)
    assert made.weights == (Path(source) if "." in source else source)
    assert DteConfig.model_validate(json.loads(json.dumps(made.model_dump(mode="json")))) == made


# -- the host


@pytest.mark.slow
@parametrize_with_checks(["dte"], options={"dte": {"method": "neighbours", "gallery": 500}})
def test_the_contract_is_kept(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
def test_a_model_with_weights_of_a_file_that_knows_the_place_is_exported_alike(weights: Path) -> None:
    chosen = {"method": "neighbours", "gallery": 300, "position": True, "weights": str(weights)}
    testing.check_the_graph_computes_the_same(testing.Subject.of(INFO, "anomalib_lite_dte", chosen, 3))
