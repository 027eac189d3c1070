"""What an image may take: pixels that a model keeps in its manifest, bytes per pixel while it is decoded, chunks."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import picture, save
from fuzz.seeds import chunk, encoded, png, tiff
from needs import need
from PIL import Image

from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.imaging import BYTES_PER_PIXEL, Limits
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ImageError
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.training import sizing

KEPT = Path(__file__).parents[2] / "schema1/model.zip"
Train = Callable[..., Trained]


def huge(height: int, width: int) -> bytes:
    """A PNG that claims so many pixels, and has none."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


# ---- image.max_pixels


def test_a_model_keeps_the_limit_that_it_was_trained_with(train: Train, parts: Path, tmp_path: Path) -> None:
    train(parts, tmp_path / "model", {"image.max_pixels": 5000, "gate.verdict": "review"})
    for path in (tmp_path / "model", export(tmp_path / "model", tmp_path / "part.zip").bundle.path):
        model = Model(path)
        assert model.bundle.manifest.framing.max_pixels == 5000
        assert model.inspect(picture(1, size=70)).error_code is None
        result = model.inspect(picture(1, size=71))
        assert result.error_code == "too_large"
        assert "71 x 71 pixels, the limit is 5,000" in str(result.error)
        assert "--set image.max_pixels=5041" in str(result.error)


def test_the_default_is_a_multiple_of_the_training_images(
    train: Train, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        json.loads((train(parts, tmp_path / "a").bundle.path / "manifest.json").read_text())["framing"]["max_pixels"]
        == 16_000_000
    )
    monkeypatch.setattr(sizing, "PIXELS", 10)
    assert train(parts, tmp_path / "b").bundle.manifest.framing.max_pixels == 2 * 48 * 48


def test_the_limit_can_be_raised_above_what_is_read_by_default() -> None:
    data = huge(15_000, 10_000)
    with pytest.raises(
        ImageError, match=r"10000 x 15000 pixels, the limit is 100,000,000.*image\.max_pixels=150000000"
    ):
        imaging.read_header(data)
    assert imaging.read_header(data, Limits.of(150_000_000)).height == 15_000
    assert Limits.of(150_000_000).bytes >= 4 * 150_000_000  # or a file of that size would be refused for its bytes


def test_training_refuses_larger_images_and_says_what_raises_the_limit(train: Train, tmp_path: Path) -> None:
    for seed in range(20):
        save(tmp_path / f"data/part{seed:02}.png", picture(seed, size=80 if seed == 3 else 48))
    done = train(tmp_path / "data", tmp_path / "model", {"image.max_pixels": 3000})
    ((name, reason),) = done.bundle.manifest.data.unreadable
    assert name == "part03.png"
    assert "image.max_pixels=6400" in reason


def test_a_model_of_an_older_version_has_the_limit_of_that_version() -> None:
    model = Model(KEPT)
    assert model.bundle.manifest.framing.max_pixels is None
    assert model.opener.limits == imaging.LIMITS


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "many"])
def test_a_limit_that_is_none_is_refused(train: Train, parts: Path, tmp_path: Path, value: Any) -> None:
    from conftest import edited

    from anomalib_lite.edge import bundle
    from anomalib_lite.errors import ConfigError, ModelError

    train(parts, tmp_path / "model")
    with pytest.raises(ModelError, match=r"framing\.max_pixels"):
        edited(bundle.load(tmp_path / "model"), "framing.max_pixels", value)
    if value not in (True,):
        with pytest.raises(ConfigError, match=r"image\.max_pixels"):
            train(parts, tmp_path / "other", {"image.max_pixels": value})


def test_a_small_file_of_many_pixels_is_refused_in_little_memory(model_path: Path, tmp_path: Path) -> None:
    """16,383 x 6,000 pixels in some hundred bytes took 2 GB, and killed what watched a folder for ever."""
    file = tmp_path / "huge.webp"
    file.write_bytes(encoded(np.zeros((6000, 16383, 3), np.uint8), "WEBP", lossless=True, quality=0))
    assert file.stat().st_size < 5000
    code, megabytes = grown(
        f"model = Model({str(model_path)!r})", f"print(model.inspect(Path({str(file)!r})).error_code)"
    )
    assert code == "too_large"
    assert megabytes < 20


# ---- memory


