"""DICOM: pictures, series of files as volumes, files of several frames; values in units of their modality."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from anomalib_lite import NotAnImage, Picture
from anomalib_lite.errors import ImageError
from anomalib_lite_medical.channels import joined
from anomalib_lite_medical.config import STEP
from anomalib_lite_medical.frames import about, is_coloured, kept_of, pixels, told
from anomalib_lite_medical.opening import of_patient, opened, series_of
from anomalib_lite_medical.pixels import levelled, nothing, of_body, shown
from anomalib_lite_medical.places import frames_of, placed
from anomalib_lite_medical.series import Series, channels_of, in_order, is_unplaced, mixed, word_of
from anomalib_lite_medical.steps import step_of

UNPLACED = "says no position: slices are in the order of their numbers, and how far they are apart is not known"


def gather(paths: Sequence[Path], options: Any = None) -> Iterator[tuple[str, list[Path]]]:
    """The series of files, those of each folder by themselves; what is no part of a series is a file of its own.

    A file that is damaged before it says its series belongs to that of its folder, where there is but one. With the
    option `channels` the series that differ in a word of their folders, or of one study in their modality, are one;
    those of none of the words are left out.
    """
    found = defaultdict[tuple[Path, str], list[Path]](list)
    headers: dict[str, Any] = {}
    lost: list[Path] = []
    for path in sorted(paths):
        header, damaged = series_of(path)
        if header is None and damaged:
            lost.append(path)
            continue
        uid = f"file {path.name}" if header is None else str(header.SeriesInstanceUID)
        headers[uid] = header
        found[path.parent, uid].append(path)
    for path in lost:
        near = [uid for (folder, uid), files in found.items() if folder == path.parent and len(files) > 1]
        uid = near[0] if len(near) == 1 else f"file {path.name}"
        headers.setdefault(uid, None)
        found[path.parent, uid].append(path)
    words = list(dict.fromkeys(options.channels)) if options is not None else []
    together = defaultdict[str, list[Series]](list)
    for (_, uid), files in found.items():
        if not words or headers[uid] is None:
            yield _called(uid), files
        elif told := word_of(files[0].parent, headers[uid], words):
            together[told[1]].append(Series(uid, told[0], files))
    for several in together.values():
        several.sort(key=lambda one: words.index(one.word))
        yield _called(several[0].uid), [file for one in several for file in one.files]


def _called(uid: str) -> str:
    """What a series is called: its number would tell the patient to who has the archive."""
    return f"series-{hashlib.sha256(uid.encode()).hexdigest()[:16]}"


def read(files: Sequence[BinaryIO], options: Any) -> Picture | Iterator[tuple[int, Picture]]:
    """One picture; the slices of a series, sorted by position and numbered from 1; or the frames of a file.

    Raises:
        NotAnImage: It holds none: a report, contours, a segmentation.
        ImageError: It cannot be read as what it says it is; `code` says why.
    """
    if len(files) > 1 or options.channels:
        return _each(files, _volume(files, options))
    with of_patient(files):
        header = opened(files[0])
        with told():
            several = frames_of(header) > 1
        if several:
            return _each(files, _several(header, options))
        options = levelled(options, lambda: [] if is_coloured(header) else [pixels(header, options)])
        found = _picture([header], options)
        if found is None:
            raise NotAnImage(nothing(options))
        return found


def _each(files: Sequence[BinaryIO], found: Iterator[tuple[int, Picture]]) -> Iterator[tuple[int, Picture]]:
    with of_patient(files):
        yield from found


def _several(header: Any, options: Any) -> Iterator[tuple[int, Picture]]:
    """The frames of a file that show anything to inspect, in the order of their positions, where they say them."""
    with told():
        slices = [placed(header, number) for number in range(frames_of(header))]
        frames, kept, notes = in_order(slices), kept_of(header), [UNPLACED] * is_unplaced(slices)
        ordered = [slices[number] for number in frames]
    options = levelled(options, lambda: (pixels(header, options, number) for number in frames))
    found = ((number + 1, _picture([header], options, number, kept)) for number in frames)
    yield from of_body(((number, _of_volume(one, ordered, notes)) for number, one in found), options)


def _volume(files: Sequence[BinaryIO], options: Any) -> Iterator[tuple[int, Picture]]:
    """The slices of a series, or of several as channels."""
    headers = [opened(file, pixels=len(files) == 1) for file in files]
    with told():
        series = channels_of(files, headers, options.channels)
        slices = [placed(one) for one in headers]
        ordered, notes = [slices[place] for place in series[0]], [UNPLACED] * is_unplaced(slices) + mixed(files)
    options = levelled(options, lambda: (pixels(opened(files[place]), options) for place in series[0]))
    found = _slices(files, series, options)
    yield from of_body(((number, _of_volume(one, ordered, notes)) for number, one in found), options)


def _slices(
    files: Sequence[BinaryIO], series: Sequence[Sequence[int]], options: Any
) -> Iterator[tuple[int, Picture | None]]:
    for number, places in enumerate(zip(*series, strict=True), 1):
        try:
            yield number, _picture([opened(files[place]) for place in places], options)
        except ImageError as error:
            raise ImageError(f"slice {number}: {error}", error.code) from error


def _of_volume(picture: Picture | None, ordered: Sequence[Any], notes: Sequence[str] = ()) -> Picture | None:
    """A slice, with what is to be said of its series, of which `ordered` tells each place."""
    if picture is None:
        return None
    note, last = "; ".join(filter(None, [picture.note, *notes])), ordered[-1]["ImagePositionPatient"]
    corners = (*picture.corners, last) if picture.corners and last else picture.corners
    return replace(picture, note=note, corners=corners, meta={**picture.meta, STEP: step_of(ordered)})


def _picture(headers: Sequence[Any], options: Any, frame: int = 0, kept: str | None = None) -> Picture | None:
    """A frame of a data set, or of several as channels; None for one without anything to inspect."""
    said = [about(one, options, frame, kept) for one in headers]
    values = [pixels(one, options, frame) for one in headers]
    if any(map(is_coloured, headers)):
        if len(headers) > 1:
            raise ImageError("is in colour: channels are grey pictures; leave it out of the channels", "colour")
        seen: Any = values[0], None
    else:
        seen = shown(values, options)
    if seen is None:
        return None
    meta, step = [one["meta"] for one in said], step_of([placed(headers[0], frame)])
    own = {"modality": joined(meta, "modality"), "units": joined(meta, "units"), "frame": frame + 1, STEP: step}
    notes = [one["note"] for one in said] + [_apart(headers)]
    about_all = {"meta": meta[0] | own, "note": "; ".join(dict.fromkeys(filter(None, notes)))}
    return Picture(seen[0], valid=seen[1], corners=_corners(headers[0], frame), **said[0] | about_all)


def _corners(header: Any, frame: int) -> Any:
    """`Picture.corners` of a frame; None where it says no place."""
    said = placed(header, frame)
    first, turned, steps = (said[one] for one in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"))
    if [len(one or ()) for one in (first, turned, steps)] != [3, 6, 2]:
        return None
    down, across = steps[0] * (int(header.Rows) - 1), steps[1] * (int(header.Columns) - 1)
    ways = np.zeros(3), across * np.array(turned[:3]), down * np.array(turned[3:])
    return tuple(tuple((np.array(first) + way).tolist()) for way in ways)


def _apart(headers: Sequence[Any]) -> str:
    """What is to be said where the coordinates of channels are not known to be of one space."""
    spaces = {str(one.get("FrameOfReferenceUID")) for one in headers}
    return "its channels are of several frames of reference: were they registered?" if len(spaces) > 1 else ""
