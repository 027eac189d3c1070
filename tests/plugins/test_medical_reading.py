"""DICOM and NIfTI as they come: whatever is read has the values of pydicom and nibabel, all else says why not."""

from __future__ import annotations

import gzip
import importlib
import shutil
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import nibabel
import numpy as np
import pydicom
import pytest
from anomalib_lite_medical import dicom, nifti, pixels, series, sniff
from anomalib_lite_medical.config import STEP, DicomOptions, NiftiOptions
from anomalib_lite_medical.places import length, placed
from numpy.typing import NDArray
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut
from render_scans import Scan, render, write_dicom, write_nifti

from anomalib_lite import registry
from anomalib_lite.data import Folders, find
from anomalib_lite.data.masks import Mask
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Reader, decode
from anomalib_lite.errors import ImageError, MissingExtra, NotAnImage

SERIES = Path(__file__).resolve().parents[3] / "shared/data/dicom_t1"
DATA = Path(pydicom.__file__).parent / "data"
DICOM = sorted(
    path for path in DATA.rglob("*") if path.is_file() and (path.suffix == ".dcm" or sniff(path.read_bytes()[:132]))
)


@cache
def slices(kind: str, patient: int = 1, count: int = 4) -> Scan:
    """Some slices of a phantom."""
    whole = render(kind, patient, lesions=1)
    return Scan(kind, patient, whole.values[8 : 8 + count, 20:60, 10:80], whole.lesions[8 : 8 + count, 20:60, 10:80])


def reader(kind: str = ".dcm", **options: Any) -> Reader:
    if kind == ".dcm":
        return Reader(read=dicom.read, gather=dicom.gather, options=DicomOptions(**options).model_dump(mode="json"))
    return Reader(read=nifti.read, gather=nifti.gather, options=NiftiOptions(**options).model_dump(mode="json"))


def read(path: Path, suffix: str = ".dcm", **options: Any) -> list[tuple[str | None, Picture]]:
    return list(decode(reader(suffix, **options), suffix, [path.read_bytes()], path.name))


def opener(**options: Any) -> Opener:
    return Opener({".dcm": reader(), ".nii.gz": reader(".nii.gz", **options), ".nii": reader(".nii", **options)})


# ---- DICOM


