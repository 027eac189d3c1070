"""Log-mel spectra in numpy: power in bands that are as wide as they are told apart by ear, in decibels.

The mel scale is that of HTK, 2595 log10(1 + f / 700); bands are triangles of height 1 that begin, peak and end at
neighbouring points of a grid that is even on it. Definitions: Davis, Mermelstein, "Comparison of parametric
representations for monosyllabic word recognition", IEEE TASSP 1980; Young et al., "The HTK Book", section 5.4.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

FLOOR = -100.0  # decibels below a sine at full scale: what is quieter counts as this


def to_mel(hertz: float) -> float:
    """A frequency on the mel scale."""
    return 2595.0 * math.log10(1.0 + hertz / 700.0)


def to_hertz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of `to_mel`."""
    return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)


def filters(sampling_rate: float, size: int, bands: int, low: float, high: float) -> NDArray[np.float64]:
    """Weights of the frequencies of a spectrum of `size` samples in each band: (bands, size // 2 + 1), from 0 to 1.

    Args:
        sampling_rate: Samples for each second.
        size: Samples of a spectrum.
        bands: How many there are.
        low: Where the first band begins, in hertz.
        high: Where the last band ends.
    """
    edges = to_hertz(np.linspace(to_mel(low), to_mel(high), bands + 2))
    begin, peak, end = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    frequencies = np.fft.rfftfreq(size, 1.0 / sampling_rate)
    rising, falling = (frequencies - begin) / (peak - begin), (end - frequencies) / (end - peak)
    return np.clip(np.minimum(rising, falling), 0.0, None)


def log_mel(samples: NDArray[np.float64], weights: NDArray[np.float64], hop: int) -> NDArray[np.float64]:
    """Power in each band over time, (bands, columns) in decibels from `FLOOR` on; a sine at full scale has about 0.

    Column t is the spectrum of `size` samples from t * hop on, under a periodic Hann window; nothing is padded.

    Args:
        samples: (n,), from -1 to 1, at least as many as a spectrum has.
        weights: Of `filters`.
        hop: Samples from one column to the next.
    """
    size = 2 * (weights.shape[1] - 1)
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(size) / size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::hop]
    power = np.square(np.abs(np.fft.rfft(frames * window))) / np.square(window.sum() / 2.0)
    return np.asarray(10.0 * np.log10(np.maximum(weights @ power.T, 10.0 ** (FLOOR / 10.0))))
