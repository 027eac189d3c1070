"""The manifest of a bundle: what a model is, where it comes from, and what its thresholds promise.

The one place that knows the keys of manifest.json. Keys with a default are those that models of older versions lack.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Self

from anomalib_lite.edge.manifest.certificate import NEWER, Calibration
from anomalib_lite.edge.manifest.evidence import EvidenceRecord
from anomalib_lite.edge.manifest.gate import GateRecord
from anomalib_lite.edge.manifest.joining import ONCE
from anomalib_lite.edge.manifest.known import Choice, KnownDefect
from anomalib_lite.edge.manifest.parsing import Missing, Rule, Unsound, parsed, plain
from anomalib_lite.edge.manifest.sections import (
    DataRecord,
    DetectorRecord,
    Expected,
    ExportRecord,
    FramingRecord,
    GoldenRecord,
    GraphRecord,
    HeldOut,
    ImageSpec,
    Range,
    ReaderRecord,
    RegionsRecord,
    TrainingRecord,
)
from anomalib_lite.errors import ModelError

SET_VERSION = 5  # of several products on one network: see `products`
JOINT_VERSION = 4  # of several models that decide together: see `joint`
SCHEMA_VERSION = 3  # of models that older versions must refuse: these would judge what the gate refuses, or is not seen
STRICT_VERSION = 2  # likewise, since these would not heed options, guards and parts
PLAIN_VERSION = 1  # of all others
FILE, SIGNATURE = "manifest.json", "manifest.sig"
MEMBERS = "members"  # the key that a joint model has, and the folder of its members
PRODUCTS = "products"  # likewise of a set
OF_THE_FILES = ("files",)  # cannot be inside a file that they cover
OF_THE_TIME = ("created", "calibrated", "evidence")  # how much is planted depends on how long it takes
ABSENT_IF_NONE = ("calibrated", "exported", "evidence")


class Document:
    """A manifest as JSON and back."""

    @classmethod
    def from_json(cls, data: Any, path: Path) -> Self:
        """A manifest from what `json.loads` gave.

        Args:
            data: The document.
            path: Of the bundle, for messages.

        Raises:
            ModelError: It is no manifest, of a newer schema, lacks a key, or a value makes no sense; the key is named.
        """
        listed_files(data, path)
        try:
            return parsed(cls, data)  # type: ignore[no-any-return]
        except Missing as key:
            raise ModelError(f"{path}: the manifest is incomplete, it lacks {key}. {_remedy(str(key))}") from None
        except Unsound as wrong:
            said = f"the manifest says {wrong.key}={reprlib.repr(wrong.value)}, expected is {wrong.expected}"
            raise ModelError(f"{path}: {said}. {_remedy(wrong.key)}") from None

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        return dict(plain(self))

    @property
    def compares(self) -> bool:
        """Whether images are compared with golden ones that somebody gives: models of a bundle have their own."""
        return False


@dataclass(frozen=True, kw_only=True)
class Manifest(Document):
    """All that a bundle of one model says of itself."""

    created: str  # ISO 8601, UTC
    created_with: str  # version of the host
    detector: DetectorRecord
    config: Mapping[str, Any]  # of the training, as in a configuration file
    image: ImageSpec
    framing: FramingRecord
    graph: GraphRecord
    training: TrainingRecord
    calibration: Calibration
    data: DataRecord
    selfcheck: tuple[Expected, ...] = ()
    reference: GoldenRecord | None = None  # where the detector compares
    readers: tuple[ReaderRecord, ...] = ()
    guards: Mapping[str, tuple[Range | Any, ...]] = field(default_factory=dict, metadata=NEWER)  # meta key -> values
    gate: GateRecord | None = field(default=None, metadata=NEWER)  # None in models of older versions
    regions: RegionsRecord = field(default=RegionsRecord(), metadata=NEWER)  # how they are listed
    calibrated: str | None = None  # when, where that was after the training
    exported: ExportRecord | None = None
    evidence: EvidenceRecord | None = None  # of detection; None in models of older versions, and where none was taken
    known: tuple[KnownDefect, ...] = field(default=(), metadata=NEWER)  # defects that it must not pass; not in exports
    choices: tuple[Choice, ...] = field(default=(), metadata=NEWER)  # of people, the oldest first; not in exports
    graph_sha256: str = ""  # of the graph without its metadata; with `files`, set when the bundle is written
    files: Mapping[str, str] = field(default_factory=dict)  # name -> SHA-256
    schema_version: int = PLAIN_VERSION

    def to_json(self) -> dict[str, Any]:
        """As a JSON object."""
        absent = {name for name in ABSENT_IF_NONE if getattr(self, name) is None}
        document = {key: value for key, value in plain(self).items() if key not in absent}
        return document | {"schema_version": _needed(document)}

    def recalibrated(
        self,
        calibration: Calibration,
        *,
        held_out: Iterable[HeldOut],
        selfcheck: Iterable[Expected],
        readers: Iterable[ReaderRecord] = (),
        evidence: EvidenceRecord | None = None,
    ) -> Self:
        """The manifest of the same model under another calibration.

        Args:
            calibration: The new one, with the old one in its history.
            held_out: The images that were measured for it, those among them that it leaves out.
            selfcheck: What the self-check expects under the new thresholds.
            readers: Those that the images needed, beside those known.
            evidence: Of detection, under the new thresholds; None where there is none.
        """
        options = {one.suffix: one.options for one in self.readers}
        known = {one.suffix: one for one in self.readers}
        known |= {one.suffix: replace(one, options=options.get(one.suffix, one.options)) for one in readers}
        alias = self.data.alias
        measured = tuple(
            replace(one, group=alias(one.group), session=one.session and alias(one.session)) for one in held_out
        )
        left_out = {one.image for one in calibration.exclusions}
        rests_on = {one.sha256: one.group for one in measured if one.image not in left_out}
        return replace(
            self,
            calibration=calibration,
            calibrated=now(),
            data=replace(self.data, calibrated=rests_on, held_out=measured),
            selfcheck=tuple(selfcheck),
            readers=tuple(known.values()),
            evidence=evidence,
        )

    def for_device(self, model_id: str, version: str) -> Self:
        """The manifest of an export of this model: without names of files, defects and people."""
        evidence = self.evidence and replace(self.evidence, known=())
        exported = ExportRecord(model_id, version)
        data = replace(self.data, unreadable=())
        return replace(self, evidence=evidence, data=data, exported=exported, known=(), choices=())

    def quantised(self, comparison: Mapping[str, Any]) -> Self:
        """The manifest of an export whose graph is int8, with how that compares with the float one."""
        assert self.exported is not None
        return replace(self, exported=replace(self.exported, int8=comparison))

    @property
    def options(self) -> Mapping[str, Any]:
        """The detector's own options."""
        found: Mapping[str, Any] = self.config.get("options", {})
        return found

    @property
    def seed(self) -> int:
        """Of the training: it draws the photographs that a calibration counts."""
        training = self.config.get("training")
        seed = training.get("seed") if isinstance(training, Mapping) else None
        return seed if isinstance(seed, int) else 0

    @property
    def score(self) -> Mapping[str, Any]:
        """How the anomaly map becomes the image score."""
        found: Mapping[str, Any] = self.config.get("score", {})
        return found

    @property
    def compares(self) -> bool:
        """Whether images are compared with golden ones."""
        return "reference" in self.graph.inputs

    def rules(self) -> Iterator[Rule]:
        """What sections must be to each other."""
        side = min(self.image.height, self.image.width)
        overlap = self.framing.overlap
        leaves_core = self.framing.mode != "tile" or 2 * overlap < side
        yield Rule("framing.overlap", overlap, leaves_core, f"less than half of the tile's {side} pixels")
        inputs = self.graph.inputs
        yield Rule("graph.inputs", inputs, len(inputs) == len(set(inputs)), "each input once")
        for name in ("options", "score", "image"):
            section = self.config.get(name, {})
            yield Rule(f"config.{name}", section, isinstance(section, Mapping), "an object")
        carried = [("selfcheck", name) for one in self.selfcheck for name in one.files]
        if self.reference:
            carried += [("reference.files", name) for name in (*self.reference.files, *self.reference.valid)]
        for key, name in carried:
            yield Rule(key, name, name in self.files, "a file that the manifest lists")


