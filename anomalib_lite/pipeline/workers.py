"""Judges images in several processes, each with the model loaded: results in order, and to the bit those of one.

Each process has a few images waiting and no more, so memory does not grow with their number. One that dies (killed, or
out of memory) is replaced: the image that it was at is judged once more, and is ERROR where that kills the next one.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from anomalib_lite import registry
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.modelset import ModelSet, load
from anomalib_lite.engines.local import Lane, end_with_parent
from anomalib_lite.engines.room import cores, free
from anomalib_lite.errors import ConfigError, ErrorCode, ModelError

AHEAD = 3  # images that a process has: one in work, one that waits, one whose result is not asked for yet
WORTH = 100  # images for each process, below which starting it costs more than it saves
STARTS = 3  # of a process, before it is taken to die of the model
SHARE = 0.5  # of the free memory that they may take together


class Asked(NamedTuple):
    """One image to judge, as `Model.look` takes it, `Joint.look`, or `ModelSet.look`."""

    path: Path
    name: str
    reference: Path | None = None
    view: str | None = None
    product: str | None = None

    def by(self, model: Model | Joint | ModelSet) -> Seen:
        """The verdict of a model."""
        if isinstance(model, ModelSet):
            return model.look(self.path, product=self.product, reference=self.reference, name=self.name)
        if isinstance(model, Joint):
            return model.look(self.path, reference=self.reference, name=self.name, view=self.view)
        return model.look(self.path, reference=self.reference, name=self.name)


@dataclass(frozen=True, kw_only=True)
class Loading:
    """What a process loads a model by."""

    path: Path
    product: str | None  # of a set
    model_id: str
    provider: str
    threads: int
    series: Any  # files of each series of images, found before
    whole: bool  # whether maps and pixels are wanted, or rows alone


def number(images: int, model: Model | Joint | ModelSet, asked: int = 0) -> int:
    """How many processes to start: as many as are asked for, or as pay; never more than images.

    What pays is a core for each thread, as many as fit into memory, and none more for a few images. A process is taken
    to need the memory that this one has now, with the model loaded. Limits of a container count.
    """
    if asked:
        return max(1, min(asked, images))
    if model.runtime.provider != "cpu":
        return 1
    return max(1, min(cores() // max(1, model.runtime.threads), images // WORTH, _fitting()))


def _fitting() -> int:
    """How many processes like this one fit into the free memory; 1 where the system does not say."""
    unused = free()
    try:
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 1
    return 1 if unused is None else int(SHARE * unused / resident)


@dataclass
class Workers:
    """Processes that judge images with one model; with a number of 1, this process does, and there are none."""

    model: Model | Joint | ModelSet
    count: int
    whole: bool = True
    _lanes: list[Lane] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start the processes.

        Raises:
            ModelError: The model cannot be loaded there.
            ConfigError: They cannot be started.
        """
        try:
            if self.count > 1:
                self._lanes = [Lane() for _ in range(self.count)]
                ready = [lane.submit(_load, self._loading) for lane in self._lanes]
                for lane, one in enumerate(ready):
                    try:
                        one.result()
                    except BrokenExecutor:
                        self._renew(lane)
        except BaseException as error:
            self.__exit__(type(error), error, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the processes: at once where something failed."""
        for lane in self._lanes:
            lane.shutdown(wait=error is None, cancel_futures=True)
        self._lanes = []

    def look(self, images: Iterable[Asked]) -> Iterator[Seen]:
        """The verdicts, in the order of the images."""
        if not self._lanes:
            for one in images:
                yield one.by(self.model)
            return
        waiting: deque[_Waiting] = deque()
        lanes = cycle(range(self.count))
        for one in images:
            lane = next(lanes)
            waiting.append(_Waiting(one, lane, self._submitted(lane, one)))
            if len(waiting) == AHEAD * self.count:
                yield self._next(waiting)
        while waiting:
            yield self._next(waiting)

    def _next(self, waiting: deque[_Waiting]) -> Seen:
        """The verdict on the image that waits longest. A process that died had it in work, since results are taken."""
        first = waiting.popleft()
        try:
            return first.future.result()
        except BrokenExecutor:
            self._renew(first.lane)
        try:
            seen = self._lanes[first.lane].submit(_look, first.asked).result()
        except BrokenExecutor:
            self._renew(first.lane)
            why = "the process that judged it died, and so did a second one: out of memory, or killed"
            seen = Seen(self.model.refuse(first.asked.name, why, ErrorCode.INTERNAL), None)
        for index, one in enumerate(waiting):
            if one.lane == first.lane:
                waiting[index] = one._replace(future=self._submitted(one.lane, one.asked))
        return seen

    def _submitted(self, lane: int, one: Asked) -> Future[Seen]:
        """An image, handed to a process; one that died before is told of where its image is asked for."""
        try:
            return self._lanes[lane].submit(_look, one)
        except BrokenExecutor as error:
            broken: Future[Seen] = Future()
            broken.set_exception(error)
            return broken

    def _renew(self, lane: int) -> None:
        """Another process in place of one that died.

        Raises:
            ConfigError: It cannot be started.
        """
        for _ in range(STARTS):
            self._lanes[lane].shutdown(wait=False)
            self._lanes[lane] = Lane()
            with suppress(BrokenExecutor):
                self._lanes[lane].submit(_load, self._loading).result()
                return
        raise ConfigError("a worker process cannot load the model (out of memory, or killed): give fewer --workers.")

    @property
    def _loading(self) -> Loading:
        model = self.model
        path, product = model.origin if isinstance(model, Model) else (model.bundle.path, None)
        return Loading(
            path=path,
            product=product,
            model_id=model.model_id,
            provider=model.runtime.provider,
            threads=model.runtime.threads or max(1, cores() // self.count),
            series=dict(model.opener.catalogue.series),
            whole=self.whole,
        )


class _Waiting(NamedTuple):
    """An image that a process has, and the result that will come."""

    asked: Asked
    lane: int
    future: Future[Seen]


class _Held:
    """What a process of `Workers` keeps from one image to the next."""

    model: Model | Joint | ModelSet
    whole: bool


def _load(loading: Loading) -> None:
    """In the process: load the model, once; leave interrupts to the one that started it, and end with it.

    Raises:
        ModelError: It cannot be loaded, or is another one by now.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()
    readers = registry.load().readers
    _Held.model = load(
        loading.path, product=loading.product, provider=loading.provider, threads=loading.threads, readers=readers
    )
    _Held.model.opener.catalogue.series.update(loading.series)
    _Held.whole = loading.whole
    if _Held.model.model_id != loading.model_id:
        raise ModelError(f"{loading.path}: the model was replaced meanwhile. Repeat the command.")


def _look(one: Asked) -> Seen:
    """In the process: the verdict on an image."""
    seen = one.by(_Held.model)
    if _Held.whole:
        return seen
    return Seen(replace(seen.result, anomaly_map=None, valid=None, comparison=None), None)
