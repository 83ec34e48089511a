"""The defences behind docs/reliability.md, each taken out of a copy of the code to see that a test notices.

    python -m tests.faults.mutations            run all: each named test must fail, a line for each
    python -m tests.faults.mutations old json   only those whose words hold one of these
    python -m tests.faults.mutations --table    the table of docs/reliability.md

It imports torch once and forks for each, so that one takes little longer than its test.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[2]
WARM = """accelerate hypothesis imagecodecs jaxtyping jinja2 numpy PIL.Image pydantic pytest rich.progress
safetensors.torch scipy.linalg skimage.data tensorboardX tifffile torch._dynamo torch.distributed tyro yaml""".split()
"""Imported before the forks; nothing of this package or its tests."""


@dataclass(frozen=True)
class Mutation:
    """A defence: where it stands, what takes it out, and the test that must fail then."""

    defence: str
    """What is taken out, as the table says it."""
    file: str
    old: str
    new: str
    test: str
    """As pytest names it; without a parameter, any of its cases."""
    seconds: int = 300
    """A test that takes longer has noticed, too: it hangs."""

    def spoilt(self, text: str) -> str:
        """The file's text without the defence."""
        assert text.count(self.old) == 1, f"{self.file}: {text.count(self.old)} times, not once: {self.old!r}"
        return text.replace(self.old, self.new)


def mutations() -> dict[str, list[Mutation]]:
    """All of them, by the promise that they defend."""
    return {
        "exact resume": list(_resume()),
        "safe checkpoints": list(_checkpoints()),
        "kill storm": list(_kills()),
        "stop on request": list(_stops()),
        "finite numbers": list(_finite()),
        "several processes": list(_processes()),
        "determinism": list(_determinism()),
        "hostile images": list(_images()),
        "hostile weights and archives": [*_weights(), *_archives(), *_texts()],
        "old runs": list(_old()),
    }


def _resume():
    trainer, folder, run = (
        "unpaired/training/trainer.py",
        "unpaired/training/run_folder.py",
        "tests/training/test_run.py",
    )
    covers = f"{run}::test_the_state_covers_everything_that_decides_the_next_steps"
    resumed = f"{run}::test_a_stopped_and_resumed_run_equals_an_uninterrupted_one"
    yield Mutation(
        "the history is not saved",
        trainer,
        'state |= {f"history/{name}/{key}": value for key, value in history.state().items()}',
        "pass",
        covers,
    )
    yield Mutation(
        "the random states are not restored",
        trainer,
        'set_rng_state(_under(state, "random/"))',
        "pass",
        f"{run}::test_every_kind_of_run_resumes_exactly[dropout]",
    )
    yield Mutation(
        "Adam's moments are not restored",
        trainer,
        "optimizer.state[parameter] = {key: _like(value, parameter) for key, value in moments.items()}",
        "pass",
        resumed,
    )
    yield Mutation(
        "averaged weights begin anew",
        trainer,
        '_under(state, f"network/{name}/") or _under(',
        "_under(",
        f"{run}::test_every_kind_of_run_resumes_exactly[average]",
    )
    yield Mutation(
        "the data begin anew",
        "unpaired/training/loop.py",
        "self.data.batches(start, total)",
        "self.data.batches(0, total - start)",
        resumed,
    )
    yield Mutation(
        "the rate begins anew",
        "unpaired/training/loop.py",
        "self.trainer.set_lr(self.schedule.factor(step - 1))",
        "self.trainer.set_lr(self.schedule.factor(step - self.__dict__.setdefault('first', step)))",
        resumed,
    )
    yield Mutation(
        "what an image is cropped to depends on what was read before",
        "unpaired/data/pairing.py",
        "rng = np.random.default_rng((self.seed, epoch, index))\n",
        "rng = self.__dict__.setdefault('rng', np.random.default_rng(self.seed))\n",
        resumed,
    )
    yield Mutation(
        "changed settings are not compared",
        folder,
        'return ", ".join(f"{k} was {before.get(k)} and is now {v}" for k, v in now.items() if before.get(k) != v)',
        'return ""',
        f"{run}::test_a_changed_setting_that_touches_the_numbers_is_refused_by_name",
    )
    yield Mutation(
        "the seed may change",
        folder,
        'MAY_NOT_CHANGE = ("runtime.seed", "runtime.precision")',
        'MAY_NOT_CHANGE = ("runtime.precision",)',
        f"{run}::test_a_changed_setting_that_touches_the_numbers_is_refused_by_name",
    )
    yield Mutation(
        "the list of images is not compared",
        "unpaired/data/selection.py",
        "if usable.names_sha256 and usable.names_sha256 != digest:",
        "if False:",
        "tests/data/test_usable.py::test_a_resumed_run_on_other_images_is_refused",
    )
    yield Mutation(
        "lines of an earlier try stay in the log",
        "unpaired/training/logging.py",
        "if _step(path, values) <= step)",
        "if _step(path, values))",
        f"{run}::test_tensorboard_shows_every_step_once_after_a_resumed_run",
    )


