"""A bundle, loaded: from an image to a verdict. This is all that a device calls."""

from __future__ import annotations

import html
import os
import time
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from anomalib_lite.edge import bundle, decision, regions
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict
from anomalib_lite.edge.golden.pairing import Goldens
from anomalib_lite.edge.golden.views import View
from anomalib_lite.edge.images import imaging
from anomalib_lite.edge.images.framing import Framing
from anomalib_lite.edge.images.imaging import File, FileBytes, Picture
from anomalib_lite.edge.images.readers import NO_READERS, Readers, complete
from anomalib_lite.edge.manifest import GoldenRecord, Manifest
from anomalib_lite.edge.regions import Region
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.runtime import Measurement, Runtime
from anomalib_lite.errors import ErrorCode, ImageError, ModelError

Source: TypeAlias = File | NDArray[np.generic]

ROI = "roi.png"


class Model:
    """An inspection model. `inspect` may be called from several threads at once."""

    def __init__(
        self,
        source: str | os.PathLike[str] | Bundle,
        *,
        provider: str = "cpu",
        threads: int = 0,
        readers: Readers = NO_READERS,
    ) -> None:
        """Load and verify a bundle.

        Args:
            source: The folder that `anomalib-lite train` made, a zip that `export` made, or a bundle loaded already.
            provider: Where onnxruntime runs: `anomalib_lite.edge.runtime.PROVIDERS`.
            threads: For one image; 0 lets onnxruntime choose.
            readers: For file types that the host does not read itself, by suffix: {".dcm": read}. `read` gets an open
                file and returns (H, W, C), uint8 or uint16; it is called from every thread that calls `inspect`.

        Raises:
            ModelError: The bundle is missing, damaged, altered or too new, or a value of its manifest makes no sense.
            ConfigError: The provider is not installed or does not start, or a reader cannot have its suffix.
        """
        self.bundle = source if isinstance(source, Bundle) else bundle.load(Path(source))
        manifest = self.bundle.manifest
        self.framing = framing(manifest, self.bundle.read(ROI) if manifest.framing.roi else None)
        self.thresholds = manifest.calibration.limits
        self._scores = np.array(manifest.calibration.scores, np.float64)
        self.readers = complete(readers, manifest.readers)
        self.goldens = goldens(manifest, self.bundle, self.readers)
        self.runtime = Runtime(
            self.bundle.graph, self.framing, manifest.graph.inputs, provider=provider, threads=threads
        )

    @property
    def model_id(self) -> str:
        """First 12 characters of the SHA-256 of the manifest."""
        return self.bundle.model_id

    def _repr_html_(self) -> str:
        """For notebooks: what the model is, and what its thresholds promise."""
        manifest = self.bundle.manifest
        said = "".join(f"<li>{html.escape(sentence)}</li>" for sentence in manifest.calibration.statement)
        return f"<p><b>{html.escape(manifest.detector.name)}</b> {self.model_id}</p><ul>{said}</ul>"

    def inspect(self, image: Source, *, reference: Source | None = None, name: str | None = None) -> Result:
        """Judge one image. Whatever cannot be measured gets the verdict ERROR; nothing is raised for an image.

        Args:
            image: A path, the bytes of an image file (`FileBytes` where a reader has to know its name), or an array
                (H, W, C), RGB, of the model's dtype.
            reference: The golden image, for models that compare: instead of those in the bundle.
            name: What the result calls the image, and what a golden pattern looks at; default: the path. Without a
                path it is called "array", "bytes" or by the name of `FileBytes`, and compared with all golden images.
        """
        started = time.perf_counter()
        known: dict[str, Any] = {
            "image": name or type(image).__name__,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "model_id": self.model_id,
            "reject_threshold": self.thresholds.reject,
            "review_threshold": self.thresholds.review,
            "map_thresholds": (self.thresholds.map_review, self.thresholds.map_reject),
        }
        try:
            known["image"] = name or _name(image)
            picture = imaging.read(image, readers=self.readers)
            known |= {"sha256": picture.sha256, "note": picture.note, "shape": picture.pixels.shape[:2]}
            named = name or (os.fspath(image) if isinstance(image, (str, os.PathLike)) else None)
            measurement = self.runtime.measure(picture.pixels, self.candidates(reference, named))
            known |= self._judge(picture, measurement)
        except ImageError as error:
            known |= {"verdict": Verdict.ERROR, "error_code": error.code, "error": str(error)}
        except Exception as error:  # noqa: BLE001 - a line must not pass a part because of a fault of ours
            known |= {
                "verdict": Verdict.ERROR,
                "error_code": ErrorCode.INTERNAL,
                "error": f"{type(error).__name__}: {error}",
            }
        return Result(**known, ms=1000 * (time.perf_counter() - started))

    def candidates(self, reference: Source | None = None, name: str | None = None) -> list[View]:
        """What an image is compared with: `reference`, or else the bundle's golden images, by the image's name.

        Raises:
            ImageError: `reference` cannot be read, or no golden image has the name that the pattern asks for.
        """
        if reference is not None:
            return [View(imaging.read(reference, readers=self.readers).pixels)]
        return self.goldens.candidates(name)

    def _judge(self, picture: Picture, measurement: Measurement) -> dict[str, Any]:
        verdict = decision.decide(measurement.score, self.thresholds)
        return {
            "verdict": verdict,
            "score": measurement.score,
            "p_value": decision.p_value(measurement.score, self._scores),
            "regions": self._regions(verdict, measurement.anomaly_map, picture.pixels.shape[:2]),
            "anomaly_map": measurement.anomaly_map,
            "valid": measurement.valid,
            "comparison": measurement.comparison,
        }

    def _regions(
        self, verdict: Verdict, anomaly_map: NDArray[np.float32], shape: tuple[int, ...]
    ) -> tuple[Region, ...]:
        """Where the image is not good, at the threshold of its verdict; none in an OK image."""
        if verdict not in (Verdict.NG, Verdict.REVIEW):
            return ()
        limit = self.thresholds.map_reject if verdict is Verdict.NG else self.thresholds.map_review
        found = regions.find_regions(anomaly_map, decision.above(anomaly_map, limit), shape[0], shape[1])
        if not found and verdict is Verdict.NG:
            return (regions.peak_region(anomaly_map, shape[0], shape[1]),)
        return found