def expected(path: Path) -> tuple[NDArray[Any], Any]:
    """What pydicom decodes, in units of the modality, and the header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = pydicom.dcmread(path)
        stored = header.pixel_array
        if header.PhotometricInterpretation == "PALETTE COLOR":
            return apply_color_lut(stored, header), header
        if header.get("Modality") == "RTDOSE":
            return stored * header.DoseGridScaling, header
        return (stored if header.SamplesPerPixel > 1 else apply_modality_lut(stored, header)), header


def tried(path: Path) -> tuple[list[tuple[str | None, Picture]], str]:
    """What is read, or why nothing is."""
    try:
        return read(path, colour=True), ""
    except ImageError as error:
        return [], str(error)


@pytest.mark.parametrize("path", DICOM, ids=lambda path: path.relative_to(DATA).as_posix())
def test_every_file_of_pydicom_is_read_as_it_does_or_refused_for_a_reason_of_its_own(path: Path) -> None:
    found, reason = tried(path)
    if reason:
        assert "reader of" not in reason, "a reason of the reader's own"
        assert len(reason) > len(path.name) + 15
        return
    values, header = expected(path)
    pixels = np.stack([one.pixels for _, one in found]).reshape(values.shape)
    if header.PhotometricInterpretation == "MONOCHROME1":  # mirrored: the highest is white
        total = pixels.astype(np.float64) + values
        np.testing.assert_allclose(total, total.flat[0], atol=0.01)
    else:
        np.testing.assert_array_equal(pixels, values.astype(pixels.dtype))


def test_most_of_them_are_read() -> None:
    assert len(DICOM) > 150
    names = {
        "CT_small.dcm",
        "MR_small_bigendian.dcm",
        "MR_small_RLE.dcm",
        "MR_small_jpeg_ls_lossless.dcm",
        "693_J2KI.dcm",
    }
    for path in (one for one in DICOM if one.name in names):
        assert read(path), path


def test_a_series_is_one_volume_in_the_order_of_positions(tmp_path: Path) -> None:
    scan = slices("ct")
    write_dicom(tmp_path / "ct", scan)
    for number, name in enumerate(("d", "b", "a.dcm", "c"), 1):  # names say nothing; three have no suffix
        shutil.move(tmp_path / f"ct/{number:02}.dcm", tmp_path / "ct" / name)
    with_sniff = Opener({".dcm": Reader(**vars(reader()) | {"sniff": sniff})})
    dataset = find(tmp_path / "ct", opener=with_sniff)
    assert [one.name.rpartition("#")[2] for one in dataset.samples] == ["1", "2", "3", "4"]
    assert len({one.group for one in dataset.samples}) == 1
    for sample, values in zip(dataset.samples, scan.values, strict=True):
        found = dataset.opener.read(sample.path)
        np.testing.assert_allclose(
            found.pixels[..., 0], np.maximum(values, -1024), atol=0.51
        )  # whole numbers above -1024
        assert (found.spacing, found.meta["modality"], found.meta["units"]) == ((4.0, 4.0), "CT", "HU")


def test_a_real_series_of_96_slices() -> None:
    if not SERIES.is_dir():
        pytest.skip("needs ../shared/data/dicom_t1, which is not part of the project")
    dataset = find(SERIES, opener=opener())
    assert len(dataset.samples) == 96
    files = sorted(SERIES.glob("*.dcm"))
    for place in (0, 40, 95):
        found = dataset.opener.read(dataset.samples[place].path)
        np.testing.assert_array_equal(found.pixels[..., 0], pydicom.dcmread(files[place]).pixel_array)


def test_a_series_is_read_once_however_many_slices_are_asked_for(tmp_path: Path) -> None:
    write_dicom(tmp_path / "ct", slices("ct"))
    calls: list[int] = []

    def counting(files: Any, options: Any) -> Any:
        calls.append(len(files))
        return dicom.read(files, options)

    dataset = find(tmp_path / "ct", opener=Opener({".dcm": Reader(**vars(reader()) | {"read": counting})}))
    calls.clear()
    for sample in dataset.samples:
        dataset.opener.read(sample.path)
    assert calls == [4]


def several_frames(path: Path) -> Path:
    """Two frames, each with a scale of its own."""
    scan = slices("ct", count=1)
    made = pydicom.dcmread(write_dicom(path, scan) / "01.dcm")
    made.NumberOfFrames, made.PixelData = 2, made.PixelData * 2
    frames = []
    for slope in (1, 2):
        rule, frame = pydicom.Dataset(), pydicom.Dataset()
        rule.RescaleSlope, rule.RescaleIntercept, rule.RescaleType = slope, -1024, "HU"
        frame.PixelValueTransformationSequence = [rule]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.save_as(path / "frames.dcm")
    return path / "frames.dcm"


def test_frames_have_scales_of_their_own(tmp_path: Path) -> None:
    (_, one), (_, two) = read(several_frames(tmp_path))
    np.testing.assert_array_equal((two.pixels + 1024), 2 * (one.pixels + 1024))
    assert [one.meta["frame"], two.meta["frame"]] == [1, 2]


Places = list[tuple[float, float, float]]
STACK: Places = [(0, 0, 0), (0, 0, 8), (0, 0, 16), (0, 0, 24)]


def enhanced(path: Path, places: Places, spacings: list[float] | None = None, turned: int = 0) -> Path:
    """A file of several frames, each with a place of its own, and its number as its values."""
    made = pydicom.dcmread(write_dicom(path, slices("ct", count=1)) / "01.dcm")
    made.NumberOfFrames = len(places)
    made.PixelData = b"".join(
        np.full((made.Rows, made.Columns), one, np.uint16).tobytes() for one in range(len(places))
    )
    frames = []
    for number, place in enumerate(places):
        position, plane, measures, frame = (pydicom.Dataset() for _ in range(4))
        position.ImagePositionPatient = list(place)
        plane.ImageOrientationPatient = [1, 0, 0, 0, 0, -1] if 0 < number <= turned else [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing = [spacings[number] if spacings else 4] * 2
        frame.PlanePositionSequence, frame.PlaneOrientationSequence = [position], [plane]
        frame.PixelMeasuresSequence = [measures]
        frames.append(frame)
    made.PerFrameFunctionalGroupsSequence = frames
    made.save_as(path / "enhanced.dcm")
    return path / "enhanced.dcm"


def test_frames_come_in_the_order_of_their_positions(tmp_path: Path) -> None:
    found = read(enhanced(tmp_path, [STACK[2], STACK[0], STACK[3], STACK[1]]))
    assert [key for key, _ in found] == ["2", "4", "1", "3"], "called by their numbers"
    assert [int(one.pixels.flat[0]) + 1024 for _, one in found] == [1, 3, 0, 2]
    assert [one.meta["frame"] for _, one in found] == [2, 4, 1, 3]
    assert len({id(one.meta["header"]) for _, one in found}) == 1, "the header of all is kept once"


@pytest.mark.parametrize(
    ("places", "values", "code"),
    [
        ([*STACK[:2], (0, 0, 32), (0, 0, 40)], {}, "missing_slices"),
        ([*STACK[:3], STACK[1]], {}, "same_position"),
        ([(0, 3.0 * one, 8.0 * one) for one in range(4)], {}, "gantry_tilt"),
        (STACK, {"turned": 2}, "several_orientations"),
        (STACK, {"spacings": [4, 4, 2, 4]}, "mixed_series"),
        (STACK, {"spacings": [0, 0, 0, 0]}, "spacing"),
    ],
)
def test_frames_that_are_no_volume_say_why(tmp_path: Path, places: Places, values: dict[str, Any], code: str) -> None:
    with pytest.raises(ImageError) as caught:
        read(enhanced(tmp_path, places, **values))
    assert caught.value.code == code


def test_files_of_one_frame_that_say_their_place_as_enhanced_ones_do_are_sorted_by_it(tmp_path: Path) -> None:
    for number, name in enumerate("cadb"):
        header = pydicom.dcmread(enhanced(tmp_path / "made", [STACK["abcd".index(name)]]))
        del header.ImagePositionPatient, header.ImageOrientationPatient
        header.SOPInstanceUID = f"1.2.{number + 1}"
        header.PixelData = np.full((header.Rows, header.Columns), "abcd".index(name), np.uint16).tobytes()
        (tmp_path / "ct").mkdir(exist_ok=True)
        header.save_as(tmp_path / f"ct/{number}.dcm")
    dataset = find(tmp_path / "ct", opener=opener())
    assert [int(dataset.opener.read(one.path).pixels.flat[0]) + 1024 for one in dataset.samples] == [0, 1, 2, 3]


def test_what_rounding_makes_of_a_series_is_no_other_series(tmp_path: Path) -> None:
    files = sorted(write_dicom(tmp_path / "ct", slices("ct")).iterdir())
    for number, file in enumerate(files):
        header = pydicom.dcmread(file)
        header.ImageOrientationPatient = [1, 0.0004999 + 2e-7 * (number % 2), 0, 0, 1, 0]
        header.PixelSpacing = [0.97649995 + 1e-7 * (number % 2)] * 2
        header.save_as(file)
    assert len(find(tmp_path / "ct", opener=opener()).samples) == 4


def test_a_series_without_positions_says_so_of_each_slice(tmp_path: Path) -> None:
    for file in write_dicom(tmp_path / "ct", slices("ct", count=2)).iterdir():
        header = pydicom.dcmread(file)
        del header.ImagePositionPatient
        header.save_as(file)
    dataset = find(tmp_path / "ct", opener=opener())
    notes = {dataset.opener.read(one.path).note for one in dataset.samples}
    assert notes == {
        "says no position: slices are in the order of their numbers, and how far they are apart is not known"
    }


def test_the_window_is_fixed_and_clips() -> None:
    path = next(one for one in DICOM if one.name == "CT_small.dcm")
    units = read(path)[0][1].pixels
    pixels = read(path, window=(-160, 240))[0][1].pixels
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, np.rint(np.clip((units + 160.0) / 400, 0, 1) * 65535))


def test_what_is_no_body_takes_no_part(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", render("ct", 1))
    inside = read(folder / "10.dcm", body=-300)[0][1].valid
    assert inside is not None
    assert inside[48, 48], "in the middle of the chest"
    assert inside[48, 30], "the lungs lie in it"
    assert not inside[:5].any()
    with pytest.raises(NotAnImage, match="shows nothing above 3000"):
        read(folder / "10.dcm", body=3000)


@pytest.mark.parametrize(
    ("turned", "said"),
    [
        ([1, 0, 0, 0, 1, 0], "LP"),
        ([-1, 0, 0, 0, 1, 0], "RP"),
        ([1, 0, 0, 0, 0, -1], "LF"),
        ([0, 0.9, 0.1, 0, 0.1, -1], "PF"),
    ],
)
def test_where_rows_and_columns_run_to_is_guarded(tmp_path: Path, turned: list[float], said: str) -> None:
    path = write_dicom(tmp_path / "ct", slices("ct", count=1)) / "01.dcm"
    header = pydicom.dcmread(path)
    header.ImageOrientationPatient = turned
    header.save_as(path)
    assert read(path)[0][1].meta["orientation"] == said
    assert "orientation" in registry.load().readers[".dcm"].guards


def test_files_of_other_suffixes_are_read(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct"))
    for file in folder.iterdir():
        file.rename(file.with_suffix(".IMA"))
    dataset = find(folder, opener=Opener(registry.load().readers))
    assert [one.name.rpartition("#")[2] for one in dataset.samples] == ["1", "2", "3", "4"]


SUFFIXES = (".dcm", ".ima", "", ".DICOM")


def device(given: Sequence[str]) -> Opener:
    """As a program hands readers over, without the host's registry."""
    return Opener({one: Reader(**vars(reader()) | {"sniff": sniff}) for one in given})