def grown(before: str, work: str, *options: str) -> tuple[str, float]:
    """What a process prints, and by how many megabytes its largest resident memory grows."""
    need(sys.platform == "linux", "ru_maxrss is in kilobytes on Linux alone")
    program = f"""
import resource
from pathlib import Path
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.model import Model
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
{before}
start = peak()
{work}
print((peak() - start) / 1000)
"""
    command = [sys.executable, "-W", "error", *options, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    *said, last = done.stdout.split()
    return " ".join(said), float(last)


SIDE = 3000


def large() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """Files that take much memory to decode, by format."""
    grey = np.zeros((SIDE, SIDE), np.uint8)
    colour = np.zeros((SIDE, SIDE, 3), np.uint8)
    opaque = np.full((SIDE, SIDE, 4), 255, np.uint8)
    yield "png", lambda: encoded(colour, "PNG")
    yield "png with alpha", lambda: encoded(opaque, "PNG")
    yield "png with a clear colour", lambda: encoded(colour, "PNG", transparency=(1, 2, 3))
    yield "png with a palette", lambda: encoded(Image.fromarray(colour).quantize(4), "PNG", transparency=3)
    yield "png interlaced", lambda: png(colour, interlaced=True)
    yield "jpeg", lambda: encoded(colour, "JPEG")
    yield "jpeg progressive", lambda: encoded(colour, "JPEG", progressive=True, subsampling=0)
    yield "jpeg with restarts", lambda: encoded(colour, "JPEG", restart_marker_rows=1)
    yield "tiff", lambda: tiff(colour, photometric="rgb", rowsperstrip=1)
    yield "tiff planar", lambda: tiff(np.moveaxis(colour, 2, 0).copy(), photometric="rgb", planarconfig="separate")
    yield "tiff deflate", lambda: tiff(colour, photometric="rgb", compression="zlib", rowsperstrip=SIDE)
    yield "tiff jpeg", lambda: encoded(colour, "TIFF", compression="jpeg")
    yield "webp lossless", lambda: encoded(colour, "WEBP", lossless=True, quality=0)
    yield "webp", lambda: encoded(colour, "WEBP", quality=30)
    yield "bmp", lambda: encoded(opaque, "BMP")
    yield "pgm", lambda: encoded(grey, "PPM")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "made"), list(large()), ids=lambda value: value if isinstance(value, str) else "")
def test_decoding_takes_no_more_than_is_said(name: str, made: Callable[[], bytes], tmp_path: Path) -> None:
    file = tmp_path / "large"
    file.write_bytes(made())
    said, megabytes = grown(f"data = Path({str(file)!r}).read_bytes()", "print(imaging.read(data).pixels.size)")
    assert int(said) in (SIDE**2, 3 * SIDE**2)
    assert megabytes * 1e6 <= BYTES_PER_PIXEL * SIDE**2 + file.stat().st_size, name


WATCHED = """
import resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))  # MemoryMax=1G of the unit
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.watch import Watcher
with Watcher(Model(sys.argv[1]), Path(sys.argv[2]), settle=0) as one:
    for row in one.step():
        print(row["image"], row["verdict"], row["error_code"])
"""


@pytest.mark.slow
def test_the_worst_image_that_is_read_fits_into_the_memory_of_the_unit(train: Train, tmp_path: Path) -> None:
    """Beside good ones, which all get their row."""
    need(sys.platform == "linux", "RLIMIT_DATA covers what is mapped on Linux alone")
    unit = (Path(__file__).parents[3] / "deploy/anomalib-lite-watch.service").read_text()
    assert "MemoryMax=1G" in unit
    for seed in range(20):
        save(tmp_path / f"data/part{seed:02}.png", picture(seed, channels=3))
    train(tmp_path / "data", tmp_path / "model", {"gate.verdict": "review"})  # measured, and judged as well
    folder = tmp_path / "in"
    for seed in range(3):
        save(folder / f"good{seed}.png", picture(seed, channels=3))
    worst = np.full((4000, 4000, 3), 120, np.uint8)
    for name, options in {
        "a.webp": {"lossless": True},
        "b.jpg": {"progressive": True},
        "c.png": {},
        "d.tif": {},
    }.items():
        (folder / name).write_bytes(encoded(worst, Image.registered_extensions()[Path(name).suffix], **options))
    (folder / "e.png").write_bytes(huge(30_000, 30_000))
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "model"), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines()}
    assert {name: code for name, (_, code) in found.items()} == {
        **dict.fromkeys(["good0.png", "good1.png", "good2.png", "a.webp", "b.jpg", "c.png", "d.tif"], "None"),
        "e.png": "too_large",
    }


# ---- time


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_files_of_very_many_pieces_are_refused(kind: str) -> None:
    """Each piece costs time: a PNG of two million empty chunks took a minute."""
    many = 200_000
    pixels = picture(1, size=16)[..., 0]
    if kind == "png":
        whole = png(pixels)
        data = whole[:33] + chunk(b"tEXt", b"") * many + whole[33:]
    elif kind == "jpeg":
        whole = encoded(pixels, "JPEG")
        data = whole[:2] + b"\xff\xfe\0\x02" * many + whole[2:]
    else:
        whole = encoded(pixels, "WEBP")
        data = whole + b"XMP \0\0\0\0" * many
    assert imaging.read(whole).pixels.shape[:2] == (16, 16)
    with pytest.raises(ImageError, match="of more than 100,000") as caught:
        imaging.read_header(data)
    assert caught.value.code == "unreadable"