def framing(manifest: Manifest, roi: bytes | None) -> Framing:
    """How a model's images are framed, from its manifest and the bytes of its region of interest."""
    record = manifest.framing
    return Framing(
        spec=manifest.image,
        mode=record.mode,
        overlap=record.overlap,
        convert=record.convert,
        source=record.source,
        roi=None if roi is None else region_of_interest(roi),
        align=record.align,
    )


def goldens(manifest: Manifest, files: Bundle, readers: Readers = NO_READERS) -> Goldens:
    """The golden images that a bundle carries.

    Raises:
        ModelError: One of them cannot be read, or needs a reader that is not here.
    """
    record = manifest.reference or GoldenRecord(files=())
    try:
        sources = {PurePosixPath(one).name: files.read(one) for one in record.files}
        return Goldens(sources, record.pattern, readers)
    except ImageError as error:
        if error.code == ErrorCode.NO_READER:
            raise ModelError(f"{files.path}: its golden images cannot be read here. {error}.") from error
        raise ModelError(f"{files.path}: a golden image is damaged: {error}. Restore the bundle.") from error


def region_of_interest(source: Source) -> NDArray[np.bool_]:
    """A mask image as (H, W) bool: True where any channel is not 0.

    Raises:
        ImageError: It cannot be read, or excludes everything.
    """
    inside: NDArray[np.bool_] = np.any(imaging.read(source).pixels, axis=2)
    if not inside.any():
        raise ImageError(
            "the region of interest is empty: paint what is to be inspected in any value but 0", ErrorCode.EMPTY
        )
    return inside


def _name(image: Source) -> str:
    if isinstance(image, FileBytes):
        return image.name
    if isinstance(image, (str, os.PathLike)):
        return os.fspath(image)
    return "bytes" if isinstance(image, bytes) else "array"
