"""Who vouches for a bundle: signed where it is exported, checked before anything of it is used."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest
from conftest import call
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from needs import need

from anomalib_lite.edge import bundle
from anomalib_lite.edge.bundle import signing
from anomalib_lite.edge.manifest import FILE, SIGNATURE
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, MissingExtra, ModelError

PEM, RAW = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
SPKI = serialization.PublicFormat.SubjectPublicKeyInfo
OPEN = serialization.NoEncryption()


class Pair(NamedTuple):
    private: Path
    public: Path


def pair(folder: Path, name: str) -> Pair:
    key = ed25519.Ed25519PrivateKey.generate()
    made = Pair(folder / f"{name}.pem", folder / f"{name}.pub")
    made.private.write_bytes(key.private_bytes(PEM, RAW, OPEN))
    made.public.write_bytes(key.public_key().public_bytes(PEM, SPKI))
    return made


@pytest.fixture
def keys(tmp_path: Path) -> Pair:
    return pair(tmp_path, "ours")


@pytest.fixture(params=["signed", "signed.zip"])
def signed(request: pytest.FixtureRequest, model_path: Path, keys: Pair, tmp_path: Path) -> Path:
    """An export, as a folder and as a zip."""
    out: Path = tmp_path / request.param
    assert call("export", model_path, "--out", out, "--sign", keys.private) == 0
    return out


def rewritten(path: Path, changes: dict[str, bytes | None]) -> Path:
    """The bundle with other contents of some files; None leaves one out."""
    if path.is_dir():
        for name, content in changes.items():
            (path / name).unlink() if content is None else (path / name).write_bytes(content)
        return path
    with zipfile.ZipFile(path) as whole:
        contents = {name: whole.read(name) for name in whole.namelist()} | changes
    with zipfile.ZipFile(path, "w") as whole:
        for name, content in contents.items():
            if content is not None:
                whole.writestr(name, content)
    return path


def manifest(path: Path) -> bytes:
    if path.is_dir():
        return (path / FILE).read_bytes()
    with zipfile.ZipFile(path) as whole:
        return whole.read(FILE)


def test_a_signed_bundle_is_one_like_any_other_and_trusted(
    signed: Path, keys: Pair, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("verify", signed) == 0
    assert "signed" not in capsys.readouterr().out.replace(str(signed), "")
    assert call("verify", signed, "--key", keys.public) == 0
    assert "signed with the private key of" in capsys.readouterr().out
    assert Model(signed, trust=keys.public).model_id == Model(signed).model_id
    assert Model(signed, trust=str(keys.public)).model_id == Model(signed, trust=keys.public.read_bytes()).model_id


def test_the_key_changes_nothing_but_the_signature(signed: Path, model_path: Path, tmp_path: Path) -> None:
    assert call("export", model_path, "--out", tmp_path / "plain.zip") == 0
    files = json.loads(manifest(signed))["files"]
    assert SIGNATURE not in files
    assert files.keys() == json.loads(manifest(tmp_path / "plain.zip"))["files"].keys()


def test_a_bundle_without_a_signature_is_refused_where_one_is_asked_for(signed: Path, keys: Pair) -> None:
    rewritten(signed, {SIGNATURE: None})
    Model(signed)
    with pytest.raises(ModelError, match=r"carries no signature, and one of .*ours\.pub was asked for"):
        Model(signed, trust=keys.public)
    assert call("verify", signed, "--key", keys.public) == 4


def test_another_key_is_refused(signed: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"not one of .*theirs\.pub over this bundle"):
        Model(signed, trust=pair(tmp_path, "theirs").public)


def test_a_change_with_sound_hashes_is_refused(signed: Path, keys: Pair) -> None:
    """What hashes cannot show: whoever changes a bundle writes new ones."""
    changed = manifest(signed).replace(b'"created_with"', b' "created_with"')
    rewritten(signed, {FILE: changed})
    Model(signed)
    with pytest.raises(ModelError, match="changed after it was signed, or signed with another key"):
        Model(signed, trust=keys.public)
    assert call("verify", signed, "--key", keys.public) == 4


def test_a_changed_file_is_refused_by_its_hash(signed: Path, keys: Pair) -> None:
    rewritten(signed, {"model.onnx": b"another graph"})
    with pytest.raises(ModelError, match="was changed since the bundle was written"):
        Model(signed, trust=keys.public)


@pytest.mark.parametrize("signature", [b"", b"x", bytes(64), bytes(63)], ids=["empty", "short", "zeros", "one less"])
def test_what_is_no_signature_is_refused(signature: bytes, signed: Path, keys: Pair) -> None:
    rewritten(signed, {SIGNATURE: signature})
    with pytest.raises(ModelError, match="its signature is not one of"):
        Model(signed, trust=keys.public)


def test_a_signature_of_another_bundle_is_refused(signed: Path, keys: Pair, parts: Path, tmp_path: Path) -> None:
    assert call("calibrate", signed, parts / "test/good", "--group", r"part(\d+)", "--out", tmp_path / "other") == 0
    assert not (tmp_path / "other" / SIGNATURE).exists()  # what was calibrated anew was signed by nobody
    signature = keys_sign(keys, manifest(signed))
    (tmp_path / "other" / SIGNATURE).write_bytes(signature)
    with pytest.raises(ModelError, match="its signature is not one of"):
        Model(tmp_path / "other", trust=keys.public)


def keys_sign(keys: Pair, content: bytes) -> bytes:
    return bundle.signer(keys.private)(content)


def test_nothing_of_a_bundle_is_parsed_before_it_is_trusted(
    signed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anomalib_lite.edge.bundle.files.strict.loads", lambda raw: 1 / 0)
    with pytest.raises(ModelError, match="its signature is not one of"):
        Model(signed, trust=pair(tmp_path, "theirs").public)


def other_keys(folder: Path) -> dict[str, bytes]:
    key, curve = ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(b"password")
    return {
        "private": key.private_bytes(PEM, RAW, OPEN),
        "public": key.public_key().public_bytes(PEM, SPKI),
        "locked": key.private_bytes(PEM, RAW, locked),
        "curve": curve.private_bytes(PEM, RAW, OPEN),
        "public curve": curve.public_key().public_bytes(PEM, SPKI),
        "text": b"this is no key",
        "empty": b"",
        "large": b"x" * 2**20,
    }


@pytest.mark.parametrize("name", ["public", "locked", "curve", "text", "empty", "large", "missing"])
def test_what_is_no_key_to_sign_with_is_said_before_the_work(
    name: str, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name != "missing":
        (tmp_path / "key.pem").write_bytes(other_keys(tmp_path)[name])
    assert call("export", model_path, "--out", tmp_path / "out", "--sign", tmp_path / "key.pem") == 2
    assert "openssl genpkey -algorithm ed25519" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["private", "locked", "curve", "public curve", "text", "empty", "large", "missing"])
def test_what_is_no_key_to_trust_is_said(
    name: str, model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name != "missing":
        (tmp_path / "key.pem").write_bytes(other_keys(tmp_path)[name])
    assert call("verify", model_path, "--key", tmp_path / "key.pem") == 2
    assert ("keep it where bundles are signed" in capsys.readouterr().err) == (name in ("private", "locked", "curve"))


def test_a_key_without_the_extra_is_refused_and_no_key_needs_none(
    signed: Path, keys: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives", None)
    Model(signed)
    with pytest.raises(MissingExtra, match=r"pip install 'anomalib-lite\[sign\]'"):
        Model(signed, trust=keys.public)
    with pytest.raises(MissingExtra, match=r"anomalib-lite\[sign\]"):
        signing.signer(keys.private)


def test_trust_in_what_is_loaded_already_is_refused(signed: Path, keys: Pair) -> None:
    with pytest.raises(ConfigError, match="give its path"):
        Model(bundle.load(signed), trust=keys.public)


def test_other_programs_can_check_a_signature(signed: Path, keys: Pair, tmp_path: Path) -> None:
    """As SECURITY.md says: with openssl alone."""
    need(shutil.which("openssl") is not None, "openssl")
    with zipfile.ZipFile(signed) if signed.is_file() else zipfile.ZipFile(tmp_path / "none.zip", "w") as whole:
        signature = whole.read(SIGNATURE) if signed.is_file() else (signed / SIGNATURE).read_bytes()
    (tmp_path / "signature").write_bytes(signature)
    message = f"anomalib-lite bundle\n{hashlib.sha256(manifest(signed)).hexdigest()}\n"
    (tmp_path / "message").write_text(message)
    words = f"openssl pkeyutl -verify -pubin -inkey {keys.public.name} -rawin -in message -sigfile signature"
    done = subprocess.run(words.split(), cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
