"""A slice of a series is an image, a patient a part."""

from collections import defaultdict

import numpy as np
from pydicom import dcmread

from anomalib_lite import NotAnImage, Picture


def sniff(head):
    return head[128:132] == b"DICM"


def gather(paths):
    series = defaultdict(list)
    for path in paths:
        found = dcmread(path, stop_before_pixels=True, force=True)
        series[str(found.get("SeriesInstanceUID", path.stem))].append((int(found.get("InstanceNumber", 0)), path))
    for key, found in series.items():
        yield key, [path for _, path in sorted(found)]


def read(files, options):
    for place, file in enumerate(files):
        found = dcmread(file)
        if "PixelData" not in found:
            raise NotAnImage(f"holds a {found.get('Modality', 'document')} and no picture")
        pixels = found.pixel_array
        if options.rescale:
            pixels = np.rint(pixels * float(found.get("RescaleSlope", 1)) + float(found.get("RescaleIntercept", 0)))
        meta = {"modality": found.Modality, "study": found.get("StudyInstanceUID")}
        part, spacing = found.get("PatientID") or None, found.get("PixelSpacing")
        yield int(found.get("InstanceNumber", place)), Picture(pixels[..., None].astype("i2"), part, spacing, meta)
