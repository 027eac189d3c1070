"""The slices of training images, and what of them counts: for the percentiles by which a window is chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from anomalib_lite import Picture
from anomalib_lite.errors import ConfigError, DataError, ErrorCode, ImageError, NotAnImage
from anomalib_lite_medical import sniff
from anomalib_lite_medical.config import DICOM, DicomOptions, NiftiOptions
from anomalib_lite_medical.dicom import gather
from anomalib_lite_medical.dicom import read as read_dicom
from anomalib_lite_medical.nifti import SUFFIXES
from anomalib_lite_medical.nifti import gather as gather_nifti
from anomalib_lite_medical.nifti import read as read_nifti


def slices(
    folder: Path, body: float | str | None, mask: str | None, channels: str, *, suv: bool
) -> Iterator[tuple[str, Picture]]:
    """Each slice below a folder, with the reader's name.

    Args:
        folder: Of training images.
        body: The option of the readers, and so are the others.
        mask: A word.
        channels: Words with commas between them.
        suv: Of DICOM.

    Raises:
        ConfigError: The readers do not take the options.
        DataError: A file cannot be read, or is a mask.
    """
    files = sorted(one for one in folder.rglob("*") if one.is_file())
    volumes = [one for one in files if one.name.endswith(SUFFIXES)]
    of_nifti, of_dicom = _options(body, mask, channels, suv)
    for path, paths in gather_nifti(volumes, of_nifti):
        with _naming(path):
            for _, one in read_nifti(_opened(paths), of_nifti):
                if one.pixels.dtype == np.uint8:
                    raise ImageError("is a mask, and no scan", ErrorCode.WRONG_DTYPE)
                yield "nifti", one
    for _, paths in gather([one for one in files if one.suffix.lower() in DICOM or sniff(_head(one))], of_dicom):
        with _naming(paths[0]):
            found = read_dicom(_opened(paths), of_dicom)
            some = [found] if isinstance(found, Picture) else (one for _, one in found)
            yield from (("dicom", one) for one in some)


def _options(body: Any, mask: str | None, channels: str, suv: bool) -> tuple[Any, Any]:
    """Those of the readers of NIfTI and of DICOM."""
    both: Any = {"body": body, "channels": tuple(word.strip() for word in channels.split(",") if word.strip())}
    try:
        some = NiftiOptions(**both, mask=mask), DicomOptions(**both, suv=suv)
    except ValidationError as error:
        raise ConfigError(f"--body, --mask or --channels: {error.errors()[0]['msg']}.") from error
    return SimpleNamespace(**some[0].model_dump()), SimpleNamespace(**some[1].model_dump())


def _opened(paths: Sequence[Path]) -> list[BinaryIO]:
    """Files in memory, by their names, as the host gives them to readers."""
    found: list[Any] = [BytesIO(path.read_bytes()) for path in paths]
    for file, path in zip(found, paths, strict=True):
        file.name = str(path)
    return found


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(132)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Pass over what holds no picture; of anything else that cannot be read, tell which file it is."""
    try:
        yield
    except NotAnImage:
        return
    except ImageError as error:
        raise DataError(f"{path}: {error}. Leave it out of the training images.") from error


def counted(found: Picture) -> NDArray[Any]:
    """The values of a slice that take part: (n, C)."""
    values = found.pixels
    return np.asarray(values.reshape(-1, values.shape[2]) if found.valid is None else values[found.valid])
