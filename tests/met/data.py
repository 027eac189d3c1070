"""What users met with their data, lines 8 to 15, 19 and 20."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from conftest import picture, save
from environments import ROOT
from examples import three_of_each_design
from PIL import Image

from met.case import CALIBRATE, CHECK, EVALUATE, GROUP, TRAIN, Case, bad, good

BOARDS = ROOT / "data_samples/board"


def two(first: str, second: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root, first)
        bad(root, second)

    return make


def stored(*folders: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root)
        for number, folder in enumerate(folders):
            bad(root, folder, 2, 300 + 10 * number)

    return make


def marked(part: int) -> np.ndarray:
    """The mask of the defect that `picture` draws."""
    return (picture(100 * part, defect=True) < 30).astype(np.uint8)


def masks_beside(name: str, **options: Any) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root)
        for part in range(200, 204):
            save(root / f"part{part}_0.png", picture(100 * part, defect=True))
            mask = Image.fromarray(marked(part)[..., 0] * 255)
            path = root / name.format(f"part{part}_0")
            path.parent.mkdir(parents=True, exist_ok=True)
            mask.save(path, **options)

    return make


def layout(write: Callable[[Path, np.ndarray], object]) -> Callable[[Path], object]:
    """The MVTec layout, each mask as `write` makes it of 0 and 1."""

    def make(root: Path) -> None:
        good(root, "train/good")
        good(root, "test/good", 4, 120)
        bad(root, "test/dent")
        for part in range(200, 204):
            path = root / f"ground_truth/dent/part{part}_0_mask.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            write(path, marked(part)[..., 0])

    return make


def levels(low: int, high: int) -> Callable[[Path], object]:
    return layout(lambda path, mask: save(path, np.where(mask, high, low).astype(np.uint8)))


def jpeg(path: Path, mask: np.ndarray) -> None:
    Image.fromarray(mask * 255).save(path.with_suffix(".jpg"), quality=70)


def folder_of_masks(path: Path, mask: np.ndarray) -> None:
    rows = np.arange(mask.shape[0])[:, None] < np.flatnonzero(mask.any(1)).mean()
    for number, part in enumerate((mask & rows, mask & ~rows)):
        save(path.with_name(path.stem.removesuffix("_mask")) / f"{number:03}.png", part * np.uint8(236 + number))


def region(mode: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root)
        Image.new(mode, (48, 48), 255 if mode == "L" else (255, 255, 255, 128)).save(root.parent / "roi.png")

    return make


def lossy_region(root: Path) -> None:
    good(root)
    inside = np.zeros((48, 48), np.uint8)
    inside[11:29, 13:31] = 255
    Image.fromarray(inside).save(root.parent / "roi.png", "JPEG", quality=60)


def encoded_again(root: Path) -> None:
    chosen = {path.name.split("_")[0]: path for path in sorted((ROOT / "data_samples/part/train/good").iterdir())}
    for path in list(chosen.values())[:12]:
        shutil.copy(path, root)
    for path in list(chosen.values())[:3]:
        buffer = io.BytesIO()
        Image.open(path).save(buffer, "JPEG", quality=60)
        (root / f"part9{path.name[4:]}").write_bytes(buffer.getvalue())


def large(root: Path) -> None:
    for part in range(4):
        save(root / f"part{part}.png", picture(part, size=1000))


def copied(root: Path) -> None:
    good(root)
    shutil.copy(root / "part100_0.png", root / "part199_0.png")


def few(root: Path) -> None:
    for part in range(3):
        for shot in range(20):
            save(root / f"lot{part}_{shot}.png", picture(100 * part + shot))


def pairs(root: Path) -> None:
    """Boards, some designs of which only test rows show: of each design the first three photographs."""
    for folder in ("inspected", "golden", "masks"):
        shutil.copytree(BOARDS / folder, root / folder)
    shutil.copy(BOARDS / "pairs.csv", root)
    three_of_each_design(root / "pairs.csv")


def add(root: Path) -> None:
    good(root, number=10, first=500)


COMPARE = ("train", "change", "DATA/pairs.csv", "--out", "OUT", "--steps", "1")
NOTHING_SAYS = ("nothing says which are good", "--good FOLDER", "--defective FOLDER", "--all-good")
CASES = [
    Case(8, "normal, abnormal", two("normal", "abnormal"), TRAIN, 3, NOTHING_SAYS),
    Case(8, "gut, schlecht", two("gut", "schlecht"), TRAIN, 3, NOTHING_SAYS),
    Case(8, "OK parts, NG parts", two("OK parts", "NG parts"), TRAIN, 3, NOTHING_SAYS),
    Case(8, "0, 1", two("0", "1"), CHECK, 3, NOTHING_SAYS),
    Case(8, "defects below good ones", two("", "Ausschuss"), TRAIN, 3, (". (8), Ausschuss (4)",)),
    Case(8, "folders of parts beside", two("gut", "schlecht"), (*TRAIN, *GROUP), 3, NOTHING_SAYS),
    Case(8, "named", two("gut", "schlecht"), (*TRAIN, "--good", "gut", "--defective", "schlecht"), 0,
         ("6 images to fit",)),
    Case(8, "dates", two("2024-05-01", "2024-05-02"), (*TRAIN, "--all-good"), 0, ("12 images taken as good",)),
    Case(8, "folders are parts", two("p1", "p2"), (*TRAIN, "--group", "([^/]+)/"), 0, ("of 1 part to fit",)),
    Case(8, "train on good beside bad", two("good", "bad"), TRAIN, 3, ("--good good --defective bad",)),
    Case(8, "evaluate good beside bad", two("good", "bad"), EVALUATE, 0, ("bad ", "false reject")),
    Case(8, "evaluate iO beside niO", two("iO", "niO"), EVALUATE, 3, NOTHING_SAYS),
    Case(8, "evaluate those named", two("iO", "niO"), (*EVALUATE, "--good", "iO", "--defective", "niO"), 0, ("niO",)),
    Case(8, "evaluate test/ok", two("test/ok", "test/ng"), EVALUATE, 3, ("test/ng (4), test/ok (8)", "--good FOLDER")),
    Case(8, "evaluate test/ok, named", two("test/ok", "test/ng"), (*EVALUATE, "--good", "ok", "--defective", "ng"), 0,
         ("ng",)),
    Case(8, "calibrate on both", two("gut", "schlecht"), CALIBRATE, 3, NOTHING_SAYS),
    Case(9, "network storage", stored("@eaDir/a.png", "#recycle", "$RECYCLE.BIN/S-1"), TRAIN, 0,
         ("3 folders passed over", "#recycle 1, $RECYCLE.BIN 1, @eaDir 1", "6 images to fit")),
    Case(9, "systems", stored("System Volume Information", ".Trash-1000/files", "lost+found", "__MACOSX"), CHECK, 0,
         ("4 folders passed over", "8 images = 8 usable")),
    Case(10, "_mask.png beside", masks_beside("{}_mask.png"), TRAIN, 0,
         ("4 masks found beside images", "6 images to fit")),
    Case(10, "_GT.png beside", masks_beside("{}_GT.png"), CHECK, 0, ("4 masks found", "4 images taken as defective")),
    Case(10, "another suffix beside", masks_beside("{}.bmp"), CHECK, 0,
         ("4 masks found", "4 images taken as defective")),
    Case(10, "JPEG masks beside", masks_beside("{}_label.jpg", quality=60), TRAIN, 3,
         ("look like masks", "black and white")),
    Case(10, "predict beside masks", masks_beside("{}_mask.png"), ("predict", "MODEL", "DATA"), 0, ("OK 8", "NG 4")),
    Case(10, "predict a data set", levels(0, 255), ("predict", "MODEL", "DATA"), 0, ("OK 12", "NG 4")),
    Case(11, "JPEG masks", layout(jpeg), EVALUATE, 0, ("4 masks other than black and white", "levels, 0 to 255")),
    Case(11, "classes 1 and 2", levels(1, 2), EVALUATE, 3, ("marks nothing: its levels are 1, 2", "white (255)")),
    Case(11, "inverted masks", levels(255, 0), EVALUATE, 0, ("4 masks marking more than half", "inverted perhaps")),
    Case(11, "masks of tests", levels(0, 1), TRAIN, 0, ("6 images to fit",)),
    Case(11, "masks of tests, checked", levels(0, 1), CHECK, 0, ("for an evaluation: 4 masks cannot be used", "0, 1")),
    Case(11, "JPEG as region", lossy_region, (*TRAIN, "--set", "image.roi=ROI"), 0,
         ("roi.png is not black and white",)),
    Case(11, "RGBA as region", region("RGBA"), (*TRAIN, "--set", "image.roi=ROI"), 3, ("roi.png", "alpha", "PNG")),
    Case(11, "all as region", region("L"), (*TRAIN, "--set", "image.roi=ROI"), 3,
         ("roi.png marks everything", "Paint")),
    Case(12, "folders of masks", layout(folder_of_masks), EVALUATE, 0, ("8 masks other than", "0, 236")),
    Case(12, "folders of masks, trained", layout(folder_of_masks), TRAIN, 0, ("6 images to fit",)),
    Case(13, "another encoding", encoded_again, CHECK, 0, ("3 images near copies", "the bound is void: give --group")),
    Case(13, "another encoding, trained", encoded_again, TRAIN, 0, ("warning: 3 images near copies",)),
    Case(14, "copies", copied, CHECK, 3, ("problem: 1 image copied byte by byte", "Remove the copies")),
    Case(14, "one image", lambda root: good(root, number=1), CHECK, 3, ("problem: 1 group of good images",)),
    Case(14, "defects among good ones", two("train/good", "train/dent"), CHECK, 3,
         ("problem: ", "(dent)", "--good FOLDER")),
    Case(14, "a plan", good, (*CHECK, "--holdout", "50%", "--max-false-reject", "5%"), 0,
         ("4 held-out images can certify at most 52.8 %", "59 held-out images", "118 good images in all")),
    Case(14, "made smaller", large, CHECK, 0, ("1,000 x 1,000 are made smaller, to 256 x 256", "becomes 2.6 x 2.6")),
    Case(14, "a group that is no part", few, (*CHECK, "--group", r"lot(\d+)"), 0, ("60 images in 3 parts: 0, 1, 2",)),
    Case(15, "parts that are missing", good, (*TRAIN, *GROUP), 0,
         ("299 held-out parts are needed", "997 good parts in all", "366 new ones to `calibrate --add`")),
    Case(19, "calibrate on defects", lambda root: bad(root, ""), CALIBRATE, 3, ("4 of 4 parts NG", "--all-good")),
    Case(19, "told that they are good", lambda root: bad(root, ""), (*CALIBRATE, "--all-good"), 0,
         ("4 of 4 parts NG",)),
    Case(19, "add parts", add, (*CALIBRATE, "--add"), 0,
         ("12 images held out before and 10 new ones", "16 held-out parts")),
    Case(20, "golden images of tests", pairs, COMPARE, 0,
         ("carries 4 golden images", "design4.jpg, design1.jpg", "--carry all")),
    Case(20, "all golden images", pairs, (*COMPARE, "--carry", "all"), 0, ("carries 6 golden images",)),
]  # fmt: skip