@pytest.mark.parametrize("made", [lambda: Opener(registry.load().readers), lambda: device([".ima", ".dcm", ".dicom"])])
def test_files_of_one_series_under_several_suffixes_are_one(tmp_path: Path, made: Callable[[], Opener]) -> None:
    scan = slices("ct")
    folder = write_dicom(tmp_path / "ct", scan)
    for file, suffix in zip(sorted(folder.iterdir()), SUFFIXES, strict=True):
        file.rename(file.with_suffix(suffix))
    found, rest = made().images(sorted(folder.iterdir()))
    assert not rest
    assert [one.name.rpartition("#")[2] for one in found] == ["1", "2", "3", "4"]
    assert len({one.name.rpartition("#")[0] for one in found}) == 1
    for name, values in zip(found, scan.values, strict=True):
        picture = made().read(name)  # by an opener that has not seen the folder
        np.testing.assert_allclose(picture.pixels[..., 0], np.maximum(values, -1024), atol=0.51)
        assert picture.note == "its series is of files with several suffixes: .dcm, .dicom, .ima, none"


def test_a_copy_under_another_suffix_and_a_slice_that_is_missing_are_errors(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct"))
    shutil.copy(folder / "02.dcm", folder / "02.ima")
    opened = Opener(registry.load().readers)
    (name,) = opened.images(sorted(folder.iterdir()))[0]
    with pytest.raises(ImageError, match="2 slices of 5 lie where another lies: copies") as caught:
        opened.read(name)
    assert caught.value.code == "same_position"
    (folder / "02.dcm").unlink()
    (folder / "03.dcm").rename(folder / "elsewhere.pdf")
    opened = Opener(registry.load().readers)
    (name,) = opened.images([one for one in sorted(folder.iterdir()) if one.suffix != ".pdf"])[0]
    with pytest.raises(ImageError, match="1 missing") as caught:
        opened.read(name)
    assert caught.value.code == "missing_slices"


def test_two_series_of_two_suffixes_are_two(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "x", slices("ct"))
    for file in write_dicom(tmp_path / "y", slices("ct", patient=2)).iterdir():
        shutil.copy(file, folder / f"{file.stem}.ima")
    opened = Opener(registry.load().readers)
    found = opened.images(sorted(folder.iterdir()))[0]
    assert sorted(Path(one.name.partition("#")[0]).suffix for one in found) == [".dcm"] * 4 + [".ima"] * 4
    assert {opened.read(one).note for one in found} == {""}


def test_text_that_is_burnt_in_is_told_where_it_is_read(tmp_path: Path) -> None:
    path = write_dicom(tmp_path / "ct", slices("ct", count=1)) / "01.dcm"
    header = pydicom.dcmread(path)
    header.BurnedInAnnotation = "YES"
    header.save_as(path)
    assert read(path, burned_in=True)[0][1].note == "says that text is burnt into it"


Edit = Callable[[list[Any]], None]


def tags(**values: Any) -> Edit:
    """Set them in the second slice."""
    return lambda series: every(**values)(series[1:2])


def every(**values: Any) -> Edit:
    """Set them in every slice."""

    def edit(series: list[Any]) -> None:
        for one in series:
            for name, value in values.items():
                setattr(one, name, value)

    return edit


def tilted(series: list[Any]) -> None:
    for number, one in enumerate(series):
        x, y, z = one.ImagePositionPatient
        one.ImagePositionPatient = [x, y + 1.5 * number, z]


def every_second(**values: Any) -> Edit:
    """Every second slice alone, with values set in each."""

    def edit(series: list[Any]) -> None:
        del series[1::2]
        every(**values)(series)

    return edit


def apart(series: list[Any]) -> None:
    """Twice as far as they are thick, and with no number between."""
    for number, one in enumerate(series):
        one.ImagePositionPatient = [*one.ImagePositionPatient[:2], 16.0 * number]


def in_turn(series: list[Any]) -> None:
    """Numbers of an echo that was taken in turn with another."""
    for one in series:
        one.InstanceNumber = 2 * one.InstanceNumber - 1


BAD_SERIES: list[tuple[str, Edit, str, str]] = [
    ("two patients", tags(PatientID="other", PatientName="Doe^Jane"), "several_patients", "several patients"),
    ("missing slices", lambda series: series.pop(2) and None, "missing_slices", r"numbers 2 and 4 16 mm \(1 missing\)"),
    ("uneven", lambda series: tags(ImagePositionPatient=[-140.0, -80.0, -5.5])(series), "missing_slices", "unevenly"),
    ("the same position", lambda series: tags(ImagePositionPatient=series[0].ImagePositionPatient)(series),
     "same_position", "2 slices of 4 lie where another lies"),
    ("gantry tilt", tilted, "gantry_tilt", "10.6 degrees"),
    ("a localizer", tags(ImageOrientationPatient=[1, 0, 0, 0, 0, -1]), "several_orientations", "2 orientations"),
    ("sizes", tags(Rows=20, PixelData=b"\0" * 2 * 20 * 70), "mixed_series", "2 sizes"),
    ("modalities", tags(Modality="PT"), "mixed_series", "2 modalities"),
    ("a slice without position", lambda series: delattr(series[1], "ImagePositionPatient"), "no_position", "1 of 4"),
    ("directions that are none", every(ImageOrientationPatient=[1, 0, 0, 1, 0, 0]), "orientation", "at right angles"),
    ("a slice moved aside", lambda series: tags(ImagePositionPatient=[-90.0, -80.0, -8.0])(series), "shifted_slices",
     "50 mm beside"),
    ("no positions, one number", every(ImagePositionPatient=None, InstanceNumber=1), "no_position", "the same number"),
    ("no positions, numbers that lack some", lambda series: every(ImagePositionPatient=None)(series) or
     tags(InstanceNumber=9)(series), "missing_slices", "5 of their numbers are missing"),
    ("a position of two numbers", tags(ImagePositionPatient=[1.0, 2.0]), "no_position", "2 values: expected 3"),
    ("directions of five", tags(ImageOrientationPatient=[1, 0, 0, 0, 1]), "orientation", "5 values: expected 6"),
    ("one spacing", tags(PixelSpacing=[4]), "spacing", "1 values: expected 2"),
    ("three spacings", every(PixelSpacing=[4, 4, 8]), "spacing", "3 values: expected 2"),
    ("every second slice", every_second(), "missing_slices", "16 mm apart, where they say 8 mm, and"),
    ("every second slice by steps", every_second(SliceThickness=3, SpacingBetweenSlices=8), "missing_slices",
     "where they say 8 mm, and their numbers 2: of 2 slices one alone is there"),
    ("spacing 0", every(PixelSpacing=[0, 0]), "spacing", "0 x 0 mm"),
    ("a truncated slice", tags(PixelData=b"\0" * 100), "truncated", "slice 2"),
    ("burnt-in text", every(BurnedInAnnotation="YES"), "burned_in", "readers.dicom.burned_in=true"),
    ("a palette", every(PhotometricInterpretation="PALETTE COLOR"), "colour", "readers.dicom.colour=true"),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "code", "said"), [one[1:] for one in BAD_SERIES], ids=[one[0] for one in BAD_SERIES])
