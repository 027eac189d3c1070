"""Data sets: finds samples, checks their images, and splits them by physical part."""

from anomalib_lite.data.finding import absolute, find, images_below, images_of
from anomalib_lite.data.inventory import describe
from anomalib_lite.data.samples import TEST, DataSet, Sample, groups, some
from anomalib_lite.data.splits import (
    digest,
    evaluation_samples,
    folds,
    split_for_calibration,
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
    "evaluation_samples",
    "find",
    "folds",
    "groups",
    "images_below",
    "images_of",
    "look",
    "some",
    "split_for_calibration",
    "survey",
    "training_samples",
]
