"""A bundle of manifest schema 1, as the first release writes it: it loads, and judges the same, for ever."""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

import jsonschema
import pytest
from conftest import picture
from environments import ROOT

from anomalib_lite.edge import bundle
from anomalib_lite.edge.model import Model
from anomalib_lite.edge.selfcheck import replay

KEPT = Path(__file__).parent / "schema1/model.zip"


def test_the_kept_bundle_is_never_made_anew() -> None:
    digest = "c5ba7470c9bb4fcfaae4d2c01a95c8f4816afd2457aa80ac2b0f7843dd74b4e8"
    assert hashlib.sha256(KEPT.read_bytes()).hexdigest() == digest, "restore it: models of users are like it"


def test_it_loads_and_judges_as_on_its_first_day() -> None:
    model = Model(KEPT)
    assert model.model_id == "797e05535f92"
    good, bad = model.inspect(picture(1, size=32)), model.inspect(picture(2, defect=True, size=32))
    assert (good.verdict, bad.verdict) == ("OK", "NG")
    assert good.score == pytest.approx(1.862767, rel=1e-4)
    assert bad.score == pytest.approx(394.30054, rel=1e-4)
    assert good.p_value == pytest.approx(5 / 7)
    assert len(bad.regions) == 1


def test_its_self_check_holds() -> None:
    replayed = replay(Model(KEPT))
    assert len(replayed) == 5
    assert not any(one.flipped for one in replayed)


def test_its_manifest_fits_the_published_schema() -> None:
    schema = json.loads((ROOT / "deploy/manifest.schema.json").read_text())
    with zipfile.ZipFile(KEPT) as kept:
        jsonschema.validate(json.loads(kept.read("manifest.json")), schema)
    jsonschema.validate(json.loads(bundle.to_json(Model(KEPT).bundle.manifest.to_json())), schema)