def test_a_series_that_is_no_volume_says_why(tmp_path: Path, edit: Edit, code: str, said: str) -> None:
    files = sorted(write_dicom(tmp_path / "ct", slices("ct")).iterdir())
    series = [pydicom.dcmread(file) for file in files]
    edit(series)
    shutil.rmtree(tmp_path / "ct")
    (tmp_path / "ct").mkdir()
    for number, one in enumerate(series):
        one.save_as(tmp_path / f"ct/{number}.dcm")
    dataset = find(tmp_path / "ct", opener=opener())
    assert len(dataset.samples) == 1
    with pytest.raises(ImageError, match=said) as caught:
        dataset.opener.read(dataset.samples[0].path)
    assert caught.value.code == code
    assert "Doe" not in str(caught.value)


@pytest.mark.parametrize(
    ("edit", "step"),
    [
        (apart, 16),
        (in_turn, 8),
        (every_second(SliceThickness=None), 16),
        (every_second(Modality="MR"), 16),  # whose slices need not touch
    ],
)
def test_gaps_in_numbers_or_between_slices_prove_nothing_alone(tmp_path: Path, edit: Edit, step: float) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct"))
    series = [pydicom.dcmread(file) for file in sorted(folder.iterdir())]
    shutil.rmtree(folder)
    folder.mkdir()
    edit(series)
    for number, one in enumerate(series):
        one.save_as(folder / f"{number}.dcm")
    dataset = find(folder, opener=opener())
    assert {dataset.opener.read(one.path).meta[STEP] for one in dataset.samples} == {step}


@pytest.mark.parametrize("said", [None, "", "thin", [1, 2], 0, "nan", "inf"])
def test_what_is_no_length_says_nothing(said: Any) -> None:
    assert length({"SliceThickness": said}, "SliceThickness") == 0


@pytest.mark.parametrize("size", [0, 140, 190, 330, 700, 1100, -200])
def test_a_volume_without_its_last_slice_is_none(tmp_path: Path, size: int) -> None:
    """However much there is of its file: within the identifiers, in the header, in the pixels."""
    last = sorted(write_dicom(tmp_path / "ct", slices("ct")).iterdir())[-1]
    last.write_bytes(last.read_bytes()[:size])
    dataset = find(tmp_path / "ct", opener=opener())
    assert len({one.group for one in dataset.samples}) == 1, "whatever else there is of this patient"
    assert dataset.samples[0].group.startswith("patient-")
    with pytest.raises(ImageError):
        [dataset.opener.read(one.path) for one in dataset.samples]


