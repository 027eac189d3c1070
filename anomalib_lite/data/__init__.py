"""Data sets: finds samples, checks their images, and splits them by physical part."""

from anomalib_lite.data.finding import Images, absolute, files_below, find, images_below, to_judge
from anomalib_lite.data.inventory import describe
from anomalib_lite.data.mask_checks import check_masks
from anomalib_lite.data.samples import TEST, DataSet, Folders, Sample, count, groups, some
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
    "Folders",
    "Images",
    "Sample",
    "Survey",
    "absolute",
    "check_masks",
    "count",
    "describe",
    "digest",
    "evaluation_samples",
    "files_below",
    "find",
    "folds",
    "groups",
    "images_below",
    "look",
    "some",
    "split_for_calibration",
    "survey",
    "to_judge",
    "training_samples",
]