def _checkpoints():
    state, test = "unpaired/checkpoints/run_state.py", "tests/test_state.py"
    damaged = f"{test}::test_a_damaged_checkpoint_is_said_in_one_line_and_the_one_before_it_used"
    writer = "tests/faults/test_writer.py"
    wherever = f"{writer}::test_a_whole_checkpoint_is_there_wherever_the_writer_fails"
    yield Mutation(
        "the hash of a file is not compared",
        state,
        'if file_sha256(path) != expected["sha256"]:',
        "if False:",
        f"{damaged}[a flipped bit]",
    )
    yield Mutation(
        "a manifest's seal is not compared",
        state,
        "whole = seal(facts) == text and",
        "whole =",
        f"{test}::test_any_byte_flipped_and_any_byte_missing_is_noticed[manifest.json]",
    )
    yield Mutation(
        "a damaged one ends the run",
        state,
        "except (Damaged, OSError) as error:\n            notes",
        "except ZeroDivisionError as error:\n            notes",
        f"{damaged}[a flipped bit]",
    )
    yield Mutation(
        "one of the same step is deleted before the new one is there",
        state,
        'final.rename(final.with_suffix(".old"))',
        "shutil.rmtree(final)",
        f"{wherever}[before-the same step again]",
    )
    yield Mutation(
        "files are not flushed",
        "unpaired/core/files.py",
        "left = left[os.write(handle, left[:PIECE]) :]\n            os.fsync(handle)",
        "left = left[os.write(handle, left[:PIECE]) :]",
        f"{writer}::test_everything_is_on_the_disk_before_it_takes_its_name",
    )
    yield Mutation(
        "a folder's names are not flushed",
        state,
        "    flush(part)\n",
        "",
        f"{writer}::test_everything_is_on_the_disk_before_it_takes_its_name",
    )
    yield Mutation(
        "what was written is not read back",
        state,
        "    try:\n        verify(final)",
        "    try:\n        pass",
        f"{writer}::test_a_disk_that_returns_other_bytes_is_found_before_anything_is_deleted",
    )
    yield Mutation(
        "`latest` is written in its place",
        state,
        "with written_whole(folder / LATEST) as new:",
        "for new in [folder / LATEST]:",
        f"{wherever}[torn-the next step]",
    )
    yield Mutation(
        "pinned ones are deleted",
        state,
        "[folder for folder in whole if not any((folder / name).exists() for name in PROTECTED)]",
        "whole",
        f"{test}::test_best_and_pinned_ones_are_never_deleted",
    )
    yield Mutation(
        "incomplete ones count among those kept",
        state,
        "if folder not in replaced and _complete(folder)]",
        "if folder not in replaced]",
        f"{test}::test_truncated_ones_do_not_push_whole_ones_out",
    )
    yield Mutation(
        "one that cannot be deleted ends the run",
        state,
        'notes.append(f"{old}: cannot be deleted ({error.strerror}); going on")',
        "raise",
        f"{test}::test_one_that_cannot_be_deleted_is_told_and_saving_goes_on",
    )
    yield Mutation(
        "one of a newer format is read",
        state,
        'if facts["format"] > FORMAT:',
        "if False:",
        f"{test}::test_a_checkpoint_of_a_newer_format_is_refused",
    )
    yield Mutation(
        "the bundle is written in its place",
        "unpaired/checkpoints/bundle.py",
        "with written_whole(path) as part:",
        "for part in [path]:",
        "tests/test_checkpoint.py::test_a_disk_that_runs_full_leaves_the_earlier_bundle_and_nothing_half_written",
    )
    yield Mutation(
        "something is pickled",
        "unpaired/core/files.py",
        "import hashlib\n",
        "import hashlib\nimport pickle\n",
        "tests/test_architecture.py::test_nothing_unpickles_runs_stored_code_or_imports_torchvision[unpaired/core/files.py]",
    )


