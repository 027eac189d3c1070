"""The manifest of a bundle, parsed once into types: the one place that knows its keys, and those of older versions."""

from anomalib_lite.edge.manifest.certificate import (
    Calibration,
    Certified,
    CertifiedThresholds,
    Exclusion,
    ImagesPerUnit,
    Thresholds,
    Unmeasured,
)
from anomalib_lite.edge.manifest.document import FILE, SCHEMA_VERSION, Manifest, described, listed_files, now
from anomalib_lite.edge.manifest.names import without_names
from anomalib_lite.edge.manifest.sections import (
    DataRecord,
    DetectorRecord,
    Expected,
    ExportRecord,
    FramingRecord,
    GoldenRecord,
    GraphRecord,
    HeldOut,
    ImageSpec,
    Mode,
    Parity,
    ReaderRecord,
    TrainingRecord,
)

__all__ = [
    "FILE",
    "SCHEMA_VERSION",
    "Calibration",
    "Certified",
    "CertifiedThresholds",
    "DataRecord",
    "DetectorRecord",
    "Exclusion",
    "Expected",
    "ExportRecord",
    "FramingRecord",
    "GoldenRecord",
    "GraphRecord",
    "HeldOut",
    "ImageSpec",
    "ImagesPerUnit",
    "Manifest",
    "Mode",
    "Parity",
    "ReaderRecord",
    "Thresholds",
    "TrainingRecord",
    "Unmeasured",
    "described",
    "listed_files",
    "now",
    "without_names",
]
