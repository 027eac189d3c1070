"""A bundle as one zip file: packed to the same bytes each time, unpacked within limits, in memory."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from anomalib_lite.errors import ModelError

SUFFIX = ".zip"
MAX_FILES, MAX_TOTAL = 1_000, 2**30
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can state: it says nothing of its making


def pack(contents: Mapping[str, bytes]) -> bytes:
    """Names and contents as a zip file, stored without compression (weights do not shrink)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(contents.items()):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.create_system, entry.external_attr = 3, 0o100644 << 16  # the same bytes on every system
            archive.writestr(entry, data)
    return buffer.getvalue()


def unpack(path: Path) -> dict[str, bytes]:
    """Every file of a zip, in memory: nothing of it is written anywhere.

    Raises:
        ModelError: It is no zip, is damaged or encrypted, holds a name twice, or is larger than a bundle can be.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            names = [entry.filename for entry in entries]
            if len(names) != len(set(names)):
                raise ModelError(f"{path}: holds a file twice. Export the model again.")
            total = sum(entry.file_size for entry in entries)
            if len(names) > MAX_FILES or total > MAX_TOTAL:
                raise ModelError(
                    f"{path}: {len(names):,} files of {total:,} bytes; a bundle has at most {MAX_FILES:,} of "
                    f"{MAX_TOTAL:,}. Export the model again."
                )
            return {entry.filename: archive.read(entry) for entry in entries}
    except ModelError:
        raise
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}). Check its permissions.") from error
    except Exception as error:  # each way of compression has errors of its own for damaged bytes
        raise ModelError(
            f"{path}: is neither a model folder nor a sound zip of one ({error}). Give what `train` or `export` made."
        ) from error