def _kills():
    state = "unpaired/checkpoints/run_state.py"
    yield Mutation(
        "older ones are deleted before the new one is there",
        state,
        "    write_bytes(part / MANIFEST, seal(content).encode())",
        "    for old in _folders(folder.parent):\n        shutil.rmtree(old)\n"
        "    write_bytes(part / MANIFEST, seal(content).encode())",
        "tests/faults/test_writer.py::test_a_whole_checkpoint_is_there_wherever_the_writer_fails[before-the next step]",
    )
    yield Mutation(
        "what a killed save has left is not cleared away",
        state,
        'for left in folder.glob("step-*.part"):',
        "for left in []:",
        "tests/test_state.py::test_leftovers_of_a_killed_save_are_ignored_and_cleared_away",
    )
    yield Mutation(
        "a half-written line of the log is taken for a whole one",
        "unpaired/core/safe_text.py",
        'if not line.endswith("\\n"):',
        "if False:",
        "tests/training/test_run.py::test_a_half_written_line_of_metrics_is_dropped",
    )
    yield Mutation(
        "history and dice are not saved (the storm itself)",
        "unpaired/training/run_folder.py",
        "return save_state(out, step, tensors, keep, facts, best)",
        "return save_state(out, step, {k: v for k, v in tensors.items() if not k.startswith(OWN)}, keep, facts, best)",
        "tests/faults/test_storms.py::test_a_run_killed_three_times_ends_as_an_uninterrupted_one",
    )


def _stops():
    stop, run = "tests/faults/test_stop.py", "unpaired/training/loop.py"
    yield Mutation(
        "a signal before the first step waits",
        "unpaired/core/signals.py",
        "if self.at_once:",
        "if False:",
        f"{stop}::test_before_the_first_step_it_stops_at_once_and_leaves_nothing",
    )
    yield Mutation(
        "a signal does not end the steps",
        run,
        "if stopping and (step < total or not judged):",
        "if False:",
        f"{stop}::test_while_sampling_it_saves_and_stops_after_the_same_step",
    )
    yield Mutation(
        "nothing is saved on a signal",
        run,
        "if stopping or self._due(step, self.experiment.runtime.save_every):",
        "if self._due(step, self.experiment.runtime.save_every):",
        f"{stop}::test_while_sampling_it_saves_and_stops_after_the_same_step",
    )
    yield Mutation(
        "a signal while saving is seen a step later",
        run,
        "stopping = processes.any(request.asked)  # while saving, too",
        "pass",
        f"{stop}::test_while_saving_it_finishes_the_save_and_takes_no_further_step",
    )
    yield Mutation(
        "a second signal waits, too",
        "unpaired/core/signals.py",
        "sys.exit(128 + number)",
        "return",
        "tests/training/test_run.py::test_a_second_signal_ends_the_process_at_once",
    )
    yield Mutation(
        "what a launcher passes on counts as a second signal",
        "unpaired/core/signals.py",
        "now - self.since >= self.patience",
        "now - self.since >= 0",
        f"{stop}::test_signals_within_the_launchers_patience_are_one_request",
    )
    yield Mutation(
        "other commands do not listen",
        "unpaired/cli.py",
        "        with stop_on_request():\n            return _dispatch(argv)",
        "        return _dispatch(argv)",
        f"{stop}::test_evaluate_exits_with_75_and_leaves_no_half_report",
    )
    yield Mutation(
        "a signal counts as an error of whatever is at work",
        "unpaired/core/errors.py",
        "class Stopped(BaseException):",
        "class Stopped(Exception):",
        f"{stop}::test_a_signal_is_not_taken_for_an_error_of_a_library_that_is_at_work",
    )
    yield Mutation(
        "a forgotten OpenVINO core takes a thread's signal stack along",
        "unpaired/runtimes/openvino.py",
        "@cache\ndef only(",
        "def only(",
        "tests/export/test_runtimes.py::test_a_signal_is_no_crash_when_another_thread_forgot_an_openvino_model",
    )
    yield Mutation(
        "a report is written in its place",
        "unpaired/core/files.py",
        "    with written_whole(path) as part:\n        part.write_text(text",
        "    for part in [path]:\n        part.write_text(text",
        "tests/faults/test_writer.py::test_a_text_whose_writing_stops_leaves_the_earlier_one_whole",
    )
    yield Mutation(
        "a stop is not agreed on",
        "unpaired/training/processes.py",
        "return bool(one)",
        "return flag",
        "tests/training/test_processes.py::test_signalling_one_of_two_stops_both_and_the_run_goes_on_exactly",
    )