@pytest.mark.parametrize(
    "name", ["693_J2KI.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "rtdose_rle.dcm", "CT_small.dcm"]
)
@pytest.mark.parametrize("share", [0.3, 0.5, 0.95])
def test_what_is_cut_is_no_document(tmp_path: Path, name: str, share: float) -> None:
    content = next(one for one in DICOM if one.name == name).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(content[: int(share * len(content))])
    with pytest.raises(ImageError, match="send it again") as caught:
        read(tmp_path / "cut.dcm", colour=True)
    assert caught.value.code == "truncated"


@pytest.mark.parametrize(
    "name", ["693_J2KI.dcm", "MR_small_jp2klossless.dcm", "SC_rgb_jpeg_dcmtk.dcm", "MR_small_RLE.dcm"]
)
def test_pixels_of_which_the_second_half_was_lost_are_damaged(tmp_path: Path, name: str) -> None:
    """Lengths are as they were: decoders make a picture of it, that is flat from the middle on."""
    header = pydicom.dcmread(next(one for one in DICOM if one.name == name))
    half = len(header.PixelData) // 2
    header.PixelData = header.PixelData[:half] + bytes(len(header.PixelData) - half)
    header.save_as(tmp_path / "half.dcm")
    with pytest.raises(ImageError, match="send it again"):
        read(tmp_path / "half.dcm", colour=True)


def test_a_patient_is_judged_by_all_that_is_his(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_dicom(tmp_path / name, slices("ct"))
    (tmp_path / "b/02.dcm").unlink()  # a slice is missing
    (tmp_path / "a/report.dcm").write_bytes(b"of nobody")
    write_dicom(tmp_path / "c", slices("ct", count=1))
    (tmp_path / "c/02.dcm").write_bytes((tmp_path / "c/01.dcm").read_bytes()[:1000])
    dataset = find(tmp_path, folders=Folders(all_good=True), opener=opener())
    assert len({one.group for one in dataset.samples}) == 1
    assert dataset.opener.catalogue.unread == set()


@pytest.mark.parametrize("name", ["PHANTOM^Number1", "Phantom^Number1^", "Phantom^Number1^^^ "])
def test_a_name_that_dicom_takes_as_equal_is_that_of_the_same_patient(tmp_path: Path, name: str) -> None:
    files = sorted(write_dicom(tmp_path / "ct", slices("ct")).iterdir())
    header = pydicom.dcmread(files[1])
    header.PatientName = name
    header.save_as(files[1])
    assert len(find(tmp_path / "ct", opener=opener()).samples) == 4
    header.PatientName = "Phantom^Number2"
    header.save_as(files[1])
    (refused,) = find(tmp_path / "ct", opener=opener()).samples
    with pytest.raises(ImageError, match="several patients"):
        opener().read(refused.path)


@pytest.mark.parametrize(("implicit", "little"), [(True, True), (False, True), (False, False)])
def test_files_without_the_mark_of_dicom_are_read_where_they_are_plainly_such(
    tmp_path: Path, implicit: bool, little: bool
) -> None:
    scan = slices("ct")
    files = sorted(write_dicom(tmp_path / "ct", scan).iterdir())
    whole = [opener().read(one.path) for one in find(tmp_path / "ct", opener=opener()).samples]
    for file in files:
        header = pydicom.dcmread(file)
        content = pydicom.filebase.DicomBytesIO()
        content.is_implicit_VR, content.is_little_endian = implicit, little
        if not little:
            header.PixelData = np.frombuffer(header.PixelData, "<u2").astype(">u2").tobytes()
        pydicom.filewriter.write_dataset(content, pydicom.Dataset(header))
        file.write_bytes(content.getvalue())
    dataset = find(tmp_path / "ct", opener=opener())
    assert len(dataset.samples) == 4
    for sample, expected_one in zip(dataset.samples, whole, strict=True):
        found = dataset.opener.read(sample.path)
        np.testing.assert_array_equal(found.pixels, expected_one.pixels)
        assert found.part == expected_one.part
    files[1].write_bytes(files[1].read_bytes()[:-10])
    (cut,) = find(tmp_path / "ct", opener=opener()).samples
    assert cut.group == whole[0].part, "that of its patient"
    with pytest.raises(ImageError, match="truncated"):
        opener().read(cut.path)


@pytest.mark.parametrize("content", [b"a text " * 99, bytes(300), b"\x08\0\x16\0UI\x04\x001.2\0"])
def test_what_lacks_the_mark_and_is_none_says_so(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(ImageError, match="'DICM' is missing"):
        read(tmp_path / "a.dcm")


def test_two_series_of_one_folder_are_two_volumes(tmp_path: Path) -> None:
    for kind in ("ct", "pet"):
        for file in write_dicom(tmp_path / kind, slices(kind)).iterdir():
            file.rename(tmp_path / f"{kind}{file.name}")
        (tmp_path / kind).rmdir()
    dataset = find(tmp_path, opener=opener())
    assert len({one.path.name.rpartition("#")[0] for one in dataset.samples}) == 2
    assert {dataset.opener.read(one.path).meta["units"] for one in dataset.samples} == {"HU", "BQML"}


@pytest.mark.parametrize("modality", ["SR", "RTSTRUCT", "SEG"])
def test_what_is_no_picture_is_passed_over(tmp_path: Path, modality: str) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct", count=1))
    document = pydicom.dcmread(folder / "01.dcm")
    document.Modality, document.SeriesInstanceUID = modality, "1.2.3"
    if modality != "SEG":
        for name in ("PixelData", "Rows", "Columns"):
            delattr(document, name)
    document.save_as(folder / "document.dcm")
    dataset = find(folder, opener=opener())
    assert [one.name for one in dataset.samples] == ["01.dcm"]
    assert "document.dcm" in dataset.notes[0]


@pytest.mark.parametrize("count", [1, 2])
def test_spectra_are_passed_over(tmp_path: Path, count: int) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct", count=3))
    for file in sorted(folder.iterdir())[:count]:
        header = pydicom.dcmread(file)
        header.SOPClassUID = header.file_meta.MediaStorageSOPClassUID = pydicom.uid.MRSpectroscopyStorage
        header.SeriesInstanceUID, header.Modality, header.SpectroscopyData = "1.2.3", "MR", b"\0" * 8
        del header.PixelData
        header.save_as(file)
    dataset = find(folder, opener=opener())
    assert len(dataset.samples) == 3 - count
    assert "01.dcm" in dataset.notes[0]


def test_frames_without_positions_say_so_of_each(tmp_path: Path) -> None:
    (_, one), (_, two) = read(several_frames(tmp_path))
    assert "says no position" in one.note
    assert one.note == two.note
    assert all("no position" not in one.note for _, one in read(enhanced(tmp_path / "b", STACK)))


def test_a_dose_is_in_its_units_whatever_the_factor_of_its_file(tmp_path: Path) -> None:
    header = pydicom.dcmread(next(one for one in DICOM if one.name == "rtdose.dcm"))
    stored = header.pixel_array.astype(np.float64)
    for factor in (header.DoseGridScaling, 2.5e-7):
        header.DoseGridScaling = factor
        header.save_as(tmp_path / "dose.dcm")
        found = read(tmp_path / "dose.dcm")
        values = np.stack([one.pixels[..., 0] for _, one in found])
        np.testing.assert_allclose(values, stored * float(factor), rtol=1e-6)
        assert found[0][1].meta["units"] == header.DoseUnits
    for nothing in (None, 0):
        header.DoseGridScaling = nothing
        header.save_as(tmp_path / "dose.dcm")
        with pytest.raises(ImageError, match="without DoseGridScaling") as caught:
            read(tmp_path / "dose.dcm")
        assert caught.value.code == "units"


# ---- NIfTI


def volume(path: Path, values: NDArray[Any], affine: Any = None, **header: Any) -> Path:
    image = nibabel.Nifti1Image(values, np.diag([-2.0, -2, 5, 1]) if affine is None else affine)
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def test_a_volume_has_the_pixels_of_the_series_that_it_is_of(tmp_path: Path) -> None:
    scan = slices("mr")
    write_dicom(tmp_path / "series", scan)
    write_nifti(tmp_path / "scan.nii.gz", scan)
    series = find(tmp_path / "series", opener=opener())
    found = dict(read(tmp_path / "scan.nii.gz", ".nii.gz"))
    assert list(found) == ["0", "1", "2", "3"]
    for sample, one in zip(series.samples, found.values(), strict=True):
        np.testing.assert_allclose(series.opener.read(sample.path).pixels, one.pixels, atol=0.006)
        assert one.spacing == (2.0, 2.0)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "ASR", "SLP"])
@pytest.mark.parametrize("plane", ["axial", "coronal", "sagittal"])
def test_slices_do_not_depend_on_how_a_volume_is_stored(tmp_path: Path, axes: str, plane: str) -> None:
    values = np.random.default_rng(0).normal(size=(6, 7, 8)).astype(np.float32)
    straight = nibabel.Nifti1Image(values, np.diag([1.0, 2, 3, 1]))
    wanted = nibabel.orientations.axcodes2ornt(axes)
    turned = straight.as_reoriented(nibabel.orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], wanted))
    nibabel.save(turned, tmp_path / "turned.nii")
    found = read(tmp_path / "turned.nii", ".nii", plane=plane)
    axis = ("sagittal", "coronal", "axial").index(plane)
    assert len(found) == values.shape[axis]
    first = found[2][1]
    np.testing.assert_array_equal(first.pixels[..., 0], np.take(values, 2, axis).T[::-1, ::-1])
    assert first.spacing == {"axial": (2, 1), "coronal": (3, 1), "sagittal": (3, 2)}[plane]


