"""Reading, refusing and resizing images: real files written by Pillow, OpenCV and tifffile."""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import subprocess
import sys
import threading
import tracemalloc
import zlib
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageFile, PngImagePlugin

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.imaging import Limits
from anomalib_lite.edge.manifest import ImageSpec
from anomalib_lite.errors import ImageError

Pixels = NDArray[Any]


def noise(*shape: int, dtype: Any = np.uint8, high: int | None = None) -> Pixels:
    limit = high if high is not None else np.iinfo(dtype).max + 1
    return np.random.default_rng(0).integers(0, limit, shape).astype(dtype)


def encoded(image: Image.Image | Pixels, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: Pixels, **options: Any) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def code(source: Any, **options: Any) -> str:
    with pytest.raises(ImageError) as caught:
        imaging.read(source, **options)
    return caught.value.code


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def agrees(data: bytes) -> imaging.Opened:
    """Read, and check that the header said the same."""
    picture, header = imaging.read(data), imaging.read_header(data)
    assert picture.pixels.shape == (header.height, header.width, header.channels)
    assert picture.pixels.dtype == header.dtype
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable
    return picture


# ---- what is read


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (1, 1), (1, 3, 3)])
def test_lossless_8_bit_files_are_read_as_stored(kind: str, shape: tuple[int, ...]) -> None:
    pixels = noise(*shape)
    data = encoded(pixels, kind)
    picture = agrees(data)
    assert picture.note == ""
    assert picture.sha256 == hashlib.sha256(data).hexdigest()
    np.testing.assert_array_equal(picture.pixels, pixels.reshape(*shape[:2], -1))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize(("kind", "format_name"), [("JPEG", "JPEG"), ("WEBP", "WEBP")])
def test_lossy_files_are_read_as_pillow_decodes_them(mode: str, kind: str, format_name: str) -> None:
    data = encoded(Image.fromarray(noise(16, 24, 3)).convert(mode), kind)
    expected = np.asarray(Image.open(BytesIO(data)))
    np.testing.assert_array_equal(agrees(data).pixels, expected.reshape(16, 24, -1))
    assert imaging.read_header(data).format == format_name


def test_lossless_webp_is_read_as_stored() -> None:
    pixels = noise(9, 13, 3)
    np.testing.assert_array_equal(agrees(encoded(pixels, "WEBP", lossless=True)).pixels, pixels)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".pgm"])
def test_16_bit_grey_keeps_all_its_bits(suffix: str, tmp_path: Path) -> None:
    pixels = noise(6, 9, dtype=np.uint16)
    path = tmp_path / f"part{suffix}"
    assert cv2.imwrite(str(path), pixels)
    picture = imaging.read(path)
    assert picture.pixels.dtype == np.dtype(np.uint16)
    assert picture.pixels.dtype.isnative
    np.testing.assert_array_equal(picture.pixels[..., 0], pixels)
    assert imaging.read_header(path).dtype == "uint16"


@pytest.mark.parametrize("options", [{"byteorder": ">"}, {"byteorder": "<"}, {"bigtiff": True}, {"rowsperstrip": 2}])
def test_16_bit_tiff_in_every_layout(options: dict[str, Any]) -> None:
    pixels = noise(6, 9, dtype=np.uint16)
    np.testing.assert_array_equal(agrees(tiff(pixels, **options)).pixels[..., 0], pixels)


def test_compressed_16_bit_tiff() -> None:
    pixels = noise(64, 48, dtype=np.uint16)
    np.testing.assert_array_equal(agrees(encoded(pixels, "TIFF", compression="tiff_lzw")).pixels[..., 0], pixels)


