"""Models of many products become one set: the network once, and for each product the verdicts of its own model."""

from __future__ import annotations

import csv
import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Once, call, save
from products import NETWORK, bar, ring

from anomalib_lite.edge import ModelSet, bundle, disk
from anomalib_lite.edge.bundle import GRAPH, MANIFEST
from anomalib_lite.edge.images.kept import Kept
from anomalib_lite.edge.intake import GATE
from anomalib_lite.edge.manifest import HEAD, SHARED, ReaderRecord
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.modelset import load
from anomalib_lite.edge.results import Result
from anomalib_lite.errors import ConfigError, ExportError, ModelError
from anomalib_lite.graph.sharing import Sharing
from anomalib_lite.pipeline.bundle_set import bundle_set
from anomalib_lite.pipeline.workers import Workers


@pytest.fixture(scope="session")
def made(two: Path, once: Once) -> Path:
    """Both as a set. Not to be changed: copy it."""
    return once("set", lambda folder: bundle_set([("", two / "bar"), ("", two / "ring")], folder / "set")) / "set"


def said(result: Result) -> dict[str, object]:
    return {key: value for key, value in result.row().items() if key not in ("time", "ms")}


def test_each_product_is_judged_as_by_its_own_model(made: Path, two: Path) -> None:
    models = ModelSet(made)
    for name, scene in (("bar", bar), ("ring", ring)):
        single = Model(two / name)
        for seed, defect in ((901, False), (902, True)):
            image = scene(seed, defect=defect)
            expected = single.inspect(image)
            assert expected.verdict == ("NG" if defect else "OK")
            for found in (models.inspect(image, product=name), models.product(name).inspect(image),
                          models.inspect(image)):  # fmt: skip
                assert said(found) == said(expected)
                np.testing.assert_array_equal(found.anomaly_map, expected.anomaly_map)