def listed_files(data: Any, path: Path) -> Mapping[str, str]:
    """The files that a manifest lists, name -> SHA-256; the rest of it is not looked at yet.

    Raises:
        ModelError: It is no manifest, or of a newer schema.
    """
    version, files = (data.get("schema_version"), data.get("files")) if isinstance(data, dict) else (None, None)
    if (
        not isinstance(version, int)
        or isinstance(version, bool)
        or version < 1
        or not isinstance(files, dict)
        or not all(isinstance(digest, str) for digest in files.values())
    ):
        said = f"expected a schema_version from 1 to {SET_VERSION}, and files with their SHA-256"
        raise ModelError(f"{path / FILE}: is not a manifest: {said}. Restore the bundle from its origin.")
    if version > (known := _needed(data)):
        raise ModelError(
            f"{path}: manifest schema {version} is newer than {known}, for nothing that is known here makes it so "
            "(guards, options of readers, calibration.per, gate.enabled, framing.pose, members, products): upgrade "
            "anomalib-lite."
        )
    if strange := [name for name in files if not _is_inside(name)]:
        raise ModelError(f"{path}: {strange[0]!r} is not a file of this bundle. Restore the bundle from its origin.")
    return files


def is_joint(document: Mapping[str, Any]) -> bool:
    """Whether a manifest, as JSON, is that of a joint model."""
    return MEMBERS in document


