"""A bundle, loaded: from an image to a verdict. This is all that a device calls."""

from __future__ import annotations

import html
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge import bundle, decision, libraries, parts, regions
from anomalib_lite.edge.bundle import Bundle, Key
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.gate import OFF
from anomalib_lite.edge.golden.matching import alignment_failed, not_seen
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import Opened
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture, Pixels
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.edge.intake import Intake, Source, name_of
from anomalib_lite.edge.parts import PartResult
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Measurement, Runtime
from anomalib_lite.errors import ConfigError, ErrorCode, ImageError


class Seen(NamedTuple):
    """The verdict on an image, and the image as it was read; None where it could not be."""

    result: Result
    picture: Picture | None

    @property
    def pixels(self) -> Pixels | None:
        """The image alone."""
        return None if self.picture is None else self.picture.pixels


class Model:
    """An inspection model. `inspect` may be called from several threads at once."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Bundle,
        *,
        provider: str = "cpu",
        threads: int = 0,
        readers: Readers = NO_READERS,
        trust: Key | None = None,
    ) -> None:
        """Load and verify a bundle.

        Args:
            source: The folder that `anomalib-lite train` made, a zip that `export` made, or a bundle loaded already.
            provider: Where onnxruntime runs: `anomalib_lite.edge.sessions.PROVIDERS`.
            threads: For one image; 0 lets onnxruntime choose.
            readers: For file types that the host does not read itself, by suffix: {".dcm": read}. `read` gets an open
                file and returns a `Picture`, or its pixels alone; it is called from every thread that calls `inspect`.
            trust: A public Ed25519 key, as a PEM file or its bytes: a bundle that was not signed with its private key
                is refused before anything else of it is looked at. Needs the extra `sign`. Of a path alone.

        Raises:
            ModelError: The bundle is missing, damaged, altered, too new, or not signed as asked, or a value of its
                manifest makes no sense.
            ConfigError: The provider is not installed or does not start, a library is too old, a reader cannot have its
                suffix, or the key cannot be used.
        """
        libraries.check()
        if isinstance(source, Bundle) and trust is not None:
            raise ConfigError("trust: signatures are checked while a bundle is read: give its path.")
        loaded = source if isinstance(source, Bundle) else bundle.load(Path(source), trust=trust)
        intake = Intake.of(loaded, readers)
        inputs = loaded.manifest.graph.inputs
        self._hold(loaded, intake, Runtime(loaded.graph, intake.framing, inputs, provider=provider, threads=threads))

    @classmethod
    def around(cls, loaded: Bundle, intake: Intake, runtime: Runtime) -> Self:
        """A model whose graph is loaded already."""
        model = cls.__new__(cls)
        model._hold(loaded, intake, runtime)
        return model

    def _hold(self, loaded: Bundle, intake: Intake, runtime: Runtime) -> None:
        self.bundle, self.intake, self.runtime = loaded, intake, runtime
        self.origin: tuple[Path, str | None] = (loaded.path, None)  # what it was loaded from; of a set, which product
        self.thresholds = loaded.manifest.calibration.limits
        gate = loaded.manifest.gate
        self._off = OFF if gate is not None and not gate.enabled else ""
        self._scores = np.array(loaded.manifest.calibration.scores, np.float64)

    @property
    def model_id(self) -> str:
        """First 12 characters of the SHA-256 of the manifest."""
        return self.bundle.model_id

    @property
    def framing(self) -> Framing:
        """How images become inputs of the graph."""
        return self.intake.framing

    @property
    def opener(self) -> Opener:
        """What opens image files for this model."""
        return self.intake.opener

    def _repr_html_(self) -> str:
        """For notebooks: what the model is, and what its thresholds promise."""
        manifest = self.bundle.manifest
        said = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in manifest.calibration.statement)
        return f"<p><b>{html.escape(manifest.detector.name)}</b> {self.model_id}</p><ul>{said}</ul>"

    def inspect(self, image: Source, *, reference: Source | None = None, name: str | None = None) -> Result:
        """Judge one image. Whatever cannot be measured gets the verdict ERROR; nothing is raised for an image.

        Args:
            image: A path, the bytes of an image file (`FileBytes` where a reader has to know its name), or an array
                (H, W, C), RGB where it has three channels, of the model's dtype.
            reference: The golden image, for models that compare: instead of those in the bundle.
            name: What the result calls the image, and what a golden pattern looks at; default: the path. Without a
                path it is called "array", "bytes" or by the name of `FileBytes`, and compared with all golden images.
        """
        return self.look(image, reference=reference, name=name).result

    def look(
        self,
        image: Source,
        *,
        reference: Source | None = None,
        name: str | None = None,
        read: Opened | None = None,
    ) -> Seen:
        """The same, with the image as it was read, so that nobody has to read it again.

        Args:
            image: As of `inspect`, and so on.
            reference: The golden image.
            name: What the result calls the image.
            read: The image, where it was read already.
        """
        started = time.perf_counter()
        result, picture = self._unmeasured(name or type(image).__name__), None
        try:
            result = replace(result, image=name or name_of(image))
            picture = self.intake.read(image) if read is None else self.intake.guarded(image, read)
            height, width = picture.pixels.shape[:2]
            result = replace(result, sha256=picture.sha256, note=_noted(self._off, picture.note), shape=(height, width))
            result = replace(result, seconds=picture.seconds)
            objection = self.intake.objection(image, picture)
            if objection and self.intake.gate is not None and self.intake.gate.refuses:
                raise ImageError(objection, ErrorCode.NOT_ALIKE)
            named = name or (os.fspath(image) if isinstance(image, (str, os.PathLike)) else None)
            goldens = self.intake.candidates(picture, named, reference)
            measurement = self.runtime.measure(picture.pixels, goldens, picture.valid)
            result = replace(result, seen=measurement.seen)
            result = self._judged(result, measurement, (height, width), objection)
        except ImageError as error:
            result = replace(result, error_code=error.code, error=str(error))
        except Exception as error:  # noqa: BLE001 - a line must not pass a part because of a fault of ours
            result = replace(result, error_code=ErrorCode.INTERNAL, error=f"{type(error).__name__}: {error}")
        return Seen(replace(result, ms=1000 * (time.perf_counter() - started)), picture)

    def inspect_part(
        self,
        images: Sequence[Source] | str | os.PathLike[str],
        *,
        part: str | None = None,
        reference: Source | None = None,
    ) -> PartResult:
        """Judge a part once, by all its photographs: `calibration.per` says how.

        Args:
            images: Its photographs, each as `inspect` takes it, in their order; or a path: of a folder with nothing
                else, taken by their names, or of a file that holds them, such as a video or a sound.
            part: What the result calls the part; default: the name of that folder or file, else "part".
            reference: As of `inspect`.

        Raises:
            ConfigError: The model decides on single photographs: its bound is not about parts.
        """
        parts.refuse_photographs(self.bundle.manifest.calibration)
        name = part or "part"
        if isinstance(images, (str, os.PathLike)):
            name, images = part or Path(images).name, self.opener.photographs(Path(images))
        return self.judge(name, [self.inspect(image, reference=reference) for image in images])

    def judge(self, part: str, photographs: Sequence[Result], *, incomplete: str = "") -> PartResult:
        """The verdict on a part by the results of its photographs. Arguments and errors as of `parts.judged`."""
        return parts.judged(part, photographs, self.bundle.manifest.calibration, self.model_id, incomplete=incomplete)

    def refuse(self, name: str, reason: str, code: str = ErrorCode.INTERNAL) -> Result:
        """The result of an image that is not inspected: ERROR, for a reason that is no fault of its file alone."""
        return replace(self._unmeasured(name), error_code=code, error=reason)

    def _unmeasured(self, name: str) -> Result:
        """What is said of an image before it is measured: ERROR, for it stays so if anything goes wrong."""
        return Result(
            image=name,
            time=datetime.now(UTC).isoformat(timespec="milliseconds"),
            verdict=Verdict.ERROR,
            reject_threshold=self.thresholds.reject,
            review_threshold=self.thresholds.review,
            model_id=self.model_id,
            ms=0.0,
            note=self._off,
            map_thresholds=(self.thresholds.map_review, self.thresholds.map_reject),
        )

    def _judged(
        self, result: Result, measurement: Measurement, shape: tuple[int, int], objection: str | None
    ) -> Result:
        """The verdict on a measured image: at least REVIEW where it looks like none of the training."""
        verdict = self._verdict(measurement)
        if objection and verdict is Verdict.OK:
            verdict = Verdict.REVIEW
        return replace(
            result,
            verdict=verdict,
            note=_noted(result.note, objection),
            score=measurement.score,
            p_value=decision.p_value(measurement.score, self._scores, self.bundle.manifest.calibration.refused),
            regions=self._regions(verdict, measurement.anomaly_map, shape),
            anomaly_map=measurement.anomaly_map,
            valid=measurement.valid,
            comparison=measurement.comparison,
        )

    def _verdict(self, measurement: Measurement) -> Verdict:
        """NG is NG, however little was seen; what was not seen all of is not OK.

        Raises:
            ImageError: Too little was seen (`not_seen`), or the verdict depends on which of two poses is the right one.
        """
        verdict, pose = decision.decide(measurement.score, self.thresholds), self.framing.pose
        if measurement.rival is not None and decision.decide(measurement.rival, self.thresholds) is not verdict:
            raise alignment_failed("two poses explain it equally well, and only in one of them it is as good")
        if pose is None or measurement.seen is None or verdict is Verdict.NG or measurement.seen >= pose.least:
            return verdict
        if pose.unseen == "error":
            raise not_seen(measurement.seen, pose.least)
        return Verdict.REVIEW

    def _regions(
        self, verdict: Verdict, anomaly_map: NDArray[np.float32], shape: tuple[int, int]
    ) -> tuple[Region, ...]:
        """Where the image is not good, at the threshold of its verdict; none in an OK image."""
        if verdict not in (Verdict.NG, Verdict.REVIEW):
            return ()
        limit = self.thresholds.map_reject if verdict is Verdict.NG else self.thresholds.map_review
        rules = self.bundle.manifest.regions
        found = regions.find_regions(anomaly_map, decision.above(anomaly_map, limit), *shape, rules)
        if not found and verdict is Verdict.NG:
            return (regions.peak_region(anomaly_map, *shape, rules),)
        return found


def _noted(*notes: str | None) -> str:
    return "; ".join(filter(None, notes))
