"""One verdict for a part: by its largest score, its median or its mean; ERROR where it cannot be told."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from conftest import call, picture, save

from anomalib_lite.edge import bundle
from anomalib_lite.edge import parts as edge_parts
from anomalib_lite.edge.bundle import Bundle
from anomalib_lite.edge.decision import Verdict, p_value
from anomalib_lite.edge.images.opener import Opener
from anomalib_lite.edge.images.picture import Picture
from anomalib_lite.edge.images.readers import NO_READERS, Reader, Readers, complete
from anomalib_lite.edge.joint import shared_opener
from anomalib_lite.edge.manifest import Cusum, ImagesPerUnit, Manifest, Per, ReaderRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.results import Result
from anomalib_lite.edge.watch import Watcher
from anomalib_lite.errors import ConfigError, ErrorCode, ModelError
from anomalib_lite.pipeline.predict import predict

GROUP = r"part(\d+)"


def of(model_path: Path, per: Per, readers: Readers = NO_READERS, **needed: Any) -> Model:
    """The tests' model, as if it were calibrated on such units."""
    loaded = bundle.load(model_path)
    needed = {"top_share": 0.1 if per == "part-top" else None} | needed
    calibration = replace(loaded.manifest.calibration, per=per, images_per_unit=ImagesPerUnit(2, 2, 2), **needed)
    manifest = replace(loaded.manifest, calibration=calibration)
    model = Model(loaded, readers=readers)
    return Model.around(Bundle(loaded.path, manifest, loaded.model_id, {}), model.intake, model.runtime)


def seen(model: Model, *scores: float | None) -> list[Result]:
    """Results with these scores; None could not be measured."""
    limits = model.thresholds
    verdicts = [
        Verdict.ERROR
        if s is None
        else Verdict.NG
        if s > limits.reject
        else Verdict.REVIEW
        if s > limits.review
        else Verdict.OK
        for s in scores
    ]
    return [
        replace(model.refuse(f"{number}.png", f"{number}.png: torn"), verdict=verdict, score=score)
        for number, (score, verdict) in enumerate(zip(scores, verdicts, strict=True))
    ]


def judged(model: Model, *scores: float | None) -> edge_parts.PartResult:
    return edge_parts.judged("7", seen(model, *scores), model.bundle.manifest.calibration, model.model_id)


def test_the_rule_of_the_calibration_decides(model_path: Path) -> None:
    high, low = Model(model_path).thresholds.reject + 1.0, 0.0
    any_, median, mean = (of(model_path, per) for per in ("part", "part-median", "part-mean"))
    assert judged(any_, low, low, high).verdict == "NG"
    assert judged(median, low, low, high).verdict == "OK"
    assert judged(median, low, high, high).verdict == "NG"
    assert judged(mean, low, 4 * high).score == 2 * high
    found = judged(median, low, high)
    assert (found.score, found.p_value) == (high / 2, p_value(high / 2, sorted(any_._scores)))
    assert found.row()["photographs"] == 2


def test_sums_and_the_highest_few_decide_as_they_were_calibrated(model_path: Path) -> None:
    level = Model(model_path).thresholds.reject / 2
    cusum = of(model_path, "part-cusum", cusum=Cusum(level, 5))
    assert judged(cusum, level, 1.5 * level).score == pytest.approx(1.5 * level), "a single one counts as it is"
    assert judged(cusum, 1.5 * level, 1.5 * level).score == pytest.approx(2 * level)
    assert judged(cusum, *[1.5 * level] * 3).verdict == "NG", "none of them alone would be"
    assert judged(cusum, 1.5 * level, 0.0, 1.5 * level, 0.0, 1.5 * level).verdict == "OK", "they have to come together"
    top = of(model_path, "part-top", top_share=0.4)
    assert judged(top, 1.0, 5.0, 2.0, 4.0, 3.0).score == 4.5


