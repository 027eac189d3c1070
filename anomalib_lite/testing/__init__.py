"""The conformance kit: whether a detector, a reader or a writer keeps the contract.

    from anomalib_lite.testing import parametrize_with_checks

    @parametrize_with_checks(["acme_gauss"])
    def test_the_contract_is_kept(check):
        check()

Each `check_*` is one rule: it takes a `Subject`, and fails with an AssertionError that says what to do. `CHECKS` names
them all. `anomalib-lite plugins check NAME` runs the same list. Needs the extra `train`, and pytest for
`parametrize_with_checks`. A reader is checked on files of its type, a writer on a made-up result:

    check_reader("acme_scan", ["image.scan"])
    check_writer("acme_table")
"""

from anomalib_lite.testing.behaviour import (
    check_a_map_of_the_place_is_declared,
    check_a_planted_defect_scores_higher,
    check_a_wrong_shape_is_an_error,
    check_an_image_does_not_depend_on_its_batch,
    check_building_touches_no_data,
    check_everything_learnt_is_in_the_state,
    check_few_images_suffice_or_are_refused,
    check_maps_and_scores_have_their_shapes,
    check_masked_images_are_accepted,
    check_predicting_changes_no_state,
    check_predictions_repeat,
    check_results_are_finite,
    check_scores_do_not_saturate,
    check_the_seed_decides_the_fit,
    check_unusual_sizes_work_or_are_refused,
    check_what_is_frozen_stays_so,
)
from anomalib_lite.testing.description import (
    PUBLIC_MODULES,
    check_every_option_is_described,
    check_only_public_names_are_imported,
    check_options_survive_a_file,
    check_the_description_is_complete,
    check_the_entry_module_imports_no_torch,
    check_training_is_left_to_the_host,
)
from anomalib_lite.testing.exported import check_the_detector_can_be_exported, check_the_graph_computes_the_same
from anomalib_lite.testing.outcome import Outcome
from anomalib_lite.testing.reading import READER_CHECKS, check_reader, check_writer, run_reader_checks
from anomalib_lite.testing.running import CHECKS, check_detector, parametrize_with_checks, run_checks
from anomalib_lite.testing.subject import Subject

__all__ = [
    "CHECKS",
    "PUBLIC_MODULES",
    "READER_CHECKS",
    "Outcome",
    "Subject",
    "check_a_map_of_the_place_is_declared",
    "check_a_planted_defect_scores_higher",
    "check_a_wrong_shape_is_an_error",
    "check_an_image_does_not_depend_on_its_batch",
    "check_building_touches_no_data",
    "check_detector",
    "check_every_option_is_described",
    "check_everything_learnt_is_in_the_state",
    "check_few_images_suffice_or_are_refused",
    "check_maps_and_scores_have_their_shapes",
    "check_masked_images_are_accepted",
    "check_only_public_names_are_imported",
    "check_options_survive_a_file",
    "check_predicting_changes_no_state",
    "check_predictions_repeat",
    "check_reader",
    "check_results_are_finite",
    "check_scores_do_not_saturate",
    "check_the_description_is_complete",
    "check_the_detector_can_be_exported",
    "check_the_entry_module_imports_no_torch",
    "check_the_graph_computes_the_same",
    "check_the_seed_decides_the_fit",
    "check_training_is_left_to_the_host",
    "check_unusual_sizes_work_or_are_refused",
    "check_what_is_frozen_stays_so",
    "check_writer",
    "parametrize_with_checks",
    "run_checks",
    "run_reader_checks",
]
