"""Welds as a microphone hears them and a camera on the torch sees them, with defects that only one of both shows.

    python data_samples/render_weld.py welds

writes welds/sound and welds/video, each in the MVTec layout: train/good and test/<kind> with a file for each weld,
weld017.wav and weld017.avi. The same recordings every time for a seed. Needs numpy and, for the videos, OpenCV.

Sound: the hiss of the arc, swelling with each drop that goes over (80 to 110 a second), over the hum of the machine.
Video: the arc in the middle, the joint ahead of it on the right, the bead with its heat on the left.

| kind | what is wrong | heard | seen |
|---|---|---|---|
| `pores` | gas bursts through the melt: short cracks that ring | yes | no |
| `gas` | too little shielding gas: its hiss lacks, the arc sputters | yes | no |
| `speed` | the torch is too fast or too slow: a narrow or a wide bead, a short or a long glow | no | yes |
| `off_seam` | the arc leaves the joint for a while, which stays open beside the bead | no | yes |
| `dropouts` | the arc goes out for some hundredths of a second, several times | yes | now and then |
"""

from __future__ import annotations

import argparse
import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float64]  # (n,), from -1 to 1
Field = NDArray[np.float64]  # (H, W)
Frames = NDArray[np.uint8]  # (n, H, W, 3), RGB

KINDS = ("pores", "gas", "speed", "off_seam", "dropouts")
SECONDS, RATE, FRAME_RATE = 4.0, 16_000, 25  # of a weld; samples and frames for each second
HEIGHT, WIDTH = 96, 160  # pixels
ARC, JOINT = 92.0, 48.0  # pixels: where the arc is from the left, and the joint from the top
TRAIN, TEST, OF_KIND = 60, 40, 8  # welds: good ones to learn from and to test, and of each kind of defect
DROPOUT, DROPOUTS = 0.045, (4, 8)  # seconds; how many at least and at most


def _rng(seed: int, weld: int, what: int) -> np.random.Generator:
    return np.random.default_rng([17, seed, weld, what])


def out_of_arc(seed: int, weld: int, kind: str) -> Samples:
    """How much the arc burns at each sample, from 0 to 1: the same for the microphone and the camera."""
    burning = np.ones(round(SECONDS * RATE))
    if kind == "dropouts":
        rng = _rng(seed, weld, 0)
        for begin in rng.uniform(0.1, SECONDS - 0.2, rng.integers(*DROPOUTS)):
            length = rng.uniform(0.6, 1.4) * DROPOUT
            burning[round(begin * RATE) : round((begin + length) * RATE)] = 0.05
    return burning


def sound(seed: int, weld: int, kind: str) -> Samples:
    """What the microphone records."""
    rng, n = _rng(seed, weld, 1), round(SECONDS * RATE)
    time = np.arange(n) / RATE
    hiss = _coloured(rng, n, slope=rng.uniform(0.35, 0.55))
    phase = np.cumsum(rng.uniform(80.0, 110.0) * (1.0 + 0.1 * _slow(rng, n, 20))) / RATE
    drops = 0.6 + 0.4 * np.cos(2 * np.pi * phase) ** 4
    shield = _coloured(rng, n, slope=-0.5) * (0.12 if kind == "gas" else 0.3)
    sputter = 1.0 + (0.25 if kind == "gas" else 0.1) * _slow(rng, n, 30)
    heard = hiss * drops * sputter * out_of_arc(seed, weld, kind) + shield
    for hertz, loud in ((50.0, 0.3), (150.0, 0.2), (300.0, 0.1)):
        heard += loud * np.sin(2 * np.pi * (hertz * time + rng.uniform()))
    if kind == "pores":
        for begin in rng.integers(0, n - 400, rng.integers(3, 8)):
            ring = np.exp(-np.arange(400) / rng.uniform(40, 90)) * rng.uniform(1.6, 3.2)
            heard[begin : begin + 400] += ring * np.sin(2 * np.pi * rng.uniform(2500, 5000) * np.arange(400) / RATE)
    return np.clip(0.1 * rng.uniform(0.8, 1.25) * heard, -1.0, 1.0)