def test_a_part_is_given_as_a_folder_or_as_a_file_of_several_images(model_path: Path, tmp_path: Path) -> None:
    def stack(file: BinaryIO) -> Iterator[tuple[int, Picture]]:
        for at, one in enumerate(np.load(file), start=1):
            yield at, Picture(one)

    pixels = np.stack([picture(at) for at in range(3)])
    (tmp_path / "part7").mkdir()
    for at, one in enumerate(pixels):
        save(tmp_path / f"part7/{at}.png", one)
    np.save(tmp_path / "part7.npy", pixels)
    (tmp_path / "part7/notes.txt").write_text("no image")
    model = of(model_path, "part-mean", readers={".npy": stack})
    by_hand = model.inspect_part([tmp_path / f"part7/{at}.png" for at in range(3)])
    folder, file = model.inspect_part(tmp_path / "part7"), model.inspect_part(str(tmp_path / "part7.npy"))
    assert (by_hand.part, folder.part, file.part) == ("part", "part7", "part7.npy")
    assert [one.image for one in file.photographs] == [str(tmp_path / f"part7.npy#{at}") for at in (1, 2, 3)]
    assert by_hand.score is not None
    assert by_hand.score == folder.score == file.score
    (tmp_path / "empty").mkdir()
    lacking, torn = model.inspect_part(tmp_path / "empty"), model.inspect_part(tmp_path / "gone.npy")
    assert (lacking.verdict, lacking.error_code) == ("ERROR", "incomplete_part")
    assert (torn.verdict, torn.error_code) == ("ERROR", "missing")


def test_what_could_not_be_measured_makes_a_part_an_error_unless_another_photograph_is_ng(model_path: Path) -> None:
    high = Model(model_path).thresholds.reject + 1.0
    any_, median = of(model_path, "part"), of(model_path, "part-median")
    assert judged(any_, 0.0, None).verdict == "ERROR"
    assert judged(any_, high, None).verdict == "NG", "whatever the other one shows"
    found = judged(median, high, high, None)
    assert (found.verdict, found.score, found.error_code) == ("ERROR", None, ErrorCode.INTERNAL)
    assert found.error == "1 of 3 photographs could not be measured: 2.png: torn"
    nothing = any_.inspect_part([], part="9")
    assert (nothing.verdict, nothing.error_code, nothing.part) == ("ERROR", "incomplete_part", "9")


def test_other_numbers_of_photographs_are_said(model_path: Path) -> None:
    any_, median = of(model_path, "part"), of(model_path, "part-median")
    assert judged(any_, 0.0).note == judged(median, 0.0, 0.0).note == ""
    assert judged(median, 0.0).note == "1 photographs, the bound is about parts with 2"
    assert judged(any_, 0.0, 0.0, 0.0).note == "3 photographs, the bound is about parts with 2"


def test_a_part_is_inspected_once(model_path: Path, parts: Path) -> None:
    median = of(model_path, "part-median")
    shots = sorted((parts / "train/good").glob("part03_*.png"))
    found = median.inspect_part(shots, part="03")
    assert found.score == statistics.median(one.score or 0.0 for one in found.photographs)
    assert [one.image for one in found.photographs] == [str(shot) for shot in shots]
    with pytest.raises(ConfigError, match="calibrate MODEL DATA --per part"):
        of(model_path, "photograph").inspect_part(shots)


def test_what_judges_photographs_one_by_one_refuses_a_model_that_decides_once(model_path: Path, tmp_path: Path) -> None:
    from anomalib_lite.pipeline.serve import application

    for per in ("part-median", "part-mean", "part-top"):
        with pytest.raises(ConfigError, match=r"watch judges photographs one by one\. Use `watch --group REGEX --pho"):
            Watcher(of(model_path, per), tmp_path)
        with pytest.raises(ConfigError, match="serve judges photographs one by one"):
            application(of(model_path, per))
    Watcher(of(model_path, "part"), tmp_path)


def test_older_versions_refuse_a_model_that_decides_once(model_path: Path) -> None:
    document = replace(of(model_path, "part-median").bundle.manifest, gate=None).to_json()
    assert document["schema_version"] == 2
    assert Manifest.from_json(document, model_path).calibration.per == "part-median"
    document["calibration"]["per"] = "part"
    with pytest.raises(ModelError, match="schema 2 is newer"):
        Manifest.from_json(document, model_path)


