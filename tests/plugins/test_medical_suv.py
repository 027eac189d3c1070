"""PET as standardised uptake values: by hand, from files whose Bq/ml differ, and what tells no uptake."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pydicom
import pytest
from anomalib_lite_medical import dicom, suv
from anomalib_lite_medical.__main__ import main
from anomalib_lite_medical.config import DicomOptions
from conftest import call
from render_scans import Scan, render, write_dicom

from anomalib_lite.data import find
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ImageError
from anomalib_lite.registry import load

HALF_LIFE = 6600  # seconds: from 11:00 to 12:50
ASKED = SimpleNamespace(suv=True)
BY_HAND = 70_000 / (350e6 / 2)  # grams over the dose after one half-life

Edit = Callable[[Any], Any]


def header() -> Any:
    """70 kg, 350 MBq at 11:00, a scan at 12:50."""
    made, drug = pydicom.Dataset(), pydicom.Dataset()
    made.Modality, made.Units, made.PatientWeight = "PT", "BQML", 70
    made.PatientName, made.PatientID = "Doe^Jane", "MRN-88231"
    made.CorrectedImage, made.DecayCorrection = ["DECY", "ATTN", "SCAT"], "START"
    made.SeriesDate, made.SeriesTime, made.AcquisitionDate, made.AcquisitionTime = ("20240102", "125000") * 2
    drug.RadionuclideTotalDose, drug.RadionuclideHalfLife = 350e6, HALF_LIFE
    drug.RadiopharmaceuticalStartDateTime = "20240102110000.00"
    made.RadiopharmaceuticalInformationSequence = [drug]
    return made


def of(**values: Any) -> Edit:
    """Set entries of the header; None takes one out."""

    def edit(made: Any) -> None:
        for name, value in values.items():
            setattr(made, name, value)
            if value is None:
                delattr(made, name)

    return edit


def of_drug(**values: Any) -> Edit:
    return lambda made: of(**values)(made.RadiopharmaceuticalInformationSequence[0])


def both(*edits: Edit) -> Edit:
    return lambda made: [edit(made) for edit in edits]


def vendor(group: int, creator: str, element: int, kind: str, value: str) -> Edit:
    return lambda made: made.private_block(group, creator, create=True).add_new(element, kind, value)


TIME_ALONE = of_drug(RadiopharmaceuticalStartDateTime=None, RadiopharmaceuticalStartTime="110000")
LATER_SERIES = of(SeriesTime="151500", AcquisitionTime="130000", ActualFrameDuration="120000")
COUNTS = of(Units="CNTS")
SUV_FACTOR = vendor(0x7053, "Philips PET Private Group", 0x00, "DS", "0.0035")
ACTIVITY_FACTOR = vendor(0x7053, "Philips PET Private Group", 0x09, "DS", "4.7")
LATE = of(SeriesDate="20240103", SeriesTime="001000", AcquisitionDate="20240103", AcquisitionTime="001000")

READ: list[tuple[str, Edit, float]] = [
    ("decayed to the scan", of(), BY_HAND),
    ("decayed to the injection", of(DecayCorrection="ADMIN", SeriesDate="", AcquisitionTime=None), BY_HAND / 2),
    ("a time alone", TIME_ALONE, BY_HAND),
    ("a time alone, before midnight", both(LATE, TIME_ALONE, of_drug(RadiopharmaceuticalStartTime="222000.00")),
     BY_HAND),
    ("a date and a time, before midnight", both(LATE, of_drug(RadiopharmaceuticalStartDateTime="20240102222000")),
     BY_HAND),
    ("a date, a time, and the time again", of_drug(RadiopharmaceuticalStartTime="110000"), BY_HAND),
    ("in the scanner's time zone", both(of(TimezoneOffsetFromUTC="+0100"),
     of_drug(RadiopharmaceuticalStartDateTime="20240102110000+0100")), BY_HAND),
    ("a later bed", of(AcquisitionTime="131500"), BY_HAND),
    ("rounded: an acquisition before its series", of(AcquisitionTime="124959.999995"), BY_HAND),
    # the frame began 600 s after the scan; its counts are those of 59.937 s later: 120/2 - 120**2/24 * ln(2)/6600
    ("a later series of a later bed", both(LATER_SERIES, of(FrameReferenceTime="659937")), BY_HAND),
    ("a later series by GE", both(LATER_SERIES, vendor(0x0009, "GEMS_PETD_01", 0x0D, "DT", "20240102125000.00")),
     BY_HAND),
    ("SUV already", of(Units="GML", RadiopharmaceuticalInformationSequence=None), 1),
    ("SUV already, said twice", of(Units="GML", SUVType="BW"), 1),
    ("counts with a factor to SUV", both(COUNTS, SUV_FACTOR, ACTIVITY_FACTOR), 0.0035),
    ("counts with a factor to Bq/ml", both(COUNTS, ACTIVITY_FACTOR), 4.7 * BY_HAND),
    ("a CT", of(Modality="CT", Units=None), 1),
]  # fmt: skip


@pytest.mark.parametrize(("edit", "scale"), [one[1:] for one in READ], ids=[one[0] for one in READ])
def test_values_are_scaled_as_by_hand(edit: Edit, scale: float) -> None:
    made = header()
    edit(made)
    assert suv.scale(made, ASKED) == pytest.approx(scale, rel=1e-7)
    assert suv.scale(made, SimpleNamespace(suv=False)) == 1


def test_an_uptake_is_grams_for_a_dose() -> None:
    assert 5000 * suv.scale(header(), ASKED) == pytest.approx(2), "5 kBq/ml where 2.5 are everywhere"


def in_units(name: str, *wrong: Any) -> list[tuple[str, Edit, str]]:
    """An entry that is missing, is not above 0, or is in another unit."""
    place = of if name == "PatientWeight" else of_drug
    return [(f"{name} {one}", place(**{name: one}), f"{name} is missing, or not between") for one in (None, *wrong)]


REFUSED: list[tuple[str, Edit, str]] = [
    *in_units("PatientWeight", "", 0, -70, 70_000, [70, 70]),
    *in_units("RadionuclideTotalDose", 0, 350, -350e6),
    *in_units("RadionuclideHalfLife", 0, 1.83),
    ("a half-life in minutes", of_drug(RadionuclideHalfLife=110), "less than 0 or more than 5 half-lives"),
    ("no drug", of(RadiopharmaceuticalInformationSequence=None), "Sequence has 0 items"),
    ("two drugs", lambda made: made.RadiopharmaceuticalInformationSequence.append(pydicom.Dataset()), "has 2 items"),
    ("not corrected for attenuation", of(CorrectedImage=["DECY"]), "CorrectedImage lacks ATTN or DECY"),
    ("not corrected for decay", of(CorrectedImage="ATTN"), "CorrectedImage lacks ATTN or DECY"),
    ("not corrected for anything", of(CorrectedImage=None), "CorrectedImage lacks ATTN or DECY"),
    ("decayed to nothing", of(DecayCorrection="NONE"), "DecayCorrection is neither"),
    ("decay not told", of(DecayCorrection=None), "DecayCorrection is neither"),
    ("no units", of(Units=None), "Units is none of BQML"),
    ("uptake by surface", of(Units="CM2ML"), "Units is none of BQML"),
    ("uptake by lean mass", of(Units="GML", SUVType="LBM"), "SUVType is not BW"),
    ("counts without a factor", COUNTS, "have no factor"),
    ("counts with a factor of 0", both(COUNTS, vendor(0x7053, "Philips PET Private Group", 0x00, "DS", "0")),
     "have no factor"),
    ("counts of another vendor", both(COUNTS, vendor(0x7053, "Another", 0x00, "DS", "1")), "have no factor"),
    ("scanned before the injection", of_drug(RadiopharmaceuticalStartDateTime="20240102130000"), "is less than 0"),
    ("injected the day before", of_drug(RadiopharmaceuticalStartDateTime="20240101110000"), "more than 5 half-lives"),
    ("no injection", of_drug(RadiopharmaceuticalStartDateTime=None), "DateTime and .*StartTime are missing"),
    ("two injections", of_drug(RadiopharmaceuticalStartTime="100000"), "StartTime differ"),
    ("a day alone", of_drug(RadiopharmaceuticalStartDateTime="20240102"), "StartDateTime is no date and time"),
    ("no month", of_drug(RadiopharmaceuticalStartDateTime="20241302110000"), "StartDateTime is no date and time"),
    ("another time zone", of_drug(RadiopharmaceuticalStartDateTime="20240102110000+0000"), "another time zone"),
    ("a time alone of zirconium-89", both(TIME_ALONE, of_drug(RadionuclideHalfLife=282_240)), "lives too long"),
    ("no date", of(SeriesDate=""), "SeriesDate is missing"),
    ("no time", of(AcquisitionTime=None), "AcquisitionTime is missing"),
    ("an hour alone", of(SeriesTime="12"), "SeriesDate or SeriesTime is no date and time"),
    ("a later series", LATER_SERIES, "SeriesTime is after AcquisitionTime, and FrameReferenceTime"),
    ("a later series of no duration", both(LATER_SERIES, of(FrameReferenceTime="659937", ActualFrameDuration="0")),
     "ActualFrameDuration is missing or 0"),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(("edit", "said"), [one[1:] for one in REFUSED], ids=[one[0] for one in REFUSED])
def test_what_tells_no_uptake_is_refused_and_no_value_told(edit: Edit, said: str) -> None:
    made = header()
    edit(made)
    with pytest.raises(ImageError, match=said) as caught:
        suv.scale(made, ASKED)
    assert caught.value.code == "suv"
    told = [str(one.value) for one in made.iterall() if one.VR in ("DA", "DS", "DT", "LO", "PN", "TM")]
    assert not [one for one in told if len(one) > 3 and one in str(caught.value)]


# ---- from files


def reader(**options: Any) -> Opener:
    found = Reader(read=dicom.read, gather=dicom.gather, options=DicomOptions(**options).model_dump(mode="json"))
    return Opener({".dcm": found})


def pictures(folder: Path, **options: Any) -> list[Picture]:
    dataset = find(folder, opener=reader(**options))
    return [dataset.opener.read(one.path) for one in dataset.samples]


def few(patient: int, of: int = 1) -> Scan:
    """Two slices: the anatomy of one patient, the number of another."""
    whole = render("pet", of, lesions=1)
    return Scan("pet", patient, whole.values[8:10, 20:68, 16:80], whole.lesions[8:10, 20:68, 16:80])


def test_patients_of_another_weight_dose_and_time_have_the_same_uptake(tmp_path: Path) -> None:
    folders = [write_dicom(tmp_path / str(patient), few(patient)) for patient in (1, 2)]
    drugs = [pydicom.dcmread(folder / "01.dcm") for folder in folders]
    assert drugs[0].PatientWeight != drugs[1].PatientWeight
    given = [one.RadiopharmaceuticalInformationSequence[0] for one in drugs]
    assert given[0].RadionuclideTotalDose != given[1].RadionuclideTotalDose
    assert given[0].RadiopharmaceuticalStartDateTime != given[1].RadiopharmaceuticalStartDateTime
    first, second = (pictures(folder) for folder in folders)
    assert not np.allclose(first[0].pixels, second[0].pixels, rtol=0.05)
    assert {one.meta["units"] for one in first} == {"BQML"}
    assert "its values are Bq/ml" in first[0].note
    assert "readers.dicom.suv=true" in first[0].note
    first, second = (pictures(folder, suv=True) for folder in folders)
    for one, other, values in zip(first, second, few(1).values, strict=True):
        np.testing.assert_allclose(one.pixels[..., 0], values, atol=6e-4)
        np.testing.assert_allclose(one.pixels, other.pixels, atol=1.1e-3)
        assert (one.meta["units"], one.note) == ("SUV", "")
    clipped = pictures(folders[0], suv=True, window=(0, 5))[0].pixels[..., 0]
    np.testing.assert_allclose(clipped / 65535 * 5, np.clip(few(1).values[0], 0, 5), atol=7e-4)


def test_body_is_in_uptake_too(tmp_path: Path) -> None:
    folder = write_dicom(tmp_path / "one", Scan("pet", 1, *(render("pet", 1).values, render("pet", 1).lesions)))
    for level in (0.4, "otsu"):
        (valid, *_) = [one.valid for one in pictures(folder, suv=True, body=level)]
        assert valid is not None
        assert 0.1 < valid.mean() < 0.9, level


def test_enhanced_pet_of_several_frames_says_its_units_elsewhere(tmp_path: Path) -> None:
    made = pydicom.dcmread(write_dicom(tmp_path, few(1)) / "01.dcm")
    made.NumberOfFrames, made.PixelData = 2, made.PixelData * 2
    del made.Units, made.ImagePositionPatient
    made.save_as(tmp_path / "01.dcm")
    (tmp_path / "02.dcm").unlink()
    with pytest.raises(ImageError, match="as in enhanced PET of several frames") as caught:
        pictures(tmp_path, suv=True)
    assert caught.value.code == "suv"


def test_the_window_is_told_in_the_same_units(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for patient in (1, 2):
        write_dicom(tmp_path / str(patient), few(patient))
    main(["window", str(tmp_path), "--low", "0", "--high", "100"])
    assert "in BQML" in capsys.readouterr().out
    main(["window", str(tmp_path), "--low", "0", "--high", "100", "--suv"])
    option, _, rest = capsys.readouterr().out.partition("=")[2].partition(" ")
    assert rest == "--set readers.dicom.suv=true  # of 4 slices, in SUV\n"
    np.testing.assert_allclose(json.loads(option), [few(1).values.min(), few(1).values.max()], atol=2e-3)


def test_from_series_to_verdicts(tmp_path: Path) -> None:
    for patient in range(1, 13):
        write_dicom(tmp_path / f"good/{patient}", few(patient, of=patient))
    hot = few(41, of=3)
    hot.values[1, 20:30, 26:36] += 25
    write_dicom(tmp_path / "new/hot", hot)
    write_dicom(tmp_path / "new/light", few(42, of=3))
    for file in (tmp_path / "new/light").iterdir():
        made = pydicom.dcmread(file)
        made.PatientWeight = ""
        made.save_as(file)
    assert call(
        "train", "gauss", tmp_path / "good", "--all-good", "--out", tmp_path / "model", "--max-false-reject", "60%",
        "--per", "part", "--set", "image.height=48", "--set", "image.width=64", "--set", "gate.enabled=false",
        "--set", "readers.dicom.window=[0,20]", "--set", "readers.dicom.suv=true",
    ) == 0  # fmt: skip
    model = Model(tmp_path / "model", readers=load().readers)
    assert model.bundle.manifest.guards["units"] == ("SUV",)
    assert call("predict", tmp_path / "model", tmp_path / "new", "--out", tmp_path / "out") == 0
    rows = [json.loads(line) for line in (tmp_path / "out/results.jsonl").read_text().splitlines()]
    assert [row["verdict"] for row in rows] == ["OK", "NG", "ERROR"]
    assert rows[2]["error_code"] == "suv"
    assert rows[2]["part"].startswith("patient-")


def test_a_phantom_was_given_its_dose_on_a_day(tmp_path: Path) -> None:
    made = pydicom.dcmread(write_dicom(tmp_path, few(7)) / "01.dcm")
    start = made.RadiopharmaceuticalInformationSequence[0].RadiopharmaceuticalStartDateTime
    assert datetime(2024, 1, 2) < datetime.strptime(start, "%Y%m%d%H%M%S") < datetime(2024, 1, 2, 12)
