"""Two detectors as one: each map less its median, in units of its spread on parts that neither has learnt."""

import dataclasses

from anomalib_lite import DetectorInfo, detectors, hookimpl
from anomalib_lite.config import DetectorConfig


class FusionConfig(DetectorConfig):
    members: tuple[str, str] = ("draem", "neighbours")
    """Names of the two detectors."""

    def describe(self, info):
        places = any(detectors()[name].positional for name in self.members)
        return dataclasses.replace(info, members=self.members, positional=places)


@hookimpl
def register_detectors():
    summary = "Adds up two detectors in units of what they say of good parts that they have not learnt."
    target = "acme_fusion.detector:Fusion"
    return [DetectorInfo(name="acme_fusion", summary=summary, target=target, config=FusionConfig, api=2)]
