"""Joins finished models into one that decides once for a part: `fuse`, and `calibrate` of what it made."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from anomalib_lite import registry
from anomalib_lite.calibration.joint import Member, another_row, certified
from anomalib_lite.config import Rates
from anomalib_lite.data import Images, Sample
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

EVERY = "photograph"  # the view of members that all judge the same ones
FORBIDDEN = re.compile(r"[^A-Za-z0-9._-]+")  # in the name of a member


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
    loaded = _loaded(asked, (plugins or registry.load()).readers)
    members = _members(asked, loaded)
    models = {member.name: model for member, model in zip(members, loaded, strict=True)}
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
                        ("--session", asked.session), ("--known", asked.known),
                        ("--accept", asked.said.accept), ("--because", asked.said.because)):  # fmt: skip
        if given:
            raise ConfigError(f"{name} is not for a joint model: leave it out. Give other images to leave parts out.")
    manifest, before = joint.bundle.manifest, joint.bundle.manifest.calibration
    out = asked.out or asked.model
    bundle.refuse_existing(out, overwrite=asked.overwrite or asked.out is None)
    found, tols = Gathered([], []), {name: model.thresholds.tol for name, model in joint.members.items()}
    if asked.data is not None:
        images = Images(data=asked.data, group=asked.group, columns=asked.columns, folders=asked.folders)
        members = [Member(one.name, one.view, tols[one.name], one.weight) for one in manifest.members]
        found = _parts(images, joint.members, members, re.compile(manifest.pattern), track)
        records, calibration, parts = certified(
            members, found.parts, asked.rates(before), combined=manifest.combined, errors=len(found.errors),
            row=asked.row, gated=before.gated, history=before.as_history(),
        )  # fmt: skip
        manifest = replace(manifest, members=records, calibration=calibration, parts=parts)
    elif asked.row is None:
        raise ConfigError("DATA is missing: give good photographs of new parts in all views, or --row N of the menu.")
    else:
        manifest = replace(manifest, calibration=another_row(manifest, list(tols.values()), asked.row))
    manifest = replace(manifest, calibrated=now())
    return Fused(bundle.write_joint(out, manifest, joint.bundle.members, overwrite=True), found.errors, found.notes)


def _members(asked: Fusion, models: Sequence[Model]) -> list[Member]:
    """The members, each with a name of its own: its view, or where several have that, or none is named, its file's.

    Models that were trained on the same photographs are of one view, where nobody says otherwise.

    Raises:
        ConfigError: There is not a weight for each.
    """
    weights = list(asked.weights) or [1.0] * len(models)
    if len(weights) != len(models):
        raise ConfigError(f"--weights: expected {len(models)} numbers above 0, one for each model.")
    stems = [path.stem if path.suffix == ".zip" else path.absolute().name for _, path in asked.models]
    named = any(view for view, _ in asked.models)
    views = [view or stem for (view, _), stem in zip(asked.models, stems, strict=True)]
    if not named and _same_photographs(models):
        views = [EVERY] * len(models)
    shared, used, members = Counter(views), Counter[str](), []
    for view, stem, weight, model in zip(views, stems, weights, models, strict=True):
        name = FORBIDDEN.sub("-", stem if shared[view] > 1 else view).strip("-._") or "member"
        used[name] += 1
        number = f"-{used[name]}" if used[name] > 1 else ""
        members.append(Member(f"{name}{number}", view, model.thresholds.tol, weight))
    return members


def _same_photographs(models: Sequence[Model]) -> bool:
    """Whether all were trained on some of the same files."""
    data = [model.bundle.manifest.data for model in models]
    return bool(set[str].intersection(*({*one.fit, *one.calibrated} for one in data)))


def _loaded(asked: Fusion, readers: Readers) -> list[Model]:
    """The models.

    Raises:
        ConfigError: There are fewer than two, or one is given twice.
    """
    if len(asked.models) < 2:
        raise ConfigError("fuse joins at least two models: give MODEL MODEL, or top=MODEL side=MODEL.")
    found: dict[str, Model] = {}
    for _, path in asked.models:
        model = Model(path, threads=asked.threads, readers=readers)
        graph = model.bundle.manifest.graph_sha256
        if graph in found:
            known = found[graph].bundle.path
            raise ConfigError(f"{path} is the same model as {known}: it would only count twice. Leave one out.")
        found[graph] = model
    return list(found.values())


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
    dataset = images.found(opener)

    def view_of(sample: Sample) -> str | None:
        if len(known) == 1:
            return next(iter(known))
        match = None if sample.view else pattern.search(sample.name)
        view = sample.view or (match[1] if match else None)
        return view if view in known else None

    return measured(models, views, dataset, view_of, track)


def _gated(models: Mapping[str, Model]) -> bool:
    return any(model.bundle.manifest.calibration.gated for model in models.values())