def test_tiled_and_planar_tiff() -> None:
    pixels = noise(64, 48, 3)
    np.testing.assert_array_equal(agrees(tiff(pixels, tile=(16, 16), photometric="rgb")).pixels, pixels)
    planar = tiff(np.moveaxis(pixels, 2, 0), photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(agrees(planar).pixels, pixels)


def test_tiff_with_white_as_zero_is_inverted_at_either_depth() -> None:
    pixels, deep = noise(6, 9), noise(6, 9, dtype=np.uint16)
    np.testing.assert_array_equal(agrees(tiff(pixels, photometric="miniswhite")).pixels[..., 0], 255 - pixels)
    np.testing.assert_array_equal(agrees(tiff(deep, photometric="miniswhite")).pixels[..., 0], 65535 - deep)


@pytest.mark.parametrize("largest", [1023, 4095, 65535])
def test_pgm_values_are_never_scaled_by_their_maximum(largest: int) -> None:
    pixels = noise(4, 5, dtype=np.uint16, high=largest + 1)
    data = b"P5\n# a camera\n5 4\n%d\n" % largest + pixels.astype(">u2").tobytes()
    np.testing.assert_array_equal(agrees(data).pixels[..., 0], pixels)


def test_few_bits_are_spread_over_8() -> None:
    bits = noise(4, 9, high=2).astype(bool)
    np.testing.assert_array_equal(agrees(encoded(bits, "PNG")).pixels[..., 0], bits * np.uint8(255))
    np.testing.assert_array_equal(agrees(encoded(bits, "TIFF")).pixels[..., 0], bits * np.uint8(255))
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 1, 4, 0, 0, 0, 0))
    data = b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", zlib.compress(b"\0\x3f")) + png_chunk(b"IEND", b"")
    assert agrees(data).pixels.ravel().tolist() == [3 * 17, 15 * 17]


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_a_palette_becomes_rgb(kind: str) -> None:
    image = Image.fromarray(noise(6, 7, 3, high=5) * 50).quantize(16)
    np.testing.assert_array_equal(agrees(encoded(image, kind)).pixels, np.asarray(image.convert("RGB")))


# ---- alpha


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_opaque_alpha_is_dropped_and_noted(kind: str) -> None:
    pixels = noise(6, 7, 4)
    pixels[..., 3] = 255
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(pixels, kind, **options)
    if kind == "WEBP":  # Pillow's encoder drops an opaque channel itself: say in the header that there is one
        data = data[:24] + bytes([data[24] | 0x10]) + data[25:]
    picture = agrees(data)
    np.testing.assert_array_equal(picture.pixels, pixels[..., :3])
    assert picture.note == "opaque alpha dropped"


def test_opaque_grey_alpha_is_grey() -> None:
    pixels = noise(6, 1, 2)
    pixels[..., 1] = 255
    bands = [Image.fromarray(np.ascontiguousarray(pixels[..., band])) for band in range(2)]
    np.testing.assert_array_equal(agrees(encoded(Image.merge("LA", bands), "PNG")).pixels, pixels[..., :1])


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_transparency_is_refused(kind: str) -> None:
    pixels = noise(6, 7, 4)
    pixels[2, 3, 3] = 254
    assert code(encoded(pixels, kind, **({"lossless": True} if kind == "WEBP" else {}))) == "unsupported_mode"


def test_transparent_colours_are_refused_where_they_occur() -> None:
    grey = np.full((4, 4), 9, np.uint8)
    assert code(encoded(grey, "PNG", transparency=9)) == "unsupported_mode"
    assert agrees(encoded(grey, "PNG", transparency=10)).note == "opaque alpha dropped"
    palette = Image.fromarray(grey).convert("P")
    assert code(encoded(palette, "PNG", transparency=9)) == "unsupported_mode"
    assert code(encoded(grey.astype(np.uint16), "PNG", transparency=9)) == "unsupported_mode"


# ---- what is refused


def test_16_bit_colour_is_refused_from_the_header(tmp_path: Path) -> None:
    pixels = noise(6, 9, 3, dtype=np.uint16)
    ppm = b"P6 9 6 65535\n" + pixels.astype(">u2").tobytes()
    path = tmp_path / "deep.png"
    cv2.imwrite(str(path), pixels)
    assert np.asarray(Image.open(path)).dtype == np.uint8  # the trap: Pillow gives 8 bits and says nothing
    rgba = tmp_path / "rgba.png"
    cv2.imwrite(str(rgba), noise(6, 9, 4, dtype=np.uint16))
    for source in (path, rgba, ppm, tiff(pixels, photometric="rgb"), tiff(pixels, photometric="rgb", compression=8)):
        with pytest.raises(ImageError) as caught:
            imaging.read_header(source)
        assert caught.value.code == "unsupported_mode"
        assert code(source) == "unsupported_mode"


