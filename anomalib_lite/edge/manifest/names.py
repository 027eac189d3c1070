"""Takes the names of images and parts out of a manifest: the same name becomes the same hash, and no word is left."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePath
from typing import Any

from anomalib_lite.edge.manifest.certificate import Calibration, Certified, CertifiedThresholds
from anomalib_lite.edge.manifest.document import Manifest
from anomalib_lite.edge.manifest.sections import DataRecord, hashed


def without_names(manifest: Manifest) -> Manifest:
    """The manifest with salted hashes for names of images, parts and folders.

    The salt travels with it, so that `calibrate` and `evaluate` still know the parts that the model was fitted on; it
    keeps names from being read, not from being tried by one who can guess them.
    """
    document = json.dumps(manifest.to_json(), sort_keys=True).encode()
    names = _Names(manifest.data.salt or hashlib.sha256(document).hexdigest()[:32])
    config, image = dict(manifest.config), dict(manifest.config.get("image", {}))
    if image.get("roi"):
        config["image"] = image | {"roi": PurePath(manifest.framing.roi or "").name}
    return replace(
        manifest, config=config, calibration=names.calibration(manifest.calibration), data=names.data(manifest.data)
    )


class _Names:
    """Replaces names, with one salt."""

    def __init__(self, salt: str) -> None:
        self._salt = salt

    def one(self, name: str) -> str:
        return hashed(name, self._salt)

    def data(self, data: DataRecord) -> DataRecord:
        return replace(
            data,
            root=self.one(data.root),
            fit=self._values(data.fit),
            calibrated=self._values(data.calibrated),
            held_out=tuple(
                replace(h, image=self.one(h.image), group=self.one(h.group), session=h.session and self.one(h.session))
                for h in data.held_out
            ),
            salt=self._salt,
        )

    def calibration(self, calibration: Calibration) -> Calibration:
        found = calibration.thresholds
        certified = (found.reject, found.review, found.map_reject, found.map_review)
        known = {name for one in certified for name in one.set_by} | {one.image for one in calibration.exclusions}
        return replace(
            calibration,
            thresholds=CertifiedThresholds(*(self._certified(one) for one in certified)),
            exclusions=tuple(replace(one, image=self.one(one.image)) for one in calibration.exclusions),
            statement=tuple(self._texts(calibration.statement, known, [one.name for one in calibration.sessions])),
            sessions=tuple(replace(one, name=self.one(one.name)) for one in calibration.sessions),
            history=tuple(self._earlier(one) for one in calibration.history),
        )

    def _certified(self, certified: Certified) -> Certified:
        return replace(certified, set_by=tuple(map(self.one, certified.set_by)))

    def _earlier(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An earlier calibration, as JSON; what an older version wrote otherwise is left out."""
        thresholds = {
            key: one | {"set_by": [self.one(str(name)) for name in one.get("set_by", ())]}
            for key, one in dict(entry.get("thresholds", {})).items()
        }
        exclusions = [dict(one) | {"image": self.one(str(one.get("image")))} for one in entry.get("exclusions", ())]
        known = {str(name) for one in dict(entry.get("thresholds", {})).values() for name in one.get("set_by", ())}
        known |= {str(one.get("image")) for one in entry.get("exclusions", ())}
        sessions = [dict(one) | {"name": self.one(str(one.get("name")))} for one in entry.get("sessions", ())]
        named = [str(one.get("name")) for one in entry.get("sessions", ())]
        statement = self._texts(map(str, entry.get("statement", ())), known, named)
        told = {"sessions": sessions} if sessions else {}
        return dict(entry) | {"thresholds": thresholds, "exclusions": exclusions, "statement": statement} | told

    def _values(self, parts: Mapping[str, str]) -> dict[str, str]:
        return {sha256: self.one(part) for sha256, part in parts.items()}

    def _texts(self, sentences: Iterable[str], known: Iterable[str], sessions: Iterable[str]) -> list[str]:
        """Sentences with the hashes of the names in them; of names within each other the longest counts.

        Those of sessions may be as short as a digit: they are names where they stand in quotation marks.
        """
        hashes = {name: self.one(name) for name in known} | {f"'{name}'": f"'{self.one(name)}'" for name in sessions}
        if not hashes:
            return list(sentences)
        pattern = re.compile("|".join(map(re.escape, sorted(hashes, key=len, reverse=True))))
        return [pattern.sub(lambda match: hashes[match[0]], sentence) for sentence in sentences]
