"""Where golden images come from: the data set, or the command line; and which of them a model carries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anomalib_lite.data import Sample, digest, some
from anomalib_lite.edge.golden.pairing import MAX_GOLDENS, Goldens
from anomalib_lite.edge.images.readers import NO_READERS, Readers
from anomalib_lite.errors import ConfigError, DataError, ImageError
from anomalib_lite.hookspecs import DetectorInfo

if TYPE_CHECKING:
    from anomalib_lite.training.plan import Request


def collect(
    request: Request, info: DetectorInfo, samples: Sequence[Sample], readers: Readers = NO_READERS
) -> Goldens | None:
    """The golden images that good images are compared with; None where the detector does not compare.

    They are none to be carried where each image brings its own: where the detector does not align, or there are more
    than `MAX_GOLDENS`.

    Args:
        request: What was asked.
        info: The detector.
        samples: Good images.
        readers: For file types that the host does not read itself.

    Raises:
        ConfigError: Golden images for a detector that takes none, or from two sources.
        DataError: There are none, some images have none, or one cannot be read.
    """
    if "reference" not in info.inputs:
        if request.golden or request.golden_pattern or request.simulate:
            raise ConfigError(f"'{info.name}' compares with nothing: leave out --golden, --golden-pattern, --simulate.")
        return None
    without = [sample.name for sample in samples if sample.reference is None]
    if request.golden and len(without) < len(samples):
        raise ConfigError(f"{request.data} names golden images itself: leave out --golden, or that column.")
    if not request.golden and without:
        raise DataError(
            f"{request.data}: no golden image for {some(without, 3)}. Give --golden FILE, a CSV file with the column "
            "'reference', or, where all images are golden ones, --simulate N."
        )
    files = list(request.golden) or _distinct(sample.reference for sample in samples)
    brought = not (request.golden or request.simulate or info.align)
    if brought or (len(files) > MAX_GOLDENS and not request.golden):
        return Goldens({}, readers=readers)
    try:
        return Goldens(_named(files), request.golden_pattern, readers)
    except ImageError as error:
        raise DataError(f"golden image: {error}") from error


def without_goldens(request: Request, samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Samples that are no golden image themselves: compared with itself, an image always scores 0.

    Returns:
        The samples, and a note where some were left out.

    Raises:
        DataError: None is left.
    """
    files = list(request.golden) or _distinct(sample.reference for sample in samples)
    digests = {digest(file) for file in files if file.is_file()}
    golden = {sample.name for sample in samples if sample.path.is_file() and digest(sample.path) in digests}
    if not golden:
        return list(samples), []
    if len(golden) == len(samples):
        raise DataError(
            f"{request.data}: all images are golden ones, and compared with themselves they tell nothing. Give "
            "photographs of other good parts, or --simulate N."
        )
    note = f"left out, since a golden image compared with itself tells nothing: {some(sorted(golden), 3)}"
    return [sample for sample in samples if sample.name not in golden], [note]


def _distinct(files: Iterable[Path | None]) -> list[Path]:
    return list(dict.fromkeys(file for file in files if file is not None))


def _named(files: Sequence[Path]) -> dict[str, Path]:
    """Each file by its own name; files of one name in several folders get a number before it."""
    names = [file.name for file in files]
    return {
        name if names.count(name) == 1 else f"{place}-{name}": file
        for place, (name, file) in enumerate(zip(names, files, strict=True))
    }
