"""A joint model, loaded: the photographs of a part go to the members of their views, and the part gets one verdict."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import numpy as np

from anomalib_lite.edge import bundle, combining, decision
from anomalib_lite.edge.bundle import JointBundle, Key
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.readers import NO_READERS, Readers, told
from anomalib_lite.edge.intake import Source, name_of
from anomalib_lite.edge.manifest import ONCE, MemberRecord, ReaderRecord
from anomalib_lite.edge.model import Model, Seen
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.parts import joined as of_part
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Runtime
from anomalib_lite.errors import ConfigError, ErrorCode, ModelError


class Joint:
    """Several models that decide once for a part. `inspect_part` may be called from several threads at once."""

    def __init__(
        self,
        source: str | os.PathLike[str] | JointBundle,
        *,
        provider: str = "cpu",
        threads: int = 0,
        readers: Readers = NO_READERS,
        trust: Key | None = None,
    ) -> None:
        """Load and verify a joint bundle, as `fuse` makes it. Arguments and errors as of `Model`."""
        if isinstance(source, JointBundle) and trust is not None:
            raise ConfigError("trust: signatures are checked while a bundle is read: give its path.")
        loaded = source if isinstance(source, JointBundle) else bundle.load_any(Path(source), trust=trust)
        if not isinstance(loaded, JointBundle):
            raise ModelError(f"{loaded.path}: is one model, not a joint one: load it with anomalib_lite.edge.Model.")
        self.bundle = loaded
        self.members = {
            name: Model(one, provider=provider, threads=threads, readers=readers)
            for name, one in loaded.members.items()
        }
        self.thresholds = loaded.manifest.calibration.limits
        self.opener = shared_opener(list(self.members.values()))
        self._pattern = re.compile(loaded.manifest.pattern)
        self._records = {one.name: one for one in loaded.manifest.members}
        self._scores = np.array(loaded.manifest.calibration.scores, np.float64)

    @property
    def model_id(self) -> str:
        """First 12 characters of the SHA-256 of the manifest."""
        return self.bundle.model_id

    @property
    def runtime(self) -> Runtime:
        """That of the first member: all run by the same provider, with as many threads."""
        return next(iter(self.members.values())).runtime

    @property
    def views(self) -> tuple[str, ...]:
        """What a part is photographed in: the keys that `inspect_part` takes."""
        return self.bundle.manifest.views

    def view_of(self, name: str) -> str | None:
        """The view that an image of this name shows, the only one where there is one; None where no name tells it."""
        if len(self.views) == 1:
            return self.views[0]
        found = self._pattern.search(unicodedata.normalize("NFC", PurePath(name).as_posix()))
        return found[1] if found and found[1] in self.views else None

    def inspect_part(
        self,
        images: str | os.PathLike[str] | Mapping[str, Source | Sequence[Source]] | Sequence[Source],
        *,
        part: str | None = None,
    ) -> PartResult:
        """Judge a part once, by all its photographs. Nothing is raised for an image.

        Args:
            images: The photographs of each view, one or several, as `Model.inspect` takes them: {"top": "top.png",
                "side": ["side1.png", "side2.png"]}; of a folder or a recording all its images count. Or a list of
                files, or a folder of them, whose names tell their views.
            part: What the result calls it; default: the name of the folder, or "part".

        Raises:
            ConfigError: There is no such view.
        """
        name = part or "part"
        if isinstance(images, (str, os.PathLike)):
            name, images = part or Path(images).name, self.opener.photographs(Path(images))
        if isinstance(images, Mapping):
            if strange := [view for view in images if view not in self.views]:
                raise ConfigError(f"there is no view '{strange[0]}' in this model: it has {', '.join(self.views)}.")
            given: list[tuple[str | None, Source]] = [
                (view, image) for view, several in images.items() for image in _several(several)
            ]
        else:
            given = [(self.view_of(name_of(image)), image) for image in images]
        return self.judge(
            name, [self.look(one, view=view).result for view, image in given for one in self._images(image)]
        )

    def inspect(self, image: Source, *, reference: Source | None = None, name: str | None = None) -> Result:
        """What a member says of one photograph: no verdict on the part. See `look`."""
        return self.look(image, reference=reference, name=name).result

    def look(
        self, image: Source, *, reference: Source | None = None, name: str | None = None, view: str | None = None
    ) -> Seen:
        """What the member that judges a view says of a photograph of it, by its own thresholds.

        Of several members, the one to which it is the strangest; the others are in `Result.others`, without maps. An
        image that shows no view is ERROR.

        Args:
            image: As `Model.inspect` takes it.
            reference: As there.
            name: What the result calls the image, and what tells its view where that is not given; if it does not, the
                path does.
            view: What it shows.
        """
        called = name or name_of(image)
        view = view or self.view_of(called) or self.view_of(name_of(image))  # the folder that was given may tell it
        judging = [one for one in self._records.values() if one.view == view]
        if not judging:
            said = f"{called}: shows none of the views {', '.join(self.views)} by its name"
            return Seen(self.refuse(called, said, ErrorCode.INCOMPLETE_PART), None)
        seen = [self._seen(one, image, reference, name) for one in judging]
        first, *others = sorted(seen, key=lambda one: self._distance(one.result), reverse=True)
        bare = [replace(one.result, anomaly_map=None, valid=None, comparison=None) for one in others]
        return first._replace(result=replace(first.result, others=tuple(bare)))

    def judge(self, part: str, photographs: Sequence[Result], *, incomplete: str = "") -> PartResult:
        """The verdict on a part of which the results of `inspect` are there.

        What could not be measured makes the part ERROR; only where the largest number decides, one that is above the
        threshold makes it NG whatever the others are.

        Args:
            part: What the result calls it.
            photographs: The results.
            incomplete: Why these are not the photographs of one whole part, which is ERROR then.
        """
        manifest, limits = self.bundle.manifest, self.thresholds
        result = PartResult(part, Verdict.ERROR, tuple(photographs), limits.reject, limits.review, self.model_id)
        every = [one for photograph in photographs for one in (photograph, *photograph.others)]
        told = {self._records[one.member].view for one in every if one.member}
        lacking = [view for view in manifest.views if view not in told]
        if incomplete or not told or (lacking and manifest.lacking == "error"):
            why = incomplete or f"{part}: no photograph of {_named(lacking)}"
            return replace(result, error_code=ErrorCode.INCOMPLETE_PART, error=why)
        failed = [one for one in every if one.score is None]
        said = combining.numbers(manifest.combined, self._scores_of(every), manifest.members)
        score = combining.joined(manifest.combined, said, manifest.members) if said else -np.inf
        certain = manifest.combined == "maximum" and decision.decide(score, limits) is Verdict.NG
        if failed and not certain:
            why = f"{len(failed)} of {len(every)} photographs could not be measured: {failed[0].error}"
            return replace(result, error_code=failed[0].error_code, error=why)
        return replace(
            result,
            verdict=decision.decide(score, limits),
            score=score,
            p_value=decision.p_value(score, self._scores, manifest.calibration.refused),
            members=said,
            note="; ".join([*self._unlike(every), *self._without(lacking)]),
        )

    def refuse(self, name: str, reason: str, code: str = ErrorCode.INTERNAL) -> Result:
        """The result of an image that is not inspected: ERROR, for a reason that is no fault of its file alone."""
        first = next(iter(self.members.values()))
        return replace(first.refuse(name, reason, code), model_id=self.model_id)

    def _seen(self, record: MemberRecord, image: Source, reference: Source | None, name: str | None) -> Seen:
        seen = self.members[record.name].look(image, reference=reference, name=name)
        return seen._replace(result=replace(seen.result, member=record.name))

    def _distance(self, result: Result) -> float:
        """In units of the member; what could not be measured is told before all."""
        unit = combining.Unit.of(self._records[result.member].values)
        return np.inf if result.score is None else unit.distance(result.score)

    def _images(self, image: Source) -> Sequence[Source]:
        """The images of a folder or of a recording; anything else as it is."""
        if not isinstance(image, (str, os.PathLike)) or self.opener.file_of(os.fspath(image)):
            return [image]
        return self.opener.photographs(Path(image))

    def _scores_of(self, every: Sequence[Result]) -> dict[str, float]:
        """What each member scores the part; none of a member that decides once and has not measured all of it."""
        found = {}
        for name, model in self.members.items():
            how = model.bundle.manifest.calibration.joining
            own = [one for one in every if one.member == name]
            scores = [one.score for one in own if one.score is not None]
            if scores and (len(scores) == len(own) or how.per not in ONCE):
                found[name] = of_part(scores, how)
        return found

    def _unlike(self, every: Sequence[Result]) -> list[str]:
        """What is to be said where a view was photographed otherwise than in the calibration."""
        said = []
        for record in {one.view: one for one in self._records.values()}.values():
            number, known = sum(one.member == record.name for one in every), record.photographs
            if number and not (known.min or 1) <= number <= known.max:
                times = f"{known.max}" if known.min == known.max else f"{known.min or 1} to {known.max}"
                said.append(f"{number} photographs of {record.view}, the bound is about parts with {times}")
        return said

    def _without(self, lacking: Sequence[str]) -> list[str]:
        return [f"judged without {_named(lacking)}: what only it shows was not looked for"] if lacking else []


def load(
    source: str | os.PathLike[str], *, provider: str = "cpu", threads: int = 0, readers: Readers = NO_READERS,
    trust: Key | None = None,
) -> Model | Joint:  # fmt: skip
    """Load a bundle of either kind. Arguments and errors as of `Model`."""
    loaded = bundle.load_any(Path(source), trust=trust)
    if isinstance(loaded, JointBundle):
        return Joint(loaded, provider=provider, threads=threads, readers=readers)
    return Model(loaded, provider=provider, threads=threads, readers=readers)


def shared_opener(models: Sequence[Model]) -> Opener:
    """What finds the files of several models; each opens those that it judges, and knows what was found.

    Raises:
        ConfigError: Two were made with the same reader and other options, so that a file holds other images for each.
    """
    readers = {suffix: read for one in models for suffix, read in one.opener.readers.items()}
    refuse_other_readers((str(one.bundle.path), one.bundle.manifest.readers) for one in models)
    for one in models:  # what a model was made with goes before what others would read by default
        readers |= {known.suffix: one.opener.readers[known.suffix] for known in one.bundle.manifest.readers}
    found = Opener(readers, max((one.opener.limits for one in models), key=lambda limits: limits.pixels))
    for model in models:
        model.intake = replace(model.intake, opener=replace(model.opener, catalogue=found.catalogue))
    return found


def refuse_other_readers(models: Iterable[tuple[str, Sequence[ReaderRecord]]]) -> None:
    """Raise where two of several models were made with the same reader and other options.

    Args:
        models: What each is called in messages, and the readers that it was made with.

    Raises:
        ConfigError: So that a file holds other images for each.
    """
    made: dict[str, tuple[str, ReaderRecord]] = {}
    for name, readers in models:
        for known in readers:
            other, before = made.setdefault(known.suffix, (name, known))
            if before.options != known.options:
                raise ConfigError(
                    f"{name}: was made with other options of the reader of '{known.suffix}' files "
                    f"({told(known.options, before.options)}) than {other} ({told(before.options, known.options)}), so "
                    "that a file holds other images for each of them. Train both with the same options, or keep them "
                    "apart."
                )


def _several(images: Source | Sequence[Source]) -> Sequence[Source]:
    return images if isinstance(images, (list, tuple)) else [images]  # type: ignore[list-item]


def _named(views: Sequence[str]) -> str:
    return ", ".join(f"'{view}'" for view in views)