def _finite():
    descent, test = "unpaired/training/optimizer_step.py", "tests/training/test_descent.py"
    yield Mutation(
        "gradients are followed unchecked",
        descent,
        "raise NotFinite(self.step, self.terms)",
        "pass",
        f"{test}::test_a_bad_image_stops_before_any_weight_is_touched_and_names_the_terms",
    )
    yield Mutation(
        "only terms are looked at",
        descent,
        "health = sum(self.terms.values()) + torch.nn.utils.get_total_norm(gradients)",
        "health = torch.as_tensor(sum(self.terms.values()))",
        f"{test}::test_a_bad_gradient_of_finite_terms_stops_too",
    )
    yield Mutation(
        "only gradients are looked at",
        descent,
        "health = sum(self.terms.values()) + torch.nn.utils.get_total_norm(gradients)",
        "health = torch.nn.utils.get_total_norm(gradients)",
        f"{test}::test_a_bad_term_whose_gradients_are_finite_stops_too",
    )
    yield Mutation(
        "the optimiser on a GPU is not told",
        descent,
        "optimizer.found_inf = (~health.isfinite()).float()",
        "_ = (~health.isfinite()).float()",
        f"{test}::test_where_asking_the_device_would_wait_the_optimiser_itself_leaves_the_weights_alone",
    )
    yield Mutation(
        "each process looks at its own numbers only",
        "unpaired/training/processes.py",
        "return flat[-1]",
        "return health",
        "tests/training/test_processes.py::test_a_nan_in_one_process_stops_both_and_names_its_files",
    )
    yield Mutation(
        "weights are saved unchecked",
        "unpaired/training/loop.py",
        "if broken := self.trainer.broken():",
        "if broken := []:",
        f"{test}::test_weights_that_overflow_in_the_last_update_are_not_saved",
    )
    yield Mutation(
        "a bundle's weights are not looked at",
        "unpaired/checkpoints/bundle.py",
        "        check_finite(tensors)\n",
        "",
        "tests/faults/test_weights.py::test_numbers_that_are_not_finite_get_past_no_command",
    )
    yield Mutation(
        "another tool's weights are not looked at",
        "unpaired/core/torch_pickle.py",
        "if plain.is_floating_point() and not bool(torch.isfinite(plain).all()):",
        "if False:",
        "tests/test_foreign.py::test_values_that_are_not_finite_are_refused",
    )
    yield Mutation(
        "a server does not judge what its models make",
        "unpaired/serve/worker.py",
        "if image.shape != expected or not np.isfinite(image).all():",
        "if image.shape != expected:",
        "tests/serve/test_worker.py::test_a_warm_up_judges_what_comes_out",
    )


def _processes():
    processes, test = "unpaired/training/processes.py", "tests/training/test_processes.py"
    equal = f"{test}::test_two_processes_of_one_image_equal_one_process_of_two"
    yield Mutation(
        "gradients are not averaged",
        processes,
        "        dist.all_reduce(flat)\n",
        "",
        f"{equal}[cpu-instance]",
    )
    yield Mutation(
        "batch statistics stay in each process",
        "unpaired/training/engine.py",
        "synchronise_norms(network)",
        "pass",
        f"{equal}[cpu-batch]",
    )
    yield Mutation(
        "statistics over all processes carry no gradient back",
        processes,
        "        grad = grad.clone()\n        dist.all_reduce(grad)\n        return grad",
        "        return grad",
        f"{equal}[cpu-batch]",
    )
    yield Mutation(
        "every part counts as a whole step",
        "unpaired/training/optimizer_step.py",
        "(loss if share == 1 else share * loss).backward()",
        "loss.backward()",
        f"{test}::test_an_image_of_weight_0_touches_neither_weights_nor_histories",
    )
    yield Mutation(
        "an image of weight 0 is remembered",
        "unpaired/training/trainer.py",
        "self.method.histories[name].load(state)",
        "pass",
        f"{test}::test_an_image_of_weight_0_touches_neither_weights_nor_histories",
    )
    yield Mutation(
        "every process sees the first images",
        "unpaired/data/pairing.py",
        "np.array_split(every, self.part.processes)[self.part.process]",
        "np.array_split(every, self.part.processes)[0]",
        f"{test}::test_processes_see_disjoint_images_whose_union_is_the_epoch",
    )
    yield Mutation(
        "the last words of a process are not told",
        processes,
        "            self._tell(error)\n",
        "",
        f"{test}::test_what_one_process_cannot_use_ends_both_with_its_message",
    )
    yield Mutation(
        "each process's own state is not restored",
        "unpaired/checkpoints/run_state.py",
        'tensors |= _tensors(folder / own) if own in facts["files"] else {}',
        "pass",
        f"{test}::test_signalling_one_of_two_stops_both_and_the_run_goes_on_exactly",
    )
    yield Mutation(
        "another number of processes goes on",
        "unpaired/training/run_folder.py",
        '"processes": processes.count}\n',
        '"processes": state.facts.get("processes", 1)}\n',
        f"{test}::test_another_number_of_processes_is_refused_by_name_unless_allowed",
    )


