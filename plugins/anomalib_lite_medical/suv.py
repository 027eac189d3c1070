"""Standardised uptake values of PET: by what values in Bq/ml are multiplied, or why nothing tells it."""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta
from typing import Any

from anomalib_lite.errors import ImageError

UNIT = "SUV"
BOUNDS = {  # what an entry can be, and in which unit: MBq, grams and minutes are out of them, or make waits too long
    "PatientWeight": (0.01, 500, "kg"),
    "RadionuclideTotalDose": (1e6, 1e10, "Bq"),
    "RadionuclideHalfLife": (30, 1e8, "s"),
}
WAIT = 5  # half-lives from the injection to the scan, beyond which hardly anything is left to be seen
DAY, SECOND = timedelta(days=1), timedelta(seconds=1)
MOMENT = re.compile(r"(\d{8})(\d{4})(\d\d)?(?:\.(\d{1,6}))?([+-]\d{4})?")  # DT, to the minute at least
PHILIPS, GE = "Philips PET Private Group", "GEMS_PETD_01"
DRUG = "RadiopharmaceuticalInformationSequence"


def units(header: Any, options: Any) -> Any:
    """What the values of a PET picture are in."""
    return UNIT if options.suv else header.get("Units")


def notes(header: Any, options: Any) -> list[str]:
    """What is to be said of values that mean another uptake in each patient."""
    if options.suv or header.get("Modality") != "PT" or header.get("Units") not in ("BQML", "CNTS"):
        return []
    what = {"BQML": "Bq/ml", "CNTS": "counts"}[header.Units]
    said = "differ between patients by dose, weight and time, so no window fits all: set readers.dicom.suv=true"
    return [f"its values are {what}, which {said}"]


def scale(header: Any, options: Any) -> float:
    """By what rescaled values are multiplied: 1 where they are not PET, or are to stay what they are.

    SUV by body weight is Bq/ml times the weight in g over the dose in Bq that is left at the time to which the values
    are decay-corrected (DICOM PS3.3, C.8.9.1, C.8.9.2 and C.8.9.4; vendor-neutral pseudocode of the QIBA profile of
    FDG-PET/CT). The residue in the syringe is ignored, as there.

    Raises:
        ImageError: An entry of the header is missing or cannot be; no value of it is told.
    """
    if not options.suv or header.get("Modality") != "PT":
        return 1.0
    kind = header.get("Units")
    if kind == "GML":
        if header.get("SUVType") not in (None, "", "BW"):
            raise _refused("SUVType is not BW, the one by body weight")
        return 1.0
    if kind not in ("BQML", "CNTS"):
        raise _refused("Units is none of BQML, GML and CNTS, or missing, as in enhanced PET of several frames")
    done = header.get("CorrectedImage") or ()
    if not {"ATTN", "DECY"} <= ({done} if isinstance(done, str) else set(done)):
        raise _refused("CorrectedImage lacks ATTN or DECY: values are not corrected for attenuation and decay")
    if header.get("DecayCorrection") not in ("START", "ADMIN"):
        raise _refused("DecayCorrection is neither START nor ADMIN")
    return _of_counts(header) if kind == "CNTS" else _of_activity(header)


def _of_counts(header: Any) -> float:
    """Counts have factors of Philips alone: to SUV, or else to Bq/ml."""
    uptake, activity = (_positive(_private(header, 0x7053, PHILIPS, element)) for element in (0x00, 0x09))
    if uptake:
        return uptake
    if activity:
        return activity * _of_activity(header)
    raise _refused("Units is CNTS, and (7053,xx00) and (7053,xx09) of Philips have no factor")


def _of_activity(header: Any) -> float:
    drugs = header.get(DRUG) or []
    if len(drugs) != 1:
        raise _refused(f"{DRUG} has {len(drugs)} items, where one is expected")
    grams, dose = 1000 * _number(header, "PatientWeight"), _number(drugs[0], "RadionuclideTotalDose")
    if header.DecayCorrection == "ADMIN":
        return grams / dose
    half_life = _number(drugs[0], "RadionuclideHalfLife")
    scanned = _scanned(header, half_life)
    waited = (scanned - _injected(header, drugs[0], scanned, half_life)).total_seconds()
    if not 0 <= waited <= WAIT * half_life:
        said = f"from the start of the radiopharmaceutical to that of the scan it is less than 0 or more than {WAIT}"
        raise _refused(f"{said} half-lives: a date, a time or RadionuclideHalfLife is wrong")
    return float(grams / (dose * 2 ** (-waited / half_life)))