def is_set(document: Mapping[str, Any]) -> bool:
    """Whether a manifest, as JSON, is that of a set of products."""
    return PRODUCTS in document


def _needed(document: Mapping[str, Any]) -> int:
    """The version that a manifest, as JSON, needs by what is known here: a later one may have added what is not."""
    if is_set(document):
        return SET_VERSION
    if is_joint(document):
        return JOINT_VERSION
    gate, framing = document.get("gate"), document.get("framing")
    gated = isinstance(gate, dict) and bool(gate.get("enabled"))
    if gated or (isinstance(framing, dict) and framing.get("pose")):
        return SCHEMA_VERSION
    return STRICT_VERSION if _is_strict(document) else PLAIN_VERSION


def _is_strict(document: Mapping[str, Any]) -> bool:
    """Whether a manifest, as JSON, has guards or options of readers, or decides once for a part.

    What a later version may add is not known here.
    """
    calibration, readers = document.get("calibration"), document.get("readers")
    once = isinstance(calibration, Mapping) and calibration.get("per") in ONCE
    options = isinstance(readers, list) and any(isinstance(one, dict) and "options" in one for one in readers)
    return bool(document.get("guards")) or options or once


def _is_inside(name: str) -> bool:
    """Whether a name stays within the bundle on every system, and is not that of the manifest or its signature."""
    flavours = (PurePosixPath(name), PureWindowsPath(name))
    strange = "\0" in name or any(".." in one.parts or one.anchor for one in flavours)
    return PurePosixPath(name).as_posix() == name != "." and not strange and name not in (FILE, SIGNATURE)


def described(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """A manifest, as JSON, as a graph carries it.

    Without file hashes, which cannot be inside a file that they cover; and without times, so that training twice gives
    the same graph file, byte for byte.
    """
    return {key: value for key, value in manifest.items() if key not in (*OF_THE_FILES, *OF_THE_TIME)}


def _remedy(key: str) -> str:
    """What to do about a key that a manifest lacks, or that makes no sense."""
    again = "calibrate" if key.startswith("calibration") else "train"
    return f"Restore the bundle from its origin, or {again} the model again."


def now() -> str:
    """The time, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
