"""A segmentation and a parametric map of a DICOM series or file, which a viewer lays over their source."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import __version__
from anomalib_lite.errors import DataError, MissingExtra
from anomalib_lite_medical.geometry import header_of, inside, marked, window_of

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
    _segmentation(
        path,
        [
            (one, picture, inside(picture, np.clip((values - centre) / width + 0.5, 0, 1)))
            for one, picture, values in found
        ],
        segmentation_type=highdicom.seg.SegmentationTypeValues.FRACTIONAL,
        fractional_type=highdicom.seg.SegmentationFractionalTypeValues.PROBABILITY,
        content_description="Anomaly map: 0.5 is the threshold of NG",
    )


def _segmentation(path: Path, found: Sequence[tuple[Any, Any, NDArray[Any]]], **kind: Any) -> None:
    sources, masks = _sources(found)
    description = highdicom.seg.SegmentDescription(
        segment_number=1,
        segment_label="anomaly",
        segmented_property_category=ABNORMAL,
        segmented_property_type=ABNORMAL,
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=highdicom.AlgorithmIdentificationSequence(
            name="anomalib-lite", family=_machine_learning(), version=found[0][0].model_id or "0"
        ),
    )
    made = _built(
        highdicom.seg.Segmentation,
        source_images=sources,
        pixel_array=masks,
        segment_descriptions=[description],
        content_label="ANOMALY",
        omit_empty_frames=bool(masks.any()),
        **{"segmentation_type": highdicom.seg.SegmentationTypeValues.BINARY} | kind,
        **_about(300),
    )
    made.save_as(path)


def write_map(path: Path, measured: Iterable[Any]) -> None:
    """The maps, 32-bit floating point and raw.

    Raises:
        DataError: The source is no slice of a volume.
    """
    found = list(measured)
    sources, maps = _sources(found)
    low, high = float(maps.min()), float(maps.max())
    mapping = highdicom.pm.RealWorldValueMapping(
        lut_label="anomaly", lut_explanation="anomaly map, raw; higher is more anomalous", unit=UNITS,
        value_range=(low, max(high, low + 1e-6)), slope=1.0, intercept=0.0,
    )  # fmt: skip
    centre, width = window_of(found[0][0])
    made = _built(
        highdicom.pm.ParametricMap,
        source_images=sources,
        pixel_array=maps.astype(np.float32),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[highdicom.VOILUTTransformation(window_center=centre, window_width=width)],
        content_label="ANOMALY_MAP",
        **_about(301),
    )
    made.save_as(path)


def _built(kind: Any, **given: Any) -> Any:
    """An object of highdicom, without its warnings: they are about the names of patients, and tell them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind(**given)


def _machine_learning() -> CodedConcept:
    return CodedConcept("123109", "DCM", "Artificial Intelligence")


def _about(series: int) -> dict[str, Any]:
    """What a new series of one object is called."""
    uid = highdicom.UID
    return MAKER | {
        "series_instance_uid": uid(), "series_number": series, "sop_instance_uid": uid(), "instance_number": 1,
    }  # fmt: skip


def _sources(found: Sequence[tuple[Any, Any, NDArray[Any]]]) -> tuple[list[Dataset], NDArray[Any]]:
    """The data sets of slices, or that of a file of several frames, and arrays (n, H, W) beside them."""
    headers = [header_of(picture, result.image) for result, picture, _ in found]
    first = headers[0]
    for header in headers:
        header.file_meta = FileMetaDataset()
        header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    frames = int(first.get("NumberOfFrames") or 1)
    if frames == 1:
        lacking = [name for name in ("ImagePositionPatient", "FrameOfReferenceUID") if name not in first]
        if lacking:
            said = f"{found[0][0].image}: its header has no {lacking[0]}, so a viewer could not lay a result over it."
            raise DataError(said + " Write a heat map with --heatmaps.")
        return headers, np.stack([values for _, _, values in found])
    volume = np.zeros((frames, *found[0][2].shape), found[0][2].dtype)
    for _, picture, values in found:
        volume[int(picture.meta["frame"]) - 1] = values
    return [first], volume
