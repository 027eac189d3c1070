"""What good pairs say of where images lie: how far the camera moves, whether parts bend, and what they show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.data import Sample
from anomalib_lite.edge.golden.pairing import Pair, closest
from anomalib_lite.edge.golden.reach import REACHES, Movement, least
from anomalib_lite.edge.intake import Intake
from anomalib_lite.edge.manifest import PoseRecord
from anomalib_lite.errors import ConfigError, ImageError
from anomalib_lite.hookspecs import DetectorInfo

LOOKED_AT = 48  # pairs, evenly over all
EDGES = tuple(step / 400 for step in range(21))  # of the frame that good images may leave out: at most 5 %
BENT_AT = 12  # pairs that are looked at, evenly over all, for whether parts bend
BENT_PIXELS = 0.5  # a bend of good pairs that is worth the time
AMPLE = 0.5  # of what may be out of view: good images to come will vary a little more


class Placed(NamedTuple):
    """A good image beside its golden one."""

    name: str
    movement: Movement
    edge: float | None  # of `EDGES`, which the frame has to be without so that the image shows it; None where none does


def with_pose(
    intake: Intake, samples: Sequence[Sample], info: DetectorInfo, *, simulated: bool
) -> tuple[Intake, list[str]]:
    """The intake with what is known of poses, and what there is to say of it.

    Args:
        intake: As it is where the detector does not align.
        samples: Good images.
        info: The detector, with what it says of poses.
        simulated: Whether the images are: they say nothing of the camera.

    Raises:
        ConfigError: Good images are moved further than the detector is told.
    """
    if not info.align:
        return intake, []
    chosen = [samples[place] for place in np.unique(np.linspace(0, len(samples) - 1, LOOKED_AT).astype(int))]
    placed = [one for sample in chosen if (one := _placed(intake, sample)) is not None]
    reach: str = "any" if info.pose == "learnt" else info.pose
    if info.pose == "learnt" and placed and not simulated:
        reach = least([one.movement for one in placed]).name
    for one in placed:
        if not REACHES[reach].covers(one.movement):
            raise ConfigError(_contradiction(reach, one, least([every.movement for every in placed]).name))
    edge = max((EDGES[-1] if one.edge is None else one.edge for one in placed), default=0.0)
    pose = PoseRecord(reach=REACHES[reach].name, edge=edge, unseen=info.unseen)  # type: ignore[arg-type]
    bend = info.bend
    if bend is None:
        bend = not simulated and _bends(intake, pose, chosen)
    pose = replace(pose, bend=bend)
    return _with(intake, pose), _notes(placed, pose, info, simulated=simulated)


def _with(intake: Intake, pose: PoseRecord) -> Intake:
    return replace(intake, framing=replace(intake.framing, pose=pose))


def _placed(intake: Intake, sample: Sample) -> Placed | None:
    """Where an image lies; None where it cannot be aligned, which is told where it is left out."""
    try:
        picture = intake.read(sample.path)
        goldens = intake.candidates(picture, sample.name, sample.reference)
        pair = closest(intake.framing, picture.pixels, goldens)
    except ImageError:
        return None
    assert pair.alignment is not None
    golden = pair.alignment.valid.shape
    movement = Movement.of(pair.alignment.homography, picture.pixels.shape[:2], golden)
    return Placed(sample.name, movement, _edge(intake, pair))


def _bends(intake: Intake, pose: PoseRecord, samples: Sequence[Sample]) -> bool:
    """Whether good pairs are bent, and differ less where that is taken out."""
    bends, gains = [], []
    for sample in samples[:: len(samples) // BENT_AT + 1]:
        try:
            picture = intake.read(sample.path)
            goldens = intake.candidates(picture, sample.name, sample.reference)
            flat, bent = (
                closest(_with(intake, replace(pose, bend=one)).framing, picture.pixels, goldens)
                for one in (False, True)
            )
        except ImageError:
            continue
        found = bent.alignment.bend if bent.alignment else None
        bends.append(found.largest if found else 0.0)
        gains.append(flat.difference - bent.difference)
    return bool(bends) and float(np.median(bends)) >= BENT_PIXELS and float(np.median(gains)) > 0


def _edge(intake: Intake, pair: Pair) -> float | None:
    assert pair.alignment is not None
    valid, allowed = pair.alignment.valid, AMPLE * (1 - PoseRecord().least)
    for edge in EDGES:
        asked: NDArray[np.bool_] = replace(intake.framing, pose=PoseRecord(edge=edge)).asked(*valid.shape)
        if valid[asked].mean() >= 1 - allowed:
            return edge
    return None


def _contradiction(reach: str, placed: Placed, fits: str) -> str:
    moved = placed.movement
    return (
        f"options.pose={reach}: the good image {placed.name} is moved by {moved.shift:.1%} of the side, turned by "
        f"{moved.turn:.1f} degrees and scaled by {moved.scale:.1%}, which is more. Use options.pose={fits}, which the "
        "good images fit, or leave it out."
    )


def _notes(placed: Sequence[Placed], pose: PoseRecord, info: DetectorInfo, *, simulated: bool) -> list[str]:
    whence = "as asked" if info.pose != "learnt" else "simulated images say nothing of the camera"
    notes = [f"pose: {pose.reach} ({whence if simulated or info.pose != 'learnt' else 'learnt from good pairs'})"]
    if pose.bend:
        notes.append(f"bend: sought ({'as asked' if info.bend else 'good pairs are bent, and differ less without it'})")
    if pose.edge:
        notes.append(
            f"of the golden frame all but its edge, {pose.edge:.1%} of the shorter side, has to be seen: "
            f"{'simulated' if simulated else 'good'} images leave that out"
        )
    if short := sum(one.edge is None for one in placed):
        notes.append(
            f"warning: {short} of {len(placed)} good images show less than that; such images will be "
            f"{'REVIEW' if pose.unseen == 'review' else 'ERROR not_seen'}: place them alike, or paint image.roi"
        )
    return notes
