"""What was decoded is counted against what is claimed: an incomplete file is `truncated`, in every format."""

from __future__ import annotations

import re
import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import pytest
import tifffile
from fuzz.mutations import bmp_cut, bmp_more_rows, jpeg_more_rows, netpbm_more_rows, png_rows_missing, webp_cut
from fuzz.seeds import SEEDS, chunk, encoded, os2, part, png, tiff
from PIL import Image, ImageFile

from anomalib_lite.edge.images import imaging
from anomalib_lite.errors import ImageError


@pytest.fixture(params=[False, True], ids=["strict", "LOAD_TRUNCATED_IMAGES"], autouse=True)
def pillow_tolerance(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", request.param)


def code(data: bytes) -> str:
    with pytest.raises(ImageError) as caught:
        imaging.read(data)
    assert "copy or record it again" in str(caught.value)
    return str(caught.value.code)


def read(data: bytes) -> Any:
    return imaging.read(data).pixels.squeeze()


# ---- PNG


@pytest.mark.parametrize("rows", [0, 1, 20, 63])
@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("channels", "bits"), [(1, 1), (1, 4), (1, 8), (1, 16), (3, 8)])
def test_png_whose_stream_ends_early(rows: int, interlaced: bool, channels: int, bits: int) -> None:
    """Checksums are right, and the stream ends as it should: only rows are missing."""
    pixels = part(64, 48, channels, np.uint16 if bits == 16 else np.uint8) >> (8 - bits if bits < 8 else 0)
    whole = png(pixels, bits, interlaced=interlaced, piece=1 << 20)
    np.testing.assert_array_equal(
        imaging.read(whole).pixels.squeeze(), pixels * (255 // (2**bits - 1) if bits < 8 else 1)
    )
    content = zlib.decompress(whole[whole.index(b"IDAT") + 4 :])
    short = zlib.compress(content[: len(content) * rows // 64])
    at = whole.index(b"IDAT") - 4
    assert code(whole[:at] + chunk(b"IDAT", short) + whole[-12:]) == "truncated"


@pytest.mark.parametrize("value", [0, 3, 7, 255])
@pytest.mark.parametrize("bits", [1, 8])
def test_a_png_may_end_with_any_value(value: int, bits: int) -> None:
    """What is not decoded has a value too: a sound last row of that value is no missing one."""
    pixels = np.full((9, 11), min(value, 2**bits - 1), np.uint8)
    for interlaced in (False, True):
        np.testing.assert_array_equal(
            read(png(pixels, bits, interlaced=interlaced)), pixels * (255 if bits == 1 else 1)
        )


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (3, 3), (8, 8), (5, 4)])
def test_small_interlaced_png(size: tuple[int, int]) -> None:
    pixels = part(*size, 3)
    data = png(pixels, interlaced=True)
    np.testing.assert_array_equal(read(data), pixels.squeeze())
    content = zlib.decompress(data[data.index(b"IDAT") + 4 :])
    at = data.index(b"IDAT") - 4
    assert code(data[:at] + chunk(b"IDAT", zlib.compress(content[:-4])) + data[-12:]) == "truncated"


def test_png_without_any_pixel_data() -> None:
    data = png(part(8, 8, 1))
    at = data.index(b"IDAT") - 4
    assert code(data[:at] + data[-12:]) == "truncated"


# ---- JPEG

WAYS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "optimised": {"optimize": True},
    "fine": {"quality": 98, "subsampling": 0},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 3},
    "restart rows": {"restart_marker_rows": 1},
    "progressive restarts": {"progressive": True, "restart_marker_blocks": 5},
}


def scan(data: bytes) -> tuple[int, int]:
    """Where the data of the last scan start and end."""
    at = data.rfind(b"\xff\xda")
    return at + 2 + struct.unpack_from(">H", data, at + 2)[0], len(data) - 2


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(64, 96), (61, 83), (8, 8), (200, 17)])
def test_sound_jpegs_are_read_as_pillow_reads_them(way: str, channels: int, size: tuple[int, int]) -> None:
    data = encoded(part(*size, channels), "JPEG", **WAYS[way])
    np.testing.assert_array_equal(imaging.read(data).pixels.squeeze(), np.asarray(Image.open(BytesIO(data))).squeeze())


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_jpeg_cut_anywhere_before_its_end_marker(way: str, channels: int) -> None:
    data = encoded(part(64, 96, channels), "JPEG", **WAYS[way])
    first = data.index(b"\xff\xda") + 14
    last = scan(data)[1] - 40  # the last block of a grey picture is what cannot be told
    for kept in np.linspace(first, last, 25).astype(int):
        found = data[:kept].rstrip(b"\xff") + b"\xff\xd9"
        assert code(found) in ("truncated", "unreadable"), kept


