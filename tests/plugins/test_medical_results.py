"""What is written over a scan lies where the scan lies; a model and its export say nothing of a patient."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from anomalib_lite_medical import capture, dicom_writer, nifti_writer, patients
from anomalib_lite_medical.frames import pseudonym
from conftest import Once, call
from render_scans import Scan, render, write_dicom, write_nifti
from test_medical_reading import opener, read, reader, slices

from anomalib_lite import registry
from anomalib_lite.cli.watch import _of_series
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import decode
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.selfcheck import replay
from anomalib_lite.errors import DataError, ImageError
from anomalib_lite.testing import check_writer

MM = 1e-3


def measured(pictures: list[Picture], verdict: Verdict = Verdict.NG) -> list[tuple[Result, Picture, Any]]:
    """Slices whose maps are their numbers, a little more to the right, and above the threshold in one corner."""
    found = []
    for number, picture in enumerate(pictures):
        height, width = picture.pixels.shape[:2]
        values = np.full((height, width), number, np.float32) + np.linspace(0, 0.5, width, dtype=np.float32)
        values[2:5, 3:9] += 100
        result = Result(
            image=f"scan#{number}", time="2025-01-01T00:00:00.000+00:00", verdict=verdict, reject_threshold=50,
            review_threshold=40, model_id="0" * 12, ms=1.0, score=1.0, map_thresholds=(40.0, 50.0),
        )  # fmt: skip
        found.append((result, picture, values))
    return found


def series(folder: Path) -> list[Picture]:
    shown = opener()
    return [shown.read(f"{folder}/{name.name}") for name in shown.images(sorted(folder.iterdir()))[0]]


def turned(path: Path) -> tuple[Any, Any]:
    """An oblique volume stored in an order of its own."""
    scan = slices("mr")
    turn = np.radians(15)
    affine = np.array([[0, 2, 0, -30], [0, 0, 5, 7], [-2, 0, 0, 12], [0, 0, 0, 1.0]])
    affine[:3] = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]) @ affine[:3]
    nibabel.save(nibabel.Nifti1Image(scan.values, affine), path)
    return scan.values, affine


@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_a_map_lies_over_the_volume_that_it_is_of(tmp_path: Path, plane: str) -> None:
    """The values themselves as the map: they come back to where they were."""
    values, affine = turned(tmp_path / "scan.nii.gz")
    pictures = [one for _, one in read(tmp_path / "scan.nii.gz", ".nii.gz", plane=plane)]
    found = [(result, picture, picture.pixels[..., 0]) for result, picture, _ in measured(pictures)]
    nifti_writer.write_map(tmp_path / "map.nii.gz", found)
    made: Any = nibabel.load(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(made.get_fdata(dtype=np.float32), values)
    np.testing.assert_allclose(made.affine, affine, atol=MM)
    assert made.header.get_xyzt_units()[0] == "mm"


def test_what_was_not_measured_is_not_a_number_and_not_marked(tmp_path: Path) -> None:
    turned(tmp_path / "scan.nii.gz")
    found = measured([one for _, one in read(tmp_path / "scan.nii.gz", ".nii.gz")])
    nifti_writer.write_map(tmp_path / "map.nii.gz", found[1:])
    nifti_writer.write_mask(tmp_path / "mask.nii.gz", found[1:])
    made: Any = nibabel.load(tmp_path / "map.nii.gz")
    values = made.get_fdata()
    mask: Any = nibabel.load(tmp_path / "mask.nii.gz")
    assert np.isnan(values).sum() == found[0][2].size
    assert mask.get_data_dtype() == np.uint8
    assert mask.get_fdata().sum() == 18 * (len(found) - 1)


def test_a_map_of_a_series_lies_where_its_slices_lie(tmp_path: Path) -> None:
    pictures = series(write_dicom(tmp_path / "ct", slices("ct")))
    found = measured(pictures)
    nifti_writer.write_map(tmp_path / "map.nii.gz", [found[0], *found[2:]])
    made: Any = nibabel.load(tmp_path / "map.nii.gz")
    values = made.get_fdata(dtype=np.float32)
    assert values.shape == (70, 40, 4)
    assert np.isnan(values[..., 1]).all()
    np.testing.assert_array_equal(values[..., 3], found[3][2].T)
    header = pydicom.dcmread(tmp_path / "ct/04.dcm")
    x, y, z = header.ImagePositionPatient
    np.testing.assert_allclose(made.affine @ [0, 0, 3, 1], [-x, -y, z, 1], atol=MM)
    np.testing.assert_allclose(made.affine @ [1, 0, 3, 1], [-x - 4, -y, z, 1], atol=MM)


def test_one_slice_alone_is_as_high_as_it_is_thick(tmp_path: Path) -> None:
    pictures = series(write_dicom(tmp_path / "ct", slices("ct", count=1)))
    nifti_writer.write_map(tmp_path / "map.nii.gz", measured(pictures))
    made: Any = nibabel.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(made.header.get_zooms(), [4, 4, 8], atol=MM)


def test_a_segmentation_refers_to_its_slices_and_lies_over_them(tmp_path: Path) -> None:
    pictures = series(write_dicom(tmp_path / "ct", slices("ct")))
    found = measured(pictures)
    found[2] = measured([pictures[2]], Verdict.OK)[0]
    dicom_writer.write_segmentation(tmp_path / "seg.dcm", found)
    made = highdicom.seg.segread(tmp_path / "seg.dcm")
    sources = [pydicom.dcmread(tmp_path / f"ct/{number:02}.dcm") for number in (1, 2, 3, 4)]
    masks = made.get_pixels_by_source_instance(
        [one.SOPInstanceUID for one in sources], assert_missing_frames_are_empty=True
    )
    assert masks.shape == (4, 40, 70, 1)
    assert masks.sum(axis=(1, 2, 3)).tolist() == [18, 18, 0, 18]
    assert masks[0, 2:5, 3:9].all()
    assert (made.PatientID, made.StudyInstanceUID) == (sources[0].PatientID, sources[0].StudyInstanceUID)
    shared = made.SharedFunctionalGroupsSequence[0]
    np.testing.assert_allclose(shared.PixelMeasuresSequence[0].PixelSpacing, [4, 4], atol=MM)
    np.testing.assert_allclose(shared.PlaneOrientationSequence[0].ImageOrientationPatient, [1, 0, 0, 0, 1, 0], atol=MM)
    places = sorted(
        one.PlanePositionSequence[0].ImagePositionPatient[2] for one in made.PerFrameFunctionalGroupsSequence
    )
    np.testing.assert_allclose(places, [sources[one].ImagePositionPatient[2] for one in (0, 1, 3)], atol=MM)


def test_a_series_without_a_mark_has_a_segmentation_too(tmp_path: Path) -> None:
    for file in write_dicom(tmp_path / "ct", slices("ct")).iterdir():
        header = pydicom.dcmread(file)
        header.PatientName = "Jane_Doe"  # of which highdicom would warn
        header.save_as(file)
    pictures = series(tmp_path / "ct")
    dicom_writer.write_segmentation(tmp_path / "seg.dcm", measured(pictures, Verdict.OK))
    assert not pydicom.dcmread(tmp_path / "seg.dcm").pixel_array.any()


def test_a_parametric_map_holds_the_raw_map(tmp_path: Path) -> None:
    pictures = series(write_dicom(tmp_path / "ct", slices("ct")))
    found = measured(pictures)
    dicom_writer.write_map(tmp_path / "map.dcm", found)
    made = pydicom.dcmread(tmp_path / "map.dcm")
    frames = zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True)  # in an order of their own
    by_height = {float(group.PlanePositionSequence[0].ImagePositionPatient[2]): pixels for group, pixels in frames}
    for number, (*_, values) in enumerate(found, 1):
        height = float(pydicom.dcmread(tmp_path / f"ct/{number:02}.dcm").ImagePositionPatient[2])
        np.testing.assert_array_equal(by_height[height], values)


def test_dicom_is_not_written_over_what_is_none(tmp_path: Path) -> None:
    write_nifti(tmp_path / "scan.nii.gz", slices("mr"))
    found = measured([one for _, one in read(tmp_path / "scan.nii.gz", ".nii.gz")])
    for write in (dicom_writer.write_segmentation, dicom_writer.write_fractions, dicom_writer.write_map):
        with pytest.raises(DataError, match="write nifti_mask"):
            write(tmp_path / "out.dcm", found)
    with pytest.raises(DataError, match="write nifti_mask"):
        capture.write(tmp_path / "out.dcm", *found[0])


def test_a_fractional_segmentation_is_one_half_at_the_threshold(tmp_path: Path) -> None:
    pictures = series(write_dicom(tmp_path / "ct", slices("ct")))
    pictures[0] = replace(pictures[0], valid=np.arange(40)[:, None] * np.ones(70) > 10)
    found = measured(pictures)  # thresholds 40 and 50, so 25 is 0, and 75 is 1
    found[0][2][20], found[0][2][21], found[0][2][22] = 50, 62.5, 20
    dicom_writer.write_fractions(tmp_path / "seg.dcm", found)
    made = highdicom.seg.segread(tmp_path / "seg.dcm")
    uids = [pydicom.dcmread(tmp_path / f"ct/{number:02}.dcm").SOPInstanceUID for number in (1, 2, 3, 4)]
    shares = made.get_pixels_by_source_instance(uids, assert_missing_frames_are_empty=True)[..., 0]
    assert (made.SegmentationType, made.ContentDescription) == ("FRACTIONAL", "Anomaly map: 0.5 is the threshold of NG")
    np.testing.assert_allclose(shares[0, 20:23], np.array([[0.5], [0.75], [0]]) * np.ones(70), atol=1 / 255)
    assert not shares[0, :11].any(), "what was not inspected"
    assert shares[1, 2:5, 3:9].min() == 1


def test_a_secondary_capture_shows_what_is_marked_where_its_slice_lies(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct", count=2))
    found = measured(series(folder))
    found[1] = measured([found[1][1]], Verdict.OK)[0]
    for number, one in enumerate(found):
        capture.write(tmp_path / f"{number}.dcm", *one)
    made, source = (pydicom.dcmread(path) for path in (tmp_path / "0.dcm", folder / "01.dcm"))
    assert (made.PatientID, made.PatientName, made.StudyInstanceUID) == (
        source.PatientID, source.PatientName, source.StudyInstanceUID
    )  # fmt: skip
    assert made.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        np.testing.assert_allclose(made[name].value, source[name].value, atol=MM)
    red = (made.pixel_array == (255, 0, 0)).all(axis=2)
    assert red.sum() == 2 * 6 + 2, "the outline of 3 x 6 pixels"
    assert made.pixel_array[3, 5, 0] > made.pixel_array[3, 5, 1], "what lies within is tinted"
    other = pydicom.dcmread(tmp_path / "1.dcm")
    assert other.SeriesInstanceUID == made.SeriesInstanceUID
    assert (other.pixel_array[..., 0] == other.pixel_array[..., 2]).all(), "nothing is marked in a slice that is OK"


@pytest.mark.parametrize("said", ["YES", "NO", None])
def test_a_capture_says_of_burnt_in_text_what_its_source_says(said: str | None, tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", slices("ct", count=1)) / "01.dcm"
    header = pydicom.dcmread(path)
    if said:
        header.BurnedInAnnotation = said
    header.save_as(path)
    ((_, picture),) = read(path, burned_in=True)
    capture.write(tmp_path / "0.dcm", *measured([picture])[0])
    assert pydicom.dcmread(tmp_path / "0.dcm").get("BurnedInAnnotation") == said


def test_a_picture_without_a_position_is_captured_too(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", slices("ct", count=1)) / "01.dcm"
    header = pydicom.dcmread(path)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID"):
        delattr(header, name)
    header.PatientOrientation = ["L", "F"]
    header.save_as(path)
    ((_, picture),) = read(path)
    capture.write(tmp_path / "0.dcm", *measured([picture])[0])
    assert pydicom.dcmread(tmp_path / "0.dcm").PatientOrientation == ["L", "F"]


@pytest.mark.parametrize(
    "name", ["nifti_map", "nifti_mask", "dicom_seg", "dicom_map", "dicom_seg_fractional", "dicom_capture"]
)
def test_the_writers_keep_the_rules(name: str) -> None:
    check_writer(name)


def test_nothing_is_imported_before_a_file_is_read() -> None:
    code = (
        "import sys\nfrom anomalib_lite import registry\nfound = registry.load()\nassert 'dicom_seg' in found.writers\n"
        "print([name for name in ('pydicom', 'nibabel', 'highdicom', 'scipy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


# ---- from series to results


def few(kind: str, patient: int, lesions: int = 0) -> Scan:
    whole = render(kind, patient, lesions=lesions)
    return Scan(kind, patient, whole.values[8:10], whole.lesions[8:10])


@pytest.fixture(scope="module")
def root(once: Once) -> Path:
    """Twelve healthy chests of two slices, an ill one, one of PET; and a model."""

    def make(folder: Path) -> None:
        for patient in range(1, 13):
            write_dicom(folder / f"good/MUSTERMANN_{patient}", few("ct", patient))
        ill = few("ct", 41)
        ill.values[1, 40:50, 30:40] = 300
        write_dicom(folder / "ill/MUSTERMANN_41", ill)
        write_dicom(folder / "pet", few("pet", 41))
        assert call(
            "train", "gauss", folder / "good", "--all-good", "--out", folder / "model", "--max-false-reject", "60%",
            "--per", "part", "--set", "image.height=48", "--set", "image.width=48", "--set", "gate.features=off",
            "--set", "readers.dicom.window=[-1000, 400]", "--set", "readers.dicom.body=-300",
        ) == 0  # fmt: skip

    return once("chests", make)


@pytest.mark.parametrize("writers", [("nifti_map",), ("dicom_seg",), ("dicom_seg", "nifti_map", "dicom_capture")])
def test_one_file_of_each_format_is_written_for_a_series(
    root: Path, tmp_path: Path, writers: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    look = Model.look

    def counted(model: Model, image: Any, **given: Any) -> Any:
        judged.append(image)
        return look(model, image, **given)

    monkeypatch.setattr(Model, "look", counted)
    words = [word for writer in writers for word in ("--write", writer)]
    assert call("predict", root / "model", root / "ill", "--out", tmp_path / "out", *words) == 0
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["OK", "NG"]
    assert len(judged) == 2
    for writer in writers:
        names = {row["written" if len(writers) == 1 else f"written_{writer}"] for row in rows}
        assert len(names) == (2 if writer == "dicom_capture" else 1)
        found = [path for path in (tmp_path / "out" / writer).rglob("*") if path.is_file()]
        assert {path.relative_to(tmp_path / "out").as_posix() for path in found} == names
    assert call("predict", root / "model", root / "ill", "--out", tmp_path / "out", "--overwrite") == 0
    assert not any((tmp_path / "out" / writer).exists() for writer in writers)


def test_watching_for_slices_says_that_they_are_no_volume(root: Path) -> None:
    loaded = Model(root / "model", readers=registry.load().readers)
    assert "Give its folder to `predict`" in str(_of_series(loaded))
    record = loaded.bundle.manifest
    loaded.bundle = replace(loaded.bundle, manifest=replace(record, readers=()))
    assert _of_series(loaded) is None


def test_another_modality_is_an_error(root: Path) -> None:
    loaded = Model(root / "model", readers=registry.load().readers)
    (name,) = {
        one.parent / one.name.partition("#")[0] for one in loaded.opener.images(sorted((root / "pet").iterdir()))[0]
    }
    result = loaded.inspect(f"{name}#1")
    assert (result.verdict, result.error_code) == (Verdict.ERROR, "wrong_meta")
    assert "modality 'CT', this one says 'PT'" in str(result.error)


def telling(folder: Path, *further: str) -> set[str]:
    """Every name, number and date of every header."""
    found = set(further)
    for path in folder.rglob("*.dcm"):
        for element in pydicom.dcmread(path, stop_before_pixels=True).iterall():
            if element.VR in ("PN", "LO", "SH", "DA", "TM", "UI", "DT", "AS") and element.keyword != "SOPClassUID":
                found.add(str(element.value).strip())
                found.update(str(element.value).split("^") if element.VR == "PN" else ())
    found = {one for one in found if len(one) > 3}
    assert {"19500101", "20240102"} <= found
    return found


def said_in(folder: Path) -> bytes:
    """All that is below a folder, archives unpacked, and the names of files."""
    content = b""
    for path in sorted(folder.rglob("*")):
        content += str(path.relative_to(folder)).encode()
        if path.is_file():
            content += gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return content


def test_nothing_of_a_patient_is_in_what_is_exported(root: Path, tmp_path: Path) -> None:
    """Every name, number and date of every header, and the names of folders, byte by byte."""
    assert call("export", root / "model", "--out", tmp_path / "device") == 0
    content = said_in(tmp_path / "device")
    loaded = Model(tmp_path / "device")  # which has no reader
    assert not [one for one in replay(loaded) if one.flipped or one.score is None]
    assert not [one for one in telling(root / "good", "MUSTERMANN") if one.encode() in content]


def test_nothing_of_a_header_is_in_models_rows_reports_or_what_is_printed(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a segmentation or a capture says is what it is filed by; all else calls patients by pseudonyms."""
    out = tmp_path / "out"
    given = root / "model", root / "ill", "--out", out, "--heatmaps", "all", "--write", "dicom_capture"
    assert call("predict", *given) == 0
    captures = sorted((out / "dicom_capture").rglob("*.dcm"))
    assert [pydicom.dcmread(path).PatientID for path in captures] == ["PH-041"] * 2
    for path in captures:
        path.unlink()
    assert call("predict", root / "model", root / "pet") == 3
    printed = "".join(capsys.readouterr()).encode()
    assert b"patient-" in printed, "parts are told, by pseudonyms"
    searched = printed + said_in(root / "model") + said_in(out)
    assert not [one for one in telling(root) if one.encode() in searched]


