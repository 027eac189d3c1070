"""Where the results of `predict` go: rows, heat maps, the files of writers, verdicts on parts, and a report."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from anomalib_lite.data import absolute
from anomalib_lite.edge.copies import FOLDER, Copies
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.joint import Joint
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.modelset import ModelSet
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.results import Result, ResultWriter
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline import parts, result_folder
from anomalib_lite.pipeline.inputs import Chosen, common_root
from anomalib_lite.pipeline.parts import Collected
from anomalib_lite.pipeline.result_folder import HEATMAP, PART, POSITION, PRODUCT
from anomalib_lite.pipeline.shards import Work
from anomalib_lite.pipeline.written import Writing
from anomalib_lite.report.heatmaps import write_heatmap
from anomalib_lite.report.joint import InspectedParts
from anomalib_lite.report.product_set import InspectedProducts
from anomalib_lite.report.writing import Inspected


class Heatmaps(StrEnum):
    """Which images get a heat map: those that are NG, those that are not OK, or all that could be measured."""

    NG = "ng"
    REVIEW = "review"
    ALL = "all"

    @property
    def verdicts(self) -> set[Verdict]:
        """The verdicts of these images."""
        others = {"ng": (), "review": (Verdict.REVIEW,), "all": (Verdict.REVIEW, Verdict.OK)}
        return {Verdict.NG, *others[self]}


@dataclass
class Saving:
    """What is written of each image; nothing without a folder."""

    model: Model | Joint | ModelSet
    out: Path | None
    heatmaps: Heatmaps | None
    writing: Sequence[Writing]
    divided: bool  # whether these are a share of the images: each row tells its place among all
    root: Path | None = None  # what the names of pictures are relative to
    by_parts: bool = False
    report: bool = True
    copied: Collection[Verdict] = ()  # whose images are copied to OUT/copies, with what is said of them
    parts: Collected | None = field(init=False)  # none of a set
    _rows: ResultWriter = field(init=False)
    _report: Inspected | InspectedParts | InspectedProducts = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is collected yet."""
        self.parts = None if isinstance(self.model, ModelSet) else Collected(self.model)

    def refuse(self, *, overwrite: bool) -> None:
        """Raise where files would be written, and no folder is named, or one that may not be written to.

        Raises:
            ConfigError: This is so.
            DataError: The folder is a model's.
        """
        written = {f"--write {one.info.name}": True for one in self.writing}
        given = {"--heatmaps": self.heatmaps, **written, "--shard": self.divided, "--copy": self.copied}
        for option, asked in given.items():
            if asked and self.out is None:
                raise ConfigError(f"{option} needs a folder to write to: add --out DIR.")
        result_folder.refuse_existing(self.out, overwrite=overwrite)

    def of(self, images: Sequence[Chosen], group: str | None, reference: Path | None) -> None:
        """Know the images: where they lie, and whether their parts are judged. Errors as of `parts.refuse`.

        Raises:
            ConfigError: Some are of the earlier result that is replaced.
        """
        result_folder.refuse_own(self.out, [reference, *(path for one in images for path in (one.path, one.reference))])
        self.root, self.by_parts = common_root(images), parts.refuse(self.model, images, group)

    def work(self, images: Sequence[Chosen], **options: Any) -> Work:
        """What all shares have in common, with these options."""
        writers = [one.info.name for one in self.writing]
        return Work(self.model.model_id, images, heatmaps=self.heatmaps, writers=writers, **options)

    @contextmanager
    def begun(self) -> Iterator[None]:
        """Begin rows and a report; end them, unless something fails.

        Raises:
            DataError: They cannot be written.
        """
        of_set = isinstance(self.model, ModelSet)
        wanted = {PART: self.by_parts, PRODUCT: of_set, POSITION: self.divided}
        written = result_folder.written([one.info.name for one in self.writing])
        also = [HEATMAP, *written, *(name for name, asked in wanted.items() if asked)]
        report = _report(self.model, self.out if self.report else None)
        with ResultWriter(self.out, also) as self._rows:
            with report as self._report:
                yield
            for one in self.writing:
                one.finish()

    def add(self, place: int, image: Chosen, seen: Seen) -> None:
        """One more image, with its place among all.

        Raises:
            DataError: The disk does not take it.
            PluginError: A writer fails.
        """
        shown = self.out and self.heatmaps and seen.result.verdict in self.heatmaps.verdicts
        picture = result_folder.place(self.out, image.path, self.root) if self.out and shown else None
        more: list[str | int | None] = [picture]
        more += [one(seen, image.path, self.root, self.out) if self.out else None for one in self.writing]
        more += [image.part] if self.by_parts else []
        more += [seen.result.member] if isinstance(self.model, ModelSet) else []
        self._rows.write(seen.result, *more, *([place] if self.divided else []))
        self._copy(image, seen.result)
        if self.parts is not None:
            self.parts.add(image.part if self.by_parts else None, seen.result)
        self._report.add(seen.result, seen.pixels)
        if self.out and picture and seen.pixels is not None:
            write_heatmap(self._judge(seen.result), seen.result, seen.pixels, self.out / picture)

    def _judge(self, result: Result) -> Model:
        """The model whose map a result has."""
        if isinstance(self.model, Joint):
            return self.model.members[result.member]
        return self.model.product(result.member) if isinstance(self.model, ModelSet) else self.model

    def _copy(self, image: Chosen, result: Result) -> None:
        """Copy the file of an image, and write what is said of it beside the copy.

        Raises:
            DataError: The disk does not take it.
        """
        if self.out is None or result.verdict not in self.copied:
            return
        path = absolute(image.path)
        name = path.relative_to(self.root) if self.root else Path(path.name)
        alone = image.path.is_file()  # and not one of several images of a file
        holder = None if alone else self.model.opener.file_of(os.fspath(image.path))
        try:
            Copies(self.out / FOLDER, self.copied).take(
                Path(holder or image.path), result.verdict, name.as_posix(), result.row()
            )
        except OSError as error:
            raise DataError(
                f"{self.out / FOLDER}: {image.path} cannot be copied ({error.strerror or error}). The rows so far are "
                "complete; make room, and judge the rest again."
            ) from error

    def judged(self, each: Callable[[PartResult], None]) -> Counter[Verdict] | None:
        """How many parts got which verdict, told one by one; None where there is none.

        Raises:
            DataError: The disk does not take them.
        """

        def told(result: PartResult) -> None:
            if isinstance(self._report, InspectedParts):
                self._report.add_part(result)
            each(result)

        return None if self.parts is None else self.parts.judged(self.out, told)


def _report(model: Model | Joint | ModelSet, out: Path | None) -> Inspected | InspectedParts | InspectedProducts:
    if isinstance(model, ModelSet):
        return InspectedProducts(model, out)
    return InspectedParts(model, out) if isinstance(model, Joint) else Inspected(model, out)
