"""The published schemas describe what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from environments import ROOT

from anomalib_lite.edge.results import COLUMNS
from anomalib_lite.errors import ErrorCode
from anomalib_lite.pipeline.export import export

SCHEMAS = {name: json.loads((ROOT / f"deploy/{name}.schema.json").read_text()) for name in ("result", "manifest")}


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_one(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMAS[name])


def test_manifests_fit(model_path: Path, ungated_path: Path, parts: Path, train: Any, tmp_path: Path) -> None:
    train(parts, tmp_path / "tiles", {"image.mode": "tile", "image.overlap": 8}, detector="contrast")
    camera = export(ungated_path, tmp_path / "camera", source_size=(70, 90)).bundle.path
    for path in (model_path, tmp_path / "tiles", camera):
        jsonschema.validate(json.loads((path / "manifest.json").read_text()), SCHEMAS["manifest"])


@pytest.mark.parametrize("change", [{"schema_version": 2}, {"files": {}}, {"graph": {}}, {"graph_sha256": "x"}])
def test_other_manifests_do_not(model_path: Path, change: dict[str, Any]) -> None:
    manifest = json.loads((model_path / "manifest.json").read_text()) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, SCHEMAS["manifest"])


def test_every_column_and_every_error_code_is_described() -> None:
    properties = SCHEMAS["result"]["properties"]
    assert set(COLUMNS) <= set(properties)
    assert {code for code in properties["error_code"]["anyOf"][0]["enum"] if code} == set(ErrorCode)