def _determinism():
    test = "tests/models/test_deterministic.py"
    yield Mutation(
        "reflection repeats the edge's own line",
        "unpaired/models/deterministic.py",
        "x.narrow(dim, 1, before)",
        "x.narrow(dim, 0, before)",
        f"{test}::test_forward_and_backward_equal_torchs",
    )
    yield Mutation(
        "resizing takes the wrong neighbour",
        "unpaired/models/deterministic.py",
        "0.75 * x + 0.25 * after",
        "0.75 * x + 0.25 * before",
        f"{test}::test_forward_and_backward_equal_torchs",
    )
    yield Mutation(
        "torch is not asked for it",
        "unpaired/training/engine.py",
        "torch.use_deterministic_algorithms(True)",
        "pass",
        f"{test}::test_a_deterministic_run_refuses_what_has_no_order_and_exchanges_its_layers",
    )
    yield Mutation(
        "layers without an order stay",
        "unpaired/training/engine.py",
        "make_deterministic(network)",
        "pass",
        f"{test}::test_a_deterministic_run_refuses_what_has_no_order_and_exchanges_its_layers",
    )
    abreast = "tests/training/test_abreast.py"
    yield Mutation(
        "a part's gradient comes between two that were taken at once",
        "unpaired/training/optimizer_step.py",
        "self.abreast and not self.terms",
        "self.abreast",
        f"{abreast}::test_it_makes_no_difference_which_half_is_first",
    )
    yield Mutation(
        "dropout and running statistics in two threads",
        "unpaired/training/engine.py",
        " and not marked",
        "",
        f"{abreast}::test_dice_and_running_statistics_keep_passes_in_order",
    )
    yield Mutation(
        "two threads make layers ready at once",
        "unpaired/training/engine.py",
        "new = tuple(shapes) not in self.seen_shapes",
        "new = False",
        f"{abreast}::test_a_step_of_new_shapes_does_nothing_at_the_same_time",
    )
    yield Mutation(
        "two threads share a layer's room",
        "unpaired/models/workspace.py",
        "class Workspace(threading.local):",
        "class Workspace:",
        f"{abreast}::test_two_threads_give_the_bits_of_one[tiles-fp32]",
    )
    yield Mutation(
        "a thread finds weights that another rounded",
        "unpaired/training/engine.py",
        'cache_enabled=self.device.type != "cpu"',
        "cache_enabled=True",
        f"{abreast}::test_no_thread_finds_weights_that_another_rounded",
    )
    yield Mutation(
        "the caller's dice decide",
        "unpaired/training/loop.py",
        "    seed_everything(seed)\n",
        "",
        "tests/training/test_run.py::test_the_global_dice_of_the_caller_do_not_decide_a_run",
    )


def _images():
    codecs, images = "unpaired/imaging/codecs.py", "tests/test_images.py"
    doctor, named = (
        "unpaired/data/checks.py",
        "tests/data/test_doctor.py::test_every_hostile_file_is_named_with_its_reason",
    )
    named += "_and_no_other"
    header = f"{images}::test_a_header_that_asks_for_too_much_is_refused_for_that"
    yield Mutation(
        "pixels are not counted before they are decoded",
        codecs,
        "if width * height > max_pixels:",
        "if False:",
        f"{images}::test_the_pixel_limit_is_judged_by_the_header_in_every_format",
    )
    yield Mutation("an image without pixels is decoded", codecs, "if width < 1 or height < 1:", "if False:", header)
    yield Mutation("a TIFF may have any number of channels", codecs, "if samples > MAX_CHANNELS:", "if False:", header)
    yield Mutation(
        "a TIFF may unpack to any size",
        codecs,
        "if need > max_pixels * BYTES_PER_PIXEL:",
        "if False:",
        header,
    )
    yield Mutation(
        "a TIFF may lack the places of its strips",
        codecs,
        "if not page.is_contiguous and math.prod(page.chunked) > len(page.dataoffsets):",
        "if False:",
        header,
    )
    circle = f"{images}::test_of_pages_that_lead_in_a_circle_or_fill_the_file_only_the_first_is_looked_at"
    yield Mutation(
        "a TIFF's pages may lead in a circle",
        codecs,
        "if at in seen:",
        "if False:",
        circle,
        seconds=30,
    )
    yield Mutation(
        "float images may hold NaN", codecs, 'if pixels.dtype.kind == "f" and not', "if False and not", header
    )
    yield Mutation(
        "what a library raises on damage is not taken for damage",
        "unpaired/imaging/images.py",
        "except DAMAGE as error:",
        "except ZeroDivisionError as error:",
        f"{images}::test_hostile_files_end_in_one_line_that_names_them_and_print_nothing",
    )
    yield Mutation(
        "pipes and folders are opened",
        "unpaired/imaging/images.py",
        "if not stat.S_ISREG(about.st_mode):",
        "if False:",
        f"{images}::test_what_is_no_regular_file_is_refused_without_being_opened",
    )
    yield Mutation("tiny images pass", doctor, "if min(height, width) < smallest:", "if False:", named)
    yield Mutation("empty files are opened", doctor, "return None if about.st_size else (", "return None and (", named)
    yield Mutation(
        "bad images do not stop a training",
        "unpaired/data/selection.py",
        'if bad and cfg.on_bad_image == "fail":',
        "if False:",
        "tests/data/test_usable.py::test_bad_images_stop_a_training_before_its_first_step_and_all_are_named",
    )
    yield Mutation(
        "a resumed run decides anew",
        "unpaired/data/selection.py",
        "    if begun:\n",
        "    if False:\n",
        "tests/data/test_usable.py::test_a_resumed_run_sees_the_list_it_began_with",
    )
    yield Mutation(
        "names are printed as they are",
        "unpaired/core/errors.py",
        'return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))',
        "return str(text)",
        f"{images}::test_any_name_is_read_and_shown_on_one_printable_line",
    )


