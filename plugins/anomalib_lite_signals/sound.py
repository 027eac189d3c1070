"""Sound files: pictures of their spectrum over time, each of a window of some seconds.

A picture is grey, 16 bits deep: rows are bands, the highest on top; columns are time; 0 is `FLOOR` decibels below a
sine at full scale, 65535 is `CEILING` above it, which no sound within full scale reaches. So nothing is scaled by
what else is in a recording: quiet stays quiet.
"""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from anomalib_lite import Picture
from anomalib_lite.errors import ErrorCode, ImageError
from anomalib_lite_signals.mel import FLOOR, filters, log_mel

CEILING = 10.0  # decibels: a constant at full scale has 7.8, all else less
SILENT = 2.0**-14  # what no sample of a recording is above: two steps of 16 bits
FULL = 1.0 - 2.0**-15  # a sample that is as large as 16 bits hold
CLIPPED = 3  # samples at full scale in a row, from which on a recording is clipped
LARGEST = 400_000, 16  # sampling rate and channels: a header is a stranger's, and decides what is allocated
BLOCK = 1 << 20  # samples that are looked at together


def read(file: BinaryIO, options: SimpleNamespace) -> Iterator[tuple[int, Picture]]:
    """The windows of a recording, numbered from 1 on; the last one ends with it, so that all of it is seen.

    Raises:
        ImageError: It is no sound, damaged, silent, shorter than a window, of several channels that are refused, or
            sampled too rarely for `high`; or soundfile is not installed.
    """
    soundfile = _library()
    _refuse_cut_off(file)
    try:
        sound = soundfile.SoundFile(file)
    except soundfile.LibsndfileError as error:
        said = f"is no sound that can be decoded ({error}); copy or record it again"
        raise ImageError(said, ErrorCode.UNREADABLE) from error
    with sound:
        _refuse(sound, options)
        try:
            clipped = _looked_through(sound)
        except soundfile.LibsndfileError as error:
            said = f"is damaged ({error}); copy or record it again"
            raise ImageError(said, ErrorCode.UNREADABLE) from error
        yield from _windows(sound, options, clipped)


def _library() -> Any:
    try:
        import soundfile
    except ImportError as error:
        said = "sound needs 'soundfile': pip install 'anomalib-lite[signals]'"
        raise ImageError(said, ErrorCode.NO_READER) from error
    return soundfile


def _refuse_cut_off(file: BinaryIO) -> None:
    """Raise where a WAV file is shorter than it says: the library would take what is there for all."""
    head = file.read(12)
    length = file.seek(0, 2)
    file.seek(0)
    said = int.from_bytes(head[4:8], "little")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE" and said < 0xFFFFFFFF and said + 8 > length:
        raise ImageError(f"has {length:,} bytes and says {said + 8:,}; copy or record it again", ErrorCode.TRUNCATED)


def _refuse(sound: Any, options: SimpleNamespace) -> None:
    """Raise for recordings that these options cannot be kept for.

    Raises:
        ImageError: It is one.
    """
    rate, channels, seconds = sound.samplerate, sound.channels, sound.frames / max(1, sound.samplerate)
    if not (0 < rate <= LARGEST[0] and 0 < channels <= LARGEST[1]):
        raise ImageError(
            f"{channels} channels of {rate:,} samples a second; expected up to {LARGEST[1]} of {LARGEST[0]:,}",
            ErrorCode.TOO_LARGE,
        )
    if channels > 1 and options.stereo == "refuse":
        raise ImageError(
            f"{channels} channels, expected one: record one, or train with --set readers.sound.stereo=mix",
            "several_channels",
        )
    if 2 * options.high > rate:
        raise ImageError(
            f"{rate:,} samples a second hold sound up to {rate / 2:,g} Hz, expected {options.high:,g}: train with "
            f"--set readers.sound.high={rate / 2:g} or less, or record it with more samples",
            "sampling_rate",
        )
    if seconds < options.window:
        raise ImageError(
            f"{seconds:.3g} s of sound, expected a window of {options.window:g} s at least: record more, or train with "
            "a shorter --set readers.sound.window",
            ErrorCode.EMPTY if not sound.frames else "too_short",
        )


def _looked_through(sound: Any) -> int:
    """How many samples of a recording are clipped; once through all of it, before anything is measured.

    Raises:
        ImageError: It ends before it should, has samples that are no numbers, or is silent.
    """
    found = clipped = 0
    loudest = 0.0
    for block in sound.blocks(BLOCK // sound.channels, dtype="float32", always_2d=True):
        if not np.isfinite(block).all():
            raise ImageError("holds samples that are NaN or infinite; record it again", ErrorCode.NOT_FINITE)
        found += len(block)
        loudest = max(loudest, float(np.abs(block).max()))
        clipped += sum(_in_a_row(np.abs(channel) >= FULL) for channel in block.T)
    if found < sound.frames:
        raise ImageError(
            f"{found:,} of {sound.frames:,} samples can be decoded; copy or record it again", ErrorCode.TRUNCATED
        )
    if loudest <= SILENT:
        raise ImageError(
            "is silent from begin to end: check the microphone, its cable and its gain, and record it again", "silent"
        )
    return clipped


def _in_a_row(full: NDArray[np.bool_]) -> int:
    """How many samples stand in runs of at least `CLIPPED` that are at full scale."""
    changes = np.flatnonzero(np.diff(np.concatenate(([0], full.view(np.int8), [0]))))
    lengths = changes[1::2] - changes[::2]
    return int(lengths[lengths >= CLIPPED].sum())


def _windows(sound: Any, options: SimpleNamespace, clipped: int) -> Iterator[tuple[int, Picture]]:
    rate, hop = sound.samplerate, max(1, round(options.hop * sound.samplerate))
    length, step = round(options.window * rate), max(1, round(options.step * rate))
    weights = filters(rate, 4 * hop, options.bands, options.low, options.high)
    if not weights.any(axis=1).all():
        raise ImageError(
            f"{options.bands} bands are narrower than spectra of {4 * options.hop:g} s tell apart: train with fewer "
            "--set readers.sound.bands, a longer readers.sound.hop or a higher readers.sound.low",
            "narrow_bands",
        )
    last = sound.frames - length
    begins = [*range(0, last, step), last]
    meta = {"sampling_rate": rate, "channels": sound.channels, "window": options.window, "clipped": clipped}
    note = f"clipped: {clipped:,} samples at full scale" if clipped else ""
    for number, begin in enumerate(begins, start=1):
        sound.seek(begin)
        samples = sound.read(length, dtype="float64", always_2d=True).mean(axis=1)
        pixels = _pixels(log_mel(samples, weights, hop))
        yield number, Picture(pixels, meta=meta | {"time": begin / rate}, note=note)


def _pixels(decibels: NDArray[np.float64]) -> NDArray[np.uint16]:
    """A picture (bands, columns, 1) of decibels (bands, columns), the highest band on top."""
    share = np.clip((decibels[::-1] - FLOOR) / (CEILING - FLOOR), 0.0, 1.0)
    return np.rint(65535.0 * share).astype(np.uint16)[..., None]
