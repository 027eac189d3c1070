"""Masks: what counts as marked, several of one image, those beside images, and what is refused with its levels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import write_image
from PIL import Image, ImageFilter

from anomalib_lite.data import DataSet, Folders, Sample, check_masks, evaluation_samples, find, training_samples
from anomalib_lite.data.masks import Mask, levels_of, smallest, union
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.errors import DataError

SIZE = 64
Drawn = np.ndarray


def drawn(left: int = 10, width: int = 20) -> Drawn:
    """A mask (64, 64) as bool: a rectangle, on even places so that JPEG blurs its edges."""
    mask = np.zeros((SIZE, SIZE), bool)
    mask[13:37, left : left + width] = True
    return mask


def save(path: Path, pixels: Drawn, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def photograph(path: Path, seed: int = 0) -> Path:
    return save(path, np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE), np.uint8))


def white(mask: Drawn) -> Drawn:
    return mask.astype(np.uint8) * 255


def dented(root: Path, write: Callable[[Path], object]) -> DataSet:
    """The MVTec layout with one defective image, whose mask `write` makes."""
    photograph(root / "train/good/1.png", 1)
    photograph(root / "train/good/2.png", 2)
    photograph(root / "test/good/3.png", 3)
    photograph(root / "test/dent/4.png", 4)
    write(root / "ground_truth/dent/4_mask.png")
    return find(root)


def measured(dataset: DataSet) -> tuple[Sample, list[str]]:
    """The defective image as an evaluation takes it, and what it says of the masks."""
    samples, notes = check_masks(evaluation_samples(dataset), dataset.opener)
    return next(sample for sample in samples if not sample.is_good), notes


# ---- which levels mark


@pytest.mark.parametrize(
    "write",
    [
        lambda path: save(path, white(drawn())),
        lambda path: save(path.with_suffix(".jpg"), white(drawn()), quality=75),
        lambda path: save(path, np.where(drawn(), 236, 0).astype(np.uint8)),
        lambda path: save(path, np.where(drawn(), 255, 1).astype(np.uint8)),
        lambda path: save(path, np.stack([white(drawn())] * 3, 2)),
        lambda path: save(path, np.dstack([white(drawn()), np.zeros((SIZE, SIZE, 2), np.uint8)])),
        lambda path: save(path, drawn()),
        lambda path: save(path, drawn().astype(np.uint16) * 65535),
        lambda path: save(path, drawn().astype(np.uint16) * 4080),
        lambda path: save(path, drawn().astype(np.uint16) * 255),
    ],
    ids=["white", "JPEG", "236", "1 and 255", "RGB", "red", "1 bit", "16 bits", "12 of 16 bits", "8 of 16 bits"],
)
def test_what_is_above_half_of_the_range_is_marked(tmp_path: Path, write: Callable[[Path], object]) -> None:
    dataset = dented(tmp_path, write)
    sample, _ = measured(dataset)
    marked = union(sample.masks)
    assert marked is not None
    assert np.array_equal(marked, drawn())


def test_of_a_feathered_mask_half_counts_and_its_levels_are_said(tmp_path: Path) -> None:
    blurred = Image.fromarray(white(drawn())).filter(ImageFilter.GaussianBlur(3))
    sample, notes = measured(dented(tmp_path, lambda path: save(path, np.asarray(blurred))))
    marked = union(sample.masks)
    assert marked is not None
    assert abs(int(marked.sum()) - int(drawn().sum())) < 0.1 * drawn().sum()
    assert any("1 mask other than black and white" in note and " levels, 0 to 255" in note for note in notes)


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ((0, 1), "marks nothing: its levels are 0, 1"),
        ((1, 2), "marks nothing: its levels are 1, 2"),
        ((0, 127), "marks nothing: its levels are 0, 127"),
        ((128, 255), "marks everything: its levels are 128, 255"),
        ((255, 255), "marks everything: its only level is 255"),
        ((1, 1), "marks nothing: its only level is 1"),
    ],
)
def test_a_mask_that_marks_nothing_or_everything_is_refused_with_its_levels(
    tmp_path: Path, levels: tuple[int, int], said: str
) -> None:
    dataset = dented(tmp_path, lambda path: save(path, np.where(drawn(), levels[1], levels[0]).astype(np.uint8)))
    with pytest.raises(DataError, match=rf"4_mask\.png {said}.*white \(255\) where the defect is and black \(0\)"):
        measured(dataset)
    assert len(training_samples(dataset)) == 2, "masks of test images are not the training's business"


def test_many_levels_are_counted_not_listed(tmp_path: Path) -> None:
    dark = save(tmp_path / "dark.png", np.arange(100, dtype=np.uint8).repeat(41).reshape(41, 100))
    assert Mask.read(dark).fault() == "marks nothing: it has 100 levels, 0 to 99, and what is above 127 is marked"


def test_more_than_half_is_said(tmp_path: Path) -> None:
    _, notes = measured(dented(tmp_path, lambda path: save(path, white(~drawn()))))
    assert any(
        "1 mask marking more than half of the image, inverted perhaps:" in note and "88%" in note for note in notes
    )


def test_a_black_mask_is_none_and_plain_ones_are_not_worth_a_word(tmp_path: Path) -> None:
    sample, notes = measured(dented(tmp_path, lambda path: save(path, white(drawn()) * 0)))
    assert sample.masks == ()
    assert notes == [
        f"1 of 1 defective image without a mask, or with an empty one, left out of pixel metrics: {sample.name}"
    ]
    _, notes = measured(dented(tmp_path, lambda path: save(path, white(drawn()))))
    assert notes == []


def test_the_smallest_defect(tmp_path: Path) -> None:
    dataset = dented(tmp_path, lambda path: save(path, white(drawn(width=3))))
    assert smallest(dataset) == 3 * 24
    (tmp_path / "ground_truth/dent/4_mask.png").write_bytes(b"none")
    assert smallest(dataset) is None


# ---- several masks of one image


@pytest.mark.parametrize(
    "names",
    [
        ["dent/4/000.png", "dent/4/001.png"],
        ["dent/4_mask.png", "dent/4.png"],
        ["dent/4_mask_1.png", "dent/4_mask_2.png"],
        ["dent/4_mask.png", "dent/4_GT.bmp"],
    ],
)
def test_several_masks_are_one_together(tmp_path: Path, names: list[str]) -> None:
    def write(path: Path) -> None:
        for left, name in zip((4, 40), names, strict=True):
            save(tmp_path / "ground_truth" / name, np.where(drawn(left, 12), 236 + left // 4, 0).astype(np.uint8))

    sample, _ = measured(dented(tmp_path, write))
    assert len(sample.masks) == 2
    marked = union(sample.masks)
    assert marked is not None
    assert np.array_equal(marked, drawn(4, 12) | drawn(40, 12))


def test_a_table_may_name_a_folder_of_masks(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    for left in (4, 40):
        save(tmp_path / f"masks/a/{left}.png", white(drawn(left, 12)))
    (tmp_path / "samples.csv").write_text("image,label,mask\na.png,dent,masks/a\n")
    sample, _ = measured(find(tmp_path / "samples.csv"))
    assert len(sample.masks) == 2


def test_a_name_within_another_one_is_not_mistaken(tmp_path: Path) -> None:
    dataset = dented(tmp_path, lambda path: save(path, white(drawn())))
    photograph(tmp_path / "test/dent/4_left.png", 5)
    save(tmp_path / "ground_truth/dent/4_left_mask.png", white(drawn(40, 12)))
    masks = {sample.name: [mask.name for mask in sample.masks] for sample in find(tmp_path).samples}
    assert masks["test/dent/4_left.png"] == ["4_left_mask.png"]
    assert masks["test/dent/4.png"] == ["4_mask.png"]
    save(tmp_path / "ground_truth/dent/4_7_mask.png", white(drawn()))
    with pytest.raises(DataError, match=r"1 mask without an image: ground_truth/dent/4_7_mask\.png"):
        evaluation_samples(find(tmp_path))
    assert len(training_samples(dataset)) == 2


@pytest.mark.parametrize("fault", ["orphan", "size", "damaged"])
def test_a_training_does_not_fail_for_masks_of_tests(tmp_path: Path, fault: str) -> None:
    def write(path: Path) -> None:
        name = "9_mask.png" if fault == "orphan" else "4_mask.png"
        save(path.with_name(name), white(drawn())[: SIZE - (fault == "size")])
        if fault == "damaged":
            path.write_bytes(path.read_bytes()[:40])

    dataset = dented(tmp_path, write)
    assert len(training_samples(dataset)) == 2
    with pytest.raises(DataError, match="mask"):
        measured(dataset)


# ---- masks beside images


def beside(
    root: Path, mask: Callable[[Path, Drawn], object], name: str, *, marked: bool = True, number: int = 4
) -> None:
    """Images `part0.jpg`, ..., each with a mask beside it; `name` makes of "part0" what the mask is called."""
    for seed in range(number):
        photograph(root / f"part{seed}.jpg", seed)
        mask(root / name.format(f"part{seed}"), drawn() if marked else drawn() & False)


def png(path: Path, mask: Drawn) -> None:
    save(path, white(mask))


@pytest.mark.parametrize(
    "name",
    ["{}_mask.png", "{}_label.bmp", "{}_GT.png", "{}.png", "{}-seg.png", "{} annotation.tif", "{}_ground_truth.png",
     "mask_{}.png", "{}.mask.png", "{}Maske.png", "{}_défaut.png"],
)  # fmt: skip
def test_masks_beside_images_are_recognised(tmp_path: Path, name: str) -> None:
    beside(tmp_path, png, name)
    dataset = find(tmp_path)
    assert [sample.path.suffix for sample in dataset.samples] == [".jpg"] * 4
    assert all(len(sample.masks) == 1 for sample in dataset.samples)
    assert any(note.startswith("4 masks found beside images: ") for note in dataset.notes)
    with pytest.raises(
        DataError, match=r"masks beside 4 images mark something, as .* taken as defective\. Add images of"
    ):
        training_samples(dataset)


def test_masks_in_a_folder_of_the_same_names_are_recognised(tmp_path: Path) -> None:
    for kind in ("images", "annotations"):
        for part in ("a/1", "a/2", "b/1"):
            path = tmp_path / kind / f"{part}.png"
            photograph(path, len(part)) if kind == "images" else png(path, drawn())
    dataset = find(tmp_path, group="^images/(.)/")
    assert [sample.masks for sample in dataset.samples] == [
        (tmp_path / f"annotations/{part}.png",) for part in ("a/1", "a/2", "b/1")
    ]


def test_black_masks_say_that_an_image_is_good(tmp_path: Path) -> None:
    beside(tmp_path, png, "{}_label.bmp", marked=False)
    png(tmp_path / "part0_label.bmp", drawn())
    dataset = find(tmp_path)
    assert [sample.name for sample in training_samples(dataset)] == ["part1.jpg", "part2.jpg", "part3.jpg"]
    assert {sample.name: sample.label for sample in evaluation_samples(dataset)}["part0.jpg"] == "marked"
    assert "1 image taken as defective, since a mask marks something in each" in dataset.notes


def test_what_looks_like_a_mask_and_has_many_levels_is_asked_for(tmp_path: Path) -> None:
    beside(tmp_path, lambda path, mask: save(path, white(mask), quality=60), "{}_mask.jpg")
    with pytest.raises(
        DataError, match=r"4 files among the images look like masks, .* Save masks black and white, as PNG"
    ):
        find(tmp_path)
    assert len(find(tmp_path, folders=Folders(all_good=True)).samples) == 8


@pytest.mark.parametrize("name", ["{}_2.jpg", "{}_left.jpg", "{}.png", "copy_{}.jpg", "{} (copy).jpg"])
def test_photographs_beside_photographs_are_images(tmp_path: Path, name: str) -> None:
    beside(tmp_path, lambda path, _: photograph(path, 7 + len(path.name)), name)
    assert len(find(tmp_path).samples) == 8


def test_of_photographs_one_is_looked_at_not_all(tmp_path: Path) -> None:
    """A set of photographs is not opened a further time because of what its files are called."""
    opened: list[str] = []

    class Counting(Opener):
        def read(self, source: object) -> object:  # type: ignore[override]
            opened.append(str(source))
            return super().read(source)  # type: ignore[arg-type]

    beside(tmp_path, lambda path, _: photograph(path, 7 + len(path.name)), "{}_left.jpg", number=20)
    assert len(find(tmp_path, opener=Counting()).samples) == 40
    assert len(opened) <= 2


def test_a_mask_of_a_good_image_by_its_folder_is_a_contradiction(tmp_path: Path) -> None:
    beside(tmp_path / "good", png, "{}_mask.png")
    photograph(tmp_path / "bad/x.jpg", 99)
    dataset = find(tmp_path)
    with pytest.raises(DataError, match=r"part0_mask\.png marks a defect in good/part0\.jpg, which is labelled good"):
        check_masks(evaluation_samples(dataset), dataset.opener)


def test_a_table_is_taken_at_its_word(tmp_path: Path) -> None:
    beside(tmp_path, png, "{}_mask.png")
    rows = sorted(path.name for path in tmp_path.iterdir())
    (tmp_path / "samples.csv").write_text("image\n" + "".join(f"{row}\n" for row in rows))
    assert len(find(tmp_path / "samples.csv").samples) == 8


def test_an_unlabelled_row_whose_mask_marks_something_is_not_good(tmp_path: Path) -> None:
    photograph(tmp_path / "a.png")
    png(tmp_path / "a_mask.png", drawn())
    (tmp_path / "samples.csv").write_text("image,mask\na.png,a_mask.png\n")
    with pytest.raises(DataError, match=r"a_mask\.png marks a defect in a\.png, which would be taken as good"):
        check_masks(training_samples(find(tmp_path / "samples.csv")))


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_levels_are_those_of_the_array(kind: type) -> None:
    plane: Any = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (20, 30)).astype(kind)
    assert np.array_equal(levels_of(plane), np.unique(plane))


def test_small_plain_images_are_images(tmp_path: Path) -> None:
    """Synthetic images have few levels, too: a mask has fewer than what it is of."""
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "a_copy.png")
    assert len(find(tmp_path).samples) == 2


# ---- images of one file


def volume(path: Path, *slices: int) -> None:
    """Slices of 8 x 8 pixels, each bright in so many of them."""
    planes = np.zeros((len(slices), 64), np.uint8)
    for plane, bright in zip(planes, slices, strict=True):
        plane[:bright] = 255
    with path.open("wb") as file:
        np.save(file, planes.reshape(-1, 8, 8, 1))


def volumes() -> Opener:
    def read(file: Any) -> Any:
        return ((number, plane) for number, plane in enumerate(np.load(file, allow_pickle=False)))

    return Opener({".vol": Reader(read=read)})


@pytest.mark.parametrize("layout", ["table", "mvtec"])
def test_a_slice_in_which_nothing_is_marked_is_good(tmp_path: Path, layout: str) -> None:
    for folder in ("train/good", "test/lesion", "ground_truth/lesion"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("test/lesion/a", "test/lesion/b", "test/lesion/c", "train/good/g"):
        volume(tmp_path / f"{name}.vol", 30, 31, 32)
    volume(tmp_path / "ground_truth/lesion/a_mask.vol", 0, 5, 0)
    volume(tmp_path / "ground_truth/lesion/b_mask.vol", 0, 0, 0)
    rows = ["image,label,mask"]
    rows += [f"test/lesion/{one}.vol,lesion,ground_truth/lesion/{one}_mask.vol" for one in "ab"]
    (tmp_path.parent / f"{tmp_path.name}.csv").write_text("\n".join([*rows, "test/lesion/c.vol,lesion,"]))
    data = tmp_path
    if layout == "table":
        data = (tmp_path.parent / f"{tmp_path.name}.csv").rename(tmp_path / "t.csv")
    samples, notes = check_masks(evaluation_samples(find(data, opener=volumes())), volumes())
    assert {one.name.rpartition("/")[2]: one.label for one in samples if one.label == "good"} == {
        "a.vol#0": "good", "a.vol#2": "good"
    }  # fmt: skip
    assert sum(one.label == "lesion" for one in samples) == 7
    assert notes[0] == (
        "2 images taken as good: masks mark nothing in them, and something in another image of their file"
    )
    assert notes[1].startswith("6 images of 2 files have the label of their file, and no mask says in which of them")
