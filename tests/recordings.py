"""Sound and video that tests need, written to files."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from needs import need
from numpy.typing import NDArray

RATE = 16_000  # samples for each second


def tone(seconds: float, hertz: float = 1000.0, loud: float = 0.3, rate: int = RATE) -> NDArray[np.float64]:
    """A sine."""
    return loud * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def write_sound(path: Path, samples: NDArray[np.float64], rate: int = RATE, subtype: str | None = None) -> Path:
    """A WAV or FLAC file of samples (n,) or (n, channels)."""
    need(find_spec("soundfile"), "soundfile is not installed")
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, subtype=subtype)
    return path


def write_video(path: Path, frames: Sequence[NDArray[np.uint8]], rate: float = 25.0, codec: str = "MJPG") -> Path:
    """A video of frames (H, W, 3), RGB."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = frames[0].shape[:2] if len(frames) else (48, 64)
    writer: Any = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate, (width, height))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    return path


def grey_frames(number: int) -> list[NDArray[np.uint8]]:
    """Frames that are brighter and brighter: which is which can be told from a pixel."""
    return [np.full((48, 64, 3), 4 * at, np.uint8) for at in range(number)]