@pytest.mark.parametrize("order", ["C", "F"])
def test_a_slice_of_a_volume_is_no_copy_of_it(order: Literal["C", "F"]) -> None:
    """A copy for each slice takes time by the square of their number."""
    values = np.zeros((4, 5, 6), np.float32, order=order)
    for axis in range(3):
        assert np.shares_memory(nifti._seen(values, axis, 1), values)


def test_big_endian_and_scaled_volumes_have_the_values_of_nibabel(tmp_path: Path) -> None:
    values = np.arange(60, dtype=">i2").reshape(3, 4, 5)
    image = nibabel.Nifti1Image(values, np.eye(4), nibabel.Nifti1Header(endianness=">"))
    image.header.set_slope_inter(0.5, 3)
    content = bytearray(image.to_bytes())
    (tmp_path / "big.nii").write_bytes(content)
    loaded: Any = nibabel.load(tmp_path / "big.nii")
    expected = loaded.get_fdata()
    found = read(tmp_path / "big.nii", ".nii")
    np.testing.assert_array_equal(found[1][1].pixels[..., 0], expected[:, :, 1].T[::-1, ::-1])


def test_an_oblique_volume_is_read_along_its_own_grid(tmp_path: Path) -> None:
    turn, up = np.radians(20), np.eye(4)
    up[:3, :3] = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]
    values = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    found = read(volume(tmp_path / "oblique.nii.gz", values, up @ np.diag([1, 2, 3, 1])), ".nii.gz")
    np.testing.assert_array_equal(found[3][1].pixels[..., 0], values[:, :, 3].T[::-1, ::-1])
    assert found[3][1].spacing == pytest.approx((2, 1))


def _skewed() -> NDArray[Any]:
    affine = np.eye(4)
    affine[1, 2] = 0.3
    return affine


def patched(path: Path, place: int, content: bytes) -> Path:
    """Other bytes in the header: 42 its sizes, 80 those of voxels, 123 units, 252 forms, 300 a row of the affine."""
    whole = path.read_bytes()
    path.write_bytes(whole[:place] + content + whole[place + len(content) :])
    return path


PLAIN = np.ones((4, 5, 6), np.float32)
BAD_VOLUMES: list[tuple[str, Callable[[Path], Any], str, str]] = [
    ("4-D", lambda path: volume(path, np.ones((4, 5, 6, 7), np.int16)), "not_a_volume", "4 x 5 x 6 x 7"),
    ("2-D", lambda path: volume(path, np.ones((4, 5), np.int16)), "not_a_volume", "2 dimensions"),
    ("sheared", lambda path: volume(path, PLAIN, _skewed()), "sheared", "right angles"),
    ("spacing 0", lambda path: patched(volume(path, PLAIN, np.eye(4)), 300, bytes(4)), "spacing", "1 x 0 x 1 mm"),
    ("spacing 0 of the header alone", lambda path: patched(patched(volume(path, PLAIN), 252, bytes(4)), 80,
     np.array([2, 0, 4], np.float32).tobytes()), "spacing", "2 x 0 x 4 mm"),
    ("complex", lambda path: volume(path, PLAIN.astype(np.complex64)), "wrong_dtype", "complex64"),
    ("colours", lambda path: volume(path, np.zeros((4, 5, 6), [("R", "u1"), ("G", "u1"), ("B", "u1")])), "wrong_dtype",
     "holds colours"),
    ("truncated", lambda path: path.write_bytes(volume(path, PLAIN).read_bytes()[:-100]), "truncated",
     "ends 100 bytes"),
    ("NaN", lambda path: volume(path, PLAIN * np.nan), "not_finite", "slice 0 .* option 'body'"),
    ("no header", lambda path: path.write_bytes(b"nothing of the kind"), "unreadable", "no NIfTI file"),
    ("a pair", lambda path: path.write_bytes(volume(path, PLAIN).read_bytes().replace(b"n+1", b"ni1")), "unreadable",
     ".hdr and .img"),
    ("huge", lambda path: patched(volume(path, PLAIN), 42, b"\x30\x75" * 3), "too_large", "30000 x 30000"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "code", "said"), [one[1:] for one in BAD_VOLUMES], ids=[one[0] for one in BAD_VOLUMES]
)
def test_a_volume_that_cannot_be_looked_at_says_why(
    tmp_path: Path, make: Callable[[Path], Any], code: str, said: str
) -> None:
    path = tmp_path / "bad.nii"
    make(path)
    with pytest.raises(ImageError, match=said) as caught:
        read(path, ".nii")
    assert caught.value.code == code


@pytest.mark.parametrize(("units", "millimetres"), [(0, 2), (1, 2000), (2, 2), (3, 0.002), (10, 2)])
def test_distances_are_millimetres_whatever_the_units_of_a_volume(
    tmp_path: Path, units: int, millimetres: float
) -> None:
    (_, first), *_ = read(patched(volume(tmp_path / "scan.nii", PLAIN * 3), 123, bytes([units])), ".nii")
    assert first.spacing == pytest.approx((millimetres, millimetres))


