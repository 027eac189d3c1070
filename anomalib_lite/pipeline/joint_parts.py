"""The good parts that all members of a joint model have measured: from their own records, or from images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from anomalib_lite.calibration.joint import Part
from anomalib_lite.calibration.scoring import score
from anomalib_lite.calibration.units import ScoredImage, joined, remembered, with_level
from anomalib_lite.data import DataSet, Sample, check_masks, count, some, training_samples
from anomalib_lite.data.independence import admission
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import DataError
from anomalib_lite.pipeline.predict import Track

GIVE = "Give good photographs of new parts, in all views: --data DATA"

Measured = Mapping[str, Mapping[str, Sequence[ScoredImage]]]  # member -> part -> its photographs


@dataclass(frozen=True)
class Gathered:
    """Good parts, whole; and what was left out."""

    parts: list[Part]
    notes: list[str]
    errors: list[tuple[str, str]] = field(default_factory=list)  # photographs that could not be measured: name, reason


def recorded(members: Mapping[str, Model]) -> Gathered:
    """Those that every member held out when it was trained, as its manifest records them: nothing is measured again.

    Args:
        members: Name to model.

    Raises:
        DataError: A member does not tell its parts, or no part was held out by all.
    """
    measured = {name: _of_record(name, model) for name, model in members.items()}
    data = [model.bundle.manifest.data for model in members.values()]
    if len({one.salt for one in data}) > 1:
        raise DataError(
            "fuse: exports have other names for parts, so nothing tells which are the same. Join the models that they "
            f"were exported from. Or: {GIVE}."
        )
    fitted = {part for one in data for part in one.fit.values()}
    return _whole(members, measured, fitted & {part for parts in measured.values() for part in parts})


def _of_record(name: str, model: Model) -> dict[str, list[ScoredImage]]:
    """Part -> what a member recorded of its photographs.

    Raises:
        DataError: It does not know parts, or its records are not of new ones.
    """
    manifest = model.bundle.manifest
    calibration = manifest.calibration
    why = (
        "is cross-fitted, so it was fitted on every part" if calibration.approximate
        else "was calibrated on simulated images" if calibration.simulated
        else "does not know which of its images show one part" if calibration.unit != "group"
        else "does not record what its calibration rests on, as models of older versions" if not manifest.data.held_out
        else ""
    )  # fmt: skip
    if why:
        raise DataError(f"{model.bundle.path}: '{name}' {why}: its records do not do. {GIVE}.")
    excluded = {one.image for one in calibration.exclusions}
    images = [remembered(one, one.group) for one in manifest.data.held_out if one.image not in excluded]
    return _by_part(with_level(images, manifest.seed)[1] if calibration.cusum else images)


def measured(
    members: Mapping[str, Model],
    views: Mapping[str, str],
    dataset: DataSet,
    view_of: Callable[[Sample], str | None],
    track: Track,
) -> Gathered:
    """Those of a data set that no member was fitted on, measured by the members of their views.

    Args:
        members: Name to model.
        views: Name to the view that it judges.
        dataset: Good images.
        view_of: The view that an image shows.
        track: Shows progress.

    Raises:
        DataError: Parts or views are not known, or no part is whole.
    """
    if not dataset.grouped:
        raise DataError(
            f"{dataset.root}: nothing says which photographs show one part: give --group REGEX, or a column 'group'."
        )
    samples, _ = check_masks(training_samples(dataset), dataset.opener)
    by_view = _by_view(dataset, samples, set(views.values()), view_of)
    found: dict[str, dict[str, list[ScoredImage]]] = {}
    fitted, errors = list[str](), dict[str, str]()
    for name, model in members.items():
        admit = admission(model.bundle.manifest.data, dataset, fitted)
        own = by_view[views[name]]
        done = score(model.runtime, track(own, f"measuring {views[name]}"), model.intake, admit=admit)
        errors |= dict(done.errors)
        found[name] = _by_part(done.images)
    parts = {sample.name: sample.group for sample in samples}
    whole = _whole(members, found, {parts[name] for name in fitted}, {parts[name] for name in errors})
    return Gathered(whole.parts, whole.notes, list(errors.items()))


def _by_view(
    dataset: DataSet, samples: Sequence[Sample], views: Collection[str], view_of: Callable[[Sample], str | None]
) -> dict[str, list[Sample]]:
    found: dict[str, list[Sample]] = {view: [] for view in views}
    strange = []
    for sample in samples:
        view = view_of(sample)
        strange += [sample.name] if view is None else []
        found.setdefault(view or "", []).append(sample)
    if strange:
        raise DataError(
            f"{dataset.root}: {len(strange):,} of {count(len(samples), 'image')} show none of the views "
            f"{', '.join(sorted(views))}, by their names: {some(strange, 3)}. Give --view REGEX, which finds the view "
            "in a name, or a column 'view'; or leave these images out."
        )
    return found


def _by_part(images: Sequence[ScoredImage]) -> dict[str, list[ScoredImage]]:
    parts: dict[str, list[ScoredImage]] = {}
    for image in images:
        parts.setdefault(image.group, []).append(image)
    return parts


def _whole(
    members: Mapping[str, Model], measured: Measured, fitted: Collection[str], torn: Collection[str] = ()
) -> Gathered:
    """The parts that all members have measured and none was fitted on.

    Args:
        members: Name to model.
        measured: What they measured.
        fitted: Parts that some member was fitted on, among those in question.
        torn: Parts of which a photograph could not be measured.

    Raises:
        DataError: No part was measured by all.
    """
    times = Counter(part for parts in measured.values() for part in parts)
    new = {part for part in times if part not in fitted and part not in torn}
    whole = sorted(part for part in new if times[part] == len(measured))
    if not whole:
        raise DataError(_nothing_shared(measured, len(fitted)))
    left_out = (
        (set(fitted), "since a member was fitted on them"),
        (set(torn), "since a photograph of them could not be measured"),
        (new - set(whole), "since not all members have measured them"),
    )
    notes = [f"{count(len(one), 'part')} left out, {why}: {some(sorted(one), 3)}" for one, why in left_out if one]
    return Gathered([_part(part, members, measured) for part in whole], notes)


def _part(name: str, members: Mapping[str, Model], measured: Measured) -> Part:
    scores, photographs = {}, {}
    for member, parts in measured.items():
        how = members[member].bundle.manifest.calibration.joining
        scores[member] = joined(parts[name], lambda image: image.score, how)
        photographs[member] = len(parts[name])
    return Part(name, scores, photographs)


def _nothing_shared(measured: Measured, fitted: int) -> str:
    """Why there is no part that all members have measured."""
    shown = "; ".join(
        f"'{name}' {count(len(parts), 'part')}, as {some(sorted(parts), 2)}" if parts else f"'{name}' none"
        for name, parts in measured.items()
    )
    learnt = f" {count(fitted, 'part')} of these others were fitted on." if fitted else ""
    return (
        f"fuse: no good part was measured by all members and fitted by none: {shown}.{learnt} Are these models of the "
        f"same parts, and do --group and --view find part and view in the names? {GIVE}."
    )
