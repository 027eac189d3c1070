"""Images that the host's own formats do not have: Hounsfield units, floats, many channels, masks of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, BinaryIO

import numpy as np
import pytest
from conftest import picture

from anomalib_lite.config import ImageConfig
from anomalib_lite.data import Folders, find, look, survey
from anomalib_lite.data.masks import Mask
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.images.imaging import luma, resize
from anomalib_lite.edge.images.kept import Kept, decode
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import GoldenRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import carried, replay
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.pipeline.evaluate import evaluate
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.foreign import without_foreign_files
from anomalib_lite.pipeline.predict import predict
from anomalib_lite.pipeline.saving import Heatmaps
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.registry import Provider, Reader, Registry, load

Train = Callable[..., Trained]
KINDS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float, float | None]] = {
    "int16": (lambda grey: 8 * grey.astype(np.int16) - 1200, -1200.0, 840.0),
    "float32": (lambda grey: grey / np.float32(255), 0.0, 1.0),
    "two channels": (lambda grey: np.concatenate([grey, 255 - grey], axis=2), 0.0, None),
    "five channels": (lambda grey: grey.astype(np.uint16).repeat(5, axis=2) * 257, 0.0, None),
}


ONE_AT_A_TIME = Lock()  # numpy parses a header as Python, which CPython 3.11 may fail at in several threads


def read(file: BinaryIO) -> Any:
    """An .npz file with pixels and, perhaps, valid."""
    with ONE_AT_A_TIME, np.load(file) as stored:
        return Picture(stored["pixels"], valid=stored.get("valid"))


def write(path: Path, pixels: np.ndarray, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, pixels=pixels, **more)
    return path


@pytest.fixture
def plugins() -> Registry:
    found = load()
    return replace(found, readers={".npz": Reader(read=read, suffix=".npz", provider=Provider("npz", "acme", "1.0"))})


@pytest.mark.parametrize("kind", KINDS)
def test_they_train_travel_and_are_judged(kind: str, train: Train, plugins: Registry, tmp_path: Path) -> None:
    make, black, white = KINDS[kind]
    for number in range(30):
        write(tmp_path / f"good/part{number:02}.npz", make(picture(number)))
    bad = [write(tmp_path / f"bad/{number}.npz", make(picture(number, defect=True))) for number in range(50, 53)]
    levels = {"image.black": black} | ({} if white is None else {"image.white": white})
    train(tmp_path / "good", tmp_path / "model", levels, plugins=plugins)
    image = json.loads((tmp_path / "model/manifest.json").read_text())["image"]
    assert (image["dtype"], image["channels"]) == (str(make(picture(0)).dtype), make(picture(0)).shape[2])
    model = Model(tmp_path / "model", readers={".npz": read})
    assert {model.inspect(path).verdict for path in bad} == {Verdict.NG}
    assert model.inspect(make(picture(3))).score == model.inspect(tmp_path / "good/part03.npz").score
    predict(model, bad, out=tmp_path / "out", heatmaps=Heatmaps.ALL)
    exported = export(tmp_path / "model", tmp_path / "device", readers={".npz": read}).bundle
    assert not [name for name in exported.manifest.files if name.endswith(".npz")]
    replayed = replay(Model(exported))  # without any reader
    assert {one.verdict for one in replayed} == {Verdict.OK, Verdict.NG}
    assert all(one.difference == 0 for one in replayed)


def test_channels_that_nothing_converts_are_taken_as_they_are_or_refused(tmp_path: Path) -> None:
    opener = Opener({".npz": read})
    write(tmp_path / "a/two.npz", picture(1).repeat(2, axis=2))
    looked = look(find(tmp_path, opener=opener, folders=Folders(all_good=True)).samples, opener)
    assert survey(*looked).channels == 2
    with pytest.raises(
        DataError, match=r"converts grey and colour alone, and .*two\.npz is uint8, 2 channels.*Leave it"
    ):
        survey(*looked, channels=1)
    write(tmp_path / "a/three.npz", picture(2).repeat(3, axis=2))
    with pytest.raises(DataError, match=r"numbers of channels are mixed: .*two\.npz is uint8, 2 channels"):
        survey(*look(find(tmp_path, opener=opener, folders=Folders(all_good=True)).samples, opener))
    with pytest.raises(ValueError, match="leave it out, and those of 2 channels are taken as they are"):
        ImageConfig(channels=2)
    assert ImageConfig(channels=3).channels == 3


def test_the_same_image_in_other_units_gets_the_same_map(train: Train, plugins: Registry, tmp_path: Path) -> None:
    maps: list[Any] = []
    kinds: dict[str, tuple[Callable[[np.ndarray], np.ndarray], dict[str, Any]]] = {
        "bytes": (lambda grey: grey, {}),
        "units": (lambda grey: grey.astype(np.int16) - 100, {"image.black": -100, "image.white": 155}),
    }
    for name, (make, levels) in kinds.items():
        for number in range(20):
            write(tmp_path / f"{name}/part{number:02}.npz", make(picture(number)))
        train(tmp_path / name, tmp_path / f"model {name}", levels, plugins=plugins)
        result = Model(tmp_path / f"model {name}").inspect(make(picture(99, defect=True)))
        maps.append(result.anomaly_map)
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-4 * np.ptp(maps[0]))


def test_what_is_not_valid_is_not_judged(train: Train, plugins: Registry, tmp_path: Path) -> None:
    left = np.zeros((48, 48), bool)
    left[:, :24] = True
    for number in range(30):
        write(tmp_path / f"good/part{number:02}.npz", picture(number), valid=left)
    train(tmp_path / "good", tmp_path / "model", plugins=plugins)
    model = Model(tmp_path / "model", readers={".npz": read})
    beside = picture(77)
    beside[20:28, 34:42] = 10  # on the right, which is not valid
    assert model.inspect(write(tmp_path / "beside.npz", beside, valid=left)).verdict is not Verdict.NG
    result = model.inspect(write(tmp_path / "whole.npz", beside))
    assert result.verdict is Verdict.NG
    hidden = model.inspect(write(tmp_path / "hidden.npz", beside, valid=left))
    assert hidden.valid is not None
    np.testing.assert_array_equal(hidden.valid, left)
    exported = Model(export(tmp_path / "model", tmp_path / "device", readers={".npz": read}).bundle)
    assert {one.difference for one in replay(exported)} == {0}
    assert "selfcheck/low.npz.png-valid.png" in exported.bundle.manifest.files
    (tmp_path / "labelled").mkdir()
    for kind in ("good", "dent"):
        write(tmp_path / f"labelled/{kind}/1.npz", beside if kind == "dent" else picture(78), valid=left)
    assert evaluate(model, tmp_path / "labelled").metrics["images"] == 2


def test_a_model_that_cannot_leave_anything_out_says_so(model_path: Path, tmp_path: Path) -> None:
    half = np.arange(48 * 48).reshape(48, 48) > 1000
    path = write(tmp_path / "half.npz", picture(1), valid=half)
    result = Model(model_path, readers={".npz": read}).inspect(path)
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "unsupported_mode")
    whole = write(tmp_path / "whole.npz", picture(1), valid=np.ones((48, 48), bool))
    assert Model(model_path, readers={".npz": read}).inspect(whole).score is not None


def both(file: BinaryIO) -> Iterator[tuple[int, Picture]]:
    """Both images of an .npz file, the second of which is to be inspected in part."""
    with ONE_AT_A_TIME, np.load(file) as stored:
        yield from enumerate(Picture(one, valid=one[..., 0] > 120 if number else None)
                             for number, one in enumerate(stored["pixels"]))  # fmt: skip


def test_a_bundle_keeps_what_is_to_be_inspected_of_golden_images(model_path: Path, tmp_path: Path) -> None:
    """Of one of several images of a file, too, and where its file is left out."""
    half = np.arange(48 * 48).reshape(48, 48) > 1000
    alone = write(tmp_path / "golden.npz", picture(1), valid=half)
    several = write(tmp_path / "both.npz", np.stack([picture(1), picture(2)])).with_name("both.npz#1")
    model = Model(model_path, readers={".npz": read})
    for file, reader, mask in ((alone, read, half), (several, both, picture(2)[..., 0] > 120)):
        goldens = Goldens({file.name: file}, opener=Opener({".npz": reader}))
        (name,) = (name for name in goldens.files if not name.endswith("-valid.png"))
        first = replace(model.bundle.manifest.selfcheck[0], reference="selfcheck/golden.npz")
        golden = GoldenRecord((name,), valid=tuple(one for one in goldens.files if one != name))
        manifest = replace(model.bundle.manifest, selfcheck=(first,), reference=golden)
        files = goldens.files | {"selfcheck/golden.npz": alone.read_bytes(), first.file: model.bundle.read(first.file)}
        bundled = without_foreign_files(model, Bundle(tmp_path / "device", manifest, "", files))
        (view,) = Intake.of(bundled, {}).goldens.views
        np.testing.assert_array_equal(view.valid, mask)
        (expected,) = bundled.manifest.selfcheck
        again = carried(bundled, expected)[1]
        assert again is not None
        np.testing.assert_array_equal(Opener().read(again).valid, half)
        assert set(expected.files) <= set(bundled.kept)


@pytest.mark.parametrize(("dtype", "code"), [(np.int16, "wrong_dtype"), (np.float32, "wrong_dtype")])
def test_other_types_than_the_models_are_refused(model_path: Path, dtype: Any, code: str) -> None:
    assert Model(model_path).inspect(picture(1).astype(dtype)).error_code == code


def test_other_channels_than_the_models_are_refused(model_path: Path) -> None:
    result = Model(model_path).inspect(picture(1).repeat(5, axis=2))
    assert result.error_code == "wrong_channels"
    assert "5 channels, the model takes 1" in str(result.error)


def test_types_without_a_largest_value_need_white(tmp_path: Path, plugins: Registry) -> None:
    write(tmp_path / "a.npz", picture(1).astype(np.int16))
    opener = Opener(plugins.readers)
    looked, _ = look(find(tmp_path, opener=opener).samples, opener)
    with pytest.raises(DataError, match=r"int16.*--set image.black=-160 --set image.white=240"):
        survey(looked, [])
    assert survey(looked, [], white=240.0).dtype == "int16"


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_masks_of_labels_mark_what_is_above_half(tmp_path: Path, dtype: Any, plugins: Registry) -> None:
    labels = np.zeros((4, 5, 1), dtype)
    write(tmp_path / "empty.npz", labels)
    labels[1, 2] = 1
    write(tmp_path / "mask.npz", labels)
    opener = Opener(plugins.readers)
    np.testing.assert_array_equal(Mask.read(tmp_path / "mask.npz", opener).marked, labels[..., 0] > 0)
    assert Mask.read(tmp_path / "mask.npz", opener).is_plain
    assert Mask.read(tmp_path / "empty.npz", opener).is_empty


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.float32])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 16])
def test_every_channel_is_resized_by_itself(dtype: Any, channels: int) -> None:
    pixels = (np.random.default_rng(0).random((9, 7, channels)) * 200).astype(dtype)
    if dtype is np.int16:
        pixels -= 100
    small = resize(pixels, 4, 5)
    assert (small.dtype, small.shape) == (np.dtype(dtype), (4, 5, channels))
    for channel in range(channels):
        np.testing.assert_array_equal(small[..., channel], resize(pixels[..., channel : channel + 1], 4, 5)[..., 0])
    assert abs(float(small.mean()) - float(pixels.mean())) < 15


def test_the_grey_of_signed_colour_is_a_mean() -> None:
    colour = np.full((2, 2, 3), -7, np.int16)
    assert (luma(colour) == -7).all()


@pytest.mark.parametrize("damage", ["cut", "longer", "pickle", "huge"])
def test_damaged_kept_images_are_refused(damage: str) -> None:
    from io import BytesIO

    buffer = BytesIO()
    np.save(buffer, np.array([{}]) if damage == "pickle" else np.zeros((3, 4, 1), np.float32))
    content = buffer.getvalue()
    content = {"cut": content[:-1], "longer": content + b"1"}.get(damage, content)
    if damage == "huge":
        content = content.replace(b"(3, 4, 1)", b"(3,4e9,1)")
    with pytest.raises(ImageError) as caught:
        decode("low.npy", content)
    assert caught.value.code == "unreadable"


def test_kept_images_are_no_matter_of_readers() -> None:
    from io import BytesIO

    def fails(file: BinaryIO) -> Any:
        raise AssertionError("called")

    buffer = BytesIO()
    np.save(buffer, picture(1))
    found = Opener({".npy": fails}).read(Kept("selfcheck/low.npy", buffer.getvalue()))
    np.testing.assert_array_equal(found.pixels, picture(1))
