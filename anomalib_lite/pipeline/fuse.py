"""Joins finished models into one that decides once for a part: `fuse`, and `calibrate` of what it made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from anomalib_lite import registry
from anomalib_lite.calibration.joint import Member, another_row, certified
from anomalib_lite.config import Rates
from anomalib_lite.data import Folders, Sample, find
from anomalib_lite.data.patterns import view_pattern
from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import JointBundle
from anomalib_lite.edge.images.readers import Readers
from anomalib_lite.edge.joint import Joint, shared_opener
from anomalib_lite.edge.manifest import Calibration, Combined, JointManifest, Lacking, now
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError
from anomalib_lite.pipeline.calibrate import Recalibration
from anomalib_lite.pipeline.joint_parts import Gathered, measured, recorded
from anomalib_lite.pipeline.predict import Track, untracked
from anomalib_lite.registry import Registry
from anomalib_lite.version import __version__

FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]+")  # in the name of a member


@dataclass(frozen=True, kw_only=True)
class Images:
    """Good photographs of new parts, and what is said of them."""

    data: Path
    group: str | None = None  # regular expression for the physical part
    columns: Mapping[str, str] = field(default_factory=dict)  # renamed CSV columns
    folders: Folders = field(default_factory=Folders)  # which hold good images; or that all are good


@dataclass(frozen=True, kw_only=True)
class Fusion:
    """What `fuse` is asked, as the command line gives it."""

    models: Sequence[tuple[str, Path]]  # the view that it judges, empty where nobody says it; and the bundle
    out: Path
    images: Images | None = None  # that the thresholds rest on; None: what the models held out
    view: str | None = None  # regular expression that finds the view in a name; default: where it stands by itself
    combined: Combined = "maximum"
    weights: Sequence[float] = ()  # of the models, in their order; none: all count alike
    lacking: Lacking = "error"
    max_false_reject: float = 0.01
    confidence: float = 0.95
    review: float | None = None
    overwrite: bool = False
    threads: int = 0


@dataclass(frozen=True)
class Fused:
    """A new joint model, and what it promises."""

    bundle: JointBundle
    errors: list[tuple[str, str]]  # photographs that could not be measured: name, reason
    notes: list[str]

    @property
    def calibration(self) -> Calibration:
        """What the thresholds rest on."""
        return self.bundle.manifest.calibration


def fuse(asked: Fusion, *, plugins: Registry | None = None, track: Track = untracked) -> Fused:
    """Join models.

    Args:
        asked: What is asked.
        plugins: What is installed, where that was loaded already.
        track: Shows progress.

    Raises:
        ModelError: A model is refused, or is a joint one, or `out` cannot be written.
        ConfigError: One model is given twice, or what is asked makes no sense.
        DataError: There are too few parts that all models have measured and none was fitted on.
    """
    rates = Rates.of(asked.max_false_reject, asked.confidence, asked.review)
    bundle.refuse_existing(asked.out, overwrite=asked.overwrite)
    members = _members(asked)
    models = _loaded(asked, members, (plugins or registry.load()).readers)
    pattern = view_pattern(asked.view, sorted({one.view for one in members}))
    found = _parts(asked.images, models, members, pattern, track)
    records, calibration, parts = certified(
        members, found.parts, rates, combined=asked.combined, errors=len(found.errors), gated=_gated(models)
    )
    manifest = JointManifest(
        created=now(), created_with=__version__, members=records, pattern=pattern.pattern, calibration=calibration,
        combined=asked.combined, lacking=asked.lacking, parts=parts,
    )  # fmt: skip
    bundles = {name: model.bundle for name, model in models.items()}
    written = bundle.write_joint(asked.out, manifest, bundles, overwrite=asked.overwrite)
    return Fused(written, found.errors, found.notes)


def recalibrate(joint: Joint, asked: Recalibration, *, track: Track = untracked) -> Fused:
    """New units and thresholds for a joint model, from good parts that none of its members was fitted on.

    Args:
        joint: It.
        asked: What `calibrate` is asked.
        track: Shows progress.

    Raises:
        ConfigError: What is asked cannot be had of a joint model.
        AnomalibLiteError: As of `fuse`.
    """
    for name, given in (("--per", asked.per), ("--add", asked.add), ("--exclude", asked.exclusions),
                        ("--session", asked.session)):  # fmt: skip
        if given:
            raise ConfigError(f"{name} is not for a joint model: leave it out. Give other images to leave parts out.")
    manifest, before = joint.bundle.manifest, joint.bundle.manifest.calibration
    out = asked.out or asked.model
    bundle.refuse_existing(out, overwrite=asked.overwrite or asked.out is None)
    found = Gathered([], [])
    if asked.data is not None:
        images = Images(data=asked.data, group=asked.group, columns=asked.columns, folders=asked.folders)
        members = [Member(one.name, one.view, one.weight) for one in manifest.members]
        found = _parts(images, joint.members, members, re.compile(manifest.pattern), track)
        records, calibration, parts = certified(
            members, found.parts, asked.rates(before), combined=manifest.combined, errors=len(found.errors),
            row=asked.row, gated=before.gated, history=before.as_history(),
        )  # fmt: skip
        manifest = replace(manifest, members=records, calibration=calibration, parts=parts)
    elif asked.row is None:
        raise ConfigError("DATA is missing: give good photographs of new parts in all views, or --row N of the menu.")
    else:
        manifest = replace(manifest, calibration=another_row(manifest, asked.row))
    manifest = replace(manifest, calibrated=now())
    return Fused(bundle.write_joint(out, manifest, joint.bundle.members, overwrite=True), found.errors, found.notes)


def _members(asked: Fusion) -> list[Member]:
    """The members, each with a name of its own.

    Raises:
        ConfigError: There are fewer than two, or not a weight for each.
    """
    if len(asked.models) < 2:
        raise ConfigError("fuse joins at least two models: give MODEL MODEL, or top=MODEL side=MODEL.")
    weights = list(asked.weights) or [1.0] * len(asked.models)
    if len(weights) != len(asked.models) or min(weights) <= 0:
        raise ConfigError(f"--weights: expected {len(asked.models)} numbers above 0, one for each model.")
    views = [view or _stem(path) for view, path in asked.models]
    names = [FORBIDDEN.sub("-", view).strip("-._") or "member" for view in views]
    used, times = Counter(names), Counter[str]()
    members = []
    for name, view, weight in zip(names, views, weights, strict=True):
        times[name] += 1
        members.append(Member(f"{name}-{times[name]}" if used[name] > 1 else name, view, weight))
    return members


def _stem(path: Path) -> str:
    return path.stem if path.suffix == ".zip" else path.absolute().name


def _loaded(asked: Fusion, members: Sequence[Member], readers: Readers) -> dict[str, Model]:
    """The models, by their names.

    Raises:
        ConfigError: One is given twice.
    """
    found: dict[str, Model] = {}
    known: dict[str, Path] = {}
    for member, (_, path) in zip(members, asked.models, strict=True):
        model = Model(path, threads=asked.threads, readers=readers)
        graph = model.bundle.manifest.graph_sha256
        if graph in known:
            raise ConfigError(f"{path} is the same model as {known[graph]}: it would only count twice. Leave one out.")
        found[member.name], known[graph] = model, path
    return found


def _parts(
    images: Images | None,
    models: Mapping[str, Model],
    members: Sequence[Member],
    pattern: re.Pattern[str],
    track: Track,
) -> Gathered:
    """The parts that units and thresholds come from."""
    if images is None:
        return recorded(models)
    views = {one.name: one.view for one in members}
    known = set(views.values())
    opener = shared_opener(list(models.values()))
    dataset = find(images.data, group=images.group, columns=images.columns, folders=images.folders, opener=opener)

    def view_of(sample: Sample) -> str | None:
        match = None if sample.view else pattern.search(sample.name)
        view = sample.view or (match[1] if match else None)
        return view if view in known else None

    return measured(models, views, dataset, view_of, track)


def _gated(models: Mapping[str, Model]) -> bool:
    return any(model.bundle.manifest.calibration.gated for model in models.values())
