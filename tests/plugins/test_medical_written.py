"""What is written over odd sources: anonymised headers, files of several frames, slices that could not be measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pydicom
import pytest
from anomalib_lite_medical import capture, dicom_writer, nifti_writer
from anomalib_lite_medical.geometry import Plane, stacked
from pydicom.dataset import Dataset
from pydicom.uid import EnhancedCTImageStorage, generate_uid
from render_scans import write_dicom
from test_medical_reading import read, slices
from test_medical_results import measured, series

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.model import Seen
from anomalib_lite.errors import DataError
from anomalib_lite.hookspecs import WriterInfo
from anomalib_lite.pipeline.written import Writing, nothing_written

DICOM = {
    "seg": dicom_writer.write_segmentation,
    "fractions": dicom_writer.write_fractions,
    "map": dicom_writer.write_map,
}


def unmeasured(one: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
    return replace(one[0], verdict=Verdict.ERROR), one[1], np.full_like(one[2], np.nan)


def enhanced(path: Path, *, measures_of_each: bool = False) -> Path:
    """A file of four frames, 8 mm apart."""
    sources = [pydicom.dcmread(file) for file in sorted(write_dicom(path.parent / "plain", slices("ct")).iterdir())]
    made = sources[0]
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    made.SOPInstanceUID = made.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    shared, frames = Dataset(), [Dataset() for _ in sources]
    for one, source in zip(frames, sources, strict=True):
        place, measures, turned = Dataset(), Dataset(), Dataset()
        place.ImagePositionPatient, turned.ImageOrientationPatient = source.ImagePositionPatient, [1, 0, 0, 0, 1, 0]
        measures.PixelSpacing, measures.SliceThickness = source.PixelSpacing, source.SliceThickness
        one.PlanePositionSequence = [place]
        where = one if measures_of_each else shared
        where.PixelMeasuresSequence, where.PlaneOrientationSequence = [measures], [turned]
    made.PixelData = b"".join(source.PixelData for source in sources)
    made.SharedFunctionalGroupsSequence, made.PerFrameFunctionalGroupsSequence = [shared], frames
    made.NumberOfFrames = len(sources)
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
        del made[name]
    made.save_as(path)
    return path


@pytest.mark.parametrize("measures_of_each", [False, True])
def test_frames_that_were_not_measured_are_no_clean_ones(tmp_path: Path, measures_of_each: bool) -> None:
    """An ERROR frame, and one that was not looked at."""
    path = enhanced(tmp_path / "x.dcm", measures_of_each=measures_of_each)
    found = measured([one for _, one in read(path)])[:3]
    found[1] = unmeasured(found[1])
    dicom_writer.write_map(tmp_path / "map.dcm", found)
    made = pydicom.dcmread(tmp_path / "map.dcm")
    of = [
        int(one.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for one in made.PerFrameFunctionalGroupsSequence
    ]
    assert sorted(of) == [1, 3]
    for number, pixels in zip(of, made.pixel_array, strict=True):
        np.testing.assert_array_equal(pixels, found[number - 1][2])
    dicom_writer.write_segmentation(tmp_path / "seg.dcm", found)
    made = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [one.SegmentLabel for one in made.SegmentSequence] == ["anomaly", "not measured"]
    marks = {
        (
            int(one.SegmentIdentificationSequence[0].ReferencedSegmentNumber),
            int(one.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber),
        ): int(pixels.sum())
        for one, pixels in zip(made.PerFrameFunctionalGroupsSequence, made.pixel_array, strict=True)
    }
    assert marks == {(1, 1): 18, (1, 3): 18, (2, 2): found[1][2].size}


def test_a_slice_that_was_not_measured_has_a_label_of_its_own_in_a_mask(tmp_path: Path) -> None:
    found = measured(series(write_dicom(tmp_path / "ct", slices("ct"))))
    found[3] = unmeasured(found[3])
    nifti_writer.write_mask(tmp_path / "mask.nii.gz", found)
    nifti_writer.write_map(tmp_path / "map.nii.gz", found)
    made: Any = nibabel.load(tmp_path / "mask.nii.gz")
    labels = np.asarray(made.dataobj)
    assert labels.shape[2] == 4, "a last slice, too"
    assert np.unique(labels[..., :3]).tolist() == [0, 1]
    assert (labels[..., 3] == nifti_writer.UNMEASURED).all()
    made = nibabel.load(tmp_path / "map.nii.gz")
    assert np.isnan(made.get_fdata()[..., 3]).all()


def test_results_are_laid_over_the_anonymised(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = write_dicom(tmp_path / "ct", slices("ct", count=2))
    for file in folder.iterdir():
        header = pydicom.dcmread(file)
        for name in ("StudyDate", "StudyID", "AccessionNumber", "ReferringPhysicianName", "PatientID"):
            header.pop(name, None)
        header.SliceThickness = None
        header.add(pydicom.DataElement(0x00100030, "DA", "17.03.1953", validation_mode=0))
        header.PatientSex = "W"
        header.save_as(file)
    found = measured(series(folder))
    for name, write in DICOM.items():
        write(tmp_path / f"{name}.dcm", found)
        made = pydicom.dcmread(tmp_path / f"{name}.dcm")
        assert [made[one].value or "" for one in ("PatientBirthDate", "PatientSex", "StudyID", "PatientID")] == [""] * 4
    capture.write(tmp_path / "capture.dcm", *found[0])
    assert not pydicom.dcmread(tmp_path / "capture.dcm").PatientBirthDate
    assert "1953" not in "".join(capfd.readouterr())
    del header.SOPInstanceUID
    header.save_as(file)
    for write in DICOM.values():
        with pytest.raises(DataError, match="no SOPInstanceUID"):
            write(tmp_path / "none.dcm", measured([one for _, one in read(file)]))


@pytest.mark.parametrize("several", [False, True])
def test_slices_are_as_thick_as_they_are_apart_where_nothing_says_it(tmp_path: Path, several: bool) -> None:
    """No reader takes a segmentation that does not say it."""
    if several:
        path = enhanced(tmp_path / "x.dcm")
        header = pydicom.dcmread(path)
        header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].SliceThickness = None
        header.save_as(path)
        found = measured([one for _, one in read(path)])
    else:
        folder = write_dicom(tmp_path / "ct", slices("ct"))
        for file in folder.iterdir():
            header = pydicom.dcmread(file)
            header.pop("SpacingBetweenSlices", None)
            header.SliceThickness = None
            header.save_as(file)
        found = measured(series(folder))
    for name, write in DICOM.items():
        write(tmp_path / f"{name}.dcm", found)
        shared = pydicom.dcmread(tmp_path / f"{name}.dcm").SharedFunctionalGroupsSequence[0]
        assert shared.PixelMeasuresSequence[0].SliceThickness == 8
        if name != "map":
            highdicom.seg.segread(tmp_path / f"{name}.dcm")


def test_uneven_steps_that_a_reader_allows_are_written() -> None:
    along = np.eye(3)
    heights = np.array([0, 8, 16.5, 24, 40])  # one is missing
    planes = [Plane(np.array([0, 0, height]), along[0], along[1], 8) for height in heights]
    volume, affine = stacked(planes, [np.full((2, 3), height) for height in heights], np.nan)
    assert affine[2, 2] == 8
    np.testing.assert_array_equal(volume[0, 0], [0, 8, 16.5, 24, np.nan, 40])
    planes[2] = replace(planes[2], first=np.array([0, 0, 17.0]))
    with pytest.raises(DataError, match="one even grid"):
        stacked(planes, [np.zeros((2, 3))] * 5, np.nan)
    planes[2] = replace(planes[2], first=np.array([1, 0, 16.0]))
    with pytest.raises(DataError, match="one even grid"):
        stacked(planes, [np.zeros((2, 3))] * 5, np.nan)


def test_a_source_that_a_format_has_no_place_for_is_told_and_ends_nothing(tmp_path: Path) -> None:
    """Of three volumes one is refused, and one was not measured at all."""
    given: dict[str, list[float]] = {}

    def write(path: Path, images: Iterator[Any]) -> None:
        given[path.name] = [float(values[0, 0]) for *_, values in images]
        if path.name.startswith("odd"):
            raise DataError("it has no place")
        path.touch()

    info = WriterInfo(name="x", summary="", target="a:b", suffix=".nii", whole=True)
    made = Writing(info, write, {})
    named: Any = {"odd": Verdict.OK, "none": Verdict.ERROR, "plain": Verdict.OK}
    ((result, picture, values),) = measured([one for _, one in read_one(tmp_path)])
    for name, verdict in named.items():
        for key in (0, 1):
            known = values if verdict is Verdict.OK and not key else None
            one = replace(
                result, image=f"{name}.nii#{key}", anomaly_map=known, shape=values.shape,
                verdict=verdict if not key else Verdict.ERROR,
            )  # fmt: skip
            place = made(Seen(one, picture), tmp_path / f"{name}.nii", tmp_path, tmp_path / "out")
            assert (place is None) == (known is None)
    unread = replace(result, image="lost.nii", anomaly_map=None, shape=None, verdict=Verdict.ERROR)
    assert made(Seen(unread, None), tmp_path / "lost.nii", tmp_path, tmp_path / "out") is None
    made.finish()
    made.finish()
    assert made.unwritten == ["writer 'x': odd.nii#0: it has no place"]
    (said,) = nothing_written([made])
    assert f"not written: x of {tmp_path / 'none.nii'} and 1 more: nothing there could be measured" in said
    assert given == {
        "odd.nii": [0, pytest.approx(np.nan, nan_ok=True)],
        "plain.nii": [0, pytest.approx(np.nan, nan_ok=True)],
    }


def read_one(folder: Path) -> list[tuple[str | None, Any]]:
    return read(write_dicom(folder / "one", slices("ct", count=1)) / "01.dcm")
