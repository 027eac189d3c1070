"""Readers of other file types: which files they get, and what is made of what they return."""

from __future__ import annotations

import hashlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from conftest import edited, picture, save

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.imaging import FileBytes, Limits, read, read_header
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Reader, Readers, divided, is_image, of_one_type, suffix_of
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, ImageError, ModelError

GREY = np.arange(12, dtype=np.uint16).reshape(3, 4, 1)


def giving(value: Any) -> Any:
    return {".acme": lambda file: value}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "one.ACME").write_bytes(b"whatever")
    return tmp_path / "one.ACME"


def test_a_reader_gets_the_whole_file_and_its_bytes_are_hashed(path: Path) -> None:
    seen = []

    def reader(file: BinaryIO) -> Any:
        seen.append(file.read())
        file.seek(0)
        seen.append(file.read(4))
        return GREY

    found = read(path, readers={".acme": reader})
    assert seen == [b"whatever", b"what"]
    assert found.sha256 == hashlib.sha256(b"whatever").hexdigest()
    assert found.note == ""
    np.testing.assert_array_equal(found.pixels, GREY)


def test_the_header_is_that_of_the_pixels(path: Path) -> None:
    header = read_header(path, readers=giving(GREY))
    assert (header.height, header.width, header.channels, header.dtype, header.format) == (3, 4, 1, "uint16", ".acme")


def test_what_a_file_says_of_its_image_is_kept(path: Path) -> None:
    valid = np.arange(12).reshape(3, 4) > 3
    told = Picture(GREY, "p7", (np.float64(0.5), 2), {"modality": "CT", "kv": np.float64(120), "dry": True}, valid)
    found = read(path, readers=giving(told))
    assert (found.part, found.spacing, found.meta) == ("p7", (0.5, 2.0), {"modality": "CT", "kv": 120.0, "dry": True})
    assert [type(one) for one in found.meta.values()] == [str, float, bool]
    np.testing.assert_array_equal(found.valid, valid)
    valid[:] = False
    assert found.valid is not None
    assert found.valid.any()


def test_files_without_a_reader_are_read_as_ever(tmp_path: Path) -> None:
    path = save(tmp_path / "acme.png", picture(1))
    np.testing.assert_array_equal(read(path, readers=giving(GREY)).pixels, picture(1))
    assert read_header(path, readers=giving(GREY)).format == "PNG"


def test_bytes_go_by_the_name_that_they_are_given() -> None:
    assert read(FileBytes("x.acme", b"1"), readers=giving(GREY)).pixels.shape == (3, 4, 1)
    with pytest.raises(ImageError, match=r"x\.other: not an image") as caught:
        read(FileBytes("x.other", b"1"), readers=giving(GREY))
    assert caught.value.code == "unreadable"
    with pytest.raises(ImageError, match="image given as bytes"):
        read(b"1", readers=giving(GREY))