def test_the_network_is_stored_once_and_a_head_is_loaded_where_it_is_needed(
    made: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holds = {
        file.relative_to(made).as_posix() for file in made.rglob("*.onnx") if NETWORK.tobytes() in file.read_bytes()
    }
    assert holds == {SHARED}
    read = list[str]()
    head = bundle.SetBundle.head

    def told(of: bundle.SetBundle, name: str) -> bytes:
        read.append(name)
        return head(of, name)

    monkeypatch.setattr(bundle.SetBundle, "head", told)
    models = ModelSet(made)
    for seed in range(3):
        models.inspect(bar(seed), product="bar")
        models.product("ring")
    assert read == ["bar"]


def test_what_looks_like_no_product_or_like_two_is_an_error(made: Path, two: Path, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (48, 48, 1)).astype(np.uint8)
    found = ModelSet(made).inspect(noise)
    assert (found.verdict, found.error_code, found.score) == ("ERROR", "unknown_product", None)
    assert "looks like none of the 2 products" in str(found.error)
    other = Model(two / "bar").bundle
    bundle.write(
        tmp_path / "bolt", replace(other.manifest, created="2020"), {name: other.read(name) for name in (GRAPH, GATE)}
    )
    done = bundle_set([("", two / "bar"), ("", tmp_path / "bolt"), ("", two / "ring")], tmp_path / "set")
    models = ModelSet(done.bundle)
    found = models.inspect(bar(1))
    assert found.error_code == "unknown_product"
    assert str(found.error).startswith("it looks like '")
    assert models.inspect(bar(1), product="bolt").verdict == "OK"
    assert models.inspect(ring(1)).member == "ring"
    assert models.inspect(b"no image").error_code != "unknown_product"
    assert models.inspect(bar(1), product="nut").error_code == "unknown_product"


def test_a_table_or_the_look_tells_the_product_and_rows_name_it(made: Path, two: Path, tmp_path: Path) -> None:
    for name, scene in (("bar", bar), ("ring", ring)):
        save(tmp_path / f"in/{name}.png", scene(5, defect=True))
    rows = "".join(f"in/{name}.png,{name}\n" for name in ("bar", "ring"))
    (tmp_path / "in.csv").write_text(f"image,product\n{rows}")
    expected = {name: Model(two / name).inspect(tmp_path / f"in/{name}.png") for name in ("bar", "ring")}
    for given, out in ((tmp_path / "in", "a"), (tmp_path / "in.csv", "b")):
        assert call("predict", made, given, "--out", tmp_path / out, "--heatmaps", "--workers", "1") == 0
        with (tmp_path / out / "results.csv").open() as file:
            found = list(csv.DictReader(file))
        assert [(row["product"], row["verdict"], row["model_id"]) for row in found] == [
            (name, "NG", expected[name].model_id) for name in ("bar", "ring")
        ]
        assert len(list((tmp_path / out / "heatmaps").rglob("*.png"))) == 2
        page = (tmp_path / out / "report.html").read_text()
        assert "2 images of 2 products" in page
        assert page.count("data:image/webp") == 2
    assert call("predict", made, tmp_path / "in", "--product", "bar", "--out", tmp_path / "c") == 0
    with (tmp_path / "c/results.csv").open() as file:
        assert {row["model_id"] for row in csv.DictReader(file)} == {expected["bar"].model_id}


def test_a_product_is_evaluated_as_its_own_model(made: Path, two: Path, tmp_path: Path) -> None:
    for seed in range(6):
        save(tmp_path / f"data/{'spot' if seed > 2 else 'good'}/{seed}.png", ring(seed, defect=seed > 2))
    for model, words in ((made, ["--product", "ring"]), (two / "ring", [])):
        out = tmp_path / model.name
        assert call("evaluate", model, tmp_path / "data", "--out", out, "--workers", "1", *words) == 0
    first, second = (json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("set", "ring"))
    assert {key for key in first if first[key] != second[key]} <= {"latency_ms_p50", "latency_ms_p95"}
    assert (first["image_auroc"], list(first)) == (1.0, list(second))


def test_processes_load_the_same_product(made: Path) -> None:
    model = load(made, product="ring", threads=1)
    loading = Workers(model, 2)._loading
    again = load(loading.path, product=loading.product)
    assert (again.model_id, loading.path) == (model.model_id, made)
    assert Workers(load(made), 2)._loading.product is None


def test_verify_replays_each_product(made: Path, model_path: Path, two: Path, tmp_path: Path,
                                     capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    assert call("verify", made) == 4
    assert "carries no self-check images" in capsys.readouterr().err
    first, shown = Model(two / "bar"), bundle.load(model_path)
    files = {one.file: shown.read(one.file) for one in shown.manifest.selfcheck}
    expected = []
    for one in shown.manifest.selfcheck:
        found = first.inspect(Kept(one.file, files[one.file]))
        assert found.score is not None
        expected.append(replace(one, score=found.score, verdict=found.verdict.value))
    files |= {name: first.bundle.read(name) for name in (GRAPH, GATE)}
    for name in ("one", "two"):
        manifest = replace(first.bundle.manifest, selfcheck=tuple(expected), created=name)
        bundle.write(tmp_path / name, manifest, files)
    assert call("bundle-set", tmp_path / "one", tmp_path / "two", "--out", tmp_path / "set.zip") == 0
    told = capsys.readouterr()
    assert (
        f"{2 * len(expected)} verdicts are those of the single models; largest difference of a score 0.0e+00"
        in told.out
    )
    assert "the look of images does not tell 2 of 2 products" in told.err
    assert call("verify", tmp_path / "set.zip") == 0
    assert "all products judge as they did" in capsys.readouterr().out
    assert call("verify", tmp_path / "set.zip", "--product", "one") == 0


@pytest.mark.parametrize(
    ("names", "code", "message"),
    [
        (["bar"], 2, "at least two models"),
        (["bar", "BAR=ring"], 2, "called 'bar' and 'BAR'"),
        (["bar", "été=ring"], 2, "'été' cannot name a product on all systems"),
        (["bar", "gone"], 4, "no model bundle here"),
        (["bar", "gauss"], 4, "share no network"),
    ],
)
def test_what_cannot_be_a_set_is_refused(
    names: list[str], code: int, message: str, two: Path, model_path: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    paths = {"gauss": model_path}
    words = []
    for word in names:
        name, _, path = word.rpartition("=")
        words.append(f"{name}={two / path}" if name else str(paths.get(path, two / path)))
    assert call("bundle-set", *words, "--out", tmp_path / "set") == code
    assert message in capsys.readouterr().err
    assert not (tmp_path / "set").exists()


def test_products_that_read_files_otherwise_are_refused_by_name(two: Path, tmp_path: Path) -> None:
    for name, options in (("bar", {"plane": "axial", "window": None}), ("ring", {"plane": "coronal", "window": None})):
        loaded = bundle.load(two / name)
        manifest = replace(loaded.manifest, readers=(ReaderRecord(".scan", "acme", "1.0", options),))
        bundle.write(tmp_path / name, manifest, {one: loaded.read(one) for one in (GRAPH, GATE)})
    with pytest.raises(ConfigError, match=r"ring: .* '\.scan' files \(plane='coronal'\) than bar \(plane='axial'\)"):
        bundle_set([("", tmp_path / "bar"), ("", tmp_path / "ring")], tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_product_that_would_be_judged_otherwise_is_not_written(
    two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, head = bundle.load(two / "bar").graph, Sharing.head
    models = [("", two / "bar"), ("", two / "ring")]
    with monkeypatch.context() as patch:
        patch.setattr(
            Sharing, "head", lambda self, content: head(self, graph if b"anomaly_map" in content else content)
        )
        with pytest.raises(ExportError, match="ring: in the set an image has the score"):
            bundle_set(models, tmp_path / "set")

    def full(path: Path, *_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk, "write_folder", full)
    with pytest.raises(ModelError, match="No space left"):
        bundle_set(models, tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_a_set_that_was_changed_is_refused(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "set")
    head = tmp_path / "set/products/bar" / HEAD
    head.write_bytes(head.read_bytes() + b"\0")
    with pytest.raises(ModelError, match="was changed since"):
        ModelSet(tmp_path / "set")
    changes: list[tuple[Callable[[Any], object], str]] = [
        (lambda one: one["products"][0].update(model_id="0" * 12), "is not the product that"),
        (lambda one: one["products"][0].update(inputs=["shared.0", "secret"]), "reads 'secret', which nothing gives"),
        (lambda one: one["products"][0].update(name="../x"), "expected is letters, digits"),
        (lambda one: one["shared"]["handed"].update({"shared.0": [1, 48, 49]}), "shared.0"),
        (lambda one: one.update(schema_version=6), "manifest schema 6 is newer than 5"),
    ]
    for change, message in changes:
        document = json.loads((made / MANIFEST).read_text())
        change(document)
        shutil.rmtree(tmp_path / "set")
        shutil.copytree(made, tmp_path / "set")
        (tmp_path / "set" / MANIFEST).write_text(json.dumps(document))
        with pytest.raises(ModelError, match=message):
            ModelSet(tmp_path / "set").product("bar").runtime.run({"image": bar(1)[None]})


def test_who_takes_one_model_says_how_to_take_a_product(made: Path, two: Path, tmp_path: Path) -> None:
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: Model(made), "is a set of several products: say which one with --product NAME"),
        (lambda: Model(made / "products/bar"), "is a product of the set .*give that, with --product bar"),
        (lambda: ModelSet(two / "bar"), "is no set of products"),
        (lambda: load(made, product="nut"), "no product 'nut' in .*: it has bar, ring"),
        (lambda: load(two / "bar", product="nut"), "is no set of products"),
    ]
    for run, message in refused:
        with pytest.raises((ModelError, ConfigError), match=message):
            run()
    for command in ("evaluate", "watch", "serve"):
        assert call(command, made, *[tmp_path] * (command != "serve")) == 4
        assert call(command, two / "bar", *[tmp_path] * (command != "serve"), "--product", "bar") == 2
    save(tmp_path / "in/part1.png", bar(1))
    assert call("predict", made, tmp_path / "in", "--group", r"part(\d)") == 2
    for words in ([], ["--product", "bar"]):
        assert call("predict", made, f"file://{tmp_path}/in", "--out", tmp_path / "out", *words) == 2
