"""Co-registered series as channels of one image: by words in their names, or by a table; what differs is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from anomalib_lite_medical import dicom, nifti
from anomalib_lite_medical.__main__ import main
from anomalib_lite_medical.channels import word_in
from anomalib_lite_medical.config import DicomOptions, NiftiOptions
from conftest import Once, call
from render_scans import Scan, render, write_dicom, write_nifti

from anomalib_lite import registry
from anomalib_lite.data import Folders, find
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.pipeline.inputs import chosen


def few(kind: str, patient: int = 1, count: int = 3) -> Scan:
    whole = render(kind, patient)
    return Scan(kind, patient, whole.values[8 : 8 + count, 20:68, 16:80], whole.lesions[8 : 8 + count, 20:68, 16:80])


def opener(**options: Any) -> Opener:
    volumes = Reader(read=nifti.read, gather=nifti.gather, options=NiftiOptions(**options).model_dump(mode="json"))
    of_dicom = DicomOptions(suv=True, **options).model_dump(mode="json")  # of channels PET alone
    series = Reader(read=dicom.read, gather=dicom.gather, options=of_dicom)
    return Opener({".nii.gz": volumes, ".nii": volumes, ".dcm": series})


def pair(folder: Path, patient: int = 1, form: str = "{patient}_{word}.nii.gz") -> None:
    """CT and PET of a patient."""
    for word, kind in (("CT", "ct"), ("PET", "pet")):
        write_nifti(folder / form.format(patient=f"p{patient}", word=word), few(kind, patient))


@pytest.mark.parametrize(
    ("name", "word", "pattern"),
    [
        ("p7/T1.nii.gz", "T1", "p7/\0.nii.gz"),
        ("p7_t1.nii.gz", "T1", "p7_\0.nii.gz"),
        ("p7_t1ce.nii.gz", "t1ce", "p7_\0.nii.gz"),
        ("FLAIR/study/p7-T1.nii", "T1", "FLAIR/study/p7-\0.nii"),  # the last one counts
        ("p7_T2.nii.gz", None, None),
        ("p7FLAIR.nii.gz", None, None),
    ],
)
def test_a_word_stands_by_itself(name: str, word: str | None, pattern: str | None) -> None:
    assert word_in(name, ["FLAIR", "T1", "t1ce"]) == (None if word is None else (word, pattern))


@pytest.mark.parametrize("form", ["{patient}_{word}.nii.gz", "{patient}/{word}.nii.gz", "{word}/{patient}.nii.gz"])
def test_volumes_whose_names_differ_in_a_word_are_one_image(tmp_path: Path, form: str) -> None:
    pair(tmp_path, 1, form)
    pair(tmp_path, 2, form)
    (tmp_path / "report.nii.gz").write_bytes(b"of none of the words")
    channels = {"channels": ["CT", "PET"], "window": [[-1000, 400], [0, 10]]}
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(**channels))
    assert [one.name for one in found.samples] == [
        f"{form.format(patient=f'p{patient}', word='CT')}#{number}" for patient in (1, 2) for number in range(3)
    ]
    assert found.notes[0].endswith("(report.nii.gz)"), found.notes
    both = found.opener.read(found.samples[4].path).pixels
    for channel, word in enumerate(("CT", "PET")):
        path = tmp_path / form.format(patient="p2", word=word)
        alone = opener(window=channels["window"][channel]).read(f"{path}#1").pixels  # type: ignore[index]
        np.testing.assert_array_equal(both[..., channel], alone[..., 0])
    again = opener(**channels).read(found.samples[4].path)  # by another process, which has searched no folder
    np.testing.assert_array_equal(again.pixels, both)


def test_a_channel_may_stand_twice(tmp_path: Path) -> None:
    pair(tmp_path)
    pixels = opener(channels=["PET", "CT", "PET"]).read(tmp_path / "p1_PET.nii.gz#0").pixels
    assert pixels.shape == (48, 64, 3)
    np.testing.assert_array_equal(pixels[..., 0], pixels[..., 2])


def shifted(path: Path) -> None:
    image: Any = nibabel.load(path)
    image.affine[0, 3] += 1.5
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine), path)


def cropped(path: Path) -> None:
    image: Any = nibabel.load(path)
    nibabel.save(nibabel.Nifti1Image(np.asarray(image.dataobj)[1:], image.affine), path)


BAD: list[tuple[str, Callable[[Path], Any], str, str]] = [
    ("moved", shifted, "other_geometry", r"p1_PET.nii.gz lies on another grid than p1_CT.nii.gz: 64 x 48 x 3 voxels of "
     r"4 x 4 x 8 mm from \(129.5, .*, and 64 x 48 x 3 voxels of 4 x 4 x 8 mm from \(128, .*resample"),
    ("of another size", cropped, "other_geometry", "63 x 48 x 3 voxels .* and 64 x 48 x 3"),
    ("missing", Path.unlink, "missing_channel", r"p1_CT.nii.gz: has no channel PET: p1_CT.nii.gz \(CT\)"),
    ("damaged", lambda path: path.write_bytes(b"no volume"), "unreadable", "no NIfTI file"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "code", "said"), [one[1:] for one in BAD], ids=[one[0] for one in BAD])
def test_a_channel_that_does_not_fit_is_refused_by_name(
    tmp_path: Path, edit: Callable[[Path], Any], code: str, said: str
) -> None:
    pair(tmp_path)
    edit(tmp_path / "p1_PET.nii.gz")
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(channels=["CT", "PET"]))
    assert [one.name for one in found.samples] == ["p1_CT.nii.gz"]
    with pytest.raises(ImageError, match=said) as caught:
        found.opener.read(found.samples[0].path)
    assert caught.value.code == code


def test_without_its_first_channel_an_image_is_not_dropped(tmp_path: Path) -> None:
    pair(tmp_path)
    (tmp_path / "p1_CT.nii.gz").unlink()
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(channels=["CT", "PET"]))
    assert [one.name for one in found.samples] == ["p1_PET.nii.gz"]
    with pytest.raises(ImageError, match="has no channel CT"):
        found.opener.read(found.samples[0].path)


def test_the_second_channel_alone_says_which_file_to_give(tmp_path: Path) -> None:
    pair(tmp_path)
    with pytest.raises(ImageError, match="give that of CT, after which"):
        list(opener(channels=["CT", "PET"]).read(tmp_path / "p1_PET.nii.gz#0").pixels)


def test_windows_are_as_many_as_channels() -> None:
    with pytest.raises(ValueError, match="2 windows for 3 channels"):
        NiftiOptions(channels=("a", "b", "c"), window=((0, 1), (0, 2)))
    with pytest.raises(ValueError, match=r"\[2, 0\].*exchange them"):
        NiftiOptions(channels=("a", "b"), window=((0, 1), (2, 0)))


# ---- DICOM


def study(root: Path, patient: int = 1, folders: tuple[str, str] = ("CT", "PET")) -> None:
    """CT and PET as series of one study: in folders of these names."""
    for kind, name in zip(("ct", "pet"), folders, strict=True):
        folder = write_dicom(root / f"p{patient}/{name}/x", few(kind, patient))
        for file in sorted(folder.iterdir()):
            header = pydicom.dcmread(file)
            header.StudyInstanceUID = f"1.2.3.{patient}"
            header.FrameOfReferenceUID = f"1.2.4.{patient}"
            header.save_as(folder.parent / f"{kind}{file.name}")
            file.unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("words", "folders"),
    [(["CT", "PT"], ("all", "all")), (["CT", "PET"], ("3", "4")), (["native", "late"], ("scan_native", "scan_late"))],
)
def test_series_are_channels_by_modality_or_by_folder(
    tmp_path: Path, words: list[str], folders: tuple[str, str]
) -> None:
    for patient in (1, 2):
        study(tmp_path, patient, folders)
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(channels=words))
    assert [one.name.rpartition("#")[2] for one in found.samples] == ["1", "2", "3"] * 2
    assert len({one.group for one in found.samples}) == 2
    seen = found.opener.read(found.samples[1].path)
    assert (seen.meta["modality"], seen.meta["units"], seen.note) == ("CT+PT", "HU+SUV", "")
    np.testing.assert_allclose(seen.pixels[..., 1], few("pet").values[1], atol=6e-4)
    np.testing.assert_allclose(seen.pixels[..., 0], np.maximum(few("ct").values[1], -1024), atol=0.51)
    again = opener(channels=words).read(found.samples[1].path)
    np.testing.assert_array_equal(again.pixels, seen.pixels)


def each(**values: Any) -> Callable[[Path], None]:
    """Set values in every slice of a folder."""

    def edit(folder: Path) -> None:
        for file in folder.iterdir():
            header = pydicom.dcmread(file)
            for name, value in values.items():
                setattr(header, name, value)
            header.save_as(file)

    return edit


BAD_SERIES: list[tuple[str, Callable[[Path], Any], str, str]] = [
    ("other pixels", each(PixelSpacing=[2, 2]), "other_geometry", r"CT has 3 slices of 48 x 64 pixels of 4 x 4 mm, "
     r"8 mm apart, from .*and PT has 3 slices of 48 x 64 pixels of 2 x 2 mm"),
    ("a slice less", lambda folder: (folder / "pet03.dcm").unlink(), "other_geometry", "CT has 3 .*PT has 2 slices"),
    ("turned", each(ImageOrientationPatient=[0, 1, 0, 1, 0, 0]), "other_geometry", "several grids"),
    ("of another patient", each(PatientID="other", PatientName="Doe^Jane"), "several_patients", "in its channels"),
    ("in colour", each(PhotometricInterpretation="PALETTE COLOR"), "colour", "colour"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "code", "said"), [one[1:] for one in BAD_SERIES], ids=[one[0] for one in BAD_SERIES])
def test_a_series_that_does_not_fit_is_refused(
    tmp_path: Path, edit: Callable[[Path], Any], code: str, said: str
) -> None:
    study(tmp_path)
    edit(tmp_path / "p1/PET")
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(channels=["CT", "PT"]))
    (sample,) = found.samples
    with pytest.raises(ImageError, match=said) as caught:
        found.opener.read(sample.path)
    assert caught.value.code == code
    assert "Doe" not in str(caught.value)


def test_a_second_series_of_a_channel_is_told(tmp_path: Path) -> None:
    study(tmp_path)
    (tmp_path / "p1/CT again").mkdir()
    for file in (tmp_path / "p1/CT").iterdir():
        header = pydicom.dcmread(file)
        header.SeriesInstanceUID = "1.9.9"
        header.save_as(tmp_path / "p1/CT again" / file.name)
    found = find(tmp_path, folders=Folders(all_good=True), opener=opener(channels=["CT", "PT"]))
    with pytest.raises(ImageError, match="2 series of the channel CT; leave one there, or name it in a table"):
        found.opener.read(found.samples[0].path)


# ---- a table


def table(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["image,label,channels,group", *rows]))
    return path


def test_a_table_names_channels_that_no_pattern_tells(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", few("ct"))
    write_nifti(tmp_path / "b.nii", few("pet"))
    study(tmp_path)
    rows = table(tmp_path / "t.csv", "a.nii.gz,good,b.nii,1", "p1/CT,good,p1/PET,2", "gone.nii.gz,good,b.nii,3",
                 "p1/PET,good,nowhere.dcm,4")  # fmt: skip
    found = find(rows, opener=opener())
    names = [one.name for one in found.samples]
    assert names[:3] == ["a.nii.gz#0", "a.nii.gz#1", "a.nii.gz#2"]
    assert [name.partition("/series-")[0] for name in names[3:]] == ["gone.nii.gz", *["p1/CT"] * 3, "p1/PET"]
    assert "row 4 (gone.nii.gz), row 5 (" in found.notes[0]
    assert found.notes[0].endswith("nowhere.dcm)")
    for number in (1, 5):
        pixels = found.opener.read(found.samples[number].path).pixels
        np.testing.assert_allclose(pixels[..., 1], few("pet").values[1], atol=0.01)
    with pytest.raises(ImageError, match=r"nowhere\.dcm: no such file"):
        found.opener.read(found.samples[7].path)


def test_predict_takes_the_same_table(tmp_path: Path) -> None:
    write_nifti(tmp_path / "a.nii.gz", few("ct"))
    write_nifti(tmp_path / "b.nii", few("pet"))
    opened = opener()
    images, _ = chosen([table(tmp_path / "t.csv", "a.nii.gz,,b.nii,p1")], opened)
    assert [(one.name, one.part) for one in images] == [(f"a.nii.gz#{number}", "p1") for number in range(3)]
    assert opened.read(images[2].path).pixels.shape == (48, 64, 2)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["a.png,good,b.png,1"], "the column 'channels' is for files of readers that take several"),
        (["v.nii.gz#0,good,a.nii.gz,1", "v.nii.gz#1,good,b.nii.gz,1"], "two rows name other channels"),
        (["empty,good,v.nii.gz,1"], "holds 0 series or images"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(tmp_path: Path, rows: list[str], said: str) -> None:
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "b.png", "v.nii.gz", "a.nii.gz", "b.nii.gz"):
        (tmp_path / name).write_bytes(b"x")
    with pytest.raises(DataError, match=said):
        find(table(tmp_path / "t.csv", *rows), opener=opener())


# ---- from series to verdicts


@pytest.fixture(scope="module")
def root(once: Once) -> Path:
    """Twelve healthy patients, CT and PET; one whose PET alone shows something, one without PET; and a model."""

    def make(folder: Path) -> None:
        for patient in range(1, 13):
            pair(folder / "good", patient)
        pair(folder / "new", 41)
        image: Any = nibabel.load(folder / "new/p41_PET.nii.gz")
        values = np.asarray(image.dataobj).copy()
        values[30:40, 20:30, 1] += 20
        nibabel.save(nibabel.Nifti1Image(values, image.affine), folder / "new/p41_PET.nii.gz")
        pair(folder / "new", 42)
        (folder / "new/p42_PET.nii.gz").unlink()
        rows = [f"new/p41_CT.nii.gz#{one},{'hot' if one == 1 else 'good'},p41" for one in range(3)]
        (folder / "test.csv").write_text("\n".join(["image,label,group", *rows]))
        assert call(
            "train", "gauss", folder / "good", "--all-good", "--out", folder / "model", "--max-false-reject", "60%",
            "--per", "part", "--set", "image.height=48", "--set", "image.width=64", "--set", "gate.features=off",
            "--set", "readers.nifti.channels=[CT,PET]", "--set", "readers.nifti.window=[[-1000,400],[0,20]]",
            "--set", "readers.nifti.body=-300",
        ) == 0  # fmt: skip

    return once("channels", make)


def test_a_patient_without_a_series_is_an_error_row(root: Path, tmp_path: Path) -> None:
    assert call("predict", root / "model", root / "new", "--out", tmp_path / "out", "--write", "nifti_map") == 0
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [Path(row["image"]).name for row in rows] == [*(f"p41_CT.nii.gz#{one}" for one in range(3)), "p42_CT.nii.gz"]
    assert [row["verdict"] for row in rows] == ["OK", "NG", "OK", "ERROR"]
    assert rows[3]["error_code"] == "missing_channel"
    parts = (tmp_path / "out/parts.csv").read_text().splitlines()
    assert [line.split(",")[1] for line in parts[1:]] == ["NG", "ERROR"], parts
    assert len([one for one in (tmp_path / "out/nifti_map").rglob("*.nii.gz") if one.is_file()]) == 1


def test_evaluate_sees_the_same_channels(root: Path, tmp_path: Path) -> None:
    assert call("evaluate", root / "model", root / "test.csv", "--out", tmp_path / "out") == 0
    metrics = json.loads((tmp_path / "out/metrics.json").read_text())
    assert metrics["image_auroc"] == 1
    assert metrics["images"] == 3


def test_unpacked_volumes_are_read_as_the_packed_ones_of_the_training(root: Path, tmp_path: Path) -> None:
    pair(tmp_path, 1, "{patient}_{word}.nii")
    model = Model(root / "model", readers=registry.load().readers)
    unpacked, packed = (model.inspect(path) for path in (tmp_path / "p1_CT.nii#1", root / "good/p1_CT.nii.gz#1"))
    assert unpacked.error is None
    assert unpacked.score == packed.score


def test_a_device_takes_arrays_of_as_many_channels(root: Path, tmp_path: Path) -> None:
    whole = Model(root / "model", readers=registry.load().readers)
    assert call("export", root / "model", "--out", tmp_path / "device") == 0
    device = Model(tmp_path / "device")  # without any reader
    for number in range(3):
        seen = whole.look(root / f"new/p41_CT.nii.gz#{number}")
        assert seen.picture is not None
        assert seen.picture.pixels.shape == (48, 64, 2)
        result = device.inspect(seen.picture.pixels)
        assert result.verdict is not Verdict.ERROR
        assert device.inspect(seen.picture.pixels[..., :1].copy()).error_code == "wrong_channels"


def test_the_windows_of_channels_are_those_of_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pair(tmp_path)
    main(["window", str(tmp_path), "--low", "0", "--high", "100", "--channels", "CT,PET"])
    found = json.loads(capsys.readouterr().out.partition("=")[2].partition("#")[0])
    ends = [(float(few(kind).values.min()), float(few(kind).values.max())) for kind in ("ct", "pet")]
    np.testing.assert_allclose(found, ends, rtol=1e-4)
