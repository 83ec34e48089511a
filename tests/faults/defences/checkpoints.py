"""Checkpoints, bundles and their formats."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.defences.mutation import Mutation
from tests.faults.mutate import always, drop, never, replace, start, uncaught

STATE = "tests/test_state.py"
WRITER = "tests/faults/test_writer.py"
DAMAGED = f"{STATE}::test_a_damaged_checkpoint_is_said_in_one_line_and_the_one_before_it_used[a flipped bit]"
WHOLE = f"{WRITER}::test_a_whole_checkpoint_is_there_wherever_the_writer_fails"


def checkpoints() -> Iterator[Mutation]:
    yield Mutation(
        "the hash of a file is not compared",
        "unpaired.checkpoints.run_state.verify",
        never("file_sha256"),
        DAMAGED,
    )
    yield Mutation(
        "a manifest's seal is not compared",
        "unpaired.checkpoints.run_state.read_manifest",
        drop("operand", "seal", "text"),
        f"{STATE}::test_any_byte_flipped_and_any_byte_missing_is_noticed[manifest.json]",
    )
    yield Mutation(
        "a damaged checkpoint ends the run",
        "unpaired.checkpoints.run_state.load_state",
        uncaught("Damaged"),
        DAMAGED,
    )
    yield Mutation(
        "a checkpoint of the same step is deleted before the new one is complete",
        "unpaired.checkpoints.run_state.publish",
        replace("statement", "rename", "with_suffix", by="shutil.rmtree(final)"),
        f"{WHOLE}[before-the same step again]",
    )
    yield Mutation(
        "files are not flushed",
        "unpaired.core.files.write_bytes",
        drop("statement", "fsync"),
        f"{WRITER}::test_everything_is_on_the_disk_before_it_takes_its_name",
    )
    yield Mutation(
        "a folder's names are not flushed",
        "unpaired.checkpoints.run_state.publish",
        drop("statement", "flush", "part"),
        f"{WRITER}::test_everything_is_on_the_disk_before_it_takes_its_name",
    )
    yield Mutation(
        "a written checkpoint is not read back",
        "unpaired.checkpoints.run_state.publish",
        drop("statement", "verify"),
        f"{WRITER}::test_a_disk_that_returns_other_bytes_is_found_before_anything_is_deleted",
    )
    yield Mutation(
        "`latest` is written in its place",
        "unpaired.checkpoints.run_state.publish",
        drop("with", "written_whole"),
        f"{WHOLE}[torn-the next step]",
    )
    yield Mutation(
        "pinned checkpoints are deleted",
        "unpaired.checkpoints.run_state._delete_older",
        always("PROTECTED"),
        f"{STATE}::test_best_and_pinned_ones_are_never_deleted",
    )
    yield Mutation(
        "incomplete checkpoints count among those kept",
        "unpaired.checkpoints.run_state._delete_older",
        drop("operand", "_complete"),
        f"{STATE}::test_truncated_ones_do_not_push_whole_ones_out",
    )
    yield Mutation(
        "a checkpoint that cannot be deleted ends the run",
        "unpaired.checkpoints.run_state._delete_older",
        replace("statement", "append", by="raise"),
        f"{STATE}::test_one_that_cannot_be_deleted_is_told_and_saving_goes_on",
    )
    yield Mutation(
        "the bundle is written in its place",
        "unpaired.checkpoints.bundle.write_bundle",
        drop("with", "written_whole"),
        "tests/test_checkpoint.py::test_a_disk_that_runs_full_leaves_the_earlier_bundle_and_nothing_half_written",
    )
    yield Mutation(
        "the code imports pickle",
        "unpaired.core.files",
        start("import pickle"),
        "tests/test_architecture.py::test_nothing_unpickles_runs_stored_code_or_imports_torchvision[unpaired/core/files.py]",
    )


def kills() -> Iterator[Mutation]:
    yield Mutation(
        "older checkpoints are deleted before the new one is complete",
        "unpaired.checkpoints.run_state.publish",
        start("for old in _folders(part.parent.parent):\n    shutil.rmtree(old)"),
        f"{WHOLE}[before-the next step]",
    )
    yield Mutation(
        "leftovers of a killed save are not removed",
        "unpaired.checkpoints.run_state.open_part",
        replace("call", "glob", by="[]"),
        f"{STATE}::test_leftovers_of_a_killed_save_are_ignored_and_cleared_away",
    )
    yield Mutation(
        "an incomplete line of the log is taken for a whole one",
        "unpaired.core.safe_text.json_lines",
        never("endswith"),
        "tests/training/test_run.py::test_a_half_written_line_of_metrics_is_dropped",
    )
    yield Mutation(
        "histories and random states are not saved (the storm itself)",
        "unpaired.training.run_folder.save",
        start("tensors = {k: v for k, v in tensors.items() if not k.startswith(OWN)}"),
        "tests/faults/test_storms.py::test_a_run_killed_three_times_ends_as_an_uninterrupted_one",
    )


def formats() -> Iterator[Mutation]:
    reported = "tests/faults/test_runs.py::test_no_report_is_written_of_a_run_from_a_stranger"
    yield Mutation(
        "a checkpoint of a newer format is read",
        "unpaired.checkpoints.run_state.read_manifest",
        never("FORMAT"),
        f"{STATE}::test_a_checkpoint_of_a_newer_format_is_refused",
    )
    yield Mutation(
        "an evaluation of a newer format is read",
        "unpaired.evaluation.report.records.read_evaluation",
        drop("statement", "_check_format"),
        f"{reported}[evaluation.json-newer-recipe]",
    )
    yield Mutation(
        "a log of a newer format is read",
        "unpaired.evaluation.report.records.read_log",
        drop("statement", "_check_format"),
        f"{reported}[metrics.jsonl-newer]",
    )
    yield Mutation(
        "a bundle of a newer format is read",
        "unpaired.checkpoints.bundle._read_facts",
        never("FORMAT"),
        "tests/test_checkpoint.py::test_what_is_no_whole_bundle_is_refused_in_one_line[newer]",
    )
