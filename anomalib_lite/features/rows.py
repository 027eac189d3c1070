"""What is kept of each image while images go by, in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

KEPT = 1 << 26  # numbers: 256 MiB as float32


class FirstRows:
    """The first rows of a pass: all where they are few; a random sample, set by the seed, where they are many.

    `Batches` are shuffled: the first images are as good a sample as any, and a pass may end with them. For what has to
    be held for each image, as for quantiles and coresets; means and covariances are sums (`Moments`).

    Args:
        most: Rows after which no more are taken: `KEPT` over the numbers of a row for 256 MiB.
    """

    def __init__(self, most: int) -> None:
        self._room = max(1, most)
        self._kept: list[tuple[Tensor, ...]] = []

    def add(self, *columns: Tensor) -> None:
        """Take the rows of a batch, unless there are enough: columns (n, ...) of the same n."""
        if self._room > 0 and len(columns[0]):
            self._kept.append(columns)
            self._room -= len(columns[0])

    def fill(self, found: Iterable[tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Take the rows of batches until there are enough, or no more batches; then as `taken`."""
        for columns in found:
            self.add(*columns)
            if self._room <= 0:
                break
        return self.taken()

    def taken(self) -> tuple[Tensor, ...]:
        """The columns, put together; none where there are no rows. They are not kept here any more."""
        columns, self._kept = [list(column) for column in zip(*self._kept, strict=True)], []
        return tuple(torch.cat(columns.pop(0)) for _ in range(len(columns)))
