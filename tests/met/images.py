"""What users met with image files and the libraries that read them, lines 1 to 7."""

from __future__ import annotations

import io
import json
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import onnxruntime
import PIL
import pytest
from conftest import picture, save
from PIL import Image

from met.case import CHECK, EVALUATE, GROUP, PREDICT, SIZE, TRAIN, Case, Places, good

STRICT = (*PREDICT, "--strict")
TRUNCATED = ("the file ends before the image does; copy or record it again",)
OK_1 = ("OK 1 REVIEW 0 NG 0 ERROR 0",)
GREY = picture(100)[..., 0]


def file(name: str, data: bytes) -> Callable[[Path], object]:
    return lambda root: (root / name).write_bytes(data)


def encoded(kind: str, number: int = 100) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(number)[..., 0]).save(buffer, kind)
    return buffer.getvalue()


def tiff(
    pages: Iterable[tuple[np.ndarray, int]] = ((GREY, 0),), order: str = "<", big: bool = False, drop: int = 0
) -> bytes:
    """A grey TIFF of these pages (pixels, subfile type), four strips each, whose tag `drop` is missing."""
    offset, entry, room = ("Q", "HHQ", 8) if big else ("I", "HHI", 4)
    out = bytearray({"<": b"II", ">": b"MM"}[order])
    out += struct.pack(order + "HHHQ", 43, 8, 0, 0) if big else struct.pack(order + "HI", 42, 0)
    link = len(out) - room
    for pixels, kind in pages:
        height, width = pixels.shape
        rows = -(-height // 4)
        strips = [pixels[top : top + rows].tobytes() for top in range(0, height, rows)]
        places = [len(out) + sum(map(len, strips[:n])) for n in range(len(strips))]
        out += b"".join(strips)
        out += bytes(len(out) % 2)
        tags = {254: [kind], 256: [width], 257: [height], 258: [8], 259: [1], 262: [1], 273: places, 277: [1],
                278: [rows], 279: [len(strip) for strip in strips]}  # fmt: skip
        tags.pop(drop, None)
        entries = b""
        for tag, values in sorted(tags.items()):
            raw = struct.pack(order + f"{len(values)}I", *values)
            if len(raw) > room:
                raw, there = struct.pack(order + offset, len(out)), raw
                out += there
            entries += struct.pack(order + entry, tag, 4, len(values)) + raw.ljust(room, b"\0")
        out[link : link + room] = struct.pack(order + offset, len(out))
        out += struct.pack(order + ("Q" if big else "H"), len(tags)) + entries
        link = len(out)
        out += bytes(room)
    return bytes(out)


def os2(compression: int = 0) -> bytes:
    """A BMP of OS/2: its header of 12 bytes, or that of 64 with a compression."""
    rows = np.repeat(GREY[::-1, :, None], 3, axis=2).tobytes()
    side = GREY.shape[0]
    header = struct.pack("<IHHHH", 12, side, side, 1, 24)
    if compression:
        header = struct.pack("<IiiHHIIiiII", 64, side, side, 1, 24, compression, len(rows), 0, 0, 0, 0) + bytes(24)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + header + rows


def large_png() -> bytes:
    """A PNG whose header says 11,000 x 9,500."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 11000, 9500, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def damaged_exif(root: Path) -> None:
    jpeg = encoded("JPEG")
    block = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(10)
    (root / "a.jpg").write_bytes(jpeg[:2] + b"\xff\xe1" + struct.pack(">H", 2 + len(block)) + block + jpeg[2:])


def other_names(folder: str = "") -> Callable[[Path], object]:
    def make(root: Path) -> None:
        (root / folder).mkdir(parents=True, exist_ok=True)
        kinds = {"a.jfif": "JPEG", "b.jpe": "JPEG", "c.dib": "BMP", "d": "PNG", "E.JPEG": "JPEG"}
        for number, (name, kind) in enumerate(kinds.items()):
            (root / folder / name).write_bytes(encoded(kind, 10 + number))
        for name, text in (("notes.txt", "hello"), ("a.jpg.tmp", ""), ("readme", "hello")):
            (root / folder / name).write_text(text)

    return make


def among_good(name: str, data: bytes) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root)
        (root / name).write_bytes(data)

    return make


def larger(root: Path) -> None:
    for part in range(6):
        save(root / f"part{part}_0.png", picture(part, size=200))


def turned(root: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    good(root, "train/good")
    good(root, "test/good", 4, 120)
    for part in range(200, 208):
        upright = picture(100 * part, defect=True)[..., 0]
        upright[:, :3] = 200
        (root / "test/dent").mkdir(parents=True, exist_ok=True)
        Image.fromarray(upright[::-1, ::-1].copy()).save(root / f"test/dent/part{part}_0.png", exif=exif)
        save(root / f"ground_truth/dent/part{part}_0.png", (upright[::-1, ::-1] < 30).astype(np.uint8) * 255)


def accents(first: str = "", *, swap: bool = False) -> Callable[[Path], object]:
    """A table in one form of accented letters, its files in the other."""

    def make(root: Path) -> None:
        stored, written = ("NFC", "NFD") if swap else ("NFD", "NFC")
        names = [f"prüf_part{part}_0.png" for part in range(8)]
        for part, name in enumerate(names):
            save(root / unicodedata.normalize(stored, name), picture(part))  # type: ignore[arg-type]
        rows = "".join(f"{unicodedata.normalize(written, name)};good\n" for name in names)  # type: ignore[arg-type]
        (root / "samples.csv").write_text(f"{first}image;label\n{rows}", encoding="utf-8")

    return make


def old(module: object, version: str) -> Callable[[pytest.MonkeyPatch], object]:
    return lambda patch: patch.setattr(module, "__version__", version)


def keeps(limit: int) -> Callable[[Places], bool]:
    return lambda places: f'"max_pixels": {limit}' in (places.out / "manifest.json").read_text()


def warned_of_turn(places: Places) -> bool:
    metrics = json.loads((places.here / "measured/metrics.json").read_text())
    return any("with these masks turned" in warning for warning in metrics["warnings"])


SMALLER = ("are made smaller, to 48 x 48", "a defect of 10 x 10 pixels becomes 2.4 x 2.4", "image.mode=tile")
GIF = ("GIF, which is not read here", "save it as one of them")
CASES = [
    Case(1, "TIFF without its last byte", file("a.tif", encoded("TIFF")[:-1]), STRICT, 3, TRUNCATED),
    Case(1, "TIFF of half its bytes", file("a.tif", tiff()[:1200]), STRICT, 3, TRUNCATED),
    Case(1, "big-endian BigTIFF, cut", file("a.tif", tiff(order=">", big=True)[:-1]), STRICT, 3, TRUNCATED),
    Case(1, "TIFF with a thumbnail", file("a.tif", tiff([(GREY, 0), (GREY[::4, ::4].copy(), 1)])), STRICT, 0, OK_1),
    Case(1, "the thumbnail first", file("a.tif", tiff([(GREY[::4, ::4].copy(), 1), (GREY, 0)])), STRICT, 0, OK_1),
    Case(1, "TIFF of two pages", file("a.tif", tiff([(GREY, 0), (GREY, 0)])), STRICT, 3, ("several frames",)),
    Case(1, "big-endian BigTIFF", file("a.tif", tiff(order=">", big=True)), STRICT, 0, OK_1),
    Case(1, "strips without byte counts", file("a.tif", tiff(drop=279)), STRICT, 0, OK_1),
    Case(1, "no strips", file("a.tif", tiff(drop=273)), STRICT, 3, TRUNCATED, ("Traceback", "NoneType", "KeyError")),
    Case(1, "BMP of OS/2", file("a.bmp", os2()), STRICT, 3, ("the image is colour, the model takes grey",),
         ("compressed",)),
    Case(1, "compressed BMP of OS/2", file("a.bmp", os2(4)), STRICT, 3, ("compressed BMP", "save it as 8-bit grey")),
    Case(1, "a damaged EXIF block", damaged_exif, STRICT, 0, OK_1, ("Warning", "warn(", "Corrupt", "PIL")),
    Case(2, "predict under other names", other_names(), STRICT, 0,
         ("OK 5", "3 files passed over, no images: .tmp 1, .txt 1, no suffix 1", "a.jpg.tmp, notes.txt, readme")),
    Case(2, "evaluate under other names", other_names("test/good"), EVALUATE, 0,
         ("0 of 5 images", "3 files passed over, no images")),
    Case(2, "check other names", other_names(), CHECK, 0, ("5 images = 5 usable", "3 files passed over, no images")),
    Case(2, "train under other names", other_names(), TRAIN, 0, ("3 images to fit", "3 files passed over, no images")),
    Case(2, "predict what is no image here", file("a.gif", encoded("GIF")), STRICT, 3, GIF),
    Case(2, "train beside what is none", among_good("a.gif", encoded("GIF")), TRAIN, 0,
         ("left out, cannot be read", *GIF)),
    Case(2, "check what is none", among_good("a.heic", b"\0\0\0\x18ftypheic" + bytes(40)), CHECK, 0,
         ("HEIC", "8 usable + 1 unreadable")),
    Case(3, "above 100 MP", among_good("a.png", large_png()), CHECK, 0,
         ("11000 x 9500 pixels, the limit is 100,000,000", "--set image.max_pixels=104500000")),
    Case(3, "the limit raised", good, (*TRAIN, "--set", "image.max_pixels=104500000"), 0, ("model",),
         check=keeps(104500000)),
    Case(3, "the limit of a model", file("a.png", large_png()), STRICT, 3,
         ("the limit is 16,000,000", "train with --set image.max_pixels=")),
    Case(4, "made smaller, trained", larger, TRAIN, 0, SMALLER),
    Case(4, "made smaller, checked", larger, (*CHECK, *SIZE), 0, SMALLER),
    Case(5, "old Pillow", good, PREDICT, 2, ("pillow 10.0.1 is installed, 11 or newer is needed", "pip install"),
         patch=old(PIL, "10.0.1")),
    Case(5, "old onnxruntime", good, PREDICT, 2, ("onnxruntime 1.9.0 is installed, 1.20 or newer", "pip install"),
         ("train the model again",), patch=old(onnxruntime, "1.9.0")),
    Case(6, "turned images, checked", turned, CHECK, 0,
         ("8 images turned upright, as the EXIF orientation says (by 180 degrees 8)",
          "the masks of 8 of 8 images that EXIF turns fit better on the image as it is stored")),
    Case(6, "turned images, measured", turned, (*EVALUATE, "--out", "HERE/measured"), 0,
         ("fit better on the image as it is stored", "with these masks turned"), check=warned_of_turn),
    Case(7, "NFD in a folder, NFC in a table", accents(), ("data", "check", "DATA/samples.csv"), 0,
         ("8 images = 8 usable",)),
    Case(7, "NFC in a folder, NFD in a table", accents(swap=True), ("data", "check", "DATA/samples.csv", *GROUP), 0,
         ("good 8 of 8 groups",)),
    Case(7, "Excel's first line", accents("sep=;\r\n"), ("data", "check", "DATA/samples.csv"), 0,
         ("8 images = 8 usable",)),
    Case(7, "train by such a table", accents("sep=;\n"), ("train", "gauss", "DATA/samples.csv", *TRAIN[3:]), 0,
         ("6 images to fit",)),
]  # fmt: skip
