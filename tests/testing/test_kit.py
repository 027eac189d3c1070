"""The conformance kit: finds each planted fault by the check for it, and finds none in a sound detector."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import faulty
import pytest
from faulty import configs

from anomalib_lite import testing
from anomalib_lite.errors import ConfigError, PluginError
from anomalib_lite.hookspecs import DetectorInfo
from anomalib_lite.testing import CHECKS, check_detector, parametrize_with_checks, run_checks, running

# fault -> the check that fails, and no other does
WHOLE = {"check_detector", "check_reader", "check_writer"}  # each carries out several rules
FAULTS = {
    "ReadsWhenBuilt": "check_building_touches_no_data",
    "MapWithoutChannel": "check_maps_and_scores_have_their_shapes",
    "ScorePerPixel": "check_maps_and_scores_have_their_shapes",
    "DoublePrecision": "check_maps_and_scores_have_their_shapes",
    "OnlyEvenSizes": "check_unusual_sizes_work_or_are_refused",
    "OverwritesStatistics": "check_what_is_frozen_stays_so",
    "RootNearZero": "check_the_graph_computes_the_same",
    "AnySize": "check_a_wrong_shape_is_an_error",
    "DividesByZero": "check_results_are_finite",
    "LooksAtTheBatch": "check_an_image_does_not_depend_on_its_batch",
    "RemembersWhatItSaw": "check_predicting_changes_no_state",
    "RandomWhenPredicting": "check_predictions_repeat",
    "Unseeded": "check_the_seed_decides_the_fit",
    "KeepsItForItself": "check_everything_learnt_is_in_the_state",
    "GrowsALayer": "check_everything_learnt_is_in_the_state",
    "UpsideDown": "check_a_planted_defect_scores_higher",
    "PointsElsewhere": "check_a_planted_defect_scores_higher",
    "Saturated": "check_scores_do_not_saturate",
    "KnowsThePlace": "check_a_map_of_the_place_is_declared",
    "NeedsMany": "check_few_images_suffice_or_are_refused",
    "RefusesWithoutANumber": "check_few_images_suffice_or_are_refused",
    "IgnoresMasks": "check_masked_images_are_accepted",
    "OwnOperator": "check_the_detector_can_be_exported",
    "BranchesOnValues": "check_the_detector_can_be_exported",
    "ExportsSomethingElse": "check_the_graph_computes_the_same",
}
# Last bits of a product of matrices depend on its number of rows there, and a root near 0 makes much of them.
ON_SOME_PROCESSORS = {("RootNearZero", "check_an_image_does_not_depend_on_its_batch")}


def failing(info: DetectorInfo) -> dict[str, str]:
    return {outcome.check: outcome.failure for outcome in run_checks(info) if outcome.failure is not None}


def failing_by_its_description(info: DetectorInfo) -> list[str]:
    """As `failing`, of the checks that come first: nothing is fitted for them."""
    first = takewhile(lambda outcome: CHECKS[outcome.check].__module__.endswith("description"), run_checks(info))
    return [outcome.check for outcome in first if outcome.failure is not None]


def described(**changes: Any) -> DetectorInfo:
    return replace(faulty.info("Sound"), **changes)


@parametrize_with_checks([described()])
def test_a_sound_detector_keeps_the_contract(check: Callable[[], None]) -> None:
    check()


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found_by_its_check(fault: str) -> None:
    found = list(failing(faulty.info(fault)))
    assert [FAULTS[fault]] == [check for check in found if (fault, check) not in ON_SOME_PROCESSORS]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({"name": "Sound Detector"}, "check_the_description_is_complete"),
        ({"summary": " "}, "check_the_description_is_complete"),
        ({"defaults": {"score.sigmma": 1.0}}, "check_the_description_is_complete"),
        ({"config": configs.Undescribed}, "check_every_option_is_described"),
        ({"config": configs.Changing}, "check_options_survive_a_file"),
        ({"config": configs.Lenient}, "check_options_survive_a_file"),
    ],
    ids=lambda one: one if isinstance(one, str) else next(iter(one)),
)
def test_a_fault_of_the_description_is_found(changes: dict[str, Any], check: str) -> None:
    assert check in failing_by_its_description(described(**changes))


def test_a_map_of_the_place_may_be_declared_by_the_description_or_by_the_options() -> None:
    undeclared = faulty.info("KnowsThePlace")
    for declared in (replace(undeclared, positional=True), replace(undeclared, config=configs.Placed)):
        testing.check_a_map_of_the_place_is_declared(testing.Subject.of(declared, "faulty", {}, None))


def test_an_option_without_a_default_is_found() -> None:
    with pytest.raises(ConfigError, match="window"):
        check_detector(described(config=configs.Required))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("import torch", "check_the_entry_module_imports_no_torch"),
        ("def f():\n    import lightning.pytorch", "check_training_is_left_to_the_host"),
        ("def f():\n    from pytorch_lightning import Trainer", "check_training_is_left_to_the_host"),
        ("from anomalib_lite.pipeline import train", "check_only_public_names_are_imported"),
        ("from anomalib_lite import pipeline", "check_only_public_names_are_imported"),
        ("import anomalib_lite.edge.model", "check_only_public_names_are_imported"),
    ],
)
def test_a_fault_of_the_sources_is_found(
    line: str, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    module = f"faulty_source_{abs(hash(request.node.name))}"
    options = "from anomalib_lite.config import DetectorConfig\n\n\nclass Options(DetectorConfig):\n    pass\n"
    (tmp_path / f"{module}.py").write_text(f"{options}\n\n{line}\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    config = __import__(module).Options
    assert failing_by_its_description(described(config=config)) == [check]


@pytest.fixture
def two_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of outcomes, and expected of them, does not depend on their number."""
    few = ("check_maps_and_scores_have_their_shapes", "check_results_are_finite")
    monkeypatch.setattr(running, "CHECKS", {name: CHECKS[name] for name in few})