@pytest.fixture(scope="module")
def median_path(model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests' model, written as one that decides by the median."""
    path, loaded = tmp_path_factory.mktemp("median") / "model", bundle.load(model_path)
    files = {name: loaded.read(name) for name in loaded.manifest.files}
    bundle.write(path, of(model_path, "part-median").bundle.manifest, files, overwrite=False)
    return path


def test_predict_has_a_row_for_each_part(
    median_path: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words: list[Any] = ["predict", median_path, parts / "train/good", "--group", GROUP, "--out", tmp_path / "out"]
    assert call(*words, "--json") == 0
    printed = capsys.readouterr()
    rows = [json.loads(line) for line in printed.out.splitlines()]
    assert (sum("image" in row for row in rows), sum("part" in row for row in rows)) == (40, 20)
    lines = (tmp_path / "out/parts.csv").read_text().splitlines()
    assert lines[0] == ",".join(edge_parts.COLUMNS)
    assert len(lines) == 21
    assert lines[1].startswith("00,")
    assert (tmp_path / "out/results.csv").read_text().splitlines()[0].endswith(",heatmap,part")
    assert "parts: " in printed.err
    assert call(*words) == 2, "an earlier result"
    assert call(*words[:3], "--out", tmp_path / "out", "--overwrite") == 2, "parts are not named"
    assert "say which images show one part" in capsys.readouterr().err
    assert call("predict", median_path, parts / "test", "--group", GROUP, "--fail-on-ng") == 1
    assert call("predict", median_path, parts / "test", "--group", r"lot(\d+)") == 3
    assert "finds no part in" in capsys.readouterr().err


def test_what_fails_on_ng_is_a_part_where_parts_are_judged(
    median_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        save(tmp_path / f"part01_{number}.png", picture(number, defect=not number))
    assert call("predict", median_path, tmp_path, "--group", GROUP, "--fail-on-ng") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["NG", "OK", "OK", "OK"]


def test_predict_on_a_table_takes_its_parts(median_path: Path, parts: Path, tmp_path: Path) -> None:
    images = sorted((parts / "train/good").glob("part0[01]_*.png"))
    rows = "".join(f"{image},{image.stem[:6]}\n" for image in images)
    (tmp_path / "table.csv").write_text(f"image,group\n{rows}")
    assert call("predict", median_path, tmp_path / "table.csv", "--out", tmp_path / "out") == 0
    assert [line.split(",")[0] for line in (tmp_path / "out/parts.csv").read_text().splitlines()] == [
        "part",
        "part00",
        "part01",
    ]
    assert (
        call("predict", median_path, parts / "test/good", "--group", GROUP, "--out", tmp_path / "out", "--overwrite")
        == 0
    )
    assert len((tmp_path / "out/parts.csv").read_text().splitlines()) == 11


def test_a_model_that_decides_on_photographs_gives_no_verdict_on_parts(model_path: Path, parts: Path) -> None:
    with pytest.raises(ConfigError, match="its bound is about photographs: leave out --group"):
        predict(of(model_path, "photograph"), [parts / "test/good"], group=GROUP)


def test_an_evaluation_counts_parts_that_are_decided_once(
    median_path: Path, parts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("evaluate", median_path, parts, "--group", GROUP, "--out", tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "parts decided by their median, good ones rejected" in said.out
    assert "only the figures of parts that are decided once are what the bound is about" in said.err
    once = json.loads((tmp_path / "out/metrics.json").read_text())["decided"]
    assert (once["decided_by"], once["errors"]) == ("median", 0)
    assert (once["false_reject_rate"]["n"], once["escape_rate"]["n"]) == (10, 10)
    assert once["escape_rate"]["low"] <= once["escape_rate"]["value"] <= once["escape_rate"]["high"]
    assert "Parts decided by their median, escaped" in (tmp_path / "out/report.html").read_text()


def test_models_that_judge_together_find_files_as_they_were_made(model_path: Path) -> None:
    def read(file: BinaryIO, options: Any) -> Iterator[tuple[int, Picture]]:
        yield from ((at, Picture(picture(at))) for at in range(options.number))

    def made(*known: int) -> Model:
        loaded = bundle.load(model_path)
        records = tuple(ReaderRecord(".rec", "acme", "1.0", {"number": one}) for one in known)
        own = Bundle(loaded.path, replace(loaded.manifest, readers=records), "", {})
        readers = complete({".rec": Reader(read=read, options={"number": 1}, preset=True)}, records)
        model = Model(loaded)
        intake = replace(model.intake, opener=Opener(readers))
        return Model.around(own, intake, model.runtime)

    for models in ([made(3), made()], [made(), made(3)], [made(3), made(3)]):
        reader = shared_opener(models).readers[".rec"]
        assert isinstance(reader, Reader)
        assert reader.options == {"number": 3}
    with pytest.raises(ConfigError, match=r"other options of the reader of '\.rec' files"):
        shared_opener([made(3), made(4)])
