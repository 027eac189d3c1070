"""A segmentation and a parametric map of a DICOM series or file, which a viewer lays over their source."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import __version__
from anomalib_lite.errors import DataError, MissingExtra
from anomalib_lite_medical.geometry import header_of, inside, is_unmeasured, marked, over_source, said_of, window_of
from anomalib_lite_medical.steps import SAME

try:
    import highdicom
    from highdicom.sr.coding import CodedConcept
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
except ImportError as missing:
    raise MissingExtra("highdicom", "medical", "Writing DICOM") from missing

MAKER = {
    "manufacturer": "anomalib-lite",
    "manufacturer_model_name": "anomalib-lite",
    "software_versions": __version__,
    "device_serial_number": "0",
}
ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically abnormal structure")
SEGMENTS = (
    (1, "anomaly", ABNORMAL),
    (2, "not measured", CodedConcept("NOT_MEASURED", "99ANOMALIB", "Could not be measured by the model")),
)
NEEDED = ("SOPInstanceUID", "SOPClassUID", "StudyInstanceUID", "FrameOfReferenceUID")
PLACED = (
    ("PlanePositionSequence", "ImagePositionPatient"),
    ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ("PixelMeasuresSequence", "PixelSpacing"),
)
UNITS = CodedConcept("1", "UCUM", "no units")


def write_segmentation(path: Path, measured: Iterable[Any]) -> None:
    """What is above the threshold, binary. A series without any mark has one empty frame, which says so.

    Raises:
        DataError: The source is no slice of a volume.
    """
    _segmentation(path, [(result, picture, marked(result, picture, values)) for result, picture, values in measured])


def write_fractions(path: Path, measured: Iterable[Any]) -> None:
    """The maps as fractions: 0.5 at the threshold of NG, 0 and 1 at the ends of `window_of`; no probabilities.

    Raises:
        DataError: The source is no slice of a volume.
    """
    found = list(measured)
    centre, width = window_of(found[0][0])
    shares = (np.nan_to_num(np.clip((values - centre) / width + 0.5, 0, 1)) for _, _, values in found)
    _segmentation(
        path,
        [(one, picture, inside(picture, share)) for (one, picture, _), share in zip(found, shares, strict=True)],
        segmentation_type=highdicom.seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=highdicom.seg.SegmentationFractionalTypeValues.PROBABILITY,
        content_description="Anomaly map: 0.5 is the threshold of NG",
    )


def _segmentation(path: Path, found: Sequence[tuple[Any, Any, NDArray[Any]]], **kind: Any) -> None:
    """Write segment 1, what is marked; and 2, the whole of slices that could not be measured, where there are any."""
    with over_source():
        source = _Source.of(found)
        masks = np.stack([values for _, _, values in found])
        lost = np.array([is_unmeasured(result) for result, _, _ in found])
        if lost.any():
            whole = np.broadcast_to(lost[:, None, None], masks.shape).astype(masks.dtype)
            masks = np.stack([masks, whole], axis=3)
        made = highdicom.seg.Segmentation(
            pixel_array=masks,
            segment_descriptions=[_segment(*one, found[0][0]) for one in SEGMENTS[: 1 + bool(lost.any())]],
            content_label="ANOMALY",
            omit_empty_frames=bool(masks.any()),
            **{"segmentation_type": highdicom.seg.SegmentationTypeValues.BINARY} | kind,
            **source.given(range(len(found))),
            **_about(300),
        )
        made.save_as(path)


def _segment(number: int, label: str, code: CodedConcept, result: Any) -> Any:
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=code,
        segmented_property_type=code,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="anomalib-lite", family=_machine_learning(), version=result.model_id or "0"
        ),
    )


def write_map(path: Path, measured: Iterable[Any]) -> None:
    """The maps, 32-bit floating point and raw. A slice that could not be measured has no frame: DICOM has no NaN.

    Raises:
        DataError: The source is no slice of a volume.
    """
    found = list(measured)
    known = [place for place, (result, *_) in enumerate(found) if not is_unmeasured(result)]
    maps = np.stack([found[place][2] for place in known]).astype(np.float32)
    low, high = float(maps.min()), float(maps.max())
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="anomaly", lut_explanation="anomaly map, raw; higher is more anomalous", unit=UNITS,
        value_range=(low, max(high, low + 1e-6)), slope=1.0, intercept=0.0,
    )  # fmt: skip
    centre, width = window_of(found[0][0])
    with over_source():
        made = highdicom.pm.ParametricMap(
            pixel_array=maps,
            contains_recognizable_visual_features=False,
            real_world_value_mappings=[mapping],
            voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=centre, window_width=width)],
            content_label="ANOMALY_MAP",
            **_Source.of(found).given(known),
            **_about(301),
        )
        made.save_as(path)


def _machine_learning() -> CodedConcept:
    return CodedConcept("123109", "DCM", "Artificial Intelligence")


def _about(series: int) -> dict[str, Any]:
    """What a new series of one object is called."""
    uid = highdicom.UID
    return MAKER | {
        "series_instance_uid": uid(), "series_number": series, "sop_instance_uid": uid(), "instance_number": 1,
    }  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Source:
    """The data sets of the slices of a series; or that of a file of several frames, and which of them there are."""

    headers: list[Dataset]
    frames: list[int]  # of the file, from 0; none of a series

    @classmethod
    def of(cls, found: Sequence[tuple[Any, Any, NDArray[Any]]]) -> _Source:
        """The source of slices.

        Raises:
            DataError: A viewer could not lay a result over it.
        """
        first = header_of(found[0][1], found[0][0].image)
        several = int(first.get("NumberOfFrames") or 1) > 1
        headers = [first] if several else [header_of(picture, result.image) for result, picture, _ in found]
        frames = [int(picture.meta["frame"]) - 1 for _, picture, _ in found] if several else []
        for header in headers:
            lacking = [name for name in NEEDED if not header.get(name)]
            lacking += [
                name for group, name in PLACED if said_of(header, frames[0] if frames else 0, group, name) is None
            ]
            if lacking:
                said = f"its header has no {lacking[0]}, so a viewer could not lay a result over it."
                raise DataError(said + " Write a heat map with --heatmaps.")
            header.file_meta = FileMetaDataset()
            header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
            if not several:
                header.ImageOrientationPatient = first.ImageOrientationPatient  # alike, to what the reader allows
        places = [
            said_of(header, frame, "PlanePositionSequence", "ImagePositionPatient")
            for header, frame in ([(first, one) for one in frames] or [(one, 0) for one in headers])
        ]
        if several:
            _share(first)
        for header in headers:
            _be_thick(first.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0] if several else header, places)
        return cls(headers, frames)

    def given(self, places: Sequence[int]) -> dict[str, Any]:
        """What highdicom takes of the source for these of the slices, told by their places among all."""
        if not self.frames:
            return {"source_images": [self.headers[place] for place in places]}
        return {
            "source_images": self.headers,
            "plane_positions": [
                highdicom.PlanePositionSequence(
                    highdicom.CoordinateSystemNames.PATIENT,
                    said_of(self.headers[0], self.frames[place], "PlanePositionSequence", "ImagePositionPatient"),
                )
                for place in places
            ],
        }


def _be_thick(measures: Dataset, places: Sequence[Sequence[float]]) -> None:
    """Say how thick slices are where nothing does: as far as they are apart. Without it nobody reads a result."""
    if not measures.get("SliceThickness"):
        steps = np.linalg.norm(np.diff(np.asarray(places, np.float64), axis=0), axis=1)
        apart = float(np.median(steps)) if len(steps) else 1.0
        measures.SliceThickness = measures.get("SpacingBetweenSlices") or f"{apart:.6g}"


def _share(header: Dataset) -> None:
    """Say once what each frame says by itself, where all say the same: highdicom looks for it there.

    Raises:
        DataError: They differ.
    """
    shared, each = header.SharedFunctionalGroupsSequence[0], header.PerFrameFunctionalGroupsSequence
    for group, name in (
        ("PixelMeasuresSequence", "PixelSpacing"),
        ("PlaneOrientationSequence", "ImageOrientationPatient"),
    ):
        if group in shared:
            continue
        values = np.array([one[group][0][name].value for one in each], np.float64)
        if np.abs(values - values[0]).max() > SAME:
            raise DataError(f"its frames differ in {name}: they are no slices of one volume. Divide it.")
        setattr(shared, group, each[0][group].value)
