"""What `plugins show` tells: options in words, an example that trains, a schema that agrees with the models."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import jsonschema
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from anomalib_lite import config as configuration
from anomalib_lite import registry
from anomalib_lite.cli import main
from anomalib_lite.config import Config, DetectorConfig
from anomalib_lite.errors import ConfigError, PluginError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.registry import describing
from anomalib_lite.training.plan import configure
from anomalib_lite.training.request import Request

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.yaml"))


class Colour(Enum):
    GREY = "grey"
    FALSE = "no"


class Layer(BaseModel):
    """One layer."""

    model_config = ConfigDict(extra="forbid")
    width: int = Field(8, ge=1)
    kind: Literal["plain", "deep"] = "plain"


class ImageConfig(BaseModel):
    """Called as a section of the host."""

    model_config = ConfigDict(extra="forbid")
    blur: float = 1.5


class Rich(DetectorConfig):
    """Every kind of option that a plugin may think of."""

    name: str = "yes"
    """Text that YAML would take for a truth value."""
    pattern: Annotated[str, Field(pattern=r"^\d+$")] = "12"
    size: tuple[int, int] = (3, 4)
    pair: tuple[Annotated[int, Field(ge=2)], str] = (2, "b")
    widths: list[Annotated[float, Field(gt=0)]] = Field([1.0, 2.5])
    names: frozenset[str] = frozenset({"a"})
    weights: dict[str, float] = Field({"a": 0.5})
    colour: Colour = Colour.FALSE
    layer: Layer = Layer(width=16)
    """The first layer."""
    spare: Layer | None = None
    layers: list[Layer] = Field([Layer()])
    image: ImageConfig = ImageConfig()
    path: Path | None = None
    anything: Any = None
    items: int = 1
    properties: int = Field(2, le=9)
    default: int = 3
    limit: float = float("inf")


RICH = DetectorInfo(
    name="acme_rich", summary="Rich.", target="acme:Rich", config=Rich,
    defaults={"score.sigma": 2, "image.mode": "letterbox", "calibration.max_false_reject": 0.05},
)  # fmt: skip
WORDS = {
    "name": ("text", "yes", ""),
    "pattern": ("text", "12", r"matching ^\d+$"),
    "size": ("list of 2: int, int", "[3, 4]", ""),
    "pair": ("list of 2: int (>= 2), text", "[2, b]", ""),
    "widths": ("list of float (> 0)", "[1.0, 2.5]", ""),
    "names": ("list of text", "[a]", ""),
    "weights": ("mapping", "{a: 0.5}", ""),
    "colour": ("grey | no", "no", ""),
    "layer.width": ("int", "16", ">= 1"),
    "layer.kind": ("plain | deep", "plain", ""),
    "spare": ("mapping of width, kind or null", "null", ""),
    "layers": ("list of mapping of width, kind", "[{kind: plain, width: 8}]", ""),
    "image.blur": ("float", "1.5", ""),
    "path": ("path or null", "null", ""),
    "anything": ("anything", "null", ""),
    "items": ("int", "1", ""),
    "properties": ("int", "2", "<= 9"),
    "default": ("int", "3", ""),
    "limit": ("float", ".inf", ""),
}


def validator(info: DetectorInfo) -> jsonschema.Draft7Validator:
    schema = describing.json_schema(info)
    json.dumps(schema, allow_nan=False)
    jsonschema.Draft7Validator.check_schema(schema)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    return jsonschema.Draft7Validator(schema)


def installed() -> dict[str, DetectorInfo]:
    return dict(registry.load().detectors)


# ---- in words


def test_every_kind_of_option_is_described() -> None:
    described = {one.name.removeprefix("options."): one for one in describing.options_of(RICH)}
    assert {name: (one.kind, one.default, one.limits) for name, one in described.items()} == WORDS
    assert described["name"].meaning == "Text that YAML would take for a truth value."


def test_without_values_the_defaults_are_told_and_what_is_required() -> None:
    class Asking(BaseModel):
        camera: str
        layer: Layer = Layer(width=5)
        other: Layer

    told = {one.name: one.default for one in describing.describe_options(Asking)}
    assert told == {"camera": "required", "layer.width": "5", "layer.kind": "plain", "other.width": "8",
                    "other.kind": "plain"}  # fmt: skip


def test_options_of_the_host_have_the_defaults_that_the_detector_prefers() -> None:
    told = {one.name: one.default for one in describing.options_of_host(RICH)}
    assert told["score.sigma"] == "2.0"
    assert told["image.mode"] == "letterbox"
    assert told["image.overlap"] == "32"
    assert not {"detector", "options"} & set(told)


def test_showing_tells_everything(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    info = replace(installed()["gauss"], paper="Somebody, 2021", weights="ResNet-18 (torchvision, BSD-3-Clause)",
                   positional=True)  # fmt: skip
    monkeypatch.setattr(registry.Registry, "detector", lambda self, name: info)
    with pytest.raises(SystemExit):
        main(["plugins", "show", "gauss"])
    shown = capsys.readouterr().out
    for told in ("A Gaussian per pixel.", "inputs   image", "Somebody, 2021", "ResNet-18 (torchvision, BSD-3-Clause)",
                 "image.mode=tile is refused", "options.floor = 0.02    [float, > 0]",
                 "Smallest standard deviation, share of white.", "prefers  score.sigma = 1.0", "score.sigma = 1.0    [",
                 "calibration.max_false_reject = 0.01"):  # fmt: skip
        assert told in shown


# ---- as an example


@pytest.mark.parametrize("info", [RICH, *installed().values()], ids=lambda info: str(info.name))
def test_the_example_says_the_defaults(info: DetectorInfo) -> None:
    document = yaml.safe_load(describing.example(info))
    assert info.config.model_validate(document.get("options", {})) == info.config()
    read = Config.model_validate(document)
    assert read.detector == info.name
    assert read.model_dump(exclude={"options"}) == Config.model_validate(
        configuration.load(
            None, defaults={"detector": info.name, "calibration.max_false_reject": 0.01, **info.defaults}
        )
    ).model_dump(exclude={"options"})
    if info is not RICH:  # JSON has no infinity
        validator(info).validate(document)


def test_the_example_of_plugins_show_trains(
    capsys: pytest.CaptureFixture[str], parts: Path, tmp_path: Path, train: Callable[..., Any]
) -> None:
    """Cut from what is printed, as a user would."""
    with pytest.raises(SystemExit):
        main(["plugins", "show", "gauss"])
    shown = capsys.readouterr().out
    (tmp_path / "gauss.yaml").write_text(shown[shown.index("# example:") :])
    trained = train(parts, tmp_path / "model", config=tmp_path / "gauss.yaml")
    assert trained.bundle.manifest.options == {"floor": 0.02, "steps": 0}
    assert trained.bundle.manifest.score["sigma"] == 1.0
    assert trained.bundle.manifest.detector.weights is None


# ---- as a schema


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_ready_configurations_pass(path: Path) -> None:
    document = yaml.safe_load(path.read_text())
    validator(installed()[document["detector"]]).validate(document)


BAD = [
    ({"detektor": "x"}, "detektor"),
    ({"detector": "other"}, "other"),
    ({"options": {"flor": 1}}, "flor"),
    ({"options": {"floor": "wide"}}, "wide"),
    ({"options": {"floor": 0}}, "minimum"),
    ({"options": {"steps": 1.5}}, "integer"),
    ({"options": []}, "object"),
    ({"score": {"sigmma": 1}}, "sigmma"),
    ({"score": {"sigma": 65}}, "maximum"),
    ({"score": {"reduction": "mean"}}, "mean"),
    ({"image": {"channels": 2}}, "2"),
    ({"image": {"height": "tall"}}, "tall"),
    ({"calibration": {"max_false_reject": 1}}, "maximum"),
    ({"training": None}, "None"),
]


@pytest.mark.parametrize(("document", "said"), BAD)
def test_what_training_refuses_the_schema_refuses(document: dict[str, Any], said: str, tmp_path: Path) -> None:
    info = installed()["gauss"]
    with pytest.raises(jsonschema.ValidationError) as caught:
        validator(info).validate(document)
    assert said in str(caught.value)
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(ConfigError):
        configure(Request(detector="gauss", data=tmp_path, out=tmp_path, config=path), registry.load())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"size": [1, 2]},
        {"size": [1]},
        {"size": [1, 2, 3]},
        {"size": [1, "2nd"]},
        {"pair": [2, "b"]},
        {"pair": [1, "b"]},
        {"pair": ["b", 2]},
        {"widths": []},
        {"widths": [1, 0]},
        {"names": ["a", "b"]},
        {"weights": {"a": 1, "b": 2}},
        {"weights": {"a": "much"}},
        {"colour": "grey"},
        {"colour": "red"},
        {"pattern": "12"},
        {"pattern": "twelve"},
        {"layer": {"width": 2}},
        {"layer": {"width": 0}},
        {"layer": {"depth": 1}},
        {"spare": None},
        {"spare": {"kind": "deep"}},
        {"spare": {"kind": "dark"}},
        {"layers": [{"width": 2}, {}]},
        {"layers": [{"width": 2}, {"width": "x"}]},
        {"image": {"blur": 2}},
        {"image": {"mode": "tile"}},
        {"items": 2, "properties": 3, "default": 4},
        {"properties": 10},
        {"items": [1]},
        {"anything": {"at": ["all"]}},
    ],
    ids=str,
)
def test_schema_and_model_agree(options: dict[str, Any]) -> None:
    try:
        Rich.model_validate(options)
        legal = True
    except ValidationError:
        legal = False
    assert validator(RICH).is_valid({"detector": "acme_rich", "options": options}) == legal


def test_sections_of_the_host_stay_beside_those_of_the_plugin() -> None:
    """Both have a class called ImageConfig."""
    check = validator(RICH)
    assert check.is_valid({"image": {"mode": "tile"}, "options": {"image": {"blur": 2}}})
    assert not check.is_valid({"image": {"blur": 2}})


def test_nothing_of_a_later_draft_is_left() -> None:
    text = json.dumps(describing.json_schema(RICH))
    assert "$defs" not in text
    assert "prefixItems" not in text


def test_descriptions_and_defaults_reach_the_editor() -> None:
    schema = describing.json_schema(RICH)
    options = next(one for one in schema["definitions"].values() if "pattern" in one.get("properties", {}))
    assert options["properties"]["name"]["description"] == "Text that YAML would take for a truth value."
    assert options["properties"]["layer"]["description"] == "The first layer."
    assert options["properties"]["layer"]["allOf"][0]["$ref"].startswith("#/definitions/")
    assert "default" not in options["properties"]["limit"]
    assert schema["definitions"]["ScoreConfig"]["properties"]["sigma"]["default"] == 2


def test_the_schema_is_all_that_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["plugins", "show", "gauss", "--json-schema"])
    printed = capsys.readouterr()
    assert exit_.value.code == 0
    assert json.loads(printed.out) == describing.json_schema(installed()["gauss"])
    assert printed.err == ""


def test_an_option_without_a_schema_is_the_plugins_fault() -> None:
    class Odd(DetectorConfig):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: slice = slice(1)

    info = replace(RICH, config=Odd, defaults={})
    with pytest.raises(PluginError, match="'acme_rich': its options have no JSON Schema"):
        describing.json_schema(info)
    with pytest.raises(PluginError, match="a default cannot be written"):
        describing.example(info)


@pytest.mark.parametrize("written", ["1%", "1 %", "0.5%", 0.01])
def test_a_share_may_be_a_percentage(written: str | float, tmp_path: Path) -> None:
    """In a file and for the editor that checks it, in every option that is a share."""
    shares = dict.fromkeys(("max_false_reject", "holdout", "review"), written)
    document = {"calibration": {**shares, "confidence": "90%"}, "score": {"top_share": written}}
    validator(installed()["gauss"]).validate(document)
    path = tmp_path / "shares.yaml"
    path.write_text(yaml.safe_dump(document))
    request = Request(detector="gauss", data=tmp_path, out=tmp_path, config=path, settings=["score.top_share=5 %"])
    config = configure(request, registry.load())[2]
    assert config.calibration.max_false_reject == config.calibration.holdout == config.calibration.review
    assert config.calibration.max_false_reject == (0.005 if written == "0.5%" else 0.01)
    assert (config.calibration.confidence, config.score.top_share) == (0.9, 0.05)


@pytest.mark.parametrize("written", ["100%", "-1%", "%", "1%%", "one%"])
def test_what_is_no_percentage_is_refused(written: str, tmp_path: Path) -> None:
    request = Request(
        detector="gauss", data=tmp_path, out=tmp_path, settings=[f"calibration.max_false_reject='{written}'"]
    )
    with pytest.raises(ConfigError, match=r"calibration\.max_false_reject: .*\(found "):
        configure(request, registry.load())


def test_nested_options_are_named_with_their_path(tmp_path: Path) -> None:
    settings = ["options.mix.textur=1", "options.size=huge", "options.mix.texture=many"]
    with pytest.raises(ConfigError) as caught:
        configure(Request(detector="draem", data=tmp_path, out=tmp_path, settings=settings), registry.load())
    said = str(caught.value)
    assert "options.mix.textur is not an option. Did you mean 'texture'?" in said
    assert "options.mix.texture: input should be a valid number" in said
    assert "options.size: input should be" in said
    assert ".;" not in said
