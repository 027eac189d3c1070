"""Readers of sound and video: what a picture of sound shows, when frames are taken, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from anomalib_lite_signals import entry, sound, video
from anomalib_lite_signals.config import SoundOptions, VideoOptions
from anomalib_lite_signals.mel import FLOOR, filters, log_mel, to_hertz, to_mel
from needs import need
from numpy.typing import NDArray
from pydantic import ValidationError
from recordings import RATE, grey_frames, tone, write_sound, write_video

from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.errors import ImageError
from anomalib_lite.hookspecs import ReaderInfo, reader_name
from anomalib_lite.testing import check_reader

INFOS: dict[str, ReaderInfo] = {reader_name(one): one for one in entry.register_readers()}


def options(kind: Any, **given: Any) -> SimpleNamespace:
    return SimpleNamespace(**kind(**given).model_dump(mode="json"))


def heard(path: Path, **given: Any) -> list[Picture]:
    return [one for _, one in sound.read(BytesIO(path.read_bytes()), options(SoundOptions, **given))]


def seen(path: Path, **given: Any) -> list[Picture]:
    return [one for _, one in video.read(BytesIO(path.read_bytes()), options(VideoOptions, **given))]


def test_a_device_needs_nothing_of_the_command_line() -> None:
    code = "import sys; from anomalib_lite_signals import sound, video; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pluggy", "pydantic", "typer", "torch", "cv2", "soundfile", "scipy"} & set(done.stdout.split())


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_the_reader_of_sound_keeps_the_rules(tmp_path: Path, suffix: str) -> None:
    check_reader(INFOS["sound"], [write_sound(tmp_path / f"a{suffix}", tone(2.2))])


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "FFV1")])
def test_the_reader_of_videos_keeps_the_rules(tmp_path: Path, name: str, codec: str) -> None:
    check_reader(INFOS["video"], [write_video(tmp_path / name, grey_frames(30), codec=codec)])


def by_definition(samples: NDArray[np.float64], rate: int, size: int, hop: int, bands: int) -> NDArray[np.float64]:
    """Log-mel as librosa defines it (htk=True, norm=None, center=False), by sums and loops, from 100 to 4000 Hz."""

    def mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    edges = [700 * (10 ** (m / 2595) - 1) for m in np.linspace(mel(100), mel(4000), bands + 2)]
    window = [0.5 * (1 - np.cos(2 * np.pi * n / size)) for n in range(size)]
    columns = []
    for begin in range(0, len(samples) - size + 1, hop):
        column = np.zeros(bands)
        for k in range(size // 2 + 1):
            turning = np.exp(-2j * np.pi * k * np.arange(size) / size)
            power = abs(np.sum(samples[begin : begin + size] * window * turning)) ** 2 / (sum(window) / 2) ** 2
            for band, (low, peak, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
                hertz = k * rate / size
                weight = min((hertz - low) / (peak - low), (high - hertz) / (high - peak))
                column[band] += max(0.0, weight) * power
        columns.append(10 * np.log10(np.maximum(column, 10 ** (FLOOR / 10))))
    return np.array(columns).T


def test_log_mel_is_its_definition() -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, 640) + tone(0.08, 900, rate=8000)
    found = log_mel(samples, filters(8000, 128, 20, 100, 4000), 32)
    expected = by_definition(samples, 8000, 128, 32, 20)
    assert found.shape == expected.shape == (20, 17)
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_spectra_are_those_of_scipy() -> None:
    signal = pytest.importorskip("scipy.signal")
    samples = np.random.default_rng(1).normal(0, 0.1, 4000)
    _, _, spectrum = signal.stft(samples, 8000, "hann", 256, 192, boundary=None, padded=False)
    weights = filters(8000, 256, 24, 100, 4000)
    expected = 10 * np.log10(weights @ (2 * np.abs(spectrum)) ** 2)  # scipy divides by the sum of the window
    np.testing.assert_allclose(log_mel(samples, weights, 64), expected, atol=1e-9)


def test_a_sine_stands_in_its_band_and_its_level_is_read_off(tmp_path: Path) -> None:
    first = heard(write_sound(tmp_path / "a.wav", tone(1.0, 1000.0, loud=0.5), subtype="FLOAT"))[0]
    assert first.pixels.shape == (64, 122, 1)
    assert first.pixels.dtype == np.uint16
    edges = to_hertz(np.linspace(to_mel(100), to_mel(8000), 66))
    loudest = 63 - int(first.pixels[:, 60, 0].argmax())  # the highest band is on top
    assert edges[loudest] < 1000 < edges[loudest + 2]
    decibels = first.pixels.max() / 65535 * (sound.CEILING - FLOOR) + FLOOR
    assert abs(decibels - 20 * np.log10(0.5)) < 2.0  # a band sees a little less, or its neighbours, too


def test_no_sound_within_full_scale_leaves_the_picture(tmp_path: Path) -> None:
    for samples in (np.ones(RATE), np.sign(tone(1.0, 300.0)), np.tile([1.0, -1.0], RATE // 2)):
        loud = write_sound(tmp_path / "a.wav", samples, subtype="FLOAT")
        assert heard(loud, low=0, bands=16)[0].pixels.max() < 65535


def test_windows_cover_a_recording_to_its_end(tmp_path: Path) -> None:
    samples = np.concatenate([0.001 * tone(2.2), tone(0.06)])
    found = heard(write_sound(tmp_path / "a.flac", samples), step=0.5)
    assert [one.meta["time"] for one in found] == [0.0, 0.5, 1.0, 1.26]
    assert [one.meta["sampling_rate"] for one in found] == [RATE] * 4
    assert found[-1].pixels[..., -1, :].max() > found[-2].pixels.max()  # what comes last is heard


def test_channels_are_mixed_or_refused(tmp_path: Path) -> None:
    left, right = tone(1.0, 500.0), tone(1.0, 3000.0)
    stereo = write_sound(tmp_path / "a.wav", np.stack([left, right], 1), subtype="DOUBLE")
    mixed = write_sound(tmp_path / "b.wav", (left + right) / 2, subtype="DOUBLE")
    assert [one.meta["channels"] for one in (heard(stereo)[0], heard(mixed)[0])] == [2, 1]
    np.testing.assert_array_equal(heard(stereo)[0].pixels, heard(mixed)[0].pixels)
    with pytest.raises(ImageError, match="2 channels, expected one") as caught:
        heard(stereo, stereo="refuse")
    assert caught.value.code == "several_channels"


def test_clipping_is_said(tmp_path: Path) -> None:
    clipped = heard(write_sound(tmp_path / "a.wav", np.clip(tone(1.0, loud=1.5), -1, 1)))[0]
    assert clipped.note.startswith("clipped: ")
    assert clipped.meta["clipped"] == int(clipped.note.split()[1].replace(",", "")) > 1000
    fine = heard(write_sound(tmp_path / "b.wav", tone(1.0, loud=0.99)))[0]
    assert (fine.note, fine.meta["clipped"]) == ("", 0)


def silence(path: Path) -> Path:
    return write_sound(path / "a.wav", 1e-5 * np.random.default_rng(0).normal(size=RATE))


def not_a_number(path: Path) -> Path:
    return write_sound(path / "a.wav", np.where(np.arange(RATE) == 9000, np.nan, 0.1), subtype="FLOAT")


def cut_off(path: Path) -> Path:
    file = write_sound(path / "a.wav", tone(2.0))
    file.write_bytes(file.read_bytes()[:-9000])
    return file


def cut_off_flac(path: Path) -> Path:
    file = write_sound(path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 2 * RATE))
    file.write_bytes(file.read_bytes()[:-9000])
    return file


def text(path: Path) -> Path:
    (path / "a.wav").write_bytes(b"no sound at all" * 40)
    return path / "a.wav"


REFUSED: list[tuple[Any, dict[str, Any], str, str]] = [
    (silence, {}, "silent", "check the microphone"),
    (not_a_number, {}, "not_finite", "NaN"),
    (cut_off, {}, "truncated", "copy or record it again"),
    (text, {}, "unreadable", "no sound"),
    (lambda path: write_sound(path / "a.wav", tone(0.4)), {}, "too_short", "a window of 1 s"),
    (lambda path: write_sound(path / "a.wav", tone(0.0)), {}, "empty", "0 s of sound"),
    (lambda path: write_sound(path / "a.wav", tone(1.0, rate=8000), 8000), {}, "sampling_rate", "sound.high=4000"),
    (lambda path: write_sound(path / "a.wav", tone(1.0)), {"bands": 256}, "narrow_bands", "fewer"),
]


@pytest.mark.parametrize(("make", "given", "code", "words"), REFUSED, ids=[one[2] for one in REFUSED])
def test_sound_that_cannot_be_measured_says_why(
    tmp_path: Path, make: Any, given: dict[str, Any], code: str, words: str
) -> None:
    need(find_spec("soundfile"), "soundfile is not installed")
    with pytest.raises(ImageError, match=words) as caught:
        heard(make(tmp_path), **given)
    assert caught.value.code == code


def test_a_damaged_flac_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"copy or record it again"):
        heard(cut_off_flac(tmp_path))


@pytest.mark.parametrize("given", [{"step": 2.0}, {"window": 0.02}, {"low": 9000.0}, {"bands": 4}, {"hop": 0}])
def test_options_that_leave_sound_out_have_no_meaning(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SoundOptions(**given)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "mp4v"), ("a.avi", "MJPG"), ("a.mkv", "FFV1")])
def test_frames_are_taken_by_their_time(tmp_path: Path, name: str, codec: str) -> None:
    found = seen(write_video(tmp_path / name, grey_frames(50), rate=25.0, codec=codec), rate=5.0)
    assert [one.meta["time"] for one in found] == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8])
    levels = [float(one.pixels.mean()) for one in found]
    assert levels == pytest.approx([20.0 * at for at in range(10)], abs=6)


def test_a_rate_that_does_not_divide_the_frames_takes_the_nearest(tmp_path: Path) -> None:
    found = seen(write_video(tmp_path / "a.avi", grey_frames(30), rate=30.0), rate=8.0)
    assert [one.meta["frame"] for one in found] == [1, 5, 8, 12, 16, 20, 23, 27]


def test_colours_are_red_green_blue(tmp_path: Path) -> None:
    red = np.zeros((48, 64, 3), np.uint8)
    red[..., 0] = 200
    pixels = seen(write_video(tmp_path / "a.mkv", [red] * 10, codec="FFV1"))[0].pixels
    assert pixels[20, 20, 0] > 180
    assert pixels[20, 20, 2] < 30


def test_fewer_frames_than_asked_for_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"10 frames a second, expected 12 or more") as caught:
        seen(write_video(tmp_path / "a.avi", grey_frames(20), rate=10.0), rate=12.0)
    assert caught.value.code == "frame_rate"


def test_a_rate_that_changes_is_an_error(tmp_path: Path) -> None:
    file = write_video(tmp_path / "a.mkv", grey_frames(16), rate=25.0)
    content = bytearray(file.read_bytes())
    for at in range(12, 16):  # a block: its track, its time in milliseconds, and that it is a key frame
        block = b"\x81" + (40 * at).to_bytes(2, "big") + b"\x80"
        assert content.count(block) == 1
        place = content.index(block)
        content[place + 1 : place + 3] = (40 * at + 500).to_bytes(2, "big")
    file.write_bytes(content)
    with pytest.raises(ImageError, match=r"0\.540 s after the one at 0\.440 s.*fixed rate") as caught:
        seen(file)
    assert caught.value.code == "uneven_frames"


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "FFV1")])
def test_a_video_that_is_cut_off_is_an_error(tmp_path: Path, name: str, codec: str) -> None:
    file = write_video(tmp_path / name, grey_frames(60), codec=codec)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(ImageError, match="copy or record it again"):
        seen(file)


@pytest.mark.parametrize("content", [b"no video at all" * 40, b""])
def test_what_is_no_video_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(ImageError, match="no video") as caught:
        seen(tmp_path / "a.mp4")
    assert caught.value.code == "unreadable"


def test_a_video_without_frames_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"record it again"):
        seen(write_video(tmp_path / "a.avi", []))
