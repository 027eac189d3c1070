"""Where results of `medical` lie, by readers that are not ours: dcmdump of dcmtk, and SimpleITK, where they are there.

    python tests/benchmarks/medical_geometry.py SERIES OUT

SERIES is a folder of one DICOM series. Writes a segmentation, a fractional one, a NIfTI map and captures of it to OUT
(the map is each slice's number), and prints by how many millimetres they lie elsewhere than the series.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from anomalib_lite_medical import capture, dicom, dicom_writer, nifti_writer
from anomalib_lite_medical.config import DicomOptions
from anomalib_lite_medical.geometry import header_of
from numpy.typing import NDArray

from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import Reader
from anomalib_lite.edge.results import Result


def measured(series: Path) -> list[tuple[Result, Any, Any]]:
    """A made-up result for each slice."""
    reader = Reader(read=dicom.read, gather=dicom.gather, options=DicomOptions().model_dump(mode="json"))
    opener = Opener({".dcm": reader})
    found = []
    for number, name in enumerate(opener.images(sorted(series.iterdir()))[0]):
        picture = opener.read(name)
        result = Result(
            image=str(name), time="2025-01-01T00:00:00.000+00:00", verdict=Verdict.NG, reject_threshold=0.5,
            review_threshold=0.4, model_id="0" * 12, ms=1.0, score=1.0, map_thresholds=(0.4, 0.5),
        )  # fmt: skip
        found.append((result, picture, np.full(picture.pixels.shape[:2], 1 + number, np.float32)))
    return found


def corners(image: Any) -> NDArray[np.float64]:
    """Where the corners of an image of SimpleITK lie, in millimetres."""
    ends = [(0, side - 1) for side in image.GetSize()]
    return np.array([image.TransformIndexToPhysicalPoint((x, y, z)) for x in ends[0] for y in ends[1] for z in ends[2]])


def by_simpleitk(series: Path, out: Path) -> None:
    """Print distances of corners, whichever slice comes first."""
    SimpleITK: Any = import_module("SimpleITK")  # noqa: N806 - as it is called

    def stack(folder: Path) -> Any:
        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
        return reader.Execute()

    expected = corners(stack(series))
    for name in ("seg.dcm", "fractions.dcm", "map.nii.gz", "captures"):
        found = corners(stack(out / name) if (out / name).is_dir() else SimpleITK.ReadImage(str(out / name)))
        far = max(np.linalg.norm(found - one, axis=1).min() for one in expected)
        print(f"SimpleITK {name:16} {far:.1e} mm")


def by_dcmtk(written: list[tuple[Result, Any, Any]], out: Path) -> None:
    """Print how far positions of captures are off those of the slices."""
    far = 0.0
    for number, (_, picture, _) in enumerate(written):
        asked = ["dcmdump", "+L", "+P", "0020,0032", str(out / f"captures/{number:03}.dcm")]
        told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        place = told.split("[")[1].split("]")[0].split("\\")
        header = header_of(picture, "")
        far = max(far, float(np.abs(np.array(place, float) - np.array(header.ImagePositionPatient, float)).max()))
    print(f"dcmtk     captures         {far:.1e} mm")


def main() -> None:
    """Write and read back."""
    series, out = Path(sys.argv[1]), Path(sys.argv[2])
    (out / "captures").mkdir(parents=True, exist_ok=True)
    found = measured(series)
    dicom_writer.write_segmentation(out / "seg.dcm", found)
    dicom_writer.write_fractions(out / "fractions.dcm", found)
    nifti_writer.write_map(out / "map.nii.gz", found)
    for number, one in enumerate(found):
        capture.write(out / f"captures/{number:03}.dcm", *one)
    if shutil.which("dcmdump"):
        by_dcmtk(found, out)
    by_simpleitk(series, out)


if __name__ == "__main__":
    main()
