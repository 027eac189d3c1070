"""Typical mistakes: the command, its exit code and its message, which alone says how to mend it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from conftest import picture, save

from met.case import CALIBRATE, CHECK, EVALUATE, GROUP, PREDICT, TRAIN, Case, bad, good, labelled, nothing

TABLE = ("data", "check", "DATA/t.csv")
ABSENT = "HERE/absent"


def table(text: str) -> Callable[[Path], object]:
    """Good parts, and a table of them."""

    def make(root: Path) -> None:
        good(root)
        (root / "t.csv").write_text(text)

    return make


def text_file(name: str, text: str = "hello") -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


def settings(text: str) -> Callable[[Path], object]:
    def make(root: Path) -> None:
        good(root)
        (root.parent / "settings.yaml").write_text(text)

    return make


def two_folders(root: Path) -> None:
    good(root, "a")
    bad(root, "b")


def mixed_channels(root: Path) -> None:
    good(root)
    save(root / "colour.png", picture(1, channels=3))


def mixed_depths(root: Path) -> None:
    good(root)
    save(root / "deep.png", picture(1)[..., 0].astype(np.uint16) * 256)


def mask_of_another_size(root: Path) -> None:
    labelled(root)
    save(root / "ground_truth/dent/part200_0_mask.png", np.eye(20, dtype=np.uint8) * 255)


def orphan_mask(root: Path) -> None:
    labelled(root)
    save(root / "ground_truth/dent/elsewhere_mask.png", np.eye(48, dtype=np.uint8) * 255)


def no_model(root: Path) -> None:
    good(root)
    (root / "manifest.json").write_text("{}")


def fitted(root: Path) -> None:
    for part in range(20):
        save(root / f"part{part:02}_0.png", picture(100 * part))


def copied(root: Path) -> None:
    good(root)
    shutil.copy(root / "part100_0.png", root / "part900_0.png")


def set_(word: str) -> tuple[str, ...]:
    return (*TRAIN, "--set", word)


def mistake(
    what: str,
    make: Callable[[Path], object],
    words: tuple[str, ...],
    code: int,
    *said: str,
    before: tuple[str, ...] = (),
) -> Case:
    return Case(0, what, make, words, code, said, ("Traceback", "This is a bug"), before)


CASES = [
    # the command line
    mistake(
        "a command that is none",
        nothing,
        ("trian", "gauss"),
        2,
        "No such command 'trian'. Did you mean 'train', 'train-many'?",
    ),
    mistake("an option that is none", good, (*PREDICT, "--heatmap"), 2, "No such option", "--heatmaps"),
    mistake("no --out", good, TRAIN[:3], 2, "--out"),
    mistake("no DATA", nothing, ("train", "gauss", "--out", "OUT"), 2, "DATA"),
    mistake(
        "a detector that is none", good, ("train", "gaus", *TRAIN[2:]), 5, "no detector 'gaus'", "Did you mean 'gauss'"
    ),
    mistake("heat maps without a place", good, (*PREDICT, "--heatmaps"), 2, "add --out"),
    mistake("heat maps of what", good, (*PREDICT, "--out", "OUT", "--heatmaps=bad"), 2, "expected ng, review or all"),
    mistake("a rate above all", good, (*TRAIN, "--max-false-reject", "150%"), 2, "below 100 %", "such as 1% or 0.01"),
    mistake(
        "a rate in words", good, (*TRAIN, "--max-false-reject", "low"), 2, "--max-false-reject low: expected a share"
    ),
    mistake("a rate of nothing", good, (*TRAIN, "--holdout", "0"), 2, "--holdout 0", "such as 1% or 0.01"),
    mistake("confidence of one half", good, (*TRAIN, "--confidence", "40%"), 2, "confidence"),
    mistake("review below reject", good, (*TRAIN, "--max-false-reject", "5%", "--review", "1%"), 2, "review"),
    mistake(
        "steps and minutes", good, (*TRAIN, "--steps", "3", "--minutes", "2"), 2, "give steps or minutes, not both"
    ),
    mistake("a device that is not there", good, (*TRAIN, "--device", "tpu"), 2, "tpu", "auto"),
    mistake("a provider that is not there", good, (*PREDICT, "--provider", "cuda"), 2, "cuda"),
    mistake("threads below none", good, (*PREDICT, "--threads", "-1"), 2, "--threads"),
    mistake("--column without =", good, (*CHECK, "--column", "group"), 2, "expected NAME=CSVNAME, such as group=board"),
    mistake("--column of a folder", good, (*CHECK, "--column", "group=board"), 2, "leave --column out"),
    mistake("--out is a model", good, (*PREDICT, "--out", "MODEL"), 3, "holds a model", "choose another --out"),
    mistake("--out of a file's name", good, (*TRAIN[:3], "--out", "HERE/model.onnx"), 2, "Leave '.onnx' out"),
    mistake("--out is there", good, TRAIN, 4, "--overwrite", before=TRAIN),
    mistake(
        "source size in words",
        nothing,
        ("export", "MODEL", "--out", "OUT", "--source-size", "large"),
        2,
        "such as 2048x2448",
    ),
    mistake(
        "int8 without data", nothing, ("export", "MODEL", "--out", "OUT", "--int8"), 2, "--int8 and --data go together"
    ),
    mistake("carry what", good, (*TRAIN, "--carry", "some"), 2, "expected training or all"),
    mistake("exclude without a reason", good, (*CALIBRATE, "--exclude", "part100_0.png"), 2, "--because TEXT"),
    mistake("a reason without exclude", good, (*CALIBRATE, "--because", "a dent"), 2, "--exclude FILE"),
    mistake(
        "exclude what is not there", good, (*CALIBRATE, "--exclude", "part1.png", "--because", "a dent"), 3, "part1.png"
    ),
    # settings
    mistake(
        "a setting that is none", good, set_("score.sigm=2"), 2, "score.sigm is not an option", "Did you mean 'sigma'"
    ),
    mistake("a setting without =", good, set_("score.sigma"), 2, "score.sigma", "="),
    mistake(
        "a setting of another kind", good, set_("score.sigma=wide"), 2, "score.sigma", "found 'wide'", "plugins show"
    ),
    mistake("a section that is none", good, set_("scores.sigma=2"), 2, "scores", "Did you mean 'score'"),
    mistake("an option of another detector", good, set_("options.cells=[8]"), 2, "options.cells is not an option"),
    mistake("settings that are not there", good, (*TRAIN, "--config", "HERE/none.yaml"), 2, "none.yaml"),
    mistake(
        "settings that are no YAML",
        settings("detector: [gauss"),
        (*TRAIN, "--config", "HERE/settings.yaml"),
        2,
        "settings.yaml: is not valid YAML: line 1",
        "Write `key: value` lines",
    ),
    mistake(
        "settings of another detector",
        settings("detector: draem\n"),
        (*TRAIN, "--config", "HERE/settings.yaml"),
        2,
        "draem",
        "gauss",
    ),
    mistake("a mask that is not there", good, set_("image.roi=HERE/roi.png"), 3, "roi.png"),
    # data
    mistake("a folder that is not there", nothing, ("data", "check", ABSENT), 3, "does not exist", "Give a folder"),
    mistake("an empty folder", nothing, CHECK, 3, "no images found", "give the folder that holds them"),
    mistake(
        "a folder of texts", text_file("a.txt"), TRAIN, 3, "no images found (1 file passed over, no images: .txt 1"
    ),
    mistake(
        "a file instead of a folder",
        text_file("a.txt"),
        ("train", "gauss", "DATA/a.txt", *TRAIN[3:]),
        3,
        "neither a folder nor a CSV file",
    ),
    mistake("one image", lambda root: good(root, number=1), TRAIN, 3, "Add images of other parts"),
    mistake("nothing can be read", text_file("a.png"), TRAIN, 3, "not an image that can be read", "save it as"),
    mistake("grey and colour", mixed_channels, TRAIN, 3, "image.channels"),
    mistake("8 and 16 bits", mixed_depths, TRAIN, 3, "16-bit"),
    mistake("copies", copied, (*TRAIN, *GROUP), 3, "Remove the copies"),
    mistake(
        "folders of which nothing says which are good",
        two_folders,
        TRAIN,
        3,
        "--good FOLDER",
    ),
    mistake("a folder that is named wrongly", good, (*TRAIN, "--good", "gut"), 2, "--good gut", "leave --good out"),
    mistake("all good, and some named", good, (*TRAIN, "--all-good", "--good", "a"), 2, "leave out --good"),
    mistake("a group without brackets", good, (*CHECK, "--group", r"part\d+"), 2, "captures nothing", r"'part(\d+)'"),
    mistake("a group that is no expression", good, (*CHECK, "--group", r"part(\d+"), 2, "is not a regular expression"),
    mistake("a group that finds nothing", good, (*CHECK, "--group", r"board(\d+)"), 3, "finds no part in 8 of 8 names"),
    mistake("no good images", lambda root: bad(root, "test/dent"), TRAIN, 3, "no images for training", "Add images"),
    mistake("nothing is labelled", good, EVALUATE, 3, "label"),
    mistake("a mask of another size", mask_of_another_size, EVALUATE, 3, "20 x 20", "Correct the masks"),
    mistake("a mask without an image", orphan_mask, EVALUATE, 3, "1 mask without an image", "add the image"),
    mistake(
        "a table without a column image",
        table("file,label\npart100_0.png,good\n"),
        TABLE,
        3,
        "no column 'image' among file, label",
        "--column",
    ),
    mistake("a table of other files", table("image\nnone.png\n"), TABLE, 3, "none of its images exists: row 2"),
    mistake(
        "a table with labels 0 and 1",
        table("image,label\npart100_0.png,0\n"),
        TABLE,
        3,
        "row 2 has a label among",
        "Write good, or the kind of defect",
    ),
    mistake(
        "a table with an image twice",
        table("image\npart100_0.png\npart100_0.png\n"),
        TABLE,
        3,
        "rows 2 and 3",
        "Keep one",
    ),
    mistake("a split that is none", table("image,split\npart100_0.png,val\n"), TABLE, 3, "train, test, calibrate"),
    mistake("an empty table", table(""), TABLE, 3, "is empty", "Expected columns"),
    mistake(
        "a folder whose table says what is in it", table("image,label\npart100_0.png,good\n"), CHECK, 3, "t.csv instead"
    ),
    # models
    mistake("a model that is not there", good, ("predict", ABSENT, "DATA"), 4, "absent"),
    mistake("a folder that is no model", good, ("predict", "DATA", "DATA"), 4, "data"),
    mistake("a manifest of nothing", no_model, ("verify", "DATA"), 4, "data"),
    mistake(
        "an image that is not there", nothing, ("predict", "MODEL", "DATA/none.png"), 3, "no such file; check the path"
    ),
    mistake("a pattern without a match", good, ("predict", "MODEL", "DATA/*.tif"), 3, "no file matches this pattern"),
    mistake(
        "colour for a grey model",
        lambda root: save(root / "a.png", picture(1, channels=3)),
        PREDICT,
        3,
        "the image is colour, the model takes grey",
    ),
    mistake("calibrate on what was fitted", fitted, CALIBRATE, 3, "the model was fitted on this image"),
    mistake("calibrate on defects", lambda root: bad(root, "", 6), CALIBRATE, 3, "--all-good"),
    mistake(
        "calibrate without parts", good, (*CALIBRATE[:3], "--out", "OUT"), 3, "give --group REGEX as at the training"
    ),
    mistake("a golden image for nothing", good, (*PREDICT, "--reference", "DATA/part100_0.png"), 2, "Leave it out"),
    mistake("no golden image", good, ("train", "difference", *TRAIN[2:]), 3, "Give --golden FILE"),
    mistake(
        "a golden image that is not there",
        good,
        ("train", "difference", *TRAIN[2:], "--golden", "HERE/g.png"),
        3,
        "g.png",
    ),
    mistake("watch what is not there", nothing, ("watch", "MODEL", ABSENT), 3, "absent"),
]
