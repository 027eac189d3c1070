"""How far a camera, or a part before it, may have moved: what is known of the pose of an image."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge.golden.views import Matrix, corners, scaling, transformed


class Movement(NamedTuple):
    """How far an image is from the golden frame."""

    shift: float  # of its middle, as a share of the longer side of the frame
    turn: float  # degrees
    scale: float  # share by which it is larger or smaller

    @classmethod
    def of(cls, homography: Matrix, image: tuple[int, ...], golden: tuple[int, ...]) -> Movement:
        """That of an image of a size (height, width), against one that is seen where the golden one is."""
        moved = homography @ np.linalg.inv(scaling(image, golden))
        frame = corners(golden)
        there = transformed(moved, np.vstack([frame, frame.mean(0)]))
        middle = float(np.linalg.norm(there[4] - frame.mean(0))) / max(golden)
        before, after = (_complex(one) - _complex(one).mean() for one in (frame, there[:4]))
        ratio = complex(np.vdot(before, after) / np.vdot(before, before))
        return cls(middle, abs(float(np.degrees(np.angle(ratio)))), abs(abs(ratio) - 1))


class Reach(NamedTuple):
    """How far an image may be from the golden frame."""

    name: str
    shift: float
    turn: float
    scale: float

    def covers(self, movement: Movement) -> bool:
        """Whether an image may have moved so far."""
        return movement.shift <= self.shift and movement.turn <= self.turn and movement.scale <= self.scale

    def exceeded(self, homography: Matrix, image: tuple[int, ...], golden: tuple[int, ...]) -> str:
        """What to say of an image that moved further; nothing of another."""
        found = Movement.of(homography, image, golden)
        if self.covers(found):
            return ""
        return (
            f"it is moved by {found.shift:.1%} of the side, turned by {found.turn:.1f} degrees and scaled by "
            f"{found.scale:.1%}, where pose={self.name} allows {self.shift:.0%}, {self.turn:g} degrees and "
            f"{self.scale:.0%}; place it as before, or train with another options.pose"
        )


FIXED = Reach("fixed", 0.02, 1.5, 0.02)
SMALL = Reach("small", 0.05, 5.0, 0.05)
ANY = Reach("any", np.inf, np.inf, np.inf)
REACHES = {one.name: one for one in (FIXED, SMALL, ANY)}


def least(movements: list[Movement]) -> Reach:
    """The smallest reach of which these movements take at most half, so that there is room for the next ones."""
    doubled = [Movement(*(2 * value for value in one)) for one in movements]
    return next(reach for reach in REACHES.values() if all(map(reach.covers, doubled)))


def _complex(points: NDArray[np.float64]) -> NDArray[np.complex128]:
    return points[:, 0] + 1j * points[:, 1]
