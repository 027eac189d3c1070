"""A row of the menu, taken after looking: nothing is measured again, and what cannot be is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Once, call, recalibrate

from anomalib_lite.calibration import Exclusion
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import without_names
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, DataError
from anomalib_lite.pipeline.selfcheck import judged_again
from anomalib_lite.pipeline.train import _retrained

GROUP = r"part(\d+)"


@pytest.fixture(scope="module")
def ten(model_path: Path, parts: Path, once: Once) -> Path:
    """A model that is calibrated on ten parts: its menu has two rows. Not to be changed."""
    return (
        once(
            "ten parts", lambda folder: recalibrate(model_path, parts / "test/good", out=folder / "model", group=GROUP)
        )
        / "model"
    )


def test_another_row_is_taken_without_images(ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = bundle.load(ten).manifest
    assert call("calibrate", ten, "--row", "1", "--out", tmp_path / "model") == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "At most 47.9 % of good parts are rejected" in printed
    assert "Row 1 of the menu was chosen" in printed
    assert "1 *" in printed
    after = bundle.load(tmp_path / "model").manifest
    assert (after.calibration.row, after.calibration.reject.value) == (1, before.calibration.menu[1].value)
    assert after.calibration.menu == before.calibration.menu
    assert after.calibration.history == before.calibration.history, "nothing was calibrated again"
    assert after.data.held_out == before.data.held_out
    assert list(after.selfcheck) == judged_again(before.selfcheck, after.calibration.limits)
    assert Model(tmp_path / "model").thresholds.reject == after.calibration.reject.value
    assert "Row 1 of the menu was chosen" in (tmp_path / "model/report.html").read_text()


def test_rows_that_do_not_exist_and_what_a_row_excludes_are_refused(
    ten: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out: list[str | Path] = ["--out", tmp_path / "model"]
    assert call("calibrate", ten, "--row", "7", *out) == 2
    assert "row 7 is not on the menu: 10 good parts carry the rows 0, 1." in capsys.readouterr().err
    assert call("calibrate", ten, *out) == 2
    assert "DATA is missing" in capsys.readouterr().err
    assert call("calibrate", ten, "--row", "1", "--max-false-reject", "5%", *out) == 2
    with pytest.raises(ConfigError, match="leave out --per, --confidence"):
        recalibrate(ten, None, row=1, confidence=0.9, out=tmp_path / "model")
    with pytest.raises(ConfigError, match="leave out --per, --confidence"):
        recalibrate(ten, None, row=1, exclusions=[Exclusion("a", "b")], out=tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_a_new_calibration_may_take_a_row_and_goes_to_the_history(
    model_path: Path, parts: Path, tmp_path: Path
) -> None:
    done = recalibrate(model_path, parts / "test/good", out=tmp_path / "model", group=GROUP, row=1)
    assert (done.calibration.row, done.calibration.reject.allowed, len(done.calibration.history)) == (1, 1, 1)


def test_a_model_that_does_not_record_its_images_says_what_to_do(ten: Path, tmp_path: Path) -> None:
    loaded = bundle.load(ten)
    files = {name: loaded.read(name) for name in loaded.manifest.files}
    nameless = without_names(loaded.manifest)
    bare = replace(loaded.manifest, data=replace(loaded.manifest.data, held_out=()))
    bundle.write(tmp_path / "bare", bare, files, overwrite=False)
    bundle.write(tmp_path / "nameless", nameless, files, overwrite=False)
    with pytest.raises(DataError, match=r"does not record .* calibrate MODEL DATA --row 1"):
        recalibrate(tmp_path / "bare", None, row=1)
    assert recalibrate(tmp_path / "nameless", None, row=1).calibration.row == 1, "hashes stand for parts as well"


def test_a_training_refuses_a_row_before_the_fit(
    parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = ["train", "gauss", parts, "--out", tmp_path / "model", "--group", GROUP, "--row", "3"]
    assert call(*words) == 2
    assert "row 3 is not on the menu: 6 good parts carry the rows 0." in capsys.readouterr().err
    assert call("data", "check", parts, "--group", GROUP, "--set", "calibration.row=3") == 2
    assert call("data", "check", parts, "--group", GROUP, "--set", "calibration.row=0") == 0


def test_a_training_that_replaces_one_on_the_same_images_is_recorded(ten: Path, model_path: Path) -> None:
    def before(out: Path, images: dict[str, str], *, overwrite: bool = True) -> int:
        request = SimpleNamespace(overwrite=overwrite, out=out)
        return _retrained(SimpleNamespace(request=request), SimpleNamespace(hashes=images))  # type: ignore[arg-type]

    same = dict(bundle.load(ten).manifest.data.calibrated)
    assert before(ten, same) == 1
    assert before(ten, dict(list(same.items())[:1])) == 1, "of one part, too"
    assert before(ten, same, overwrite=False) == 0
    assert before(model_path, same) == before(ten.parent / "nothing", same) == 0