def _scanned(header: Any, half_life: float) -> datetime:
    """When the scan began, to which values are corrected: not when a later series was made of it.

    Acquisition is when the frame of this one slice began, which other beds preceded. Frame Reference Time is from the
    beginning of the scan to the average of the counts of the frame.
    """
    zone = str(header.get("TimezoneOffsetFromUTC") or "")
    series, frame = (_moment(_text(header, f"{one}Date") + _text(header, f"{one}Time"), zone, f"{one}Date or {one}Time")
                     for one in ("Series", "Acquisition"))  # fmt: skip
    if series <= frame + SECOND:
        return series
    if said := _private(header, 0x0009, GE, 0x0D):
        return _moment(str(said).strip(), zone, "(0009,xx0D) of GE")
    since, lasted = (_positive(header.get(name)) / 1000 for name in ("FrameReferenceTime", "ActualFrameDuration"))
    if not since or not lasted:
        said = "SeriesTime is after AcquisitionTime, and FrameReferenceTime or ActualFrameDuration is missing or 0"
        raise _refused(said)
    decay = math.log(2) / half_life
    average = math.log(decay * lasted / -math.expm1(-decay * lasted)) / decay
    return frame + timedelta(seconds=average - since)


def _injected(header: Any, drug: Any, scanned: datetime, half_life: float) -> datetime:
    """When the radiopharmaceutical was given: where only a time is told, on the day of the scan or the one before."""
    zone = str(header.get("TimezoneOffsetFromUTC") or "")
    whole, time = (str(drug.get(f"RadiopharmaceuticalStart{one}") or "").strip() for one in ("DateTime", "Time"))
    if whole:
        if time and time[:4] != whole[8:12]:
            raise _refused("RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime differ")
        return _moment(whole, zone, "RadiopharmaceuticalStartDateTime")
    if not time:
        raise _refused("RadiopharmaceuticalStartDateTime and RadiopharmaceuticalStartTime are missing")
    if timedelta(seconds=WAIT * half_life) > DAY:
        raise _refused("RadiopharmaceuticalStartDateTime is missing, and the nuclide lives too long for a time to do")
    found = _moment(f"{scanned:%Y%m%d}{time}", zone, "RadiopharmaceuticalStartTime")
    return found - DAY if found > scanned else found


def _moment(text: str, zone: str, name: str) -> datetime:
    """A date and a time, by the clock of the scanner."""
    found = MOMENT.fullmatch(text)
    try:
        if not found or found[5] not in (None, zone):
            raise ValueError
        whole = datetime.strptime(f"{found[1]}{found[2]}{found[3] or '00'}", "%Y%m%d%H%M%S")
    except ValueError:
        said = f"{name} is no date and time to the minute, or of another time zone than TimezoneOffsetFromUTC"
        raise _refused(said) from None
    return whole + timedelta(microseconds=int((found[4] or "").ljust(6, "0")))


def _text(header: Any, name: str) -> str:
    if said := str(header.get(name) or "").strip():
        return said
    raise _refused(f"{name} is missing")


def _number(header: Any, name: str) -> float:
    low, high, unit = BOUNDS[name]
    found = _positive(header.get(name))
    if not low <= found <= high:
        raise _refused(f"{name} is missing, or not between {low:g} and {high:g} {unit}")
    return found


def _positive(value: Any) -> float:
    """A number above 0; 0 for anything else."""
    try:
        found = float(value)
    except (TypeError, ValueError):
        return 0.0
    return found if 0 < found < math.inf else 0.0


def _private(header: Any, group: int, creator: str, element: int) -> Any:
    """An entry of a vendor; None where it is missing."""
    try:
        return header.private_block(group, creator)[element].value
    except KeyError:
        return None


def _refused(said: str) -> ImageError:
    return ImageError(f"cannot be read as SUV: {said}. Correct its header, or leave it out", "suv")