def _coloured(rng: np.random.Generator, n: int, slope: float) -> Samples:
    """Noise of deviation 1 whose amplitude falls with the frequency to this power."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    frequency = np.maximum(np.fft.rfftfreq(n, 1 / RATE), 50.0)
    noise = np.fft.irfft(spectrum / frequency**slope, n)
    return np.asarray(noise / noise.std())


def _slow(rng: np.random.Generator, n: int, each: int) -> Samples:
    """A random course of deviation 1 with so many turns for each second."""
    points = rng.standard_normal(round(SECONDS * each) + 2)
    return np.interp(np.arange(n), np.linspace(0, n, len(points)), points)


def frames(seed: int, weld: int, kind: str) -> Frames:
    """What the camera records: it moves with the torch, so the plate moves by."""
    rng, burning = _rng(seed, weld, 2), out_of_arc(seed, weld, kind)
    speed = float(rng.normal(1.0, 0.02))
    if kind == "speed":
        speed *= float(rng.choice([rng.uniform(0.72, 0.82), rng.uniform(1.22, 1.38)]))
    brushed = rng.normal(0.0, 1.0, (HEIGHT, 1)) * 4.0 + rng.normal(0.0, 3.0, (HEIGHT, 400))
    light, wander = rng.uniform(0.93, 1.07), rng.normal(0.0, 0.6)
    away = rng.uniform(13.0, 17.0) * rng.choice([-1.0, 1.0]), rng.uniform(0.5, SECONDS - 1.5)
    shown = []
    for number in range(round(SECONDS * FRAME_RATE)):
        time = number / FRAME_RATE
        offset = wander + 0.4 * np.sin(1.7 * time + weld)
        if kind == "off_seam":
            offset += away[0] * np.exp(-(((time - away[1] - 0.4) / 0.35) ** 2))
        arc = burning[round(time * RATE)] * rng.uniform(0.9, 1.1)
        shown.append(_frame(brushed, time, speed, float(offset), float(arc), light, rng))
    return np.stack(shown)


def _frame(
    brushed: Field, time: float, speed: float, offset: float, arc: float, light: float, rng: np.random.Generator
) -> Frames:
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
    moved = (np.arange(WIDTH) + round(40 * speed * time)) % brushed.shape[1]
    plate = 92.0 + brushed[:, moved]
    plate -= 45.0 * np.exp(-(((y - JOINT - offset) / 1.3) ** 2))  # the joint, where the bead does not cover it
    behind = np.clip(ARC - x, 0.0, None)
    half = 11.0 / np.sqrt(speed)
    inside = 1.0 / (1.0 + np.exp(2.0 * (np.abs(y - JOINT) - half * np.sqrt(np.clip(behind / 9.0, 0.0, 1.0)))))
    ripples = 10.0 * np.cos((x + 40 * speed * time - 0.05 * (y - JOINT) ** 2) * 2 * np.pi / (6.0 * speed))
    bead = inside * (x < ARC)
    grey = plate * (1.0 - bead) + bead * (120.0 + ripples)
    glow = bead * 135.0 * np.exp(-behind / (26.0 * speed))
    spot = 260.0 * arc * np.exp(-(((x - ARC) ** 2 + (y - JOINT) ** 2) / 60.0))
    shine = 60.0 * arc * np.exp(-np.hypot(x - ARC, y - JOINT) / 30.0)
    noise = rng.normal(0.0, 2.0, grey.shape)
    colours = [light * (grey + shine) + glow + spot, light * (grey + shine) + 0.45 * glow + spot]
    colours.append(light * (grey + 1.1 * shine) + 0.1 * glow + spot)
    shown: Frames = np.clip(np.stack(colours, -1) + noise[..., None], 0, 255).astype(np.uint8)
    return shown


def write_sound(path: Path, samples: Samples) -> None:
    """A WAV file of 16 bits, mono."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


def write_video(path: Path, shown: Frames) -> None:
    """An AVI file of JPEG frames."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    codec = cv2.VideoWriter.fourcc(*"MJPG")
    file = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, codec, float(FRAME_RATE), (WIDTH, HEIGHT))
    for frame in shown:
        file.write(np.ascontiguousarray(frame[..., ::-1]))
    file.release()


def plan(train: int = TRAIN, test: int = TEST, of_kind: int = OF_KIND) -> list[tuple[int, str, str]]:
    """Number, folder and kind of each weld; good ones are of the kind "good"."""
    kinds = ["good"] * test + [kind for kind in KINDS for _ in range(of_kind)]
    welds = [(number, "train/good", "good") for number in range(train)]
    return welds + [(train + at, f"test/{kind}", kind) for at, kind in enumerate(kinds)]


def write(out: Path, seed: int, welds: list[tuple[int, str, str]]) -> None:
    """Write the recordings of these welds."""
    for weld, folder, kind in welds:
        write_sound(out / f"sound/{folder}/weld{weld:03}.wav", sound(seed, weld, kind))
        write_video(out / f"video/{folder}/weld{weld:03}.avi", frames(seed, weld, kind))


def main() -> None:
    """Read the command line and render."""
    parser = argparse.ArgumentParser(description="Render sound and video of welds.")
    parser.add_argument("out", type=Path, help="folder to write sound/ and video/ into")
    parser.add_argument("--seed", type=int, default=0, help="another seed, other welds")
    asked = parser.parse_args()
    write(asked.out, asked.seed, welds := plan())
    print(f"{len(welds)} welds in {asked.out}")


if __name__ == "__main__":
    main()