@pytest.mark.parametrize(
    ("returned", "code", "said"),
    [
        (None, "reader_failed", "an object of type NoneType"),
        ([[[1]]], "reader_failed", "an object of type list"),
        (GREY.astype(np.float64), "reader_failed", "an array of float64"),
        (GREY * np.float32("nan"), "not_finite", "NaN or infinite"),
        (GREY.astype(np.uint32), "reader_failed", "an array of uint32"),
        (GREY.astype(bool), "reader_failed", "an array of bool"),
        (GREY[..., 0], "reader_failed", "an array of shape (3, 4)"),
        (GREY[None], "reader_failed", "an array of shape (1, 3, 4, 1)"),
        (GREY.repeat(17, axis=2), "reader_failed", "an array of shape (3, 4, 17)"),
        (GREY[:0], "reader_failed", "an array of shape (0, 4, 1)"),
        (np.ma.masked_equal(GREY, 3), "reader_failed", "a masked array"),
        (np.zeros((40, 30, 1), np.uint8), "too_large", "30 x 40 pixels"),
        (Picture(GREY[..., 0]), "reader_failed", "an array of shape (3, 4)"),
        (Picture(GREY, part=3), "reader_failed", "part=3"),  # type: ignore[arg-type]
        (Picture(GREY, part=" "), "reader_failed", "part=' '"),
        (Picture(GREY, spacing=(0.5, 0)), "reader_failed", "spacing=(0.5, 0)"),
        (Picture(GREY, spacing=(0.5, float("nan"))), "reader_failed", "millimetres above 0"),
        (Picture(GREY, spacing=0.5), "reader_failed", "spacing=0.5"),  # type: ignore[arg-type]
        (Picture(GREY, meta={"a": [1]}), "reader_failed", "meta with 'a' of type list"),  # type: ignore[dict-item]
        (Picture(GREY, meta={"a": float("inf")}), "reader_failed", "meta with 'a'=inf"),
        (Picture(GREY, corners=((0, 0, 0),)), "reader_failed", "corners=((0, 0, 0),); expected three or four places"),
        (Picture(GREY, corners=((0, 0, np.nan),) * 3), "reader_failed", "; expected three or four places"),
        (Picture(GREY, corners="here"), "reader_failed", "corners='here'"),  # type: ignore[arg-type]
        (Picture(GREY, meta=3), "reader_failed", "meta of type int"),  # type: ignore[arg-type]
        (Picture(GREY, valid=GREY[..., 0]), "reader_failed", "valid of uint16, shape (3, 4)"),  # type: ignore[arg-type]
        (Picture(GREY, valid=GREY > 2), "reader_failed", "valid of bool, shape (3, 4, 1)"),
        (Picture(GREY, valid=np.zeros((3, 4), bool)), "reader_failed", "False all over"),
    ],
)
def test_what_is_no_image_is_refused(path: Path, returned: Any, code: str, said: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(path, Limits(pixels=1000), readers=giving(returned))
    assert caught.value.code == code
    assert said in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "returned",
    [
        GREY,
        GREY.astype(np.uint8).repeat(3, axis=2),
        GREY.astype(np.int16) - 5,
        GREY.astype(">f4") / 7,
        GREY.repeat(3, axis=2),
        GREY.repeat(16, axis=2),
        GREY.astype(">u2"),
        GREY.astype("<u2"),
        np.asfortranarray(GREY.astype(np.uint8)),
        GREY[::-1, ::2],
        np.frombuffer(GREY.tobytes(), np.uint16).reshape(3, 4, 1),
    ],
)
def test_images_become_arrays_of_their_own(path: Path, returned: Any) -> None:
    pixels = read(path, readers=giving(returned)).pixels
    np.testing.assert_array_equal(pixels, returned)
    assert pixels.dtype == returned.dtype.newbyteorder("=")
    assert pixels.dtype.isnative
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert not np.shares_memory(pixels, returned)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (ValueError("no header"), "reader_failed", "the reader of '.acme' files failed (ValueError: no header)"),
        (SystemExit(3), "reader_failed", "SystemExit: 3"),
        (MemoryError(), "reader_failed", "MemoryError"),
        (ImageError("two frames", "several_frames"), "several_frames", "two frames"),
    ],
)
def test_whatever_a_reader_raises_is_an_image_error(path: Path, raised: BaseException, code: str, said: str) -> None:
    def reader(file: BinaryIO) -> Any:
        raise raised

    with pytest.raises(ImageError) as caught:
        read(path, readers={".acme": reader})
    assert caught.value.code == code
    assert caught.value.__cause__ is raised
    assert str(caught.value) == f"{path}: {said}" or (code == "reader_failed" and said in str(caught.value))


def test_an_interrupt_while_reading_is_the_users(path: Path) -> None:
    def reader(file: BinaryIO) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(path, readers={".acme": reader})


