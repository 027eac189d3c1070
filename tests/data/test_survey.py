"""Reading every image once: counts, mixtures, darkness, copies."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from images import write_image

from anomalib_lite.data import Sample, Survey, find, look, survey
from anomalib_lite.errors import DataError


def surveyed(samples: Sequence[Sample], **options: Any) -> Survey:
    return survey(*look(samples), **options)


def sample(path: Path, **more: object) -> Sample:
    return Sample(path, path.name, group=path.name, **more)  # type: ignore[arg-type]


def test_what_images_are_like(tmp_path: Path) -> None:
    for n in range(3):
        write_image(tmp_path / f"{n}.png", size=(6, 8 + n // 2), mode="RGB")
    found = surveyed(find(tmp_path).samples)
    assert (found.dtype, found.channels, found.warnings, found.unreadable) == ("uint8", 3, [], [])
    sizes = Counter((facts.height, facts.width) for facts in found.facts.values())
    assert sizes == Counter({(6, 8): 2, (6, 9): 1})


@settings(deadline=None, max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(kinds=st.lists(st.sampled_from(["sound", "empty", "text", "truncated", "missing"]), min_size=1, max_size=12))
def test_usable_and_unreadable_are_all_there_is(tmp_path: Path, kinds: list[str]) -> None:
    given_ = []
    for n, kind in enumerate(kinds):
        path = write_image(tmp_path / f"{n}_{kind}.png", size=(40, 40))
        data = path.read_bytes()
        if kind == "missing":
            path.unlink()
        else:
            path.write_bytes({"sound": data, "empty": b"", "text": b"hello", "truncated": data[:-30]}[kind])
        given_.append(sample(path))
    if "sound" not in kinds:
        with pytest.raises(DataError, match="can be used"):
            surveyed(given_)
        return
    found = surveyed(given_)
    assert [s.name for s in found.usable] == [s.name for s in given_ if "sound" in s.name]
    assert [name for name, _ in found.unreadable] == [s.name for s in given_ if "sound" not in s.name]
    assert all(name in reason for name, reason in found.unreadable)


def test_a_misnamed_image_is_read_by_what_is_in_it(tmp_path: Path) -> None:
    png = write_image(tmp_path / "a.png")
    shutil.move(png, tmp_path / "a.jpg")
    assert len(surveyed(find(tmp_path).samples).usable) == 1


def test_mixed_channels_need_a_decision(tmp_path: Path) -> None:
    write_image(tmp_path / "grey.png")
    write_image(tmp_path / "colour.png", mode="RGB")
    given_ = find(tmp_path).samples
    with pytest.raises(DataError, match=r"colour\.png is 8-bit colour .*grey\.png is 8-bit grey .*image\.channels"):
        surveyed(given_)
    assert surveyed(given_, channels=1).channels == 1


def test_mixed_depths_have_no_remedy_but_conversion(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png")
    write_image(tmp_path / "b.png", mode="I;16")
    with pytest.raises(DataError, match=r"bit depths are mixed: .*a\.png is 8-bit grey .*b\.png is 16-bit grey"):
        surveyed(find(tmp_path).samples, channels=1)


def test_a_reference_counts_as_an_image(tmp_path: Path) -> None:
    inspected = sample(write_image(tmp_path / "a.png"), reference=write_image(tmp_path / "golden.png", mode="RGB"))
    with pytest.raises(DataError, match=r"golden\.png is 8-bit colour"):
        surveyed([inspected])
    broken = sample(write_image(tmp_path / "b.png"), reference=tmp_path / "gone.png")
    found = surveyed([sample(tmp_path / "a.png"), broken])
    assert [name for name, _ in found.unreadable] == ["b.png"]
    assert "gone.png" in found.unreadable[0][1]


@pytest.mark.parametrize(
    ("value", "white", "dark"), [(8191, None, True), (8192, None, False), (900, 1023.0, False), (100, 1023.0, True)]
)
def test_dark_16_bit_images_are_pointed_out(tmp_path: Path, value: int, white: float | None, dark: bool) -> None:
    write_image(tmp_path / "a.png", mode="I;16", value=value)
    found = surveyed(find(tmp_path).samples, white=white)
    assert found.dtype == "uint16"
    assert ["image.white" in warning for warning in found.warnings] == [True] * dark


def test_copies_under_another_group_are_refused(tmp_path: Path) -> None:
    original = write_image(tmp_path / "part1.png")
    write_image(tmp_path / "part2.png")
    shutil.copy(original, tmp_path / "part1 (copy).png")
    with pytest.raises(DataError, match=r"1 image copied byte by byte .* part1\.png of part1 \(copy\)\.png\. Remove"):
        surveyed(find(tmp_path).samples)
    assert surveyed(find(tmp_path, group=r"part(\d)").samples).warnings == []
