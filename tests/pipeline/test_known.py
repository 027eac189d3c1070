"""Known defects as a gate, and a row of the menu that a person takes: both on record, and nothing passes unsaid."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Once, call, picture, recalibrate, save

from anomalib_lite.calibration import Exclusion
from anomalib_lite.config import RegionsConfig
from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import KnownDefect, Manifest
from anomalib_lite.edge.model import Model
from anomalib_lite.errors import ConfigError, DataError, ModelError
from anomalib_lite.evidence.known import passing, unaccepted
from anomalib_lite.pipeline.choosing import beside, free_beside, menu_rows, use_row
from anomalib_lite.pipeline.export import export
from anomalib_lite.pipeline.known import Said, measured
from anomalib_lite.pipeline.scale import with_scale
from anomalib_lite.pipeline.taught import recalibration
from anomalib_lite.pipeline.train import Trained
from anomalib_lite.review import tables
from anomalib_lite.review.teaching import Taught

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


@pytest.fixture(scope="module")
def known(parts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two known defects: one that is found, and one that nobody sees. Not to be changed."""
    folder = tmp_path_factory.mktemp("known")
    shutil.copy(parts / "test/dent/part30_0.png", folder / "=dent.png")
    save(folder / "faint.png", picture(7777))
    rows = [{"image": "=dent.png", "label": "dent"}, {"image": "faint.png", "label": "=faint"}]
    tables.write(folder / "known.csv", ("image", "label", "sha256"), rows)
    return folder / "known.csv"


