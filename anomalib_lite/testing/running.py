"""Runs the checks on a detector: all at once, one by one, or as tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any

from anomalib_lite import registry
from anomalib_lite.config import nearest
from anomalib_lite.errors import ConfigError
from anomalib_lite.hookspecs import PROJECT, DetectorInfo
from anomalib_lite.testing import behaviour, description, exported
from anomalib_lite.testing.outcome import Outcome
from anomalib_lite.testing.subject import Subject

if TYPE_CHECKING:
    import pytest

Check = Callable[[Subject], None]
Options = Mapping[str, Any]

CHECKS: Mapping[str, Check] = {
    name: check
    for module in (description, behaviour, exported)
    for name, check in vars(module).items()
    if name.startswith("check_") and check.__module__ == module.__name__
}
"""Every rule of the contract, in the order in which they are best mended."""


_SHAPES, _REPEAT, _EXPORT = (
    "check_maps_and_scores_have_their_shapes",
    "check_predictions_repeat",
    "check_the_detector_can_be_exported",
)
_FINDS, _GRADES = "check_a_planted_defect_scores_higher", "check_scores_do_not_saturate"
PREREQUISITES: Mapping[str, tuple[str, ...]] = {
    "check_unusual_sizes_work_or_are_refused": (_SHAPES,),
    "check_results_are_finite": (_SHAPES,),
    "check_predicting_changes_no_state": (_SHAPES,),
    "check_predictions_repeat": (_SHAPES,),
    "check_an_image_does_not_depend_on_its_batch": (_SHAPES, _REPEAT),
    "check_everything_learnt_is_in_the_state": (_SHAPES, _REPEAT),
    "check_a_planted_defect_scores_higher": (_SHAPES,),
    "check_scores_do_not_saturate": (_SHAPES,),
    "check_a_map_of_the_place_is_declared": (_SHAPES, _FINDS, _GRADES),
    "check_few_images_suffice_or_are_refused": (_SHAPES,),
    "check_masked_images_are_accepted": (_SHAPES,),
    "check_the_detector_can_be_exported": (_SHAPES,),
    "check_the_graph_computes_the_same": (_SHAPES, _REPEAT, _EXPORT),
}
"""What must hold before a check says anything of its own: one fault shall be one failure."""


def run_checks(
    detector: str | DetectorInfo,
    *,
    options: Options | None = None,
    steps: int | None = None,
    known_failures: Mapping[str, str] | None = None,
) -> Iterator[Outcome]:
    """Check a detector, one rule after the other. Arguments as for `check_detector`."""
    known = _known(known_failures)
    subject = _subject(detector, options or {}, steps)
    failed: set[str] = set()
    for name in sorted(CHECKS, key=lambda check: len(PREREQUISITES.get(check, ()))):
        blocked = next((one for one in PREREQUISITES.get(name, ()) if one in failed), None)
        outcome = Outcome(name, None if blocked else _failure(name, subject), known.get(name), blocked)
        if outcome.failure:
            failed.add(name)
        yield outcome


def check_detector(
    detector: str | DetectorInfo,
    *,
    options: Options | None = None,
    steps: int | None = None,
    known_failures: Mapping[str, str] | None = None,
) -> list[Outcome]:
    """Check that a detector keeps the whole contract.

    Args:
        detector: A name: `anomalib-lite plugins list`; or what a plugin says of it.
        options: Its options, where the defaults are too slow for a test, or too large for images of 96 x 128.
        steps: Optimiser steps of the fit that has to find planted defects; default 120.
        known_failures: Name of a check to the reason why it fails; such a check has to fail.

    Returns:
        What each check said, all fine.

    Raises:
        AssertionError: Lists every check that failed, and why.
        PluginError: No working plugin provides the detector.
        ConfigError: An option, or the name of a check, is unknown.
    """
    outcomes = list(run_checks(detector, options=options, steps=steps, known_failures=known_failures))
    wrong = [str(outcome) for outcome in outcomes if not outcome.is_fine]
    name = detector if isinstance(detector, str) else detector.name
    assert not wrong, f"'{name}' breaks {len(wrong)} of {len(outcomes)} rules:\n" + "\n".join(wrong)
    return outcomes


def parametrize_with_checks(
    detectors: Iterable[str | DetectorInfo],
    *,
    options: Mapping[str, Options] | None = None,
    steps: Mapping[str, int] | None = None,
    known_failures: Mapping[str, Mapping[str, str]] | None = None,
) -> pytest.MarkDecorator:
    """One test for each detector and check.

    >>> @parametrize_with_checks(["acme_gauss"])
    ... def test_the_contract_is_kept(check):
    ...     check()

    Args:
        detectors: Names, or descriptions.
        options: Of each detector, as for `check_detector`.
        steps: Of each detector, likewise.
        known_failures: Of each detector, likewise: strict.
    """
    import pytest  # not needed for the other doors

    tests = []
    for detector in detectors:
        name = detector if isinstance(detector, str) else detector.name
        known = _known((known_failures or {}).get(name))
        asked = dict((options or {}).get(name, {})), (steps or {}).get(name)
        subject = cache(partial(_subject, detector, *asked))  # kept, so that the tests of one detector share its fits
        for check in CHECKS:
            marks = [pytest.mark.xfail(reason=known[check], strict=True)] if check in known else []
            tests.append(pytest.param(partial(_assert, check, subject), id=f"{name}-{check}", marks=marks))
    return pytest.mark.parametrize("check", tests)


def _assert(check: str, made: Callable[[], Subject]) -> None:
    import pytest

    subject = made()
    for earlier in PREREQUISITES.get(check, ()):
        if _failure(earlier, subject):
            pytest.skip(f"{earlier} comes first")
    CHECKS[check](subject)
    subject.failures[check] = None


def _failure(check: str, subject: Subject) -> str | None:
    """Why a check fails, None where it passes; carried out once for a subject."""
    if check not in subject.failures:
        subject.failures[check] = _carried_out(check, subject)
    return subject.failures[check]


def _carried_out(check: str, subject: Subject) -> str | None:
    try:
        CHECKS[check](subject)
    except AssertionError as error:
        return str(error).partition("\nassert ")[0]
    except Exception as error:  # noqa: BLE001 - whatever a detector raises is what the check has to tell
        return f"{type(error).__name__}: {error}"
    return None


def _subject(detector: str | DetectorInfo, options: Options, steps: int | None) -> Subject:
    if not isinstance(detector, str):
        return Subject.of(detector, detector.config.__module__, options, steps)
    plugins = registry.load()
    info = plugins.detector(detector)
    points = entry_points(group=PROJECT, name=plugins.providers[info.name].entry_point)
    module = next((point.module for point in points), info.config.__module__)
    return Subject.of(info, module, options, steps)


def _known(failures: Mapping[str, str] | None) -> Mapping[str, str]:
    for name, reason in (failures or {}).items():
        if name not in CHECKS:
            raise ConfigError(f"known_failures: there is no check '{name}'.{nearest(name, CHECKS)}")
        if not reason.strip():
            raise ConfigError(f"known_failures: say why '{name}' fails.")
    return failures or {}