def _weights():
    file, test = "unpaired/core/safetensors_file.py", "tests/test_tensorfile.py"
    fill = f"{test}::test_tensors_fill_the_file_one_after_another"
    bytes_of = f"{test}::test_a_tensor_that_its_bytes_do_not_make_is_refused"
    yield Mutation(
        "a header may have any length",
        file,
        "if length > MAX_HEADER:",
        "if False:",
        f"{test}::test_a_header_longer_than_any_of_ours_is_refused_before_it_is_parsed",
    )
    yield Mutation(
        "a header may be longer than its file",
        file,
        "if length > size - 8:",
        "if False:",
        f"{test}::test_a_header_longer_than_the_file_is_refused",
    )
    yield Mutation("tensors may overlap or leave gaps", file, "if begin != at:", "if False:", fill)
    yield Mutation("bytes may follow the last tensor", file, "if at != size:", "if False:", f"{fill}[more behind]")
    yield Mutation(
        "a tensor's bytes need not make its shape",
        file,
        "if end - begin != math.prod(shape) * dtype.itemsize:",
        "if False:",
        bytes_of,
    )
    yield Mutation(
        "shapes may be negative, true or of any rank",
        file,
        "if len(shape) > MAX_RANK or not all(type(number) is int and 0 <= number < 2**63 for number in numbers):",
        "if False:",
        bytes_of,
    )
    yield Mutation(
        "tensors may change while they are used",
        file,
        "file.get_tensor(name).clone()",
        "file.get_tensor(name)",
        f"{test}::test_tensors_read_have_memory_of_their_own",
    )
    yield Mutation(
        "weights need not fit their settings",
        file,
        "    if wrong:\n",
        "    if False:\n",
        "tests/test_checkpoint.py::test_what_is_no_whole_bundle_is_refused_in_one_line[wrong shapes]",
    )
    yield Mutation(
        "a segmenter's settings are not bounded",
        "unpaired/evaluation/segmenter.py",
        "if not all(type(value) is int and 1 <= value <= MOST for value in asdict(cfg).values()) or",
        "if False and",
        "tests/faults/test_weights.py::test_no_segmenter_from_a_stranger_is_used",
    )
    transformer = "tests/features/test_extractors.py::test_a_transformer_that_is_not_what_its_settings_say_is_refused"
    yield Mutation(
        "a transformer's missing weights are drawn at random",
        "unpaired/features/transformer.py",
        'if told["missing_keys"]:',
        "if False:",
        f"{transformer}[renamed-clip]",
    )
    yield Mutation(
        "a transformer's settings take any memory",
        "unpaired/features/transformer.py",
        "    if asked > there:\n",
        "    if False:\n",
        f"{transformer}[missing-clip]",
    )
    foreign = "tests/test_foreign.py"
    yield Mutation(
        "other tools' weights are unpickled as they are",
        "unpaired/core/torch_pickle.py",
        'map_location="cpu", weights_only=True',
        'map_location="cpu", weights_only=False',
        f"{foreign}::test_code_in_a_file_never_runs",
    )
    yield Mutation(
        "other tools' weights may unpack to any size",
        "unpaired/core/torch_pickle.py",
        "if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries) or",
        "if False and",
        f"{foreign}::test_an_archive_that_unpacks_to_more_than_its_size_is_refused_unread",
    )
    yield Mutation(
        "a tensor may claim more than its file holds",
        "unpaired/core/torch_pickle.py",
        "if value.numel() * value.element_size() > size:",
        "if False:",
        f"{foreign}::test_a_shape_larger_than_the_file_is_refused",
    )
    yield Mutation(
        "a run writes through links",
        "unpaired/training/run_folder.py",
        'if link := next((path for path in out.rglob("*") if path.is_symlink()), None):',
        "if link := None:",
        "tests/faults/test_runs.py::test_a_run_from_a_stranger_is_not_resumed[link-metrics.jsonl]",
    )
    yield Mutation(
        "a link in the way of a new file is followed",
        "unpaired/core/files.py",
        "    part.unlink(missing_ok=True)  # a link that lies there would be followed to wherever it leads\n",
        "",
        "tests/faults/test_runs.py::test_a_link_in_the_way_of_a_file_being_written_is_not_followed",
    )
    yield Mutation(
        "a manifest may name files elsewhere",
        "unpaired/checkpoints/run_state.py",
        "if Path(name).name != name or type",
        "if type",
        "tests/faults/test_runs.py::test_what_a_run_does_not_rely_on_is_passed_over_and_never_followed",
    )
    yield Mutation(
        "a history may hold any number",
        "unpaired/methods/history.py",
        "image.dim() != 3 or not image.isfinite().all()",
        "image.dim() != 3",
        "tests/faults/test_runs.py::test_a_run_from_a_stranger_is_not_resumed[state-history-nan]",
    )