@pytest.mark.parametrize(
    ("folder", "name", "number", "born", "told"),
    [
        ("kim_1", "Kim^Ng", "1", "", "name"),
        ("kimono", "Kim^Ng", "1", "", ""),
        ("mu\u0308llenhoff", "M\u00fcllenhoff^A", "1", "", "name"),
        ("\u9234\u6728", "Suzuki^Taro=\u9234\u6728^\u592a\u90ce", "1", "", "name"),
        ("kowalskianna_1", "Kowalski^Anna", "1", "", "name"),
        ("mrn-88231", "Doe^Jane", "MRN-88231", "19500317", "number"),
        ("mrn-882312", "Doe^Jane", "MRN-88231", "19500317", ""),
        ("ph-0012", "PH-0012", "PH-0012", "", "number"),
        ("x_17.03.1950", "Doe^Jane", "1", "19500317", "birth date"),
        ("Mueller", "M\u00fcller^J\u00f6rg", "1", "", "name"),
        ("x/Krueger_Aenne", "Kr\u00fcger^\u00c4nne", "1", "", "name"),
        ("m\u00fcller", "Mueller^A", "1", "", "name"),
        ("Weiss_7", "Wei\u00df^A", "1", "", "name"),
        ("soerensen", "S\u00f8rensen^A", "1", "", "name"),
        ("lukasz", "\u0141ukasz^A", "1", "", "name"),
        ("Mull", "M\u00fcller^J\u00f6rg", "1", "", ""),
        ("doe_1950-03-17", "Doe^Jane", "1", "19500317", "name and the birth date"),
    ],
)
def test_what_a_path_says_of_a_patient(folder: str, name: str, number: str, born: str, told: str) -> None:
    header = SimpleNamespace(filename=f"{folder}/01.dcm")
    header.get = {"PatientName": name, "PatientID": number, "PatientBirthDate": born}.get
    said = "".join(patients.notes(header))
    assert (f"its path says the {told} of the patient" in said) if told else not said
    assert not any(word in said.lower() for word in ("kim", "kowalski", "doe", "88231", "1950"))


