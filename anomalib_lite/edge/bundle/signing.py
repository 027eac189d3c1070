"""Signs a bundle, and checks who signed one: Ed25519 (RFC 8032), keys as PEM. The one user of `cryptography`, if asked.

Hashes show accidents: whoever changes a bundle can write new ones. A signature shows who vouches for it. Signed is
`MESSAGE` with the SHA-256 of the manifest, which lists the SHA-256 of every other file: that is every byte of a bundle.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

from anomalib_lite.edge.bundle import reading
from anomalib_lite.errors import ConfigError, MissingExtra, ModelError

Key: TypeAlias = str | os.PathLike[str] | bytes  # the file of a key, or its PEM text
Signer: TypeAlias = Callable[[bytes], bytes]  # the bytes of a manifest -> the signature

MAX_BYTES = 64  # what a signature has
MESSAGE = "anomalib-lite bundle\n{}\n"  # so that no signature of something else can stand for one of a bundle
_MAX_KEY = 2**16


def signer(key: Key) -> Signer:
    """What signs manifests with a private key.

    Raises:
        ConfigError: The key cannot be read, or is no private Ed25519 key without a password.
        MissingExtra: `cryptography` is not installed.
    """
    ed25519, serialization = _library()
    read = _read(key)
    try:
        found = serialization.load_pem_private_key(read, password=None)
    except TypeError as error:
        raise ConfigError(f"{_named(key)}: the key has a password, expected is one without. {_HOW}") from error
    except Exception as error:
        raise ConfigError(f"{_named(key)}: is not a private key in PEM ({error}). {_HOW}") from error
    if not isinstance(found, ed25519.Ed25519PrivateKey):
        raise ConfigError(f"{_named(key)}: is a private key, but not one of Ed25519. {_HOW}")
    return lambda manifest: bytes(found.sign(_message(manifest)))


def check(path: Path, manifest: bytes, signature: bytes | None, key: Key) -> None:
    """Refuse a bundle that is not signed with the private key of this public one.

    Args:
        path: Of the bundle, for messages.
        manifest: The bytes of its manifest.
        signature: What it carries; None where it carries none.
        key: A public key.

    Raises:
        ModelError: There is no signature, or it is one of another key or another bundle.
        ConfigError: The key cannot be read, or is no public Ed25519 key.
        MissingExtra: `cryptography` is not installed.
    """
    ed25519, serialization = _library()
    read = _read(key)
    try:
        found = serialization.load_pem_public_key(read)
    except Exception as error:
        hint = " It is a private key: keep it where bundles are signed." if b"PRIVATE KEY" in read else ""
        raise ConfigError(f"{_named(key)}: is not a public key in PEM ({error}).{hint} {_HOW}") from error
    if not isinstance(found, ed25519.Ed25519PublicKey):
        raise ConfigError(f"{_named(key)}: is a public key, but not one of Ed25519. {_HOW}")
    if signature is None:
        raise ModelError(
            f"{path}: carries no signature, and one of {_named(key)} was asked for. Have it signed where it comes "
            "from, with `anomalib-lite export --sign KEY`."
        )
    from cryptography.exceptions import InvalidSignature

    try:
        found.verify(signature, _message(manifest))
    except InvalidSignature as error:
        raise ModelError(
            f"{path}: its signature is not one of {_named(key)} over this bundle: it was changed after it was signed, "
            "or signed with another key. Get it again from where it comes from."
        ) from error


_HOW = "Make a pair: openssl genpkey -algorithm ed25519 -out sign.pem; openssl pkey -in sign.pem -pubout -out trust.pem"


def _library() -> tuple[Any, Any]:
    try:
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        raise MissingExtra("cryptography", "sign", "a key, to sign or to check a signature,") from error
    return ed25519, serialization


def _read(key: Key) -> bytes:
    if isinstance(key, bytes):
        return key
    try:
        return reading.content(Path(key), _MAX_KEY)
    except ModelError as error:
        raise ConfigError(f"{key}: is not a key: a pipe, a device, or more than {_MAX_KEY:,} bytes. {_HOW}") from error
    except OSError as error:
        raise ConfigError(f"{key}: the key cannot be read ({error.strerror}). {_HOW}") from error


def _named(key: Key) -> str:
    return "the key" if isinstance(key, bytes) else os.fspath(key)


def _message(manifest: bytes) -> bytes:
    return MESSAGE.format(hashlib.sha256(manifest).hexdigest()).encode()
