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

from mlopsctl.manifest import ProjectSpec
from mlopsctl.manifest.conform import key_of, spec_fields, type_of, union_members
from mlopsctl.provider import result_fields
from mlopsctl.registry import PROVIDERS, provider

TESTS = Path(__file__).parent

_MANIFEST = "manifest/test_load.py::"
_COMMAND = "providers/test_command.py::"
_TRAIN = "providers/train/test_local.py::"
_WRONG = "providers/train/test_goes_wrong.py::"
_ORT = "providers/targets/test_onnxruntime.py::"
_ASIC = "providers/targets/test_asic.py::"
_FPGA = "providers/targets/test_fpga.py::"
_TVM = "providers/targets/test_tvm.py::"
_AUTO = "providers/targets/test_auto.py::"
_OPENVINO = "providers/targets/test_openvino.py::"
_QUANT = "providers/targets/test_quantize.py::"
_WEB = "providers/targets/test_web.py::"
_MCU = "providers/targets/test_mcu.py::"
_PROGRAM = "providers/targets/test_program.py::"
_LOCAL = "providers/deployments/test_local.py::"
_KEYS = "providers/test_keys.py::"
_DVC = "providers/data/test_dvc.py::"
_PINNED = _COMMAND + "test_a_program_that_was_changed_is_not_run"
_MADE = _COMMAND + "test_a_deployment_is_made_halted_resumed_and_removed"
_IMPORT = "e2e/test_imported.py::"
_SCAN = "providers/gates/test_scan.py::"
_GIVEN = "manifest/test_examples.py::test_model_data_and_view_decide_what_a_step_is_given"
_GUARDED = "manifest/test_examples.py::test_the_model_of_a_deployment_decides_which_gates_guard_it"

WORKING = tuple(
    name for name in PROVIDERS if name.startswith(("train/", "gates/", "targets/")) and name != "train/imported"
)

