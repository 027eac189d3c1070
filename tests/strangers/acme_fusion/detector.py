"""The detector: members, and their units as buffers."""

import torch
from torch import nn
from torch.nn.functional import interpolate

from anomalib_lite import Detector, build


class Fusion(Detector):
    def __init__(self, config, image):
        super().__init__(config, image)
        self.members = nn.ModuleList(build(name, {}, image) for name in config.members)
        self.units = nn.Buffer(torch.ones(2, 2))  # of each member: median and spread

    def fit(self, batches, run):
        apart, learnt = run.split(batches, 0.25)
        for member in self.members:
            member.fit(learnt, run)
            member.eval()
        with torch.no_grad():
            seen = [self.maps(batch.image).flatten(2).amax(2) for batch in apart]
        peaks = torch.cat(seen)
        middle = peaks.median(0).values
        self.units = torch.stack([middle, (peaks - middle).abs().median(0).values + 1e-6], 1)

    def forward(self, image, reference=None):
        middle, spread = self.units[:, 0, None, None], self.units[:, 1, None, None]
        return ((self.maps(image) - middle) / spread).sum(1, keepdim=True)

    def maps(self, image):
        found = [member(image) for member in self.members]
        maps = [one[0] if isinstance(one, tuple) else one for one in found]
        return torch.cat([interpolate(one, image.shape[2:], mode="bilinear") for one in maps], 1)