def test_limits_on_bytes_hold_before_a_reader_is_called(path: Path) -> None:
    def reader(file: BinaryIO) -> Any:
        raise AssertionError("called")

    with pytest.raises(ImageError) as caught:
        read(path, Limits(bytes=3), readers={".acme": reader})
    assert caught.value.code == "too_large"
    path.write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        read(path, readers={".acme": reader})
    assert caught.value.code == "empty"


def test_the_longest_suffix_decides() -> None:
    assert suffix_of("scan/7.nii.gz", [".gz", ".nii.gz", ".nii"]) == ".nii.gz"
    assert suffix_of("7.GZ", [".gz", ".nii.gz"]) == ".gz"
    assert suffix_of("7.png", [".gz"]) is None
    assert is_image("7.PNG", [])
    assert is_image("7.nii.gz", [".nii.gz"])
    assert not is_image("7.nii.gz", [])


@pytest.mark.parametrize(
    ("name", "file", "key"),
    [
        ("scan.acme#12", "scan.acme", "12"),
        ("S1#12", "S1", "12"),
        ("S1#12.acme", "S1#12.acme", None),
        ("a.acme#2.acme", "a.acme#2.acme", None),
        ("a.acme#2.png", "a.acme#2.png", None),
        ("a.acme#2.acme#3", "a.acme#2.acme", "3"),
        ("a.png#2", "a.png#2", None),
    ],
)
def test_a_key_is_no_name_of_a_file(name: str, file: str, key: str | None) -> None:
    readers = {".acme": Reader(read=GREY.max, sniff=lambda head: True)}
    assert divided(name, readers) == (file, key)


# ---- in a model


@pytest.mark.parametrize(
    ("readers", "said"),
    [
        ({"acme": GREY.max}, "expected a dot"),
        ({".ACME": GREY.max}, "expected a dot"),
        ({".png": GREY.max}, "the host reads these files itself"),
        ({".acme": "acme:read"}, "'acme:read' is not a function"),
    ],
)
def test_readers_that_no_model_can_have(model_path: Path, readers: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Model(model_path, readers=readers)


def test_a_manifest_with_odd_readers_is_refused(model_path: Path) -> None:
    from anomalib_lite.edge import bundle

    loaded = bundle.load(model_path)
    for odd in ([{"suffix": ".acme"}], [7], 7):
        with pytest.raises(ModelError, match="incomplete"):
            edited(loaded, "readers", odd)


def test_a_model_of_ordinary_images_reads_others_with_a_reader(model_path: Path, tmp_path: Path) -> None:
    """Pixels are what counts, not the file that they came in."""
    pixels = picture(1, defect=True)
    buffer = BytesIO()
    np.save(buffer, pixels)
    (tmp_path / "one.acme").write_bytes(buffer.getvalue())
    model = Model(model_path, readers={".acme": lambda file: np.load(file, allow_pickle=False)})
    result = model.inspect(tmp_path / "one.acme")
    assert result.verdict is Verdict.NG
    assert result.score == model.inspect(pixels).score
    again = model.inspect(FileBytes("camera 3/one.acme", buffer.getvalue()))
    assert (again.image, again.score, again.sha256) == ("camera 3/one.acme", result.score, result.sha256)


def test_files_may_be_of_one_series_where_one_reader_knows_them_whatever_they_are_called() -> None:
    def gather(paths: Any) -> Any:
        return [(path, [path]) for path in paths]

    plain = Reader(read=lambda files: None, gather=gather)
    known = Reader(**vars(plain) | {"sniff": lambda head: True})
    other = Reader(**vars(known) | {"options": {"window": 3}})
    third = Reader(**vars(known) | {"gather": list})
    readers: Readers = {".a": known, ".b": known, ".c": other, ".d": plain.read, ".e": third}
    assert of_one_type(".b", readers) == [".a", ".b"]
    assert [of_one_type(one, readers) for one in (".c", ".d", ".e")] == [[".c"], [".d"], [".e"]]
    assert of_one_type(".a", {".a": plain, ".b": plain}) == [".a"]