def test_a_volume_that_says_nothing_of_sides_is_noted(tmp_path: Path) -> None:
    (_, first), *_ = read(patched(volume(tmp_path / "scan.nii", PLAIN * 3), 252, bytes(4)), ".nii")
    assert "which side is left" in first.note


def test_a_damaged_archive_says_so(tmp_path: Path) -> None:
    content = volume(tmp_path / "whole.nii.gz", np.random.default_rng(0).normal(size=(9, 9, 9))).read_bytes()
    (tmp_path / "cut.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match="copy it again") as caught:
        read(tmp_path / "cut.nii.gz", ".nii.gz")
    assert caught.value.code == "truncated"
    stored = bytearray(gzip.compress(gzip.decompress(content), 0))
    stored[2000] ^= 1
    for damaged in (bytes(stored), content[:-8]):
        (tmp_path / "bad.nii.gz").write_bytes(damaged)
        with pytest.raises(ImageError, match=r"is damaged .*copy it again"):
            read(tmp_path / "bad.nii.gz", ".nii.gz")
    (tmp_path / "bomb.nii.gz").write_bytes(gzip.compress(bytes(1 << 20)))
    with pytest.raises(ImageError, match="no NIfTI file"):
        read(tmp_path / "bomb.nii.gz", ".nii.gz")


def test_background_of_a_volume_takes_no_part(tmp_path: Path) -> None:
    values = np.full((8, 8, 3), np.nan, np.float32)
    values[2:6, 2:6, 1] = 5
    values[7, 7, 1] = 5  # a speck
    ((key, found),) = read(volume(tmp_path / "brain.nii", values), ".nii", body=0)
    assert key == "1"
    assert found.valid is not None
    assert found.valid.sum() == 16


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_was_not_measured_within_a_body_is_not_black(value: float, tmp_path: Path) -> None:
    values = np.full((8, 8, 3), -50, np.float32)
    values[1:7, 1:7] = 5
    values[3, 3, 1] = value  # a hole in one slice
    with pytest.raises(ImageError, match="1 pixels within what is to be inspected") as caught:
        read(volume(tmp_path / "brain.nii", values), ".nii", body=0)
    assert caught.value.code == "not_finite"


def test_of_a_second_channel_too(tmp_path: Path) -> None:
    inside = np.zeros((4, 4), bool)
    inside[1:3] = True
    first, second = np.ones((4, 4), np.float32), np.ones((4, 4), np.float32)
    second[0] = np.nan  # background
    options = SimpleNamespace(body=None, window=None)
    shown = pixels.shown([first, second], options, inside)
    assert shown is not None
    assert np.isfinite(shown[0]).all()
    second[1, 1] = np.nan
    with pytest.raises(ImageError, match="not measured"):
        pixels.shown([first, second], options, inside)


def test_a_series_of_one_slice_is_in_order() -> None:
    header = pydicom.Dataset()
    header.ImagePositionPatient, header.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
    assert series.in_order([placed(header)]) == [0]


def test_a_mask_is_one_whatever_window_and_body_are(tmp_path: Path) -> None:
    scan = slices("mr")
    write_nifti(tmp_path / "scan.nii.gz", scan)
    write_nifti(tmp_path / "mask.nii.gz", Scan("mr", 1, scan.values, scan.values > 60), truth=True)
    shown = opener(window=(0, 150), body=10)
    for number, values in enumerate(scan.values):
        marked = Mask.read(tmp_path / f"mask.nii.gz#{number}", shown).marked
        np.testing.assert_array_equal(marked, values > 60)
        assert "a mask of labels" in shown.read(tmp_path / f"mask.nii.gz#{number}").note
        assert shown.read(tmp_path / f"scan.nii.gz#{number}").pixels.dtype == np.uint16


@pytest.mark.parametrize(
    ("labels", "kind"), [((0, 255), np.uint8), ((0, 1, 2, 3), np.int16), ((0, 0.99995, 2), np.float32)]
)
def test_a_mask_of_labels_marks_all_that_is_not_0(tmp_path: Path, labels: tuple[float, ...], kind: Any) -> None:
    plane = np.zeros((8, 9, 4))
    plane[2:7, 3:8, 1] = np.resize(labels, (5, 5))
    nibabel.save(nibabel.Nifti1Image(plane.astype(kind), np.eye(4)), tmp_path / "mask.nii.gz")
    shown = opener(window=(0, 150), body=10)  # else a label of 2 would be nearly black, and empty slices no body
    for number in range(4):
        marked = Mask.read(tmp_path / f"mask.nii.gz#{number}", shown).marked
        np.testing.assert_array_equal(marked, plane[..., number].T[::-1, ::-1] > 0)


@pytest.mark.parametrize("options", [{}, {"body": 10}, {"window": (0, 150)}])
@pytest.mark.parametrize(
    ("marked", "free", "said"),
    [
        (1, np.nan, "holds 1 value from 1 to 1, and some that are NaN or infinite"),
        (1, -1, "holds 2 values from -1 to 1: too few for a scan, and a mask has whole numbers, 0 where nothing"),
        (0.7, 0, "holds 2 values from 0 to 0.7: too few for a scan"),
    ],
)
def test_a_mask_of_other_values_says_which(
    tmp_path: Path, marked: float, free: float, said: str, options: dict[str, Any]
) -> None:
    values = np.full((6, 6, 3), free, np.float32)
    values[2:4, 2:4, 1] = marked
    with pytest.raises(ImageError, match=said) as caught:
        read(volume(tmp_path / "mask.nii", values), ".nii", **options)
    assert caught.value.code == "few_values"


def test_a_scan_of_many_levels_is_no_mask(tmp_path: Path) -> None:
    scan = np.resize(np.arange(17), (8, 9, 4)).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(scan, np.eye(4)), tmp_path / "scan.nii")
    assert opener(window=(0, 150)).read(tmp_path / "scan.nii#0").pixels.dtype == np.uint16


# ---- what of a volume is body