def test_a_jpeg_cut_where_an_interval_ends() -> None:
    """Between two restart markers nothing is missing: the markers are counted."""
    data = encoded(part(64, 96, 3), "JPEG", restart_marker_blocks=3)
    start, end = scan(data)
    markers = [match.start() for match in re.finditer(rb"\xff[\xd0-\xd7]", data[start:end])]
    for at in (markers[0], markers[len(markers) // 2], markers[-1]):
        assert code(data[: start + at] + b"\xff\xd9") == "truncated"
        assert code(data[: start + at + 2] + b"\xff\xd9") == "truncated"


def test_a_jpeg_of_two_scans_without_the_second() -> None:
    data = encoded(part(64, 64, 3), "JPEG", progressive=True)
    scans = [match.start() for match in re.finditer(rb"\xff\xda", data)]
    tables = [data.rfind(b"\xff\xc4", 0, at) for at in scans]
    for at in (scans[1], tables[-1], scans[-1]):
        assert code(data[:at] + b"\xff\xd9") == "truncated"


@pytest.mark.parametrize("way", ["baseline", "fine", "optimised"])
def test_a_jpeg_filled_up_with_zeros(way: str) -> None:
    """A file of its full length of which only a part was written, with an end marker or without."""
    data = encoded(part(64, 96, 3), "JPEG", **WAYS[way])
    start, end = scan(data)
    for share in (0.1, 0.5, 0.9):
        kept = start + int((end - start) * share)
        assert code(data[:kept] + bytes(end - kept) + b"\xff\xd9") == "truncated"
        assert code(data[:kept] + bytes(end + 2 - kept)) == "truncated"


@pytest.mark.parametrize("options", [{"quality": 90}, {"quality": 60, "optimize": True}, {"quality": 98}])
def test_holes_of_zeros_in_a_jpeg_are_seen(options: dict[str, Any]) -> None:
    """As in a file of its full length whose blocks were not all written."""
    random = np.random.default_rng(0)
    data = encoded(part(240, 320, 3), "JPEG", **options)
    start, end = scan(data)
    for _ in range(60):
        at = int(random.integers(start, end - 300))
        assert code(data[:at] + bytes(300) + data[at + 300 :]) == "truncated", at


def test_a_jpeg_that_holds_more_than_its_picture() -> None:
    data = encoded(part(64, 96, 3), "JPEG")
    assert read(data[:-2] + bytes(8) + data[-2:]).shape == (64, 96, 3)  # as some cameras do
    assert code(data[:-2] + bytes(50) + data[-2:]) == "truncated"
    assert code(data[:-2] + b"abc" * 50 + data[-2:]) == "truncated"
    frame = data.index(b"\xff\xc0")
    assert code(data[: frame + 5] + struct.pack(">H", 32) + data[frame + 7 :]) == "truncated"


def test_bytes_behind_a_jpeg_do_no_harm() -> None:
    data = encoded(part(64, 96, 3), "JPEG")
    np.testing.assert_array_equal(read(data + bytes(5000) + b"\xff\xd9"), read(data))


def test_a_jpeg_that_nobody_can_count_is_refused() -> None:
    data = encoded(part(16, 16, 1), "JPEG")
    for kind in (0xC3, 0xC9, 0xCA):  # lossless, arithmetic
        with pytest.raises(ImageError) as caught:
            imaging.read_header(data.replace(b"\xff\xc0", bytes((0xFF, kind)), 1))
        assert caught.value.code == "unsupported_mode"


# ---- TIFF


def entry(data: bytes, tag: int) -> int:
    """Where the entry of a tag stands in a little-endian file of one page."""
    at: int
    (at,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, at)
    return next(at + 2 + 12 * n for n in range(count) if struct.unpack_from("<H", data, at + 2 + 12 * n)[0] == tag)


def test_a_tiff_cut_anywhere() -> None:
    for options in ({}, {"compression": "tiff_lzw"}, {"compression": "tiff_adobe_deflate"}, {"compression": "jpeg"}):
        data = encoded(part(64, 48, 1), "TIFF", **options)
        for kept in (len(data) - 1, len(data) - 2, len(data) - 5, len(data) // 2, 300, 9):
            assert code(data[:kept]) == "truncated", (options, kept)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("layout", [{"rowsperstrip": 8}, {"tile": (16, 16)}])
def test_a_tiff_without_some_of_its_strips(compression: str | None, layout: dict[str, Any]) -> None:
    data = tiff(part(64, 48, 1), compression=compression, **layout)
    tags = (324, 325) if "tile" in layout else (273, 279)
    for tag in tags:
        at = entry(data, tag)
        kind, count, where = struct.unpack_from("<HII", data, at + 2)
        size = {3: 2, 4: 4}[kind]
        assert code(data[: at + 4] + struct.pack("<I", count - 1) + data[at + 8 :]) == "truncated"
        last = where + size * (count - 1)
        assert code(data[:last] + bytes(size) + data[last + size :]) == "truncated"
        beyond = struct.pack("<I" if size == 4 else "<H", 65535)
        assert code(data[:last] + beyond + data[last + size :]) == "truncated"


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "lzma"])
def test_a_compressed_strip_that_ends_early(compression: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The table says that the strip is short, and it is; so fewer rows come out of it than it should have."""
    data = encoded(part(64, 48, 1), "TIFF", compression=compression)
    at = entry(data, 279)
    count, length = struct.unpack_from("<II", data, at + 4)
    assert count == 1
    for share in (0.3, 0.8):
        assert code(data[: at + 8] + struct.pack("<I", int(length * share)) + data[at + 12 :]) in (
            "truncated",
            "unreadable",
        )
    assert capfd.readouterr() == ("", "")


def test_a_tiff_without_the_lengths_of_its_strips() -> None:
    pixels = part(64, 48, 1)
    data = tiff(pixels, rowsperstrip=8)
    at = entry(data, 279)
    without = data[:at] + struct.pack("<H", 40000) + data[at + 2 :]
    np.testing.assert_array_equal(read(without), pixels)  # without compression they follow from the rest
    assert code(without[: len(without) // 2]) == "truncated"
    packed = tiff(pixels, compression="zlib", rowsperstrip=8)
    at = entry(packed, 279)
    assert code(packed[:at] + struct.pack("<H", 40000) + packed[at + 2 :]) == "truncated"


def test_strips_that_overlap_are_refused() -> None:
    data = tiff(part(64, 48, 1), compression="zlib", rowsperstrip=1)
    at = entry(data, 279)
    kind, count, where = struct.unpack_from("<HII", data, at + 2)
    form = {3: "<H", 4: "<I"}[kind]
    long = struct.pack(form, len(data) // 4) * count
    assert code(data[:where] + long + data[where + len(long) :]) in ("unreadable", "truncated")


# ---- the others


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"save_all": True, "quality": 80}])
def test_a_webp_cut_with_all_lengths_mended(options: dict[str, Any]) -> None:
    from random import Random

    data = encoded(Image.fromarray(part(64, 48, 3)), "WEBP", **options)
    for seed in range(40):
        changed, missing = webp_cut(data, Random(seed))
        if missing:
            assert code(changed) in ("truncated", "unreadable")


@pytest.mark.parametrize(
    "data", [encoded(part(64, 48, 3), "BMP"), os2(part(64, 48, 3)), encoded(part(64, 48, 3), "DIB")]
)
def test_a_bmp_cut_or_with_more_rows(data: bytes) -> None:
    from random import Random

    for seed in range(20):
        assert code(bmp_cut(data, Random(seed))[0]) == "truncated"
        assert code(bmp_more_rows(data, Random(seed))[0]) == "truncated"
    assert code(data[:-1]) == "truncated"


def test_a_header_that_claims_more_rows() -> None:
    from random import Random

    for kind, name, data in SEEDS:
        change = {"jpeg": jpeg_more_rows, "netpbm": netpbm_more_rows, "png": png_rows_missing}.get(kind)
        if change is not None:
            assert code(change(data, Random(1))[0]) in ("truncated", "unreadable"), name


# ---- what is whole


def test_every_sound_file_is_read_to_its_last_pixel() -> None:
    """As other libraries decode it."""
    for kind, name, data in SEEDS:
        picture = imaging.read(data)
        if kind == "tiff" and not re.search("jpeg|palette|lzw|lzma|zstd|packbits", name):
            expected = tifffile.imread(BytesIO(data))
            if "planes" in name:
                expected = np.moveaxis(expected, 0, 2)
            expected = 255 - expected if "inverted" in name else expected
            expected = expected * np.uint8(255) if expected.dtype == bool else expected
        elif kind != "netpbm" and not re.search("turned|exif|clear|palette|deep|grey16|-p-|-P-", name):
            image = Image.open(BytesIO(data))
            bands = {"1": "L", "LA": "L", "RGBA": "RGB", "P": "RGB"}.get(image.mode, image.mode)
            expected = np.asarray(image.convert(bands))
        else:
            continue
        np.testing.assert_array_equal(picture.pixels.squeeze(), expected.squeeze(), err_msg=name)