def _archives():
    unpack, test = "unpaired/data/prepare/unpack.py", "tests/data/prepare/test_unpack.py"
    yield Mutation(
        "names may climb out of the folder",
        unpack,
        'if any(part in ("", ".", "..") or DRIVE.match(part) for part in parts):',
        "if False:",
        f"{test}::test_a_name_that_leads_outside_is_refused[../evil]",
    )
    yield Mutation(
        "names may hold backslashes and control characters",
        unpack,
        'if "\\\\" in name or any(ord(character) < 32 for character in name):',
        "if False:",
        f"{test}::test_a_backslash_or_control_character_is_refused",
    )
    yield Mutation(
        "links and devices are unpacked",
        unpack,
        "if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):",
        "if False:",
        f"{test}::test_a_link_that_poses_as_a_folder_is_refused",
    )
    yield Mutation(
        "encrypted ones are tried",
        unpack,
        "if entry.flag_bits & 0x1:",
        "if False:",
        f"{test}::test_an_encrypted_archive_is_refused_with_that_reason",
    )
    yield Mutation(
        "names may collide where upper and lower case are the same",
        unpack,
        "if folded in seen:",
        "if False:",
        f"{test}::test_names_that_collide_are_refused",
    )
    yield Mutation(
        "any number of files is unpacked",
        unpack,
        "if len(entries) > max_files:",
        "if False:",
        f"{test}::test_more_entries_than_allowed_are_refused",
    )
    yield Mutation(
        "a list of any length is read",
        unpack,
        "if length > max_files * ENTRY_AT_MOST:",
        "if False:",
        f"{test}::test_a_list_of_files_too_long_for_memory_is_refused_unread",
    )
    yield Mutation(
        "an archive may unpack to any multiple of itself",
        unpack,
        "max(max_ratio * archive.stat().st_size, RATIO_COUNTS_FROM)",
        "10**12",
        f"{test}::test_a_bomb_is_refused_by_its_ratio",
    )
    yield Mutation(
        "headers are believed about sizes",
        unpack,
        "if written - before != entry.file_size:",
        "if False:",
        f"{test}::test_a_header_that_lies_about_the_size_is_refused",
    )
    yield Mutation(
        "what was unpacked before a fault stays",
        unpack,
        "        shutil.rmtree(target, ignore_errors=True)\n        raise",
        "        raise",
        f"{test}::test_a_flipped_bit_is_refused_and_files_written_before_it_removed",
    )
    yield Mutation(
        "names in a shard may lead out of it",
        "unpaired/imaging/archives.py",
        "if plain and not outside:",
        "if plain:",
        "tests/data/test_archives.py::test_names_that_lead_out_of_a_shard_lead_nowhere",
    )


def _texts():
    texts, test = "unpaired/core/safe_text.py", "tests/test_texts.py"
    yield Mutation(
        "texts may have any length",
        texts,
        "if len(content) > most:",
        "if False:",
        f"{test}::test_a_text_is_read_up_to_its_length_and_not_beyond",
    )
    yield Mutation(
        "lines may have any length",
        texts,
        "if len(line) == MAX_LINE:",
        "if False:",
        f"{test}::test_a_line_of_a_log_is_bounded_and_named",
    )
    yield Mutation(
        "texts may be nested to any depth",
        texts,
        "if inside and not left:",
        "if False:",
        f"{test}::test_nesting_is_bounded",
    )
    yield Mutation(
        "a name may be given twice",
        texts,
        "if len(values) < len(pairs):",
        "if False:",
        f"{test}::test_a_name_given_twice_is_refused",
    )
    yield Mutation(
        "YAML may refer to itself",
        texts,
        "if self.check_event(yaml.AliasEvent):",
        "if False:",
        f"{test}::test_references_are_refused",
    )
    yield Mutation(
        "YAML may make any object",
        texts,
        "class _WithoutReferences(yaml.SafeLoader):",
        "class _WithoutReferences(yaml.UnsafeLoader):",
        f"{test}::test_only_plain_types_come_out_of_yaml",
    )
    yield Mutation(
        "settings may ask for networks of any size",
        "unpaired/experiment.py",
        "if size > MAX_PARAMETERS:",
        "if False:",
        "tests/faults/test_runs.py::test_settings_from_a_stranger_start_no_training[width-large]",
    )


