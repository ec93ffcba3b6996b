"""No dead keys: every key a manifest may hold is acted on, and a named test shows how.

A row is ``key -> test``; nested keys are dotted. A new key needs a row, a row needs a test that exists.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from mlopsctl.conform import key_of, spec_fields, type_of, union_members
from mlopsctl.manifest import ProjectSpec
from mlopsctl.provider import PROVIDERS, provider, result_fields

TESTS = Path(__file__).parent

_MANIFEST = "test_manifest.py::"
_COMMAND = "providers/test_command.py::"
_TRAIN = "providers/train/test_local.py::"
_ORT = "providers/targets/test_onnxruntime.py::"
_TVM = "providers/targets/test_tvm.py::"
_PROGRAM = "providers/targets/test_program.py::"
_LOCAL = "providers/deployments/test_local.py::"
_PINNED = _COMMAND + "test_a_program_that_was_changed_is_not_run"
_HANGS = _COMMAND + "test_a_program_that_hangs_is_ended_with_its_children"
_BARS = _COMMAND + "test_a_cpp_gate_measures_and_we_judge"
_MADE = _COMMAND + "test_a_deployment_is_made_halted_resumed_and_removed"
_VIEWS = "providers/data/test_views.py::"
_METRIC = "providers/gates/test_metric.py::"
_VERDICT = "providers/gates/test_verdict.py::"
_SCAN = "providers/gates/test_scan.py::"
_GIVEN = "test_manifest_examples.py::test_model_data_and_view_decide_what_a_step_is_given"
_GUARDED = "test_manifest_examples.py::test_the_model_of_a_deployment_decides_which_gates_guard_it"
_AGREES = _PROGRAM + "test_a_program_that_rolls_dice_is_reported_as_such"

EFFECTS: dict[str, str] = {
    "apiVersion": _MANIFEST + "test_what_is_wrong_is_said_with_its_place",
    "requires": _MANIFEST + "test_a_version_this_one_satisfies_is_no_finding",
    "project.name": _MANIFEST + "test_the_minimal_manifest_is_six_resources_in_the_order_they_can_be_made",
    "store": _MANIFEST + "test_variables_are_replaced_in_store_and_to",
    "data/command.program": _PINNED,
    "data/command.digest": _PINNED,
    "data/command.params": _COMMAND + "test_data_is_fetched_by_the_program_and_shared_out_by_us",
    "data/command.args": _BARS,
    "data/command.path": _COMMAND + "test_data_is_fetched_by_the_program_and_shared_out_by_us",
    "data/command.label": _COMMAND + "test_data_is_fetched_by_the_program_and_shared_out_by_us",
    "data/command.split": _COMMAND + "test_data_is_fetched_by_the_program_and_shared_out_by_us",
    "data/command.split.test": _COMMAND + "test_data_is_fetched_by_the_program_and_shared_out_by_us",
    "data/command.timeout": _HANGS,
    "train/local.run": _TRAIN + "test_several_commands_run_in_order_and_a_failed_one_is_tried_again",
    "train/local.params": _TRAIN + "test_placeholders_and_variables_carry_parameters_seed_and_data",
    "train/local.data": _TRAIN + "test_needs_follow_from_references_and_the_split",
    "train/local.code": "providers/train/test_code.py::test_globs_say_exactly_what_counts",
    "train/local.lock": "providers/train/test_code.py::test_the_lock_file_counts",
    "train/local.env": _TRAIN + "test_only_named_variables_reach_the_command",
    "train/local.seed": _TRAIN + "test_placeholders_and_variables_carry_parameters_seed_and_data",
    "train/local.produces": _TRAIN + "test_files_for_another_step_need_no_model",
    "train/local.predict": _TRAIN + "test_an_opaque_model_takes_its_program_along",
    "train/local.formats": _TRAIN + "test_a_pickle_is_no_opaque_model_unless_it_is_named",
    "train/local.timeout": _TRAIN + "test_a_trainer_that_hangs_is_ended_with_its_children",
    "train/local.retries": _TRAIN + "test_several_commands_run_in_order_and_a_failed_one_is_tried_again",
    "train/local.resources": _TRAIN + "test_the_memory_limit_holds",
    "train/local.resources.memory": _TRAIN + "test_the_memory_limit_holds",
    "train/command.program": _PINNED,
    "train/command.digest": _PINNED,
    "train/command.params": _COMMAND + "test_a_python_program_trains_an_onnx_model",
    "train/command.args": _BARS,
    "train/command.data": _COMMAND + "test_a_python_program_trains_an_onnx_model",
    "train/command.predict": _COMMAND + "test_a_cpp_program_trains_packs_itself_and_answers",
    "train/command.timeout": _HANGS,
    "gates/command.program": _PINNED,
    "gates/command.digest": _PINNED,
    "gates/command.metric": _BARS,
    "gates/command.args": _BARS,
    "gates/command.min": _BARS,
    "gates/command.max": _BARS,
    "gates/command.timeout": _HANGS,
    "gates/scan.model": _MANIFEST + "test_each_of_several_models_has_a_scan",
    "targets/onnxruntime.tolerance": _ORT + "test_a_tighter_tolerance_judges_the_recorded_comparison_anew",
    "targets/tvm.mcpu": _TVM + "test_a_processor_nobody_knows_is_refused_and_not_passed_over",
    "targets/tvm.batch": _TVM + "test_the_library_agrees_with_the_model_on_every_row",
    "targets/program.tolerance": _AGREES,
    "targets/program.min_agreement": _AGREES,
    "targets/command.program": _PINNED,
    "targets/command.digest": _PINNED,
    "targets/command.params": _COMMAND + "test_an_onnx_artifact_is_compared_here",
    "targets/command.args": _BARS,
    "targets/command.timeout": _HANGS,
    "deployments/local.target": _LOCAL + "test_needs_every_gate_of_the_model_and_target",
    "deployments/local.model": _GUARDED,
    "deployments/local.to": _LOCAL + "test_a_taken_port_names_its_holder_and_leaves_what_ran",
    "deployments/local.timeout": _LOCAL + "test_a_refused_release_leaves_the_old_one_running",
    "deployments/command.program": _PINNED,
    "deployments/command.digest": _PINNED,
    "deployments/command.args": _BARS,
    "deployments/command.target": _MADE,
    "deployments/command.to": _MADE,
    "deployments/command.env": _MADE,
    "deployments/command.paths": _MADE,
    "deployments/command.timeout": _HANGS,
    "gates/metric.model": _GIVEN,
    "gates/metric.data": _GIVEN,
    "gates/metric.view": _GIVEN,
    "gates/command.model": _GIVEN,
    "gates/command.data": _GIVEN,
    "gates/command.view": _GIVEN,
    "targets/onnxruntime.model": _GIVEN,
    "targets/onnxruntime.view": _GIVEN,
    "targets/tvm.model": _GIVEN,
    "targets/tvm.view": _GIVEN,
    "targets/program.model": _GIVEN,
    "targets/program.view": _GIVEN,
    "targets/command.model": _GIVEN,
    "targets/command.view": _GIVEN,
    "deployments/command.model": _GUARDED,
    "data/dvc.split.test": _VIEWS + "test_a_larger_test_share_only_adds_rows_to_the_test_view",
    "data/dvc.split.val": _VIEWS + "test_views_partition_the_rows_byte_for_byte_in_the_order_of_the_file",
    "data/dvc.split.by": _VIEWS + "test_equal_keys_share_a_side",
    "data/dvc.split.key": _VIEWS + "test_rows_that_are_added_move_no_other",
    "data/dvc.split.seed": _VIEWS + "test_another_seed_shares_out_differently",
    "data/command.split.val": _VIEWS + "test_views_partition_the_rows_byte_for_byte_in_the_order_of_the_file",
    "data/command.split.by": _VIEWS + "test_equal_keys_share_a_side",
    "data/command.split.key": _VIEWS + "test_rows_that_are_added_move_no_other",
    "data/command.split.seed": _VIEWS + "test_another_seed_shares_out_differently",
    "data/dvc.label": _VIEWS + "test_classes_have_the_type_of_the_label",
    "data/dvc.path": "e2e/test_nothing_reruns.py::test_a_real_change_reaches_exactly_what_it_touches",
    "gates/scan.formats": _SCAN + "test_a_pickle_passes_only_where_its_suffix_is_allowed",
    "gates/scan.max_size": _SCAN + "test_a_folder_that_is_too_large_is_a_finding",
    "gates/scan.memory": _SCAN + "test_terabytes_that_only_running_shows_are_found_by_the_memory_limit",
    "train/local.secret_version": "test_keys_have_effects.py::test_a_rotated_secret_makes_the_step_anew",
    "gates/metric.metric": _METRIC + "test_every_metric_of_classes_is_scikit_learns",
    "gates/metric.min": _VERDICT + "test_the_whole_interval_below_the_bar_fails",
    "gates/metric.max": _VERDICT + "test_losses_have_their_bar_above",
    "gates/metric.confidence": _METRIC + "test_moving_a_bar_measures_nothing_again",
    "gates/metric.inconclusive": _VERDICT + "test_only_an_inconclusive_result_can_be_let_through",
    "gates/metric.positive": _METRIC + "test_f1_says_what_it_averages",
    "gates/command.inconclusive": _VERDICT + "test_only_an_inconclusive_result_can_be_let_through",
    "data/dvc.split": _VIEWS + "test_views_partition_the_rows_byte_for_byte_in_the_order_of_the_file",
    "targets/tvm.tolerance": _ORT + "test_a_tighter_tolerance_judges_the_recorded_comparison_anew",
    "targets/command.tolerance": _ORT + "test_a_tighter_tolerance_judges_the_recorded_comparison_anew",
    "targets/onnxruntime.min_agreement": _AGREES,
    "targets/tvm.min_agreement": _AGREES,
    "targets/command.min_agreement": _AGREES,
}


def keys(spec: type, before: str) -> Iterator[str]:
    """Every key of a Spec, with those of the dataclasses inside it."""
    for item in spec_fields(spec):
        yield before + key_of(item)
        for member in union_members(type_of(spec, item.name)):
            if isinstance(member, type) and dataclasses.is_dataclass(member):
                yield from keys(member, f"{before}{key_of(item)}.")


def all_keys() -> set[str]:
    found = {"apiVersion", "requires", "store", *keys(ProjectSpec, "project.")}
    for name in PROVIDERS:
        found.update(keys(provider(name).Spec, f"{name}."))
    return found


@cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((TESTS / path).read_text())
    return frozenset(node.name for node in tree.body if isinstance(node, ast.FunctionDef))


def test_every_key_has_a_row() -> None:
    assert sorted(all_keys() - set(EFFECTS)) == []


def test_every_row_has_a_key() -> None:
    assert sorted(set(EFFECTS) - all_keys()) == []


@pytest.mark.parametrize("key", EFFECTS)
def test_the_named_test_exists(key: str) -> None:
    path, _, name = EFFECTS[key].partition("::")
    assert name in names_in(path), f"{key}: {EFFECTS[key]} is gone"


def test_a_rotated_secret_makes_the_step_anew() -> None:
    spec = provider("train/local").Spec
    before, after = (spec(run="python train.py", secret_version=number) for number in (0, 1))
    assert result_fields(before) != result_fields(after)
