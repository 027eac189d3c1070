"""A manifest is parsed once, into types; what it lacks or misplaces is refused by name, in every older form, too."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from environments import ROOT

from anomalib_lite.edge import bundle
from anomalib_lite.edge.manifest import ImageSpec, Manifest, Range
from anomalib_lite.errors import ModelError

KEPT = ROOT / "tests/schema1/model.zip"
OPTIONAL = {  # keys that models of older versions lack
    "calibration.approximate", "calibration.exclusions", "calibration.history", "calibration.holdout",
    "calibration.gated",
    "calibration.images_per_unit.min", "calibration.n", "calibration.simulated", "calibration.statement",
    "calibration.unlabelled", "calibration.menu", "calibration.per", "calibration.row", "data.calibrated",
    "data.held_out", "data.salt", "data.simulated", "data.unreadable",
    "detector.members", "detector.paper", "detector.weights", "evidence", "exported", "exported.int8",
    "framing.align", "framing.max_pixels", "framing.roi", "framing.source", "graph.parity", "graph_sha256", "readers",
    "reference", "selfcheck",
}  # fmt: skip


GATING = ("gate", "gate.enabled")  # without, nothing that is known here makes it a model of its version
FREE = ("config", "files", "data.fit", "data.calibrated", "gate.limits")


def first_release() -> dict[str, Any]:
    """The manifest as the first release wrote it."""
    with zipfile.ZipFile(KEPT) as kept:
        return dict(json.loads(kept.read("manifest.json")))


def today(model_path: Path) -> dict[str, Any]:
    return dict(json.loads((model_path / "manifest.json").read_text()))


def keys(node: dict[str, Any], before: str = "") -> Iterator[str]:
    """Every key of the schema, dotted: not those of free mappings."""
    for name, value in node.items():
        yield before + name
        if isinstance(value, dict) and before + name not in FREE:
            yield from keys(value, f"{before}{name}.")


def without(document: dict[str, Any], key: str) -> tuple[dict[str, Any], Any]:
    """A copy without a key, and what it held."""
    copy = deepcopy(document)
    *sections, last = key.split(".")
    section = copy
    for name in sections:
        section = section[name]
    return copy, section.pop(last)


def refused(document: dict[str, Any]) -> str | None:
    """Why a manifest is refused, if it is."""
    try:
        Manifest.from_json(document, Path("model"))
    except ModelError as error:
        return str(error)
    return None


@pytest.fixture(params=["first release", "today"])
def document(request: pytest.FixtureRequest, model_path: Path) -> dict[str, Any]:
    return first_release() if request.param == "first release" else today(model_path)


def test_it_comes_back_as_it_was(document: dict[str, Any]) -> None:
    manifest = Manifest.from_json(document, Path("model"))
    assert Manifest.from_json(manifest.to_json(), Path("model")) == manifest
    written = json.loads(bundle.to_json(manifest.to_json()))
    grown = ("framing", "data", "detector", "exported", "calibration")  # sections that have more keys today
    assert {key: written[key] for key in document if key not in grown} == {
        key: document[key] for key in document if key not in grown
    }


def test_todays_manifest_is_written_as_it_is_read(model_path: Path) -> None:
    document = today(model_path)
    assert json.loads(bundle.to_json(Manifest.from_json(document, model_path).to_json())) == document


def test_a_key_that_is_missing_is_named(document: dict[str, Any]) -> None:
    for key in keys(document):
        less, _ = without(document, key)
        if key in OPTIONAL or (key.startswith("exported.") and key == "exported.int8"):
            Manifest.from_json(less, Path("model"))
        elif key in ("schema_version", "files"):
            with pytest.raises(ModelError, match="is not a manifest"):
                Manifest.from_json(less, Path("model"))
        elif key in GATING:
            with pytest.raises(ModelError, match="upgrade"):
                Manifest.from_json(less, Path("model"))
        else:
            with pytest.raises(ModelError, match=rf"incomplete, it lacks {key}\b"):
                Manifest.from_json(less, Path("model"))


def test_a_key_in_the_wrong_place_is_named(document: dict[str, Any]) -> None:
    for key in (one for one in keys(document) if one not in OPTIONAL and one not in GATING and "." in one):
        less, value = without(document, key)
        less[key.rpartition(".")[2] + "_"] = value
        less.setdefault("misplaced", {})[key.rpartition(".")[2]] = value
        with pytest.raises(ModelError, match=rf"it lacks {key}\b"):
            Manifest.from_json(less, Path("model"))


@pytest.mark.parametrize("value", [[], "x", 7, None, True, {"a": 1}])
def test_a_value_of_another_type_is_named(document: dict[str, Any], value: Any) -> None:
    """Whatever stands where something else is expected, the message says where."""
    for key in keys(document):
        changed, before = without(document, key)
        *sections, last = key.split(".")
        section = changed
        for name in sections:
            section = section[name]
        section[last] = value
        said = refused(changed)
        if said is None:  # of the same type, optional, or of no use to the host
            alike = isinstance(value, type(before)) or None in (value, before) or isinstance(before, float)
            assert alike or value == [] or key == "calibration.n"
        else:
            together = ("expected is finite numbers, reject", "expected is base + tol")  # of several keys
            assert key in said or key in ("schema_version", "files") or any(one in said for one in together)


@pytest.mark.parametrize("document", [None, [], 7, "text", {}, {"schema_version": "1"}, {"schema_version": True}])
def test_what_is_no_manifest_is_said(document: Any) -> None:
    with pytest.raises(ModelError, match="is not a manifest"):
        Manifest.from_json(document, Path("model"))


def test_a_damaged_calibration_says_to_calibrate_again(document: dict[str, Any]) -> None:
    for key in ("calibration.scores", "calibration.thresholds", "calibration.thresholds.reject.value"):
        with pytest.raises(ModelError, match="calibrate the model again"):
            Manifest.from_json(without(document, key)[0], Path("model"))
    for name, value in (("reject", "high"), ("map_review", float("nan")), ("reject", -1e9)):
        changed = deepcopy(document)
        changed["calibration"]["thresholds"][name]["value"] = value
        with pytest.raises(ModelError, match="calibrate the model again"):
            Manifest.from_json(changed, Path("model"))


def test_keys_of_a_later_version_are_passed_over(document: dict[str, Any]) -> None:
    document["weather"] = document["image"]["lens"] = "sunny"
    Manifest.from_json(document, Path("model"))


def test_thresholds_have_the_smaller_tolerance(document: dict[str, Any]) -> None:
    calibration = Manifest.from_json(document, Path("model")).calibration
    both = [document["calibration"]["thresholds"][name] for name in ("reject", "review")]
    assert calibration.limits.tol == min(one["tol"] for one in both)
    assert [calibration.limits.reject, calibration.limits.review] == [one["value"] for one in both]


def test_an_image_specification_is_checked() -> None:
    assert not [rule for rule in ImageSpec(8, 8, 3, "uint8", 255.0).rules() if not rule.holds]


OTHERS = ("coco.py", "label_studio.py")  # the formats of other tools, which have keys of the same names


def test_a_guard_is_of_values_or_of_a_range(model_path: Path) -> None:
    changed = today(model_path) | {"schema_version": 2}
    changed["gate"] = None
    changed["guards"] = {"units": ["HU", 7, 0.5, None], "width": [{"low": 1, "high": 1.5}, None]}
    guards = Manifest.from_json(changed, Path("model")).guards
    assert guards == {"units": ("HU", 7, 0.5, None), "width": (Range(1, 1.5), None)}
    for low, high, said in (
        (0.0, 1.0, "low=0.0, expected is a number above 0"),
        (-1.0, 1.0, "low=-1.0, expected is a number above 0"),
        (float("nan"), 1.0, "low=nan, expected is a number"),
        (1.0, float("inf"), "high=inf, expected is a number"),
        (2.0, 1.0, "high=1.0, expected is a number from 2 on"),
        (True, 1.0, "low=True, expected is a number"),
        ("1", 1.0, "low='1', expected is a number"),
    ):
        changed["guards"] = {"width": [{"low": low, "high": high}]}
        assert f"the manifest says guards.width.0.{said}" in str(refused(changed))
    changed["guards"] = {"width": [{"low": 1.0}]}
    assert "it lacks guards.width.0.high" in str(refused(changed))


def test_nobody_else_knows_the_keys(model_path: Path) -> None:
    """No module but those of edge/manifest subscripts a manifest, or anything by the name of one of its keys."""
    schema = {key.rpartition(".")[2] for key in keys(today(model_path))}
    shared = (
        "image reference channels score n images count rate unit value median min max errors confidence scores "
        "training verdict"
    )
    telling = schema - set(shared.split())
    for path in sorted((ROOT / "anomalib_lite").rglob("*.py")):
        if path.parent == ROOT / "anomalib_lite/edge/manifest" or path.name in OTHERS:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
                owner, key = ast.unparse(node.value), node.slice
                constant = key.value if isinstance(key, ast.Constant) else None
                assert "manifest" not in owner.split(".")[-1], f"{path}:{node.lineno} subscripts {owner}"
                assert constant not in telling, f"{path}:{node.lineno} knows the key {constant}"