def _old():
    test = "tests/test_old_runs.py"
    yield Mutation(
        "checkpoints of format 1 are not known",
        "unpaired/checkpoints/run_state.py",
        'if facts.get("format") == 1:',
        "if False:",
        f"{test}::test_its_checkpoint_is_read",
    )
    yield Mutation(
        "a setting that is new counts as changed",
        "unpaired/training/run_folder.py",
        "changed = _changes({**now, **then}, now)",
        "changed = _changes(then, now)",
        f"{test}::test_its_run_goes_on",
    )
    reported = "tests/faults/test_runs.py::test_no_report_is_written_of_a_run_from_a_stranger"
    yield Mutation(
        "evaluations of a newer format are read",
        "unpaired/evaluation/report/records.py",
        '    _check_format(evaluation.get("recipe", {}), path)\n',
        "",
        f"{reported}[evaluation.json-newer-recipe]",
    )
    yield Mutation(
        "logs of a newer format are read",
        "unpaired/evaluation/report/records.py",
        "            _check_format(values, path)\n",
        "",
        f"{reported}[metrics.jsonl-newer]",
    )
    yield Mutation(
        "bundles of a newer format are read",
        "unpaired/checkpoints/bundle.py",
        "if type(version) is not int or not 1 <= version <= FORMAT:",
        "if False:",
        "tests/test_checkpoint.py::test_what_is_no_whole_bundle_is_refused_in_one_line[newer]",
    )


def table() -> str:
    """All of them in Markdown, as docs/reliability.md holds them."""
    rows = ["| promise | defence taken out | test that fails |", "|---|---|---|"]
    for name, those in mutations().items():
        for each in those:
            path, _, test = each.test.partition("::")
            rows.append(f"| {name} | {each.defence} | `{Path(path).name}::{test}` |")
    return "\n".join(rows)


def noticed(copy: Path, mutation: Mutation) -> tuple[bool, str]:
    """Whether the named test fails without the defence; and the last of what pytest said."""
    path = copy / mutation.file
    text = path.read_text(encoding="utf-8")
    compiled = Path(importlib.util.cache_from_source(str(path)))
    try:
        path.write_text(mutation.spoilt(text), encoding="utf-8")
        compiled.unlink(missing_ok=True)
        code, said = _tested(copy, mutation)
    finally:
        path.write_text(text, encoding="utf-8")
        compiled.unlink(missing_ok=True)
    failed = any(line.startswith(f"FAILED {mutation.test}") for line in said.splitlines())
    return code == 1 and failed, said


def _tested(copy: Path, mutation: Mutation) -> tuple[int, str]:
    """pytest's exit code for one test of the copy, in a child of this warm process."""
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _child(copy, mutation, said.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said.seek(0)
        return code, said.read().decode(errors="replace")


def _child(copy: Path, mutation: Mutation, said: int) -> None:
    import pytest

    code = 97
    try:
        os.setsid()
        os.dup2(said, 1)
        os.dup2(said, 2)
        for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "unpaired")]:
            del sys.modules[name]
        os.chdir(copy)
        os.environ["PYTHONPATH"] = sys.path[0] = str(copy)
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # others' plugins take longer to load than a test
        options = ["-x", "-rf", "-m", "", "--tb=line", "-p", "no:cacheprovider"]
        options += ["-p", "pytest_timeout", f"--timeout={mutation.seconds}"]
        code = pytest.main([*options, mutation.test])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _copy(place: Path) -> Path:
    """The code, its tests and what they read, without what git does not know."""
    for name in ("unpaired", "tests", "benchmarks", "examples", "docs"):
        shutil.copytree(PROJECT / name, place / name)
    for path in PROJECT.iterdir():
        if path.is_file():
            shutil.copy(path, place)
    return place


def main(words: list[str]) -> None:
    if words == ["--table"]:
        print(table())
        return
    for name in WARM:
        importlib.import_module(name)
    chosen = [
        (promise, each)
        for promise, those in mutations().items()
        for each in those
        if not words or any(word in f"{promise} {each.defence} {each.test}" for word in words)
    ]
    survived, began = [], time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = _copy(Path(folder))
        for number, (promise, each) in enumerate(chosen, 1):
            start = time.monotonic()
            found, said = noticed(copy, each)
            words_ = "noticed" if found else "SURVIVED"
            print(
                f"{number}/{len(chosen)} {words_} {time.monotonic() - start:.0f} s: {promise}: {each.defence}",
                flush=True,
            )
            if not found:
                survived.append(each)
                print(said[-1500:], flush=True)
    print(f"{len(chosen) - len(survived)} of {len(chosen)} defences noticed, {time.monotonic() - began:.0f} s")
    sys.exit(bool(survived))


if __name__ == "__main__":
    main(sys.argv[1:])
