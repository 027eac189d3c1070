"""Data sets: finds samples, checks their images, and splits them by physical part."""

from anomalib_lite.data.finding import absolute, find, images_below, images_of
from anomalib_lite.data.inventory import describe
from anomalib_lite.data.samples import TEST, DataSet, Sample, groups, some
from anomalib_lite.data.splits import (
    digest,
    folds,
    split_for_calibration,
    test_samples,
    training_samples,
)
from anomalib_lite.data.survey import Facts, Survey, look, survey

__all__ = [
    "TEST",
    "DataSet",
    "Facts",
    "Sample",
    "Survey",
    "absolute",
    "describe",
    "digest",
    "find",
    "folds",
    "groups",
    "images_below",
    "images_of",
    "look",
    "some",
    "split_for_calibration",
    "survey",
    "test_samples",
    "training_samples",
]
