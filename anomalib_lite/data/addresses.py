"""Images in object stores, such as s3://bucket/folder: listed, and fetched one by one, with `fsspec`.

How a store is reached, and who asks, is what its own package finds: AWS_ENDPOINT_URL, a profile, the role of a machine.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomalib_lite.data.samples import count, some
from anomalib_lite.edge.images.readers import HEAD, tells_nothing
from anomalib_lite.errors import DataError, ErrorCode, ImageError, MissingExtra

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # of two letters at least: C:// is a drive
PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
}
PASSWORD = re.compile(r"[^/?\[]*:(?!\d*(/|\Z))[^@]*@")  # behind the scheme; host:80/a@b has none
WEB = ("http", "https")
SUFFIX = re.compile(r"(\.\w{1,16}){0,2}\Z", re.ASCII)  # what readers know a file by: .nii.gz
ESCAPES = str.maketrans({"%": "%25", "\\": "%5C", ":": "%3A"})  # what would lead elsewhere on Windows
DOTS = {"": "%", ".": "%2E", "..": "%2E%2E"}  # parts of an address that are no names of files
_HIDDEN = re.compile(r"\.").match
TRIES = 3  # of an object that changes while it is read
AHEAD = 8  # objects that are fetched while one is judged


def is_address(text: str) -> bool:
    """Whether a text is an address, and no path."""
    return ADDRESS.match(text) is not None


def refuse_secrets(address: str) -> None:
    """Raise where an address tells who asks: addresses are written to rows and reports.

    Raises:
        DataError: It holds a password or a query; the message repeats neither.
    """
    protocol, _, rest = address.partition("://")
    password = PASSWORD.match(rest)
    if password is None and "?" not in rest:
        return
    host = "..." if password else re.split("[/?]", rest, maxsplit=1)[0]
    raise DataError(
        f"{protocol}://{host}: this address holds a password or a query ('?'), which would be written to every row. "
        "Give it without, and let the package of the store find who asks, such as in a profile; or copy the images "
        "here."
    )


@dataclass(frozen=True, slots=True)
class Remote:
    """One object: its address, what its content had as a mark when it was listed, and where its siblings lie."""

    address: str
    root: str  # the address that was asked for: where it is gone, everything is
    stamp: str | None = None  # None where it was not listed

    @property
    def path(self) -> Path:
        """What files about it are called by: each part of the address by a name that leads nowhere else."""
        protocol, _, rest = self.address.partition("://")
        parts = [DOTS.get(part, part.translate(ESCAPES)) for part in rest.split("/")]
        return Path(protocol, *parts)

    @property
    def file(self) -> str:
        """The name of the file that it is fetched to: another one for each address, on disks that know no case, too."""
        suffix = SUFFIX.search(self.address.rpartition("/")[2])
        return hashlib.sha256(self.address.encode("utf-8", "surrogatepass")).hexdigest() + (suffix[0] if suffix else "")


def listed(
    address: str, is_image: Callable[[str], bool], knows: Callable[[str, bytes], bool] = lambda name, head: False,
    told: Callable[[str], None] = lambda line: None,
) -> list[Remote]:  # fmt: skip
    """The objects below an address, by their names; of an object, itself.

    Args:
        address: Of a folder or an object.
        is_image: Tells by its name whether an object of a folder is one. Hidden ones are passed over.
        knows: Tells it by its name and its first bytes, where the name has no suffix.
        told: Gets a line on what is passed over.

    Raises:
        MissingExtra: The package for this kind of store is not installed.
        DataError: Nothing is there, access is refused, or the store does not answer; or the address holds a secret.
    """
    refuse_secrets(address)
    system, path = opened(address)
    try:
        if system.isfile(path):
            return [Remote(address, _above(address), _stamp(system.info(path)))]
        found = system.find(path, detail=True)
    except Exception as error:  # whatever a store's package raises
        raise DataError(unreachable(address, error)) from error
    prefix = path.rstrip("/") + "/"
    inside = {name: info for name, info in found.items() if name.startswith(prefix)}
    shown = [name for name in sorted(inside) if not any(map(_HIDDEN, name.removeprefix(prefix).split("/")))]
    asked = [name for name in shown if not is_image(name) and tells_nothing(name) and inside[name].get("size") != 0]
    with ThreadPoolExecutor(AHEAD) as pool:
        heads = dict(zip(asked, pool.map(lambda name: _head(system, name), asked), strict=True))
    images = [name for name in shown if is_image(name) or (name in heads and knows(name, heads[name]))]
    if not images:
        seen = f"of {len(inside):,} objects none is an image" if inside else "nothing is there"
        raise DataError(f"{address}: {seen}. Give the address of a folder with images, or of a list of them.")
    if others := sorted({*shown} - {*images}):
        told(
            f"{count(len(others), 'object')} passed over, no images: {some([one.rpartition('/')[2] for one in others])}"
        )
    root = system.unstrip_protocol(path)
    return [Remote(system.unstrip_protocol(name), root, _stamp(inside[name])) for name in images]


def _head(system: Any, name: str) -> bytes:
    """The first bytes of an object.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return bytes(system.cat_file(name, start=0, end=HEAD))
    except Exception as error:  # whatever a store's package raises
        raise DataError(unreachable(system.unstrip_protocol(name), error)) from error