@pytest.mark.usefixtures("two_rules")
def test_check_detector_lists_what_fails_and_how_to_mend_it() -> None:
    with pytest.raises(AssertionError, match=r"'dividesbyzero' breaks 1 of \d+ rules") as caught:
        check_detector(faulty.info("DividesByZero"))
    assert "check_results_are_finite" in str(caught.value)
    assert "guard the division" in str(caught.value)


@pytest.mark.usefixtures("two_rules")
def test_known_failures_are_strict() -> None:
    known = {"check_results_are_finite": "plain images never come"}
    outcomes = check_detector(faulty.info("DividesByZero"), known_failures=known)
    assert [outcome.check for outcome in outcomes if outcome.failure] == ["check_results_are_finite"]
    with pytest.raises(AssertionError, match="passes, expected to fail: plain images never come"):
        check_detector(described(), known_failures=known)


def test_known_failures_need_a_reason_and_an_existing_check() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'check_results_are_finite'"):
        check_detector(described(), known_failures={"check_results_are_finit": "so"})
    with pytest.raises(ConfigError, match="say why"):
        parametrize_with_checks([described()], known_failures={"sound": {"check_results_are_finite": " "}})


def test_known_failures_become_strict_expected_failures() -> None:
    mark = parametrize_with_checks([described()], known_failures={"sound": {"check_predictions_repeat": "so"}}).mark
    marked = {parameter.id: parameter.marks for parameter in mark.args[1] if parameter.marks}
    assert list(marked) == ["sound-check_predictions_repeat"]
    assert marked["sound-check_predictions_repeat"][0].kwargs == {"reason": "so", "strict": True}


def test_a_detector_that_is_not_installed_is_named() -> None:
    with pytest.raises(PluginError, match="no detector 'nothing'"):
        check_detector("nothing")


def test_every_rule_is_public_and_says_what_it_holds() -> None:
    for name, check in CHECKS.items():
        assert getattr(testing, name) is check
        assert check.__doc__, name
    assert set(CHECKS) == {name for name in testing.__all__ if name.startswith("check_")} - WHOLE


def test_every_rule_has_a_fault() -> None:
    """So that no check of the kit is one that cannot fail."""
    text = Path(__file__).read_text("utf-8")
    assert [name for name in CHECKS if text.count(f'"{name}"') == 0] == []
