"""Training batches: frames in the order set by the seed, on the training device, in shares for several processes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count, islice
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from anomalib_lite.detector import Batch, Batches
from anomalib_lite.edge.images.imaging import Pixels
from anomalib_lite.edge.manifest import normalised
from anomalib_lite.errors import ConfigError, DataError, PluginError

SPLIT = 0x5B17  # of the seed's stream that parts are split by


class TrainingFrame(NamedTuple):
    """One input of the graph, to learn from."""

    image: Pixels  # (h, w, C)
    reference: Pixels | None = None  # of the same shape, where the detector compares
    valid: NDArray[np.bool_] | None = None  # (h, w); None where every pixel counts


class Frames(Protocol):
    """Decoded training images (or tiles of them) by index; all of one shape and dtype."""

    def __len__(self) -> int:
        """Number of frames."""
        ...

    def __getitem__(self, index: int, /) -> TrainingFrame:
        """Image, reference of the same shape or None, and valid mask or None where every pixel counts."""
        ...


class _Chosen:
    """Some of the frames."""

    def __init__(self, frames: Frames, indices: NDArray[np.int64]) -> None:
        self._frames, self._indices = frames, indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int, /) -> TrainingFrame:
        return self._frames[int(self._indices[index])]


class FrameBatches:
    """Batches of frames: float32 images (B, C, H, W), valid masks (B, 1, H, W).

    Pixels become 0 at `black` and 1 at `white` on `device`, as in the exported graph: nothing is clipped.

    There are two ways through the frames, both set by the seed alone:

    - Iterating gives one pass over every frame, each once, the last batch being smaller where they do not divide
      evenly. The p-th pass has the p-th order, the tiles of an image one after the other: it is decoded once. Every
      process sees all of it, so that a closed-form fit learns the same everywhere.
    - `stream` is for gradient descent: one pass after another without an end, cut into batches of exactly
      `batch_size`. A batch may reach into the next pass, and data sets smaller than a batch repeat within it. Each of
      `world` processes gets its own equal slice of every batch.
    """

    def __init__(
        self,
        frames: Frames,
        *,
        white: float,
        black: float = 0.0,
        batch_size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        world: int = 1,
        images: Sequence[int] | None = None,
        parts: Sequence[int] | None = None,
    ) -> None:
        if not len(frames):
            raise DataError("There are no training images: at least one good image is needed.")
        if batch_size < 1 or batch_size % world:
            lower = max(world, batch_size // world * world)
            raise ConfigError(
                f"A batch of {batch_size} cannot be shared equally by {world} processes: "
                f"set the batch size to {lower} or {lower + world}."
            )
        self.rank = rank
        self.world = world
        self.device = device
        self._frames = frames
        self._black, self._white = black, white
        self._batch_size = batch_size
        self._seed = seed
        self._image_of = np.arange(len(frames)) if images is None else np.asarray(images)
        self._part_of = self._image_of if parts is None else np.asarray(parts)
        self._passes = 0
        self._order = lru_cache(maxsize=2)(self._shuffled)

    def __len__(self) -> int:
        """Batches in one pass."""
        return -(-len(self._frames) // self._batch_size)

    def __iter__(self) -> Iterator[Batch]:
        """One pass over all frames, whatever the process."""
        yield from (self._batch(one) for one in self._pass())

    def turns(self) -> Iterator[tuple[Batch | None, int]]:
        """The same pass in turns of a batch for each process.

        Yields:
            The batch of this process, None where none is left for it; and how many batches the turn has in all.
        """
        every = list(self._pass())
        for first in range(0, len(every), self.world):
            turn = every[first : first + self.world]
            yield self._batch(turn[self.rank]) if self.rank < len(turn) else None, len(turn)

    def _pass(self) -> Iterator[NDArray[np.int64]]:
        """The frames of each batch of the next pass."""
        order = self._together(self._order(self._passes))
        self._passes += 1
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size]

    def stream(self, start: int = 0) -> Iterator[Batch]:
        """This process's slices of the batches `start`, `start + 1`, ...; the i-th depends on the seed and i alone."""
        share = self._batch_size // self.world
        for step in count(start):
            first = step * self._batch_size + self.rank * share
            yield self._batch([self._at(position) for position in range(first, first + share)])

    def split(self, share: float) -> tuple[FrameBatches, FrameBatches]:
        """Two lots of the frames: about `share` of the parts, and the rest; the seed chooses.

        Raises:
            DataError: There is one part only.
            PluginError: `share` is not between 0 and 1.
        """
        if not 0 < share < 1:
            raise PluginError(f"A detector called `split` with a share of {share}: expected a number between 0 and 1.")
        parts = np.unique(self._part_of)
        if len(parts) < 2:
            raise DataError("The images of one part cannot be split in two: add images of other good parts.")
        count = min(max(1, round(share * len(parts))), len(parts) - 1)
        chosen = np.random.default_rng([self._seed, SPLIT]).permutation(parts)[:count]
        inside = np.isin(self._part_of, chosen)
        return self._of(np.flatnonzero(inside)), self._of(np.flatnonzero(~inside))

    def _of(self, indices: NDArray[np.int64]) -> FrameBatches:
        """Batches of some of the frames."""
        return FrameBatches(
            _Chosen(self._frames, indices),
            white=self._white,
            black=self._black,
            batch_size=self._batch_size,
            seed=self._seed,
            device=self.device,
            rank=self.rank,
            world=self.world,
            images=self._image_of[indices].tolist(),
            parts=self._part_of[indices].tolist(),
        )

    def _at(self, position: int) -> int:
        """Index of the frame at a position of the endless sequence of passes."""
        number, offset = divmod(position, len(self._frames))
        return int(self._order(number)[offset])

    def _shuffled(self, number: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, number]).permutation(len(self._frames))

    def _together(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """The frames of each image where the first of them is; the same order where each is an image of its own."""
        _, first, image = np.unique(self._image_of[order], return_index=True, return_inverse=True)
        return order[np.argsort(first[image], kind="stable")]

    def _batch(self, indices: Sequence[int] | NDArray[np.int64]) -> Batch:
        images, references, valids = zip(*(self._frames[int(index)] for index in indices), strict=True)
        return Batch(
            image=self._images(images),
            reference=None if references[0] is None else self._images(references),
            valid=None if all(valid is None for valid in valids) else self._masks(valids, images[0].shape[:2]),
            images=torch.as_tensor(self._image_of[np.asarray(indices, np.int64)], device=self.device),
            parts=torch.as_tensor(self._part_of[np.asarray(indices, np.int64)], device=self.device),
        )

    def _images(self, images: Sequence[Pixels]) -> Tensor:
        pixels = torch.from_numpy(np.stack(images)).to(self.device)  # (B, H, W, C)
        return normalised(pixels.to(torch.float32), self._black, self._white).permute(0, 3, 1, 2).contiguous()

    def _masks(self, valids: Sequence[NDArray[np.bool_] | None], shape: tuple[int, int]) -> Tensor:
        masks = np.stack([np.ones(shape, bool) if valid is None else valid for valid in valids])
        return torch.from_numpy(masks).to(self.device).unsqueeze(1)


def endless(batches: Batches, start: int = 0) -> Iterator[Batch]:
    """Batches for gradient descent from step `start` on: the stream of `FrameBatches`, or any others over and over.

    Others are not shared among processes: each process sees all of them, which is right but not faster.

    Raises:
        PluginError: There are none.
    """
    if isinstance(batches, FrameBatches):
        yield from batches.stream(start)
    elif not len(batches):
        raise PluginError("A detector called `minimise` without batches: pass on those that `fit` was given.")
    else:
        yield from islice((batch for _ in count() for batch in batches), start, None)