def content(address: str) -> bytes:
    """An object whole.

    Raises:
        MissingExtra: The package for this kind of store is not installed.
        DataError: It is not there, access is refused, or the store does not answer; or the address holds a secret.
    """
    refuse_secrets(address)
    system, path = opened(address)
    try:
        return bytes(system.cat_file(path))
    except Exception as error:  # whatever a store's package raises
        raise DataError(unreachable(address, error)) from error


def fetched(objects: Iterable[Remote], folder: Path) -> Iterator[Path | ImageError]:
    """The files that objects become below a folder, in their order, a few ahead of who takes them; or why not.

    Raises:
        DataError: Their store cannot be reached any more, or refuses all of them; or the disk does not take them.
    """
    waiting: deque[Future[Path | ImageError]] = deque()
    with ThreadPoolExecutor(AHEAD) as pool:
        try:
            for one in objects:
                waiting.append(pool.submit(_fetched, one, folder))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def _fetched(one: Remote, folder: Path) -> Path | ImageError:
    target = folder / one.file
    try:
        data = _read(one)
    except ImageError as error:
        return error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    except OSError as error:
        raise DataError(f"{one.address}: cannot be kept in {folder} ({error.strerror}). Make room there.") from error
    return target


def _read(one: Remote) -> bytes:
    """The content of an object, all of it of one time.

    Raises:
        ImageError: It is missing, cannot be read, or changes each time that it is read.
        DataError: Its store is gone, or refuses everything.
    """
    system, path = opened(one.address)
    try:
        stamp = one.stamp or _now(system, path)
        for _ in range(TRIES):
            data, before = bytes(system.cat_file(path)), stamp
            stamp = _now(system, path)
            if stamp == before:
                return data
    except Exception as error:  # whatever a store's package raises
        answered = one.address.partition("://")[0] in WEB and isinstance(error, FileNotFoundError)  # it lists no root
        if not answered and not _is_there(one.root):
            raise DataError(unreachable(one.root, error)) from error
        code = ErrorCode.MISSING if isinstance(error, FileNotFoundError) else ErrorCode.UNREADABLE
        raise ImageError(f"{one.address}: cannot be read ({_reason(error)})", code) from error
    raise ImageError(f"{one.address}: changes while it is read, {TRIES} times", ErrorCode.UNREADABLE)


def _now(system: Any, path: str) -> str:
    more = {} if path.partition("://")[0] in WEB else {"refresh": True}  # of the web nothing is kept
    return _stamp(system.info(path, **more))


def _stamp(info: Any) -> str:
    """What changes with the content of an object: its tag where its store gives one, else the time of its change."""
    tag = next((info[key] for key in ("ETag", "etag", "md5Hash", "mtime", "LastModified") if info.get(key)), "")
    return f"{tag} {info.get('size')}"


def _is_there(address: str) -> bool:
    """Whether anything can be had from an address."""
    system, path = opened(address)
    system.invalidate_cache()
    try:
        return bool(system.exists(path))
    except Exception:  # noqa: BLE001 - of whatever kind: there is nothing to be had
        return False


def opened(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path within."""
    protocol = address.partition("://")[0]
    try:
        from fsspec.core import url_to_fs

        system, path = url_to_fs(address)
    except ImportError as error:
        package = PACKAGES.get(protocol.lower())
        if package is None or (error.name or "").startswith("fsspec"):
            raise MissingExtra("fsspec", "cluster", f"'{protocol}://'") from error
        raise DataError(f"{address}: '{protocol}://' needs the package '{package}': pip install {package}") from error
    except ValueError as error:
        raise DataError(f"{address}: no such kind of store ({error}). Expected s3://, gs:// or az://.") from error
    return system, path


def _above(address: str) -> str:
    """The bucket of an object, or the folder of a file."""
    protocol, _, rest = address.partition("://")
    return f"{protocol}://{rest.rpartition('/')[0] if rest.startswith('/') else rest.partition('/')[0]}"


def unreachable(address: str, error: Exception, what: str = "read") -> str:
    """What to say where an address cannot be read, or cannot be written to."""
    return (
        f"{address}: cannot be {'reached' if what == 'read' else 'written to'} ({_reason(error)}). Check that it is "
        f"there, and that you may {what} it; then run the same command again: what is finished is kept."
    )


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".rstrip(": .")