@pytest.fixture(scope="module")
def gated(ten: Path, known: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model with these on record, and a reason for the one that passes. Not to be changed."""
    out = tmp_path_factory.mktemp("gated") / "model"
    recalibrate(ten, None, row=0, known=known, said=Said("Ada", accept="nobody sees it"), out=out)
    return out


def test_a_known_defect_that_is_ok_needs_a_reason_which_is_on_record(ten: Path, known: Path, gated: Path) -> None:
    with pytest.raises(DataError, match=r"1 known defect is OK: faint.png \(=faint\)\. .*--accept"):
        recalibrate(ten, None, row=0, known=known, out=gated.parent / "other")
    assert not (gated.parent / "other").exists()
    manifest = bundle.load(gated).manifest
    assert [(one.image, one.kind) for one in manifest.known] == [("=dent.png", "dent"), ("faint.png", "=faint")]
    (choice,) = manifest.choices
    assert (choice.operator, choice.because, choice.passed) == ("Ada", "nobody sees it", (manifest.known[1].sha256,))
    assert Manifest.from_json(manifest.to_json(), gated) == manifest
    assert [one.image for one in passing(manifest)] == ["faint.png"]
    page = (gated / "report.html").read_text()
    assert page.count("1 known defect is OK: faint.png (=faint)") == 2
    assert "<bdi>nobody sees it</bdi>" in page
    assert not unaccepted(manifest)


def test_what_is_on_record_gates_the_next_calibration_without_its_images(
    gated: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = ["calibrate", gated, parts / "test/good", "--group", GROUP, "--out", tmp_path / "model"]
    assert call(*words) == 3
    assert "faint.png (=faint)" in capsys.readouterr().err
    assert call(*words, "--accept", "known since March", "--operator", "Ben") == 0
    out, err = capsys.readouterr()
    assert "1 of 2 are not OK" in out
    assert "WARNING: 1 known defect is OK: faint.png" in err
    assert [one.operator for one in bundle.load(tmp_path / "model").manifest.choices] == ["Ada", "Ben"]


def test_a_reason_that_nothing_needs_is_refused(ten: Path) -> None:
    with pytest.raises(ConfigError, match="nothing is to be accepted"):
        recalibrate(ten, None, row=0, said=Said("Ada", accept="whatever"))
    with pytest.raises(ConfigError, match="--operator: a decision needs the name"):
        recalibrate(ten, None, row=1, said=Said("", because="fewer rejects"))


def test_a_row_is_used_in_a_new_model_beside_the_old_one(ten: Path, tmp_path: Path) -> None:
    shutil.copytree(ten, tmp_path / "part.v1")
    before = bundle.load(tmp_path / "part.v1").manifest
    for name in ("part.v1-row-1", "part.v1-row-1-2"):
        done = use_row(tmp_path / "part.v1", 1, operator="Ada", because="too many rejects")
        assert done.bundle.path.name == name
    assert bundle.load(tmp_path / "part.v1").manifest == before
    (choice,) = bundle.load(tmp_path / "part.v1-row-1").manifest.choices
    assert (choice.what, choice.because) == ("row 1 of the menu instead of row 0", "too many rejects")
    assert free_beside(tmp_path / "a.b.zip", "row-1").name == "a.b-row-1.zip"


def test_each_row_says_what_it_finds_and_lets_pass(gated: Path) -> None:
    loaded = bundle.load(gated)
    first, second = menu_rows(loaded)
    assert (first.taken, second.taken) == (True, False)
    assert first.point.value > second.point.value
    assert (first.known["dent"].found, first.known["=faint"].escapes, first.known["=faint"].of) == (1, 1, 1)
    assert [one.image for one in first.passing] == ["faint.png"]
    assert sum(one.of for one in first.planted.values()) > 0
    assert {kind: one.of for kind, one in first.labelled.items()} == {"dent": 5, "hole": 5}
    between = (first.point.value + second.point.value) / 2
    moved = replace(loaded.manifest, known=(KnownDefect("x", "00", "dent", between), KnownDefect("y", "11", "z", None)))
    first, second = menu_rows(replace(loaded, manifest=moved))
    assert (first.known["dent"].found, second.known["dent"].found) == (0, 1)
    assert ([one.image for one in first.passing], second.passing) == (["x"], ())


def test_an_export_of_a_model_that_passes_known_defects_is_refused_and_tells_of_none(
    gated: Path, tmp_path: Path
) -> None:
    loaded = bundle.load(gated)
    files = {name: loaded.read(name) for name in loaded.manifest.files}
    bundle.write(tmp_path / "model", replace(loaded.manifest, choices=()), files, overwrite=False)
    with pytest.raises(ModelError, match=r"faint.png .*--accept"):
        export(tmp_path / "model", tmp_path / "part.zip")
    export(gated, tmp_path / "part.zip")
    text = (bundle.load(tmp_path / "part.zip").manifest).to_json()
    assert not {"known", "choices"} & text.keys()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("image,label\ngone.png,dent\n", "the known defect gone.png cannot be read"),
        ("image,label,sha256\na.png,dent,{other}\n", "has changed since it was listed"),
        ("image,label\na.png,good\n", "line 2: image 'a.png', label 'good'"),
        ("image,label\na.png,dent\na.png,hole\n", "line 3: a.png is there twice"),
        ("image,label\n", "names no known defect"),
        ("picture,label\na.png,dent\n", "no column 'image'"),
    ],
)
def test_tables_of_known_defects_that_are_no_gate_are_refused(ten: Path, tmp_path: Path, rows: str, said: str) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "known.csv").write_text(rows.replace("{other}", "ab" * 32))
    with pytest.raises(DataError, match=said):
        measured(Model(ten), tmp_path / "known.csv")


def test_a_training_records_known_defects_and_refuses_a_bad_table_before_the_fit(
    parts: Path, known: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[str | Path] = ["train", "gauss", parts, "--out", tmp_path / "model", "--group", GROUP]
    (tmp_path / "none.csv").write_text("image,label\n")
    assert call(*words, "--known", tmp_path / "none.csv") == 3
    assert "names no known defect" in capsys.readouterr().err
    small = ["--set", "image.height=48", "--set", "image.width=48", "--set", "gate.features=off"]
    assert call(*words, *small, "--known", known) == 0
    assert "WARNING: 1 known defect is OK: faint.png" in capsys.readouterr().err
    assert len(unaccepted(bundle.load(tmp_path / "model").manifest)) == 1


def test_a_scale_is_kept_in_a_new_model_and_changes_no_verdict(ten: Path, parts: Path, tmp_path: Path) -> None:
    shutil.copytree(ten, tmp_path / "model")
    written = with_scale(tmp_path / "model", 0.5, 500.0, operator="Ada", because="drawing 7")
    assert (written.path.name, written.manifest.regions.min_area) == ("model-scale", 2000.0)
    assert written.manifest.choices[-1].what == "0.5 mm for each pixel, no region below 500 mm2 (2000 px) listed"
    image = parts / "test/dent/part30_0.png"
    before, after = (Model(tmp_path / name).inspect(image) for name in ("model", "model-scale"))
    assert (before.verdict, before.score) == (after.verdict, after.score)
    assert [one.fallback for one in before.regions] == [False]
    assert [one.fallback for one in after.regions] == [True]  # the image has 2,304 pixels
    for numbers, who in (((0.0, 1.0), "Ada"), ((0.5, -1.0), "Ada"), ((0.5, float("nan")), "Ada"), ((0.5, 1.0), " ")):
        with pytest.raises(ConfigError):
            with_scale(tmp_path / "model", *numbers, operator=who, because="drawing 7")


def test_square_millimetres_become_pixels() -> None:
    assert RegionsConfig(mm_per_pixel=0.1, min_area_mm2=0.5).least_pixels == pytest.approx(50)
    assert RegionsConfig(min_area=7).least_pixels == 7
    for wrong in ({"min_area_mm2": 1.0}, {"min_area_mm2": 1.0, "mm_per_pixel": 1.0, "min_area": 2.0}):
        with pytest.raises(ValueError, match=r"needs mm_per_pixel|not both"):
            RegionsConfig.model_validate(wrong)
    for mm in (1e-6, 1e-200, 5e-324):
        with pytest.raises(ValueError, match="no image has more"):
            RegionsConfig(mm_per_pixel=mm, min_area_mm2=0.5)


def test_known_defects_and_exclusions_are_taught_without_images(ten: Path, known: Path, tmp_path: Path) -> None:
    before = bundle.load(ten).manifest
    said = Said("Ada", accept="nobody sees it")
    recalibrate(ten, None, known=known, said=said, out=tmp_path / "known")
    after = bundle.load(tmp_path / "known").manifest
    assert (after.calibration, len(after.known)) == (before.calibration, 2), "a bound that nothing touched stays"
    highest = before.calibration.reject.set_by[0]
    recalibrate(ten, None, exclusions=[Exclusion(highest, "bent")], known=known, said=said, out=tmp_path / "without")
    after = bundle.load(tmp_path / "without").manifest
    assert (after.calibration.n, len(after.calibration.history)) == (9, len(before.calibration.history) + 1)
    assert after.calibration.reject.value < before.calibration.reject.value
    assert after.data.held_out == before.data.held_out
    with pytest.raises(ConfigError, match="DATA is missing"):
        recalibrate(ten, None, known=known, confidence=0.9, out=tmp_path / "other")


def test_a_row_and_a_rate_of_review_that_were_chosen_stay(ten: Path, parts: Path, tmp_path: Path) -> None:
    recalibrate(ten, parts / "test/good", group=GROUP, review=0.6, out=tmp_path / "model")
    done = use_row(tmp_path / "model", 1, operator="Ada", because="too many escapes")
    assert (done.calibration.review.asked, done.calibration.row) == (0.6, 1)
    taught = Taught(tmp_path / "golden.csv", None, 1, 0)
    asked, notes = recalibration(taught, ten, done.bundle.manifest)
    assert (asked.row, asked.add, asked.folders.all_good, notes) == (1, True, True, [])
    assert asked.rates(done.calibration).review == 0.6


def test_a_model_is_taught_what_it_can_be_taught(ten: Path, tmp_path: Path) -> None:
    manifest = bundle.load(ten).manifest
    simulated = replace(manifest, calibration=replace(manifest.calibration, simulated=True))
    taught = Taught(tmp_path / "golden.csv", tmp_path / "known.csv", 1, 1)
    asked, (note,) = recalibration(taught, ten, simulated)
    assert (asked.data, asked.add, asked.known) == (None, False, taught.known)
    assert "simulated images" in note
    once = replace(manifest, calibration=replace(manifest.calibration, per="part-median"))
    asked, (note,) = recalibration(taught, ten, once)
    assert (asked.data, asked.known) == (taught.golden, None)
    with pytest.raises(DataError, match="nothing that this model can be taught"):
        recalibration(replace(taught, golden=None), ten, once)


def test_a_name_that_somebody_takes_meanwhile_is_not_written_over(ten: Path, tmp_path: Path) -> None:
    shutil.copytree(ten, tmp_path / "part")
    places = list[Path]()

    def write(place: Path) -> Trained:
        places.append(place)
        if len(places) == 1:
            place.mkdir()
            (place / "theirs").write_text("x")
        return recalibrate(tmp_path / "part", None, row=1, out=place)

    assert beside(tmp_path / "part", "row-1", write).bundle.path == places[1]
    assert [one.name for one in places] == ["part-row-1", "part-row-1-2"]
    assert [one.name for one in places[0].iterdir()] == ["theirs"]
