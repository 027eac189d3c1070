"""Further images beside those that an earlier calibration rests on: `calibrate --add`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Self

from anomalib_lite.calibration import Exclusion
from anomalib_lite.calibration.scoring import Scored
from anomalib_lite.data import DataSet, count, some
from anomalib_lite.edge.manifest import HeldOut, Manifest
from anomalib_lite.errors import ConfigError, DataError


@dataclass(frozen=True)
class Earlier:
    """What the earlier calibration of a model rests on, as its manifest records it: nothing is measured again."""

    images: tuple[HeldOut, ...] = ()  # those that a person left out, too
    exclusions: tuple[Exclusion, ...] = ()

    @classmethod
    def of(cls, manifest: Manifest, dataset: DataSet) -> Self:
        """That of a model.

        Args:
            manifest: Of the model.
            dataset: What is to be added.

        Raises:
            ConfigError: The calibration of before is not one of photographs by the model itself.
            DataError: One of the two knows the parts, the other does not.
        """
        before = manifest.calibration
        if before.approximate or before.simulated:
            what = "simulated images" if before.simulated else "sibling models, by cross-fitting"
            raise ConfigError(f"--add: the thresholds of this model come from {what}. Calibrate without --add.")
        if dataset.grouped and before.unit == "image":
            raise DataError(
                f"{dataset.root}: the parts of these images are known, those of the calibration of before are not. "
                "Leave out --group, calibrate without --add, or train again with known parts."
            )
        if not manifest.data.held_out and not manifest.data.calibrated:
            raise DataError(
                f"{dataset.root}: nothing can be added, since a model of that version does not record its held-out "
                "images. Calibrate without --add, on those of before and the new ones in one folder."
            )
        return cls(manifest.data.held_out, before.exclusions)

    def notes(
        self, manifest: Manifest, dataset: DataSet, scored: Scored, fitted: Sequence[str], again: Sequence[str]
    ) -> list[str]:
        """What was counted, and what was passed over.

        Args:
            manifest: Of the model.
            dataset: What is added.
            scored: The images that were measured.
            fitted: Names of images that the model was fitted on, or on their parts.
            again: Names of images that were held out before.

        Raises:
            DataError: Nothing is new; or the model does not record its held-out images, and they are not all here.
        """
        data = manifest.data
        lost = set(data.calibrated) - {one.sha256 for one in (*self.images, *scored.record)}
        if lost:
            raise DataError(
                f"{dataset.root}: {count(len(lost), 'image')} of the calibration of before not found here, and a model "
                "of that version does not record their scores. Give a folder that holds them and the new ones."
            )
        if not scored.images:
            raise DataError(
                f"{dataset.root}: nothing to add: {count(len(fitted), 'image')} of parts that the model was fitted on, "
                f"{len(again):,} held out before, {len(scored.errors):,} not measurable. Add images of other parts."
            )
        said = [
            f"{count(len(self.images), 'image')} held out before and {len(scored.images):,} new ones counted together"
        ]
        if fitted:
            said.append(
                f"{count(len(fitted), 'image')} passed over, since the model was fitted on them or on their parts: "
                f"{some(fitted, 3)}"
            )
        told = {one.session is None for one in (*self.images, *scored.record)}
        if len(told) == 2:
            said.append("the session of some of these images is not known, so none is left out in turn")
        if again:
            said.append(f"{count(len(again), 'image')} held out before, not measured again: {some(again, 3)}")
        return said

    def beside(self, names: Collection[str], root: str) -> Self:
        """The same, with other names for images that are called like new ones: behind the folder they came from."""
        given, renamed = set(names), dict[str, str]()
        taken = given | {one.image for one in self.images}
        for name in [one.image for one in self.images if one.image in given]:
            other = f"{root}/{name}"
            while other in taken:
                other = f"{root}/{other}"
            renamed[name] = other
            taken.add(other)
        return replace(
            self,
            images=tuple(replace(one, image=renamed.get(one.image, one.image)) for one in self.images),
            exclusions=tuple(replace(one, image=renamed.get(one.image, one.image)) for one in self.exclusions),
        )
