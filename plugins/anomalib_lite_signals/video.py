"""Video files: frames that are evenly apart in time, decoded by the FFmpeg that OpenCV brings."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, BinaryIO

from anomalib_lite import Picture
from anomalib_lite.errors import ErrorCode, ImageError

LARGEST = 100_000_000  # pixels of a frame: its header is a stranger's, and nothing is decoded before it is believed
UNEVEN = 0.5  # of the time between frames: what one may come too early or too late
ROUNDED = 0.001  # seconds, to which containers round the times of frames


def read(file: BinaryIO, options: SimpleNamespace) -> Iterator[tuple[int, Picture]]:
    """Frames of a video, numbered from 1 on, `options.rate` of them for each second.

    Raises:
        ImageError: It is no video, has no frame, is damaged, or its frames are fewer than asked for or not evenly
            apart; or OpenCV is not installed.
    """
    cv2 = _library()
    video = cv2.VideoCapture(file, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
    try:
        if not video.isOpened():
            raise ImageError("is no video that can be decoded; copy or record it again", ErrorCode.UNREADABLE)
        yield from _frames(cv2, video, options.rate)
    finally:
        video.release()


def _library() -> Any:
    try:
        import cv2
    except ImportError as error:
        said = "videos need OpenCV: pip install 'anomalib-lite[signals]'"
        raise ImageError(said, ErrorCode.NO_READER) from error
    return cv2


def _frames(cv2: Any, video: Any, rate: float) -> Iterator[tuple[int, Picture]]:
    width, height = (int(video.get(one)) for one in (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT))
    if width * height > LARGEST:
        raise ImageError(f"{width} x {height} pixels, the limit is {LARGEST:,}", ErrorCode.TOO_LARGE)
    found = taken = 0
    clock = Clock(video.get(cv2.CAP_PROP_FPS), rate)
    while video.grab():
        time = clock.time(video.get(cv2.CAP_PROP_POS_MSEC) / 1000.0)
        found += 1
        if time < taken / rate - clock.apart / 2.0:
            continue
        decoded, frame = video.retrieve()
        if not decoded:
            raise ImageError(f"frame {found} cannot be decoded; copy or record it again", ErrorCode.UNREADABLE)
        taken += 1
        meta = {"time": round(time, 6), "frame": found, "frame_rate": round(1.0 / clock.apart, 3)}
        yield taken, Picture(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB), meta=meta)
    _refuse_cut_off(found, round(video.get(cv2.CAP_PROP_FRAME_COUNT)))


class Clock:
    """Checks that frames come evenly, and often enough."""

    def __init__(self, frame_rate: float, rate: float) -> None:
        """For a video that says its frames for each second, of which `rate` are taken.

        Raises:
            ImageError: It says none, or fewer than are taken.
        """
        if not 0 < frame_rate < 1e6:
            raise ImageError("says nothing of its frames for each second; record it again", "frame_rate")
        if rate > frame_rate * 1.001:  # 29.97 are taken for 30
            raise ImageError(
                f"{frame_rate:g} frames a second, expected {rate:g} or more: train with --set readers.video.rate="
                f"{frame_rate:g} or less, or record more",
                "frame_rate",
            )
        self.apart = 1.0 / frame_rate  # seconds
        self._first: float | None = None
        self._last = 0.0

    def time(self, stamp: float) -> float:
        """Seconds from the first frame to the next one, which has this time stamp.

        Raises:
            ImageError: It comes too early or too late after the one before.
        """
        if self._first is None:
            self._first = self._last = stamp
        elif abs(stamp - self._last - self.apart) > UNEVEN * self.apart + ROUNDED:
            raise ImageError(
                f"a frame comes {stamp - self._last:.3f} s after the one at {self._last - self._first:.3f} s, at "
                f"{1.0 / self.apart:g} frames a second expected {self.apart:.3f} s: frames are lost, or their rate "
                "changes; record with a fixed rate",
                "uneven_frames",
            )
        self._last = stamp
        return stamp - self._first


def _refuse_cut_off(found: int, said: int) -> None:
    """Raise where a video has fewer frames than its container says; none says it exactly."""
    if not found:
        raise ImageError("holds no frame; record it again", ErrorCode.EMPTY)
    if said - found > max(2, said // 100):
        raise ImageError(f"{found:,} of {said:,} frames can be decoded; copy or record it again", ErrorCode.TRUNCATED)
