"""A configuration that a stranger wrote: one sentence and exit code 2, before any work."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from conftest import call
from needs import need

from anomalib_lite.config import load
from anomalib_lite.errors import ConfigError

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{after}: &{after} [{', '.join([f'*{before}'] * 10)}]\n"
    for before, after in zip("abcdefgh", "bcdefghi", strict=True)
)
REFUSED = {
    "a bomb of aliases": (BOMB, "more than 10,000 values, those of aliases counted"),
    "lists within lists": ("a: " + "[" * 100 + "]" * 100, "nested more than 32 levels"),
    "lists without end": ("a: " + "[" * 100_000, "nested more than 32 levels"),
    "objects within objects": ("a: " + "{a: " * 50 + "1" + "}" * 50, "nested more than 32 levels"),
    "an alias of itself": ("a: &a [*a]", "is not valid YAML"),
    "a key twice": ("score: {sigma: 1}\nscore: {sigma: 2}", "'score' is given twice"),
    "an inner key twice": ("score:\n  sigma: 1\n  sigma: 2", "'sigma' is given twice"),
    "a long file": ("# " + "x" * 2**20 + "\na: 1", "more than 1,048,576 characters"),
    "many values": ("a: [" + "1, " * 20_000 + "]", "more than 10,000 values"),
    "an object of Python": ("a: !!python/object/apply:os.system [ls]", "is not valid YAML"),
    "no text": ("a: \0", "is not valid YAML"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_hostile_configuration_is_one_sentence(name: str, tmp_path: Path) -> None:
    text, message = REFUSED[name]
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        load(tmp_path / "a.yaml")
    if "\0" not in text and "\n" not in text:
        with pytest.raises(ConfigError):
            load(None, [f"options.x={text.removeprefix('a: ')}"])


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    need(hasattr(os, "mkfifo"), "pipes")
    os.mkfifo(tmp_path / "a.yaml")
    for path in (tmp_path / "a.yaml", Path("/dev/zero"), tmp_path):
        with pytest.raises(ConfigError, match="is not a file"):
            load(path)


def test_aliases_and_merges_in_moderation_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: &base {sigma: 2}\nscore:\n  <<: *base\n  top_share: 1%\n")
    assert load(tmp_path / "a.yaml")["score"] == {"sigma": 2, "top_share": "1%"}


@pytest.mark.parametrize(
    "words",
    [
        ("--max-false-reject", "1e-300"), ("--max-false-reject", "nan"), ("--max-false-reject", "1e-9"),
        ("--confidence", "0.9999999999999999"), ("--confidence", "inf"), ("--review", "0"), ("--holdout", "1e-300"),
        ("--minutes", "nan"), ("--minutes", "inf"), ("--set", "training.minutes=.inf"),
        ("--set", "calibration.max_false_reject=1e-300"), ("--set", "score.sigma=.nan"), ("--set", "image.white=.inf"),
        ("--set", "calibration.confidence=0.9999999999999999"),
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_refused_before_the_training(
    words: tuple[str, str], parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("train", "gauss", parts, "--out", tmp_path / "model", *words) == 2
    assert len(capsys.readouterr().err.strip().splitlines()[-1]) > 20
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seconds", ["nan", "inf", "-1"])
def test_a_time_that_never_ends_is_refused(seconds: str, model_path: Path, tmp_path: Path) -> None:
    assert call("watch", model_path, tmp_path, "--settle", seconds) == 2
    assert not list(tmp_path.iterdir())
