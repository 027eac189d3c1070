"""Where golden images come from, the data set or the command line, and which of them a model carries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from anomalib_lite.data.samples import DataSet, count, some
from anomalib_lite.data.splits import digest
from anomalib_lite.data.survey import Looked
from anomalib_lite.edge.golden.goldens import Goldens
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.errors import ConfigError, DataError, ImageError


def refuse_without(dataset: DataSet, given: Sequence[Path]) -> None:
    """Raise unless each good image has a golden one, from one source.

    Args:
        dataset: Good images.
        given: Golden images of the command line.

    Raises:
        ConfigError: There are some from two sources.
        DataError: There are none, or some images have none.
    """
    without = [sample.name for sample in dataset.samples if sample.reference is None]
    if given and len(without) < len(dataset.samples):
        raise ConfigError(f"{dataset.root} names golden images itself: leave out --golden, or that column.")
    if not given and without:
        raise DataError(
            f"{dataset.root}: no golden image for {some(without, 3)}. Give --golden FILE, a CSV file with the column "
            "'reference', or, where all images are golden ones, --simulate N."
        )


def carried(files: Sequence[Path], pattern: str | None, opener: Opener) -> Goldens:
    """The golden images that the model will carry.

    Args:
        files: They.
        pattern: Which of them an image is compared with: see `edge.golden.goldens.Goldens`.
        opener: Opens them.

    Raises:
        DataError: One cannot be read.
    """
    try:
        return Goldens(_named(files), pattern, opener)
    except ImageError as error:
        raise DataError(f"golden image: {error}") from error


def carriage(carried: Sequence[Path], named: Sequence[Path]) -> list[str]:
    """Say which golden images travel with the model, and which do not.

    Args:
        carried: The model will carry these.
        named: All that the data set names, for tests, too.
    """
    travelling = set(carried)
    left = [file.name for file in named if file not in travelling]
    notes = [f"the model carries {count(len(carried), 'golden image')}: {some([one.name for one in carried])}"]
    if left:
        notes.append(
            f"it does not carry {count(len(left), 'golden image')} that only test rows name: {some(left)}. Where such "
            "images are inspected later, give --carry all"
        )
    return notes


def without_goldens(dataset: DataSet, looked: Looked, given: Sequence[Path]) -> tuple[Looked, list[str]]:
    """Images that are no golden one themselves: compared with itself, an image always scores 0.

    Args:
        dataset: Where they are from.
        looked: Good images, with what was seen of them.
        given: Golden images of the command line.

    Returns:
        The images, and a note where some were left out.

    Raises:
        DataError: None is left.
    """
    digests = {digest(file) for file in given if file.is_file()} | {facts[1].sha256 for _, facts in looked if facts[1:]}
    golden = {sample.name for sample, facts in looked if facts[0].sha256 in digests}
    if not golden:
        return looked, []
    if len(golden) == len(looked):
        raise DataError(
            f"{dataset.root}: all images are golden ones, and compared with themselves they tell nothing. Give "
            "photographs of other good parts, or --simulate N."
        )
    note = f"left out, since a golden image compared with itself tells nothing: {some(sorted(golden), 3)}"
    return [(sample, facts) for sample, facts in looked if sample.name not in golden], [note]


def distinct(files: Iterable[Path | None]) -> list[Path]:
    """Each file once, in order."""
    return list(dict.fromkeys(file for file in files if file is not None))


def _named(files: Collection[Path]) -> dict[str, Path]:
    """Each file by its own name; files of one name in several folders get a number before it."""
    names = Counter(file.name for file in files)
    return {file.name if names[file.name] == 1 else f"{place}-{file.name}": file for place, file in enumerate(files)}
