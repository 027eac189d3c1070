"""What the host is told of the readers; it needs pluggy and pydantic, which a device lacks."""

from anomalib_lite.hookspecs import ReaderInfo, hookimpl
from anomalib_lite_signals.config import SoundOptions, VideoOptions


@hookimpl
def register_readers() -> list[ReaderInfo]:
    """What the host needs to know before OpenCV or soundfile is imported."""
    return [
        ReaderInfo(
            name="video",
            summary="Reads frames of videos, so many for each second.",
            suffixes=(".mp4", ".avi", ".mkv", ".mov"),
            target="anomalib_lite_signals.video:read",
            config=VideoOptions,
            content_types=("video/mp4", "video/x-msvideo", "video/x-matroska", "video/quicktime"),
            api=2,
        ),
        ReaderInfo(
            name="sound",
            summary="Reads sound as pictures of its spectrum over time: log-mel windows.",
            suffixes=(".wav", ".flac"),
            target="anomalib_lite_signals.sound:read",
            config=SoundOptions,
            content_types=("audio/wav", "audio/x-wav", "audio/flac"),
            guards=("sampling_rate", "channels"),
            api=2,
        ),
    ]