EFFECTS: dict[str, str] = {
    "apiVersion": _MANIFEST + "test_what_is_wrong_is_said_with_its_place",
    "requires": _MANIFEST + "test_what_is_wrong_is_said_with_its_place",
    "project.name": _MANIFEST + "test_the_minimal_manifest_is_six_resources_in_the_order_they_can_be_made",
    "each": "manifest/test_each.py::test_every_value_is_an_instance_and_references_stand_in_step",
    "moved": "cli/test_names.py::test_a_moved_model_keeps_its_results_and_its_history",
    "store": "e2e/test_sharing.py::test_a_clone_runs_nothing_but_its_own_deployment",
    "data/command.program": _PINNED,
    "data/command.digest": _PINNED,
    "data/command.params": _KEYS + "test_arguments_and_settings_reach_the_program",
    "data/command.args": _KEYS + "test_arguments_and_settings_reach_the_program",
    "data/command.path": _KEYS + "test_the_path_of_fetched_data_is_where_training_finds_it",
    "data/command.label": _KEYS + "test_the_path_of_fetched_data_is_where_training_finds_it",
    "data/command.split": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.split.test": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.timeout": _KEYS + "test_a_program_gets_as_long_as_its_timeout",
    "train/local.run": _TRAIN + "test_several_commands_run_in_order_and_a_failed_one_is_tried_again",
    "train/local.shell": "providers/train/test_shell.py::test_a_shell_runs_the_command_only_where_it_is_asked_for",
    "train/local.cwd": _TRAIN + "test_commands_run_in_the_folder_that_cwd_names",
    "train/local.toolchain": "providers/train/test_toolchain.py::test_a_step_does_not_start_with_another_one",
    "train/local.reproducible": "e2e/test_restored.py::test_lost_outputs_may_come_out_otherwise_where_the_figures_agree",
    "train/command.reproducible": "test_restoring.py::test_none_the_new_result_takes_the_place_and_what_follows_is_planned_anew",
    "train/local.params": _TRAIN + "test_placeholders_and_variables_carry_parameters_seed_and_data",
    "train/local.data": _KEYS + "test_a_training_step_gets_the_data_it_names",
    **{
        f"train/{use}.validation": "providers/train/test_given.py::test_validation_names_the_rows_that_a_step_may_choose_by"
        for use in ("local", "command")
    },
    "train/local.code": "providers/train/test_code.py::test_globs_say_exactly_what_counts",
    "train/local.lock": "providers/train/test_code.py::test_the_lock_file_counts",
    "train/local.env": _TRAIN + "test_only_named_variables_reach_the_command",
    "train/local.seed": _TRAIN + "test_placeholders_and_variables_carry_parameters_seed_and_data",
    "train/local.produces": _TRAIN + "test_files_for_another_step_need_no_model",
    "train/local.predict": _TRAIN + "test_an_opaque_model_takes_its_program_along",
    "train/local.formats": _TRAIN + "test_a_pickle_is_no_opaque_model_unless_it_is_named",
    "train/local.timeout": _WRONG + "test_a_trainer_that_hangs_is_ended_with_its_children",
    "train/local.retries": _TRAIN + "test_several_commands_run_in_order_and_a_failed_one_is_tried_again",
    "train/local.resources": _WRONG + "test_the_memory_limit_holds",
    "train/local.resources.memory": _WRONG + "test_the_memory_limit_holds",
    "train/command.program": _PINNED,
    "train/command.digest": _PINNED,
    "train/command.params": _KEYS + "test_arguments_and_settings_reach_the_program",
    "train/command.args": _KEYS + "test_arguments_and_settings_reach_the_program",
    "train/command.data": _KEYS + "test_a_training_step_gets_the_data_it_names",
    "train/command.predict": _COMMAND + "test_a_cpp_program_trains_packs_itself_and_answers",
    "train/command.timeout": _KEYS + "test_a_program_gets_as_long_as_its_timeout",
    "train/imported.import": _IMPORT + "test_unsigned_it_runs_here_and_is_called_unverified_everywhere",
    "train/imported.digest": _IMPORT + "test_a_path_outside_is_held_to_its_digest",
    "train/imported.signed_by": _IMPORT + "test_signed_by_the_vendor_it_is_measured_compiled_and_deployed",
    "train/imported.signature": _IMPORT + "test_the_signature_may_lie_elsewhere",
    "train/imported.provenance": _IMPORT + "test_provenance_by_the_vendors_builder_takes_the_place_of_a_signature",
    "train/imported.builder": _IMPORT + "test_provenance_of_something_else_is_refused",
    "train/imported.data": _IMPORT + "test_it_says_which_data_it_is_measured_on",
    "train/imported.predict": _IMPORT + "test_an_opaque_model_takes_its_program_along_and_is_verified_without_it",
    "train/imported.formats": _IMPORT + "test_an_opaque_model_takes_its_program_along_and_is_verified_without_it",
    **{
        f"gates/table.{key}": "providers/gates/test_table.py::test_each_bar_fails_what_is_beyond_it"
        for key in ("min_rows", "max_missing", "max_duplicates")
    },
    "gates/table.data": "e2e/test_data_gates.py::test_nothing_is_trained_on_data_that_fails",
    "gates/command.program": _PINNED,
    "gates/command.digest": _PINNED,
    "gates/command.metric": _COMMAND + "test_what_the_manifest_says_reaches_the_program",
    "gates/command.args": _KEYS + "test_arguments_and_settings_reach_the_program",
    "gates/command.min": _KEYS + "test_bars_decide_the_verdict",
    "gates/command.max": _KEYS + "test_bars_decide_the_verdict",
    "gates/command.timeout": _KEYS + "test_a_program_gets_as_long_as_its_timeout",
    "gates/scan.model": _MANIFEST + "test_each_of_several_models_has_a_scan",
    "targets/onnxruntime.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/onnxruntime.quantize": _QUANT + "test_the_artifact_computes_in_8_bits_and_keeps_the_accuracy",
    "targets/onnxruntime.calibration": _QUANT + "test_the_training_rows_alone_fix_the_scales",
    "targets/onnxruntime.max_accuracy_drop": _QUANT + "test_the_verdict_reads_the_entry_alone",
    "targets/onnxruntime.inconclusive": _QUANT + "test_the_verdict_reads_the_entry_alone",
    **{
        f"targets/mcu.{key}": _MCU + test
        for key, test in (
            ("mcpu", "test_another_time_and_place_give_the_same_artifact_and_another_processor_another"),
            ("prefix", "test_another_time_and_place_give_the_same_artifact_and_another_processor_another"),
            ("calibration", "test_another_time_and_place_give_the_same_artifact_and_another_processor_another"),
            ("max_accuracy_drop", "test_bars_are_read_from_the_entry_alone"),
            ("inconclusive", "test_bars_are_read_from_the_entry_alone"),
            ("flash", "test_bars_are_read_from_the_entry_alone"),
            ("ram", "test_bars_are_read_from_the_entry_alone"),
            ("timeout", "test_a_tool_gets_as_long_as_its_timeout_and_no_more_memory"),
            ("memory", "test_a_tool_gets_as_long_as_its_timeout_and_no_more_memory"),
        )
    },
    **{
        f"targets/mcu.resources{part}": _FPGA + "test_tools_are_held_to_the_share_of_their_step"
        for part in ("", ".cpu", ".memory", ".gpu")
    },
    "targets/mcu.model": _GIVEN,
    "targets/mcu.view": _GIVEN,
    "targets/tvm.mcpu": _TVM + "test_a_processor_nobody_knows_is_refused_and_not_passed_over",
    "targets/tvm.device": "providers/targets/test_tvm_gpu.py::test_opencl_kernels_answer_every_row_on_the_processor",
    "targets/tvm.fallback": "providers/targets/test_fallback.py::test_a_deployment_takes_the_first_that_can_be_had",
    "targets/tvm.batch": _TVM + "test_the_library_agrees_with_the_model_on_every_row",
    "targets/program.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/program.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/command.program": _PINNED,
    "targets/command.digest": _PINNED,
    "targets/command.params": _KEYS + "test_arguments_and_settings_reach_the_program",
    "targets/command.args": _KEYS + "test_arguments_and_settings_reach_the_program",
    "targets/command.timeout": _KEYS + "test_a_program_gets_as_long_as_its_timeout",
    **{
        f"{name}.{key}": test
        for name in WORKING
        for key, test in (
            ("budget", "test_budgets.py::test_a_step_ends_when_its_budget_is_used_up"),
            ("budget.time", "test_budgets.py::test_a_step_ends_when_its_budget_is_used_up"),
            ("priority", "test_slots.py::test_the_highest_priority_first_and_always_after_what_it_needs"),
        )
    },
    **{
        f"{section}/command.resources{part}": _KEYS + "test_a_program_gets_its_share_of_the_machine"
        for section in ("train", "gates", "targets")
        for part in ("", ".cpu", ".memory", ".gpu")
    },
    **{
        f"{name}.resources{part}": f"e2e/test_shares.py::{test}"
        for name, test in (
            ("gates/metric", "test_a_model_is_measured_within_the_share_of_its_gate"),
            ("targets/program", "test_a_model_is_packed_within_the_share_of_its_target"),
            ("gates/scan", "test_what_has_too_little_memory_is_ended"),
            ("targets/onnxruntime", "test_what_has_too_little_memory_is_ended"),
            ("targets/openvino", "test_what_has_too_little_memory_is_ended"),
            ("targets/auto", "test_what_has_too_little_memory_is_ended"),
            ("targets/tvm", "test_what_has_too_little_memory_is_ended"),
        )
        for part in ("", ".cpu", ".memory", ".gpu")
    },
    "deployments/local.target": _KEYS + "test_a_deployment_serves_the_target_it_names",
    "deployments/local.model": _GUARDED,
    "deployments/local.to": _LOCAL + "test_a_taken_port_names_its_holder_and_leaves_what_ran",
    "deployments/local.timeout": _LOCAL + "test_a_server_gets_as_long_as_its_timeout",
    **{
        f"deployments/{use}.{key}": f"cli/test_approve.py::{test}"
        for use in ("local", "command")
        for key, test in (
            ("approvals", "test_a_protected_deployment_waits_for_two_people"),
            ("approvals.count", "test_a_protected_deployment_waits_for_two_people"),
            ("approvals.valid", "test_an_approval_runs_out"),
            ("built_by", "test_only_named_builders_count"),
        )
    },
    **{
        f"deployments/{use}.{key}": f"e2e/test_after.py::{test}"
        for use in ("local", "command")
        for key, test in (
            ("gates", "test_the_named_gates_guard_it_and_the_scan_always_does"),
            ("after", "test_without_a_time_it_follows_in_the_same_apply_unless_the_other_one_is_held"),
            ("after.deployment", "test_it_comes_after_the_other_one_has_run_the_artifact_that_long"),
            ("after.for", "test_it_comes_after_the_other_one_has_run_the_artifact_that_long"),
        )
    },
    **{
        f"deployments/{use}.branch": "e2e/test_control.py::test_the_key_branch_names_where_it_is_managed_from"
        for use in ("local", "command")
    },
    **{
        f"deployments/{use}.version": "cli/test_versions.py::test_a_deployment_stays_on_the_version_that_it_names"
        for use in ("local", "command")
    },
    "deployments/command.program": _PINNED,
    "deployments/command.digest": _PINNED,
    "deployments/command.args": _KEYS + "test_arguments_and_settings_reach_the_program",
    "deployments/command.target": _KEYS + "test_a_deployment_serves_the_target_it_names",
    "deployments/command.to": _MADE,
    "deployments/command.env": _MADE,
    "deployments/command.paths": _MADE,
    "deployments/command.timeout": _KEYS + "test_a_program_gets_as_long_as_its_timeout",
    "gates/metric.model": _GIVEN,
    "gates/metric.data": _GIVEN,
    "gates/metric.view": _GIVEN,
    "gates/command.model": _GIVEN,
    "gates/command.data": _GIVEN,
    "gates/command.view": _GIVEN,
    "targets/onnxruntime.model": _GIVEN,
    "targets/onnxruntime.view": _GIVEN,
    "targets/openvino.model": _GIVEN,
    "targets/openvino.view": _GIVEN,
    "targets/asic.model": _GIVEN,
    "targets/asic.view": _GIVEN,
    "targets/asic.device": _ASIC + "test_the_device_names_the_provider",
    "targets/asic.cells": _ASIC + "test_cells_come_from_a_tracked_file_or_a_known_package",
    "targets/asic.lanes": _ASIC + "test_the_netlist_answered_every_row_and_has_figures",
    "targets/asic.frequency": _ASIC + "test_too_slow_a_netlist_blocks",
    "targets/asic.calibration": _FPGA + "test_fewer_calibration_rows_give_other_scales",
    "targets/asic.max_accuracy_drop": _ASIC + "test_the_drop_of_the_accuracy_is_judged_by_todays_bar",
    "targets/asic.inconclusive": _ASIC + "test_the_drop_of_the_accuracy_is_judged_by_todays_bar",
    **{
        f"targets/asic.resources{part}": _FPGA + "test_tools_are_held_to_the_share_of_their_step"
        for part in ("", ".cpu", ".memory", ".gpu")
    },
    "targets/asic.timeout": _FPGA + "test_a_tool_is_held_to_its_time_and_memory",
    "targets/asic.memory": _FPGA + "test_a_tool_is_held_to_its_time_and_memory",
    "targets/fpga.model": _GIVEN,
    "targets/fpga.view": _GIVEN,
    "targets/fpga.device": _FPGA + "test_the_device_names_the_provider",
    "targets/fpga.part": _FPGA + "test_parts_boards_and_seeds_make_other_bitstreams",
    "targets/fpga.board": _FPGA + "test_parts_boards_and_seeds_make_other_bitstreams",
    "targets/fpga.seed": _FPGA + "test_parts_boards_and_seeds_make_other_bitstreams",
    "targets/fpga.lanes": _FPGA + "test_more_lanes_take_fewer_cycles",
    "targets/fpga.frequency": _FPGA + "test_too_slow_a_circuit_blocks",
    "targets/fpga.calibration": _FPGA + "test_fewer_calibration_rows_give_other_scales",
    "targets/fpga.max_accuracy_drop": _FPGA + "test_the_drop_of_the_accuracy_is_judged_by_todays_bar",
    "targets/fpga.inconclusive": _FPGA + "test_the_drop_of_the_accuracy_is_judged_by_todays_bar",
    **{
        f"targets/fpga.resources{part}": _FPGA + "test_tools_are_held_to_the_share_of_their_step"
        for part in ("", ".cpu", ".memory", ".gpu")
    },
    "targets/fpga.timeout": _FPGA + "test_a_tool_is_held_to_its_time_and_memory",
    "targets/fpga.memory": _FPGA + "test_a_tool_is_held_to_its_time_and_memory",
    "targets/tvm.model": _GIVEN,
    "targets/tvm.view": _GIVEN,
    "targets/web.model": _GIVEN,
    "targets/web.view": _GIVEN,
    "targets/program.model": _GIVEN,
    "targets/program.view": _GIVEN,
    "targets/command.model": _GIVEN,
    "targets/command.view": _GIVEN,
    "deployments/command.model": _GUARDED,
    "data/dvc.split.test": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/dvc.split.val": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/dvc.split.by": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/dvc.split.key": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/dvc.split.seed": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.split.val": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.split.by": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.split.key": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/command.split.seed": _KEYS + "test_every_key_of_a_split_moves_rows",
    "data/dvc.final": "e2e/test_final.py::test_a_second_model_waits_for_the_release_of_the_first",
    "data/command.final": "test_final.py::test_a_fetched_dataset_can_be_final_too",
    "data/dvc.label": _DVC + "test_where_nothing_is_set_aside_everything_is_there_to_train_on",
    "data/dvc.path": _DVC + "test_a_tracked_table_gives_views_and_facts",
    "gates/scan.formats": _SCAN + "test_a_pickle_passes_only_where_its_suffix_is_allowed",
    "gates/scan.max_size": _SCAN + "test_a_folder_that_is_too_large_is_a_finding",
    "gates/scan.memory": _KEYS + "test_a_scan_is_held_to_its_time_and_memory",
    "train/local.secret_version": "test_keys_have_effects.py::test_a_rotated_secret_makes_the_step_anew",
    "gates/command.target": "e2e/test_external_gates.py::test_a_program_measures_an_artifact_and_guards_its_deployments_alone",
    "gates/command.on": "e2e/test_external_gates.py::test_a_program_measures_what_runs_and_stops_what_comes_after_it",
    **{
        f"gates/command.{key}": "e2e/test_external_gates.py::test_a_program_compares_with_the_champion_and_todays_bar_judges"
        for key in ("against", "max_drop", "first")
    },
    "gates/metric.target": "e2e/test_measured.py::test_a_gate_on_a_target_measures_its_artifact_and_guards_its_deployments_alone",
    "gates/metric.on": "e2e/test_measured.py::test_a_gate_on_a_deployment_stops_what_comes_after_it",
    "gates/metric.against": "e2e/test_against.py::test_a_worse_model_is_stopped_and_the_champion_is_the_last_other_one",
    "gates/metric.max_drop": "e2e/test_against.py::test_a_worse_model_is_stopped_and_the_champion_is_the_last_other_one",
    "gates/metric.first": "e2e/test_against.py::test_what_the_first_model_gets_is_said",
    "gates/metric.metric": _KEYS + "test_metric_confidence_and_positive_class_change_the_figures",
    "gates/metric.min": _KEYS + "test_bars_decide_the_verdict",
    "gates/metric.max": _KEYS + "test_bars_decide_the_verdict",
    "gates/metric.confidence": _KEYS + "test_metric_confidence_and_positive_class_change_the_figures",
    "gates/metric.inconclusive": _KEYS + "test_bars_decide_the_verdict",
    "gates/metric.positive": _KEYS + "test_metric_confidence_and_positive_class_change_the_figures",
    "gates/command.inconclusive": _KEYS + "test_bars_decide_the_verdict",
    "data/dvc.split": _KEYS + "test_every_key_of_a_split_moves_rows",
    "targets/auto.model": _GIVEN,
    "targets/auto.view": _GIVEN,
    "targets/auto.arch": _AUTO + "test_the_compilers_are_held_to_their_time",
    "targets/auto.timeout": _AUTO + "test_the_compilers_are_held_to_their_time",
    "targets/auto.memory": _AUTO + "test_the_compilers_are_held_to_their_time",
    "targets/auto.batch": _AUTO + "test_the_median_of_turns_side_by_side_decides",
    "targets/auto.quantize": _AUTO + "test_eight_bits_take_part_only_where_they_are_allowed",
    "targets/auto.calibration": _AUTO + "test_the_keys_of_the_candidates_reach_them",
    "targets/auto.tolerance": _AUTO + "test_the_keys_of_the_candidates_reach_them",
    "targets/auto.min_agreement": _AUTO + "test_the_keys_of_the_candidates_reach_them",
    "targets/auto.max_accuracy_drop": _AUTO + "test_the_recorded_choice_is_judged_by_todays_bar_and_stays",
    "targets/auto.inconclusive": _AUTO + "test_the_recorded_choice_is_judged_by_todays_bar_and_stays",
    "targets/openvino.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/openvino.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/openvino.timeout": _OPENVINO + "test_the_converter_is_held_to_its_time_and_memory",
    "targets/openvino.memory": _OPENVINO + "test_the_converter_is_held_to_its_time_and_memory",
    "targets/openvino.arch": _OPENVINO + "test_an_artifact_is_made_only_where_it_can_run",
    "targets/tvm.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/web.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/web.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/web.timeout": _WEB + "test_optimiser_and_browser_are_held_to_their_time_and_memory",
    "targets/web.memory": _WEB + "test_optimiser_and_browser_are_held_to_their_time_and_memory",
    "targets/command.tolerance": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/onnxruntime.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/tvm.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "targets/command.min_agreement": _KEYS + "test_a_recorded_comparison_is_judged_by_todays_bars",
    "gates/command.params": _KEYS + "test_arguments_and_settings_reach_the_program",
    "deployments/command.params": _KEYS + "test_arguments_and_settings_reach_the_program",
    "train/command.seed": _COMMAND + "test_what_the_manifest_says_reaches_the_program",
    "gates/command.confidence": _COMMAND + "test_what_the_manifest_says_reaches_the_program",
    "data/command.positive": _COMMAND + "test_the_positive_label_must_be_one_of_the_labels",
    "data/dvc.positive": _DVC + "test_a_positive_value_that_does_not_occur",
    "train/local.resources.gpu": _WRONG + "test_the_cards_of_a_step_are_its_own",
    "train/local.resources.cpu": _WRONG + "test_the_processor_limit_holds",
    "gates/metric.timeout": _KEYS + "test_a_gates_model_is_held_to_its_time_and_memory",
    "gates/scan.timeout": _KEYS + "test_a_scan_is_held_to_its_time_and_memory",
    "targets/onnxruntime.timeout": _ORT + "test_the_compiler_is_held_to_its_time_and_memory",
    "targets/tvm.timeout": _TVM + "test_the_compiler_is_held_to_its_time_and_memory",
    "gates/metric.memory": _KEYS + "test_a_gates_model_is_held_to_its_time_and_memory",
    "targets/onnxruntime.memory": _ORT + "test_the_compiler_is_held_to_its_time_and_memory",
    "targets/tvm.memory": _TVM + "test_the_compiler_is_held_to_its_time_and_memory",
    "targets/onnxruntime.arch": _ORT + "test_an_artifact_is_made_only_where_it_can_run",
    "targets/tvm.arch": "providers/targets/test_tvm_native.py::test_the_files_are_of_that_processor_and_need_the_c_library_alone",
    "project.log": "cli/test_doctor.py::test_a_manifest_without_a_log_has_to_be_mended",
    "project.owner": "cli/test_status.py::test_it_begins_with_what_the_project_is_and_who_answers_for_it",
    "project.purpose": "cli/test_status.py::test_it_begins_with_what_the_project_is_and_who_answers_for_it",
    "project.license": "cli/test_status.py::test_it_begins_with_what_the_project_is_and_who_answers_for_it",
}


def keys(spec: type, before: str) -> Iterator[str]:
    """Every key of a Spec, with those of the dataclasses inside it."""
    for item in spec_fields(spec):
        yield before + key_of(item)
        for member in union_members(type_of(spec, item.name)):
            if isinstance(member, type) and dataclasses.is_dataclass(member):
                yield from keys(member, f"{before}{key_of(item)}.")


def all_keys() -> set[str]:
    found = {"apiVersion", "requires", "store", "each", "moved", *keys(ProjectSpec, "project.")}
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