@pytest.mark.parametrize("mode", ["CMYK", "LAB", "YCbCr", "F", "I"])
def test_other_colour_and_number_systems_are_refused(mode: str) -> None:
    kinds = {"CMYK": ["TIFF", "JPEG"]}.get(mode, ["TIFF"])
    for kind in kinds:
        with pytest.raises(ImageError, match="8-bit grey or RGB") as caught:
            imaging.read_header(encoded(Image.new(mode, (8, 8)), kind))
        assert caught.value.code == "unsupported_mode"


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((4, 5), np.int8),
        np.zeros((4, 5), np.int16),
        np.zeros((4, 5), np.float16),
        np.full((4, 5), np.nan, np.float32),
        np.zeros((4, 5), np.float64),
        np.zeros((4, 5, 3), np.float32),
    ],
    ids=lambda pixels: f"{pixels.dtype}-{pixels.ndim}",
)
def test_signed_and_float_tiff_are_refused(pixels: Pixels) -> None:
    photometric = "rgb" if pixels.ndim == 3 else "minisblack"
    assert code(tiff(pixels, photometric=photometric)) == "unsupported_mode"


def test_extra_samples_of_unknown_meaning_are_refused() -> None:
    assert code(tiff(noise(4, 5, 2), photometric="minisblack", extrasamples=["unspecified"])) == "unsupported_mode"
    assert code(tiff(noise(4, 5, 4), photometric="rgb", extrasamples=["unspecified"])) == "unsupported_mode"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused_from_the_header(kind: str) -> None:
    frames = [Image.fromarray(noise(8, 8) // (2 * index + 1)) for index in range(3)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(ImageError) as caught:
        imaging.read_header(data)
    assert caught.value.code == "several_frames"


def test_several_netpbm_images_are_refused() -> None:
    assert code(2 * (b"P5 2 2 255\n" + bytes(4))) == "several_frames"


def test_one_frame_of_an_animation_format_is_an_image() -> None:
    assert agrees(encoded(noise(8, 8, 3), "WEBP", save_all=True)).pixels.shape == (8, 8, 3)


def test_mpo_gives_its_primary_picture_with_a_note() -> None:
    primary, preview = (Image.fromarray(noise(size, size, 3)) for size in (16, 8))
    data = encoded(primary, "MPO", save_all=True, append_images=[preview])
    picture = agrees(data)
    np.testing.assert_array_equal(picture.pixels, np.asarray(Image.open(BytesIO(data))))
    assert picture.pixels.shape == (16, 16, 3)
    assert picture.note == "primary picture of several (MPO)"


@pytest.mark.parametrize(
    "data", [b"P4 8 1\n\0", b"P2 1 1 255\n7\n", b"Pf 1 1 -1\n\0\0\0\0", b"P5 2 2 70000\n" + bytes(8)]
)
def test_other_netpbm_files_are_refused(data: bytes) -> None:
    assert code(data) == "unsupported_mode"


def test_compressed_bmp_is_refused() -> None:
    data = bytearray(encoded(noise(4, 4), "BMP"))
    data[30] = 1
    assert code(bytes(data)) == "unsupported_mode"


# ---- orientation


def exif(orientation: int) -> Image.Exif:
    block = Image.Exif()
    block[0x0112] = orientation
    return block


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_and_noted(kind: str, orientation: int) -> None:
    image = Image.fromarray(np.kron(noise(3, 2), np.ones((8, 8), np.uint8)))
    data = encoded(image, kind, exif=exif(orientation))
    stored = np.asarray(Image.open(BytesIO(encoded(image, kind))))
    upright = {  # EXIF 2.3: where row 0 and column 0 of the stored image are seen
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a.swapaxes(0, 1), 2),
        8: lambda a: np.rot90(a, 1),
    }[orientation](stored)
    picture = agrees(data)
    np.testing.assert_array_equal(picture.pixels.squeeze(), upright)
    assert picture.note == ("EXIF orientation applied" if orientation > 1 else "")


def test_orientation_of_a_16_bit_tiff() -> None:
    pixels = noise(4, 6, dtype=np.uint16)
    picture = agrees(tiff(pixels, extratags=[(274, 3, 1, 6, True)]))
    np.testing.assert_array_equal(picture.pixels[..., 0], np.rot90(pixels, -1))


def test_orientation_that_a_png_stores_behind_its_pixels() -> None:
    data = encoded(noise(4, 6), "PNG")
    block = exif(6).tobytes().removeprefix(b"Exif\0\0")
    assert agrees(data[:-12] + png_chunk(b"eXIf", block) + data[-12:]).pixels.shape == (6, 4, 1)


@given(st.binary(max_size=60))
def test_a_damaged_exif_block_says_nothing(rest: bytes) -> None:
    for start in (b"", b"Exif\0\0II*\0", b"Exif\0\0MM\0*\0\0\0\x08"):
        assert containers.exif_orientation(start + rest) in range(1, 9)
    assert containers.exif_orientation(b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01") == 1
    assert containers.exif_orientation(struct.pack("<2sHIHHHIHH", b"II", 42, 8, 1, 0x112, 3, 1, 99, 0)) == 1


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_an_image_with_damaged_exif_is_read_without_a_warning(kind: str) -> None:
    block = exif(6).tobytes()
    picture = agrees(encoded(noise(16, 24, 3), kind, exif=block[:-9]))
    assert picture.pixels.shape == (16, 24, 3)
    assert picture.note == ""


# ---- damage


@pytest.fixture(params=[False, True], ids=["strict", "LOAD_TRUNCATED_IMAGES"])
def pillow_tolerance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


@pytest.mark.usefixtures("pillow_tolerance")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(kind: str, share: float) -> None:
    data = encoded(noise(64, 64), kind)
    assert code(data[: int(len(data) * share)]) in ("truncated", "unreadable")


@pytest.mark.usefixtures("pillow_tolerance")
def test_a_preview_does_not_hide_that_a_jpeg_is_truncated() -> None:
    preview = encoded(noise(8, 8), "JPEG")
    data = encoded(noise(64, 64), "JPEG", exif=b"Exif\0\0" + preview)
    assert agrees(data).pixels.shape == (64, 64, 1)
    assert code(data[:-500]) == "truncated"


@pytest.mark.usefixtures("pillow_tolerance")
def test_a_changed_byte_in_a_png_is_refused() -> None:
    data = bytearray(encoded(noise(64, 64), "PNG", compress_level=0))
    data[len(data) // 2] ^= 1
    assert code(bytes(data)) == "unreadable"


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"RIFF\0\0\0\0WEBP", b"BM", b"P5 "])
def test_a_file_of_its_first_bytes_alone_is_refused(data: bytes) -> None:
    assert code(data) in ("truncated", "unreadable", "unsupported_mode")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damage_is_an_image_error_or_an_image(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"]))
    content = bytearray(encoded(noise(12, 10, 3), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, min(len(content), 200) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(ImageError):  # and no other error
        agrees(bytes(content))


# ---- files that are none


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("not an image")
    assert code(empty) == "empty"
    assert code(b"") == "empty"
    assert code(text) == "unreadable"
    assert code(tmp_path / "none.png") == "missing"
    assert code(text / "part.png") == "missing"
    assert code(tmp_path) == "unreadable"
    assert code("a\0b.png") in ("unreadable", "missing")
    with pytest.raises(ImageError, match=r"text\.png: not an image that can be read; expected PNG, JPEG"):
        imaging.read(str(text))


def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(encoded(noise(8, 8), "JPEG"))
    assert imaging.read_header(path).format == "JPEG"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    assert code(tmp_path / "pipe.png") == "unreadable"
    assert code("/dev/zero") == "unreadable"


def test_no_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(encoded(noise(8, 8), "PNG"))

    def refuse(self: Path, *args: Any, **options: Any) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ImageError, match=r"Permission denied.*check its permissions") as caught:
        imaging.read(path)
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("source", [None, 3, Image.new("L", (2, 2)), [[0]]])
def test_other_kinds_of_input_are_refused(source: Any) -> None:
    assert code(source) == "wrong_dtype"


# ---- limits


def png_bomb(side: int) -> bytes:
    packer, packed = zlib.compressobj(9), []
    for _ in range(side):
        packed.append(packer.compress(bytes(1 + side // 8)))
    content = b"".join(packed) + packer.flush()
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + png_chunk(b"IDAT", content) + png_chunk(b"IEND", b"")


def test_a_bomb_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_bomb(30_000))
    assert path.stat().st_size < 250_000
    program = f"""
import resource
from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import ImageError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    imaging.read({str(path)!r})
except ImageError as error:
    print(error.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    out = subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, capture_output=True, text=True)
    found, kilobytes = out.stdout.split()
    assert found == "too_large"
    assert int(kilobytes) < 20_000
    assert out.stderr == ""


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM"])
def test_our_limits_hold_and_pillow_s_own_does_not_interfere(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(noise(20, 30), kind)
    assert code(data, limits=Limits(pixels=599)) == "too_large"
    assert code(data, limits=Limits(bytes=len(data) - 1)) == "too_large"
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)  # 600 pixels: a warning, which is an error in tests
    assert imaging.read(data, Limits(bytes=len(data), pixels=600)).pixels.shape[:2] == (20, 30)


def test_limits_hold_for_headers_files_and_arrays(tmp_path: Path) -> None:
    path = tmp_path / "part.png"
    path.write_bytes(encoded(noise(20, 30), "PNG"))
    for limits in (Limits(pixels=599), Limits(bytes=10)):
        with pytest.raises(ImageError, match="the limit is") as caught:
            imaging.read_header(path, limits)
        assert caught.value.code == "too_large"
    assert code(path, limits=Limits(bytes=10)) == "too_large"
    assert code(noise(20, 30, 1), limits=Limits(pixels=599)) == "too_large"


def test_a_compressed_comment_cannot_fill_the_memory() -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", "a" * 20_000_000, zip=True)
    tracemalloc.start()
    assert agrees(encoded(noise(4, 4), "PNG", pnginfo=info)).pixels.shape == (4, 4, 1)  # nobody reads it
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


# ---- arrays


def test_an_array_is_taken_as_it_is() -> None:
    pixels = noise(4, 5, 3, dtype=np.uint16)
    picture = imaging.read(pixels)
    assert picture.pixels is pixels or np.shares_memory(picture.pixels, pixels)
    assert (picture.sha256, picture.note) == ("", "")
    swapped = imaging.read(pixels.astype(">u2"))
    assert swapped.pixels.dtype.isnative
    np.testing.assert_array_equal(swapped.pixels, pixels)
    turned = imaging.read(pixels[::-1, ::2])
    assert turned.pixels.flags.c_contiguous


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (noise(4, 5), "wrong_channels"),
        (noise(4, 5, 17), "wrong_channels"),
        (noise(1, 4, 5, 3), "wrong_channels"),
        (np.full((4, 5, 3), np.nan, np.float32), "not_finite"),
        (np.full((4, 5, 3), np.inf, np.float32), "not_finite"),
        (np.full((4, 5, 3), np.nan), "wrong_dtype"),
        (np.zeros((4, 5, 1), np.uint32), "wrong_dtype"),
        (np.zeros((4, 5, 1), bool), "wrong_dtype"),
        (np.zeros((0, 5, 1), np.uint8), "empty"),
        (np.ma.array(noise(4, 5, 1), mask=True), "wrong_dtype"),
        (np.ma.array(noise(4, 5, 1)), "wrong_dtype"),
    ],
)
def test_other_arrays_are_refused(array: Pixels, expected: str) -> None:
    assert code(array) == expected


# ---- conform, resize


def spec(channels: int, dtype: str = "uint8") -> ImageSpec:
    return ImageSpec(8, 8, channels, dtype, 255.0)


def test_conform_refuses_other_depths_and_channels() -> None:
    pixels = noise(4, 4, 3)
    assert imaging.conform(pixels, spec(3), convert=False) is pixels
    for other, convert, expected in (
        (spec(3, "uint16"), True, "wrong_dtype"),
        (spec(1), False, "wrong_channels"),
    ):
        with pytest.raises(ImageError) as caught:
            imaging.conform(pixels, other, convert=convert)
        assert caught.value.code == expected


def test_conform_converts_where_allowed() -> None:
    grey, colour = noise(6, 7, 1), noise(6, 7, 3)
    np.testing.assert_array_equal(imaging.conform(grey, spec(3), convert=True), np.concatenate([grey] * 3, axis=2))
    expected = np.asarray(Image.fromarray(colour).convert("L"))
    np.testing.assert_array_equal(imaging.conform(colour, spec(1), convert=True)[..., 0], expected)


def test_luma_of_16_bit_white_and_of_each_channel() -> None:
    pixels = np.array([[[65535] * 3, [65535, 0, 0], [0, 65535, 0], [0, 0, 65535]]], np.uint16)
    luma = imaging.conform(pixels, spec(1, "uint16"), convert=True)
    assert luma.dtype == np.uint16
    assert luma.ravel().tolist() == [65535, 19595, 38469, 7471]  # 65535 x (0.299, 0.587, 0.114)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(5, 9), (31, 40), (50, 80)])
def test_resize_is_pillow_s_antialiased_bilinear(channels: int, size: tuple[int, int]) -> None:
    pixels = noise(31, 40, channels)
    resized = imaging.resize(pixels, *size)
    assert resized.shape == (*size, channels)
    assert resized.flags.c_contiguous
    image = Image.fromarray(pixels.squeeze())
    expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR)).reshape(*size, channels)
    np.testing.assert_array_equal(resized, expected)


def test_resize_keeps_16_bits_and_rounds_half_up() -> None:
    halves = np.array([[[0], [1], [65534], [65535]]], np.uint16).repeat(2, axis=0)
    # weights of the triangle filter of width 2 on 4 columns: (3, 3, 1) / 7 and (1, 3, 3) / 7
    assert imaging.resize(halves, 2, 2)[0, :, 0].tolist() == [
        int(np.floor((3 * 0 + 3 * 1 + 65534) / 7 + 0.5)),
        int(np.floor((1 + 3 * 65534 + 3 * 65535) / 7 + 0.5)),
    ]
    up = imaging.resize(np.array([[[0], [2]]], np.uint16), 1, 4)
    assert up.ravel().tolist() == [0, 1, 2, 2]  # 0, 0.5, 1.5, 2


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bit_resize_agrees_with_8_bit(channels: int) -> None:
    pixels = noise(40, 31, channels)
    deep = imaging.resize(pixels.astype(np.uint16) * 257, 9, 12)
    assert deep.dtype == np.uint16
    assert deep.flags.c_contiguous
    assert np.abs(deep / 257 - imaging.resize(pixels, 9, 12)).max() < 1  # 8 bits are rounded in each direction


def test_resize_to_the_same_size_is_the_image_itself() -> None:
    pixels = noise(4, 5, 1)
    assert imaging.resize(pixels, 4, 5) is pixels


def test_white_stays_white_at_every_size() -> None:
    white = np.full((37, 23, 3), 65535, np.uint16)
    for size in ((5, 7), (64, 64), (37, 8)):
        assert (imaging.resize(white, *size) == 65535).all()


def test_resize_map_is_linear_and_float() -> None:
    anomaly_map = np.random.default_rng(1).normal(size=(20, 30)).astype(np.float32)
    resized = imaging.resize_map(anomaly_map, 8, 7)
    assert resized.dtype == np.float32
    np.testing.assert_allclose(imaging.resize_map(anomaly_map * 4 + 1, 8, 7), resized * 4 + 1, atol=1e-5)
    assert imaging.resize_map(anomaly_map, 20, 30) is anomaly_map


# ---- threads


def test_eight_threads_read_what_one_reads(tmp_path: Path) -> None:
    paths = []
    for index, suffix in enumerate([".png", ".jpg", ".tif", ".bmp", ".webp", ".pgm"] * 4):
        path = tmp_path / f"{index}{suffix}"
        Image.fromarray(np.roll(noise(60, 50), index)).save(path)
        paths.append(path)
    alone = [imaging.read(path) for path in paths]
    barrier = threading.Barrier(8)

    def all_of_them(_: int) -> list[imaging.Opened]:
        barrier.wait()
        return [imaging.read(path) for path in paths]

    with ThreadPoolExecutor(8) as pool:
        for together in pool.map(all_of_them, range(8)):
            for one, other in zip(alone, together, strict=True):
                assert one.sha256 == other.sha256
                np.testing.assert_array_equal(one.pixels, other.pixels)
