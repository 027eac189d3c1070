"""JPEG: decoders fill what is missing of a picture, and say nothing; here it is found, in one pass where possible."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np

from anomalib_lite.edge.images.formats import containers
from anomalib_lite.edge.images.formats.jpeg_structure import PROGRESSIVE, JpegHeader, JpegScan, read_header, scans
from anomalib_lite.edge.images.formats.stored import (
    Raster,
    Stored,
    array,
    damaged,
    decoded,
    made,
    orient,
    refused,
    truncated,
)

MODES = {1: "L", 3: "RGB"}
HUFFMAN = {0xC0, 0xC1, PROGRESSIVE}
AHEAD = b"\xff\x00" * 8  # as many bits as a decoder wants to see before it takes the last ones: no more than a block
SCANS = 100  # each costs the time of a picture; encoders make some ten
HOLE = bytes(64)  # some blocks of one value each, as no camera writes them
SPARE = 32  # bytes of a scan that a sound file may leave over
STRANGE = bytes((37 * k * k + 11 * k) % 255 for k in range(64))  # data that decode to something visible
_RESTART = re.compile(rb"\xff[\xd0-\xd7]")


def identify(file: BinaryIO, name: str) -> Stored:
    """Read the header of a JPEG file.

    Raises:
        ImageError: It holds what the rules refuse.
    """
    header = read_header(file, name)
    mode = MODES.get(len(header.components))
    if mode is None:
        raise refused(name, f"a JPEG in {'CMYK' if len(header.components) == 4 else 'other'} colours")
    if header.bits != 8 or header.kind not in HUFFMAN:  # of arithmetic coding nobody can tell whether it is complete
        raise refused(name, "a lossless, arithmetic or 12-bit JPEG", "save it as an ordinary JPEG, or as PNG")
    orientation = containers.exif_orientation(header.exif)
    size = (header.width, header.height)
    note = "primary picture of several (MPO)" if header.several else ""
    return made(
        "JPEG", size, mode, orientation, lambda data: orient(complete(data, header, mode, name), orientation), note
    )


def complete(data: bytes, header: JpegHeader, mode: str, name: str) -> Raster:
    """Decode a JPEG file of which every block is there.

    Raises:
        ImageError: `truncated`, or `unreadable` where a scan holds far more than its blocks.
    """
    found = scans(data, name)
    _check_coverage(header, found, name)
    one = found[0]
    size = (header.width, header.height)
    if len(found) > SCANS:
        raise damaged(name, f"more than {SCANS} scans")
    if len(found) > 1 or header.kind == PROGRESSIVE or _RESTART.search(data, one.start, one.end):
        return _twice(data, header, found, mode, name)
    return _once(data, one, size, mode, name)


def _once(data: bytes, scan: JpegScan, size: tuple[int, int], mode: str, name: str) -> Raster:
    """A single scan, without its end marker: a decoder that does not know the end asks for more where blocks lack.

    It is given as much more as it wants to look ahead. And where it is done before it has seen the end of the scan, the
    scan lost its place in between.
    """
    if not scan.flat and data.find(HOLE, scan.start, scan.end) >= 0:
        raise truncated(name, "a stretch of its scan was never written")
    almost = max(scan.start, scan.end - SPARE)
    pieces = iter((data[:almost], data[almost : scan.end] + AHEAD))
    image = decoded(name, mode, size, ("jpeg", mode, ""), pieces)
    if next(pieces, None) is not None:
        raise truncated(name, "its scan does not fit its picture, a stretch of it is missing")
    return array(image, name)


def _twice(data: bytes, header: JpegHeader, found: Sequence[JpegScan], mode: str, name: str) -> Raster:
    """Several scans or restart markers: decoded a second time with other data where each stretch ends.

    What was complete looks the same: data behind the last block of a stretch are skipped.
    """
    size, codec = (header.width, header.height), ("jpeg", mode, "")
    raster = array(decoded(name, mode, size, codec, [data]), name)
    changed, at = bytearray(), 0
    for scan in found:
        restarts = (header.blocks(scan.components) - 1) // scan.interval if scan.interval else 0
        ends = [match.start() for match in islice(_RESTART.finditer(data, scan.start, scan.end), restarts + 2)]
        if len(ends) < restarts:
            raise truncated(name)
        if len(ends) > restarts + 1:  # some encoders put one behind the last block, too
            raise damaged(name, "more restart markers than the picture needs")
        for end in (*ends, scan.end):
            changed += data[at:end] + STRANGE
            at = end
    changed += data[at:]
    other = array(decoded(name, mode, size, codec, [bytes(changed)]), name)
    if not np.array_equal(raster, other):
        raise truncated(name)
    return raster


def _check_coverage(header: JpegHeader, found: Sequence[JpegScan], name: str) -> None:
    """Every coefficient of every component must be there to its last bit."""
    missing = {component: np.full(64, -1) for component in header.components}
    for scan in found:
        for component in scan.components:
            if component not in missing:
                raise damaged(name, "a scan of a component that it lacks")
            missing[component][scan.first : scan.last + 1] = scan.shift
    if any(shifts.any() for shifts in missing.values()):
        raise truncated(name)