def test_otsu_finds_the_body_of_a_volume(tmp_path: Path) -> None:
    scan = render("mr", 1)
    write_nifti(tmp_path / "head.nii.gz", scan)
    found = dict(read(tmp_path / "head.nii.gz", ".nii.gz", body="otsu"))
    valid = np.stack([one.valid for one in found.values() if one.valid is not None])
    assert 0.2 < valid.sum() / scan.values.size < 0.4, "about as much as is brighter than half of the brain"
    assert valid[len(valid) // 2, 48, 48]
    assert not valid[:, :8].any()
    assert pixels_of_otsu([0.0, 0, 0, 1, 1, 10, 10, 11]) == pytest.approx(1, abs=0.1)


def pixels_of_otsu(values: list[float]) -> float:
    return pixels.otsu(np.array(values, np.float32))


@pytest.mark.parametrize("together", [True, False])
def test_otsu_finds_that_of_a_series(tmp_path: Path, together: bool) -> None:
    write_dicom(tmp_path / "ct", render("ct", 1))
    path = tmp_path / "ct/10.dcm"
    if together:
        dataset = find(tmp_path / "ct", opener=Opener({".dcm": reader(body="otsu")}))
        assert len(dataset.samples) == 20
        seen: Picture = dataset.opener.read(dataset.samples[9].path)
    else:
        seen = read(path, body="otsu")[0][1]
    assert seen.valid is not None
    assert seen.valid[48, 48]
    assert seen.valid[48, 30], "lungs are holes"
    assert not seen.valid[:5].any()


def masked(path: Path, mask: Any, affine: Any = None) -> list[tuple[str | None, Picture]]:
    """A volume of three slices with a mask beside it."""
    volume(path / "p1.nii.gz", np.arange(48, dtype=np.float32).reshape(4, 4, 3) + 2)
    if mask is not None:
        volume(path / "p1_brain.nii.gz", mask, affine)
    dataset = find(path, opener=opener(mask="brain"))
    return [(one.name, dataset.opener.read(one.path)) for one in dataset.samples]


@pytest.mark.parametrize("name", ["p1_brain.nii.gz", "brain.nii"])
def test_a_mask_beside_a_volume_says_what_is_inspected(tmp_path: Path, name: str) -> None:
    mask = np.zeros((4, 4, 3), np.int16)
    mask[1:3, 1, 1] = 7
    volume(tmp_path / name, mask)
    ((found, picture),) = masked(tmp_path, None)
    assert found == "p1.nii.gz#1", "slices without a mark are passed over, and masks are no volumes"
    assert picture.valid is not None
    assert picture.valid.sum() == 2
    assert sorted(picture.pixels[picture.valid][:, 0]) == [18, 30], "of 4 x 4 x 3 values from 2 on those at [1:3, 1, 1]"


BAD_BODIES: list[tuple[str, Any, Any, str, str]] = [
    ("empty", np.zeros((4, 4, 3), np.int16), None, "body", r"p1_brain.nii.gz marks 0.0% of the volume"),
    ("everything", np.ones((4, 4, 3), np.int16), None, "body", r"marks 100.0% of the volume"),
    ("moved", np.eye(4, dtype=np.int16)[..., None] * np.ones(3, np.int16), np.eye(4), "other_geometry", "another grid"),
    ("missing", None, None, "missing_mask", "no file whose name says 'brain'"),
]


@pytest.mark.parametrize(
    ("mask", "affine", "code", "said"), [one[1:] for one in BAD_BODIES], ids=[one[0] for one in BAD_BODIES]
)
def test_a_mask_that_cannot_be_meant_is_an_error(tmp_path: Path, mask: Any, affine: Any, code: str, said: str) -> None:
    with pytest.raises(ImageError, match=said) as caught:
        masked(tmp_path, mask, affine)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("options", "said"),
    [({"body": "otsu"}, "has 0.0% above 5, the level"), ({"body": 500}, "shows nothing above 500")],
)
def test_a_volume_without_body_is_an_error(tmp_path: Path, options: dict[str, Any], said: str) -> None:
    path = volume(tmp_path / "flat.nii", np.full((8, 8, 3), 5, np.float32))
    with pytest.raises(ImageError, match=said) as caught:
        read(path, ".nii", **options)
    assert caught.value.code == "body"


@pytest.mark.parametrize("lost", [np.nan, -2000])
def test_a_slice_that_was_lost_is_not_passed_over_as_background(tmp_path: Path, lost: float) -> None:
    scan = slices("ct")
    values = scan.values.copy()
    values[0] = lost  # beyond the end of the body
    path = volume(tmp_path / "ends.nii", values.transpose(2, 1, 0))
    assert [key for key, _ in read(path, ".nii", body=-300)] == ["1", "2", "3"]
    values[0], values[1:3] = scan.values[0], lost
    with pytest.raises(ImageError, match=r"slices 1 to 2 show nothing above -300, .* were they lost") as caught:
        read(volume(tmp_path / "lost.nii", values.transpose(2, 1, 0)), ".nii", body=-300)
    assert caught.value.code == "body"


def test_nor_is_one_of_a_series(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct"))
    header = pydicom.dcmread(folder / "02.dcm")
    header.PixelData = bytes(len(header.PixelData))
    header.RescaleIntercept = -1024
    header.save_as(folder / "02.dcm")
    (sample,) = find(tmp_path, opener=Opener({".dcm": reader(body=-300)})).samples
    assert sample.name.startswith("ct/series-")
    with pytest.raises(ImageError, match="slice 2 shows nothing above -300"):
        Opener({".dcm": reader(body=-300)}).read(sample.path)


# ---- both


@pytest.mark.parametrize("name", ["dicom", "nifti"])
def test_the_readers_keep_the_rules(tmp_path: Path, name: str) -> None:
    from anomalib_lite.testing import check_reader

    if name == "dicom":
        examples = sorted(write_dicom(tmp_path / "ct", slices("ct", count=2)).iterdir())
        check_reader(name, [*examples, several_frames(tmp_path / "more")])
    else:
        check_reader(name, [write_nifti(tmp_path / "scan.nii.gz", slices("mr", count=2))])


@pytest.fixture
def without_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.startswith("anomalib_lite_medical.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("pydicom", "nibabel"):
        monkeypatch.setitem(sys.modules, name, None)


@pytest.mark.usefixtures("without_packages")
@pytest.mark.parametrize("module", ["dicom", "nifti"])
def test_without_the_extra_a_file_says_what_to_install(module: str) -> None:
    with pytest.raises(MissingExtra, match=r"anomalib-lite\[medical\]"):
        importlib.import_module(f"anomalib_lite_medical.{module}")


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="exchange them"):
        DicomOptions(window=(240, -160))
    with pytest.raises(ValueError, match="mask or body, not both"):
        NiftiOptions(body="otsu", mask="brain")
    assert vars(SimpleNamespace(**NiftiOptions().model_dump(mode="json"))) == {
        "channels": [], "window": None, "body": None, "plane": "axial", "mask": None
    }  # fmt: skip