def test_a_patient_without_a_number_is_one_by_name(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", slices("ct", count=1)) / "01.dcm"
    header, parts, notes = pydicom.dcmread(path), [], []
    for number, name in (
        ("", "Doe^Jane"),
        (" ", "DOE^JANE^^"),
        ("", "Doe^John"),
        ("", ""),
        ("ANON", ""),
        ("ANON001", ""),
    ):
        header.PatientID, header.PatientName = number, name
        header.save_as(path)
        ((_, picture),) = read(path)
        parts.append(picture.part)
        notes.append(picture.note)
    assert parts[0] == parts[1] != parts[2]
    assert parts[3] is None
    assert "names no patient" in notes[3]
    assert "as an anonymiser calls all" in notes[4]
    assert not notes[5]


def test_no_message_quotes_a_header(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "x", slices("ct", count=1)) / "01.dcm"
    for name in ("PixelSpacing", "NumberOfFrames", "RescaleSlope"):
        header = pydicom.dcmread(path)
        kind = header[name].VR if name in header else "IS"
        header.add(pydicom.DataElement(pydicom.tag.Tag(name), kind, "1", validation_mode=0))
        header[name]._value = "Kowalski"
        content = BytesIO()
        header.save_as(content)
        with pytest.raises(ImageError) as caught:
            list(decode(reader(), ".dcm", [content.getvalue()], path.name))
        assert "Kowalski" not in str(caught.value)


def test_what_is_odd_in_a_header_is_not_heard_where_the_patient_of_an_error_is_told(tmp_path: Path) -> None:
    path = write_dicom(tmp_path, slices("ct", count=1)) / "01.dcm"
    header = pydicom.dcmread(path)
    header.add(pydicom.DataElement(pydicom.tag.Tag("PatientID"), "LO", "9" * 99, validation_mode=0))
    header.save_as(path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ImageError) as caught:  # a warning would be an error here
        read(path)
    assert caught.value.part == pseudonym("9" * 99)


def test_a_path_that_names_the_patient_is_told(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "muster_erika", slices("ct", count=1))
    for name, told in (("Erika^Muster", True), ("Doe^Jane", False), ("PH-001", False)):
        header = pydicom.dcmread(folder / "01.dcm")
        header.PatientName = name
        header.save_as(folder / "01.dcm")
        note = opener().read(folder / "01.dcm").note
        assert ("its path says the name of the patient" in note) is told
        (tmp_path / "muster_erika/cut.dcm").write_bytes((folder / "01.dcm").read_bytes()[:-500])
        with pytest.raises(ImageError) as caught:
            opener().read(tmp_path / "muster_erika/cut.dcm")
        assert ("its path says the name of the patient" in str(caught.value)) is told
        assert "erika" not in note.lower()
