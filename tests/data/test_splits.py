"""Splits by group: no part on both sides, everything on one of them, the same every time."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from images import write_image

from anomalib_lite.data import (
    DataSet,
    Sample,
    folds,
    groups,
    look,
    split_for_calibration,
    survey,
    training_samples,
)
from anomalib_lite.errors import DataError


def samples(*parts: str) -> list[Sample]:
    return [Sample(Path(f"{n}.png"), f"{n}.png", "good", group=part) for n, part in enumerate(parts)]


PARTS = st.lists(st.integers(0, 30).map(str), min_size=2, max_size=60).filter(lambda parts: len(set(parts)) > 1)


@given(parts=PARTS, holdout=st.floats(0.01, 0.99), seed=st.integers(0, 2**32))
def test_a_group_is_never_on_both_sides_and_counts_add_up(parts: list[str], holdout: float, seed: int) -> None:
    given_ = samples(*parts)
    fit, calibrate = split_for_calibration(given_, holdout, seed)
    assert not groups(fit) & groups(calibrate)
    assert sorted(fit + calibrate, key=lambda s: int(s.path.stem)) == given_
    wanted = max(1, min(len(set(parts)) - 1, round(holdout * len(set(parts)))))
    assert len(groups(calibrate)) == wanted


@given(parts=PARTS, seed=st.integers(0, 100))
def test_the_split_does_not_depend_on_the_order(parts: list[str], seed: int) -> None:
    given_ = samples(*parts)
    shuffled = random.Random(0).sample(given_, len(given_))
    assert groups(split_for_calibration(given_, 0.3, seed)[1]) == groups(split_for_calibration(shuffled, 0.3, seed)[1])


def test_the_split_is_the_same_everywhere_and_depends_on_the_seed() -> None:
    given_ = samples(*(f"p{n}" for n in range(10)))
    expected = sorted((f"p{n}" for n in range(10)), key=lambda part: hashlib.sha256(f"5:{part}".encode()).hexdigest())
    assert groups(split_for_calibration(given_, 0.3, 5)[1]) == set(expected[:3])
    assert len({frozenset(groups(split_for_calibration(given_, 0.3, seed)[1])) for seed in range(8)}) > 1


def test_names_that_are_not_unicode_are_split_too() -> None:
    assert len(split_for_calibration(samples("p\udcff", "q"), 0.5, 0)[1]) == 1


def test_rows_marked_for_calibration_are_taken_instead() -> None:
    one, two, three = samples("a", "b", "c")
    fit, calibrate = split_for_calibration([one, replace(two, split="calibrate"), three], 0.9, 0)
    assert [s.group for s in fit] == ["a", "c"]
    assert [s.group for s in calibrate] == ["b"]


def test_a_part_marked_for_both_sides_is_named() -> None:
    one, two, three = samples("a", "a", "c")
    with pytest.raises(DataError, match="both in split=calibrate and outside of it: a"):
        split_for_calibration([one, replace(two, split="calibrate"), three], 0.3, 0)


@pytest.mark.parametrize("marked", [True, False])
def test_one_group_cannot_be_split(marked: bool) -> None:
    given_ = [replace(s, split="calibrate" if marked else None) for s in samples("a", "a")]
    with pytest.raises(DataError, match="1 group of good images cannot be split"):
        split_for_calibration(given_, 0.3, 0)


@given(parts=PARTS, k=st.integers(2, 6), seed=st.integers(0, 100))
def test_folds_hold_out_every_sample_once_with_its_group(parts: list[str], k: int, seed: int) -> None:
    given_ = samples(*parts)
    if len(set(parts)) < k:
        with pytest.raises(DataError, match="folds need"):
            folds(given_, k, seed)
        return
    made = folds(given_, k, seed)
    assert len(made) == k
    assert sorted((s for _, held in made for s in held), key=lambda s: int(s.path.stem)) == given_
    sizes = [len(groups(held)) for _, held in made]
    assert max(sizes) - min(sizes) <= 1
    for fit, held in made:
        assert not groups(fit) & groups(held)
        assert len(fit) + len(held) == len(given_)


def test_training_takes_train_and_calibrate_or_everything() -> None:
    a, b, c = samples("a", "b", "c")
    split = [replace(a, split="train"), replace(b, split="calibrate"), replace(c, split="test", label="dent")]
    assert training_samples(DataSet(Path("d"), "CSV", split)) == split[:2]
    assert training_samples(DataSet(Path("d"), "folder", [replace(a, label=None)])) == [replace(a, label=None)]


@pytest.mark.parametrize(
    ("split", "remedy"), [("train", "Move them to the test split"), (None, "Mark them split=test")]
)
def test_a_defect_among_the_training_images_is_named(split: str | None, remedy: str) -> None:
    good, bad = (replace(s, split=split) for s in samples("a", "b"))
    dataset = DataSet(Path("d"), "CSV", [good, replace(bad, label="dent")])
    with pytest.raises(
        DataError, match=rf"1 of 2 training images labelled otherwise than good: 1\.png \(dent\)\. {remedy}"
    ):
        training_samples(dataset)


def test_fingerprints_show_what_a_model_has_seen(tmp_path: Path) -> None:
    seen = {write_image(tmp_path / f"{number}.png"): part for number, part in enumerate("aab")}
    samples = [Sample(path, path.name, group=part) for path, part in seen.items()]
    fitted = survey(*look(samples)).fingerprint(samples)
    assert fitted == {hashlib.sha256(path.read_bytes()).hexdigest(): part for path, part in seen.items()}
    assert len(fitted) == 3
