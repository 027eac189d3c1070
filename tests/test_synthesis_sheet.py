"""A sheet of planted anomalies to look at: `pytest tests/test_synthesis_sheet.py --basetemp sheets` keeps sheet.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Generator

from anomalib_lite.edge.images import imaging
from anomalib_lite.synthesis import SOURCES, Anomalies, Draw

GOOD = sorted((Path(__file__).parents[1] / "data_samples/part/train/good").glob("*"))


def test_every_source_is_to_be_seen_on_real_pictures(tmp_path: Path) -> None:
    pixels = np.stack([imaging.resize(imaging.read(path).pixels, 128, 128) for path in GOOD[:8]])
    image = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255
    rows = []
    for source in SOURCES:
        planted, mask = Anomalies({source: 1}, clean=0).plant(Draw(generator=Generator().manual_seed(0)), image)
        assert mask.flatten(1).any(1).float().mean() >= 0.75
        shown = (planted - image).abs().amax(1, keepdim=True)[mask].mean()
        assert shown > 2 / 255
        rows += [planted, mask.float().expand_as(planted)]
    sheet = torch.cat([torch.cat(list(row), 2) for row in rows], 1).permute(1, 2, 0)
    file = tmp_path / "sheet.png"
    Image.fromarray((255 * sheet).byte().squeeze(2).numpy()).save(file)
    assert file.stat().st_size > 10_000
