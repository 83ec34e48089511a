"""Resume, stop and several processes."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.defences.mutation import Mutation
from tests.faults.mutate import always, body, drop, never, replace

RUN = "tests/training/test_run.py"
STOP = "tests/faults/test_stop.py"
PROCESSES = "tests/training/test_processes.py"
RESUMED = f"{RUN}::test_a_stopped_and_resumed_run_equals_an_uninterrupted_one"
EVERY_KIND = f"{RUN}::test_every_kind_of_run_resumes_exactly"
CHANGED = f"{RUN}::test_a_changed_setting_that_touches_the_numbers_is_refused_by_name"


def resume() -> Iterator[Mutation]:
    yield Mutation(
        "the history is not saved",
        "unpaired.training.trainer.Trainer.state",
        drop("statement", "each", "state", "items"),
        f"{RUN}::test_the_state_covers_everything_that_decides_the_next_steps",
    )
    yield Mutation(
        "the random states are not restored",
        "unpaired.training.trainer.Trainer.load",
        drop("statement", "set_rng_state"),
        f"{EVERY_KIND}[dropout]",
    )
    yield Mutation(
        "Adam's moments are not restored",
        "unpaired.training.trainer.Trainer.load",
        replace("statement", "copy_", by="if not name.startswith('optimizer/'):\n    tensor.copy_(value)"),
        RESUMED,
    )
    yield Mutation(
        "averaged weights restart from the trained weights",
        "unpaired.training.trainer.Trainer.load",
        replace("statement", "value", "replace", by="value = state[name.replace('/ema ', '/')]"),
        f"{EVERY_KIND}[average]",
    )
    yield Mutation(
        "the data restart from the first batch",
        "unpaired.training.loop.Run.train",
        replace("call", "batches", by="self.data.batches(0, total - start)"),
        RESUMED,
    )
    yield Mutation(
        "the learning rate restarts",
        "unpaired.training.loop.Run.step",
        replace("call", "factor", by="self.schedule.factor(step - self.__dict__.setdefault('first', step))"),
        RESUMED,
    )
    yield Mutation(
        "the crop of an image depends on what was read before",
        "unpaired.data.pairing.UnpairedImages.pair",
        replace("call", "default_rng", by="self.__dict__.setdefault('rng', np.random.default_rng(self.seed))"),
        RESUMED,
    )
    yield Mutation(
        "changed settings are not compared",
        "unpaired.training.run_folder._changes",
        body("return ''"),
        CHANGED,
    )
    yield Mutation(
        "the seed may change",
        "unpaired.training.run_folder.MAY_NOT_CHANGE",
        drop("item", "runtime.seed"),
        CHANGED,
    )
    yield Mutation(
        "the list of images is not compared",
        "unpaired.data.selection.save_selection",
        never("names_sha256", "digest"),
        "tests/data/test_usable.py::test_a_resumed_run_on_other_images_is_refused",
    )
    yield Mutation(
        "lines after the resumed step stay in the log",
        "unpaired.training.logging._drop_lines_after",
        always("_step", "step"),
        f"{RUN}::test_tensorboard_shows_every_step_once_after_a_resumed_run",
    )


def stops() -> Iterator[Mutation]:
    sampling = f"{STOP}::test_while_sampling_it_saves_and_stops_after_the_same_step"
    yield Mutation(
        "a signal before the first step waits",
        "unpaired.core.signals.Request.__call__",
        never("at_once"),
        f"{STOP}::test_before_the_first_step_it_stops_at_once_and_leaves_nothing",
    )
    yield Mutation(
        "a signal does not end the steps",
        "unpaired.training.loop.Run.train",
        never("stopping", "total"),
        sampling,
    )
    yield Mutation(
        "nothing is saved on a signal",
        "unpaired.training.loop.Run.train",
        drop("operand", "stopping", nth=0),
        sampling,
    )
    yield Mutation(
        "a signal while saving is noticed one step later",
        "unpaired.training.loop.Run.train",
        drop("statement", "stopping", "asked"),
        f"{STOP}::test_while_saving_it_finishes_the_save_and_takes_no_further_step",
    )
    yield Mutation(
        "a second signal waits, too",
        "unpaired.core.signals.Request.__call__",
        drop("statement", "exit"),
        f"{RUN}::test_a_second_signal_ends_the_process_at_once",
    )
    yield Mutation(
        "a signal forwarded by a launcher counts as a second signal",
        "unpaired.core.signals.Request.__call__",
        replace("name", "patience", by="0"),
        f"{STOP}::test_signals_within_the_launchers_patience_are_one_request",
    )
    yield Mutation(
        "other commands handle no signals",
        "unpaired.cli.run",
        drop("with", "stop_on_request"),
        f"{STOP}::test_evaluate_exits_with_75_and_leaves_no_half_report",
    )
    yield Mutation(
        "a library's `except Exception` catches a stop",
        "unpaired.core.errors.Stopped",
        replace("base", "BaseException", by="Exception"),
        f"{STOP}::test_a_signal_is_not_taken_for_an_error_of_a_library_that_is_at_work",
    )
    yield Mutation(
        "freeing an OpenVINO core unmaps a thread's signal stack",
        "unpaired.inference.runtimes.openvino.only",
        drop("decorator", "cache"),
        "tests/export/test_runtimes.py::test_a_signal_is_no_crash_when_another_thread_forgot_an_openvino_model",
    )
    yield Mutation(
        "a report is written in its place",
        "unpaired.core.files.write_text",
        drop("with", "written_whole"),
        "tests/faults/test_writer.py::test_a_text_whose_writing_stops_leaves_the_earlier_one_whole",
    )
    yield Mutation(
        "processes do not agree on a stop",
        "unpaired.training.processes.Processes._sum",
        drop("statement", "all_reduce"),
        f"{PROCESSES}::test_signalling_one_of_two_stops_both_and_the_run_goes_on_exactly",
    )


def processes() -> Iterator[Mutation]:
    equal = f"{PROCESSES}::test_two_processes_of_one_image_equal_one_process_of_two"
    weightless = f"{PROCESSES}::test_an_image_of_weight_0_touches_neither_weights_nor_histories"
    yield Mutation(
        "gradients are not averaged",
        "unpaired.training.processes.Processes.average_",
        drop("statement", "all_reduce"),
        f"{equal}[instance]",
    )
    yield Mutation(
        "batch statistics stay in each process",
        "unpaired.training.engine.Engine._place",
        drop("statement", "synchronise_norms"),
        f"{equal}[batch]",
    )
    yield Mutation(
        "the gradient of statistics over all processes is not summed",
        "unpaired.training.processes._AllSum.backward",
        drop("statement", "all_reduce"),
        f"{equal}[batch]",
    )
    yield Mutation(
        "every part of a step counts as a whole step",
        "unpaired.training.engine.Engine._part",
        always("weight"),
        weightless,
    )
    yield Mutation(
        "an image of weight 0 enters the history",
        "unpaired.training.trainer.Trainer.train_step",
        replace("keyword", "keep", by="True"),
        weightless,
    )
    yield Mutation(
        "every process reads the first images",
        "unpaired.data.pairing.UnpairedImages.batch",
        replace("name", "process", by="0"),
        f"{PROCESSES}::test_processes_see_disjoint_images_whose_union_is_the_epoch",
    )
    yield Mutation(
        "a failing process does not send its message",
        "unpaired.training.processes.Processes.end_together",
        drop("statement", "_report"),
        f"{PROCESSES}::test_what_one_process_cannot_use_ends_both_with_its_message",
    )
    yield Mutation(
        "each process's own state is not restored",
        "unpaired.checkpoints.run_state.read_state",
        drop("statement", "_tensors", "own"),
        f"{PROCESSES}::test_signalling_one_of_two_stops_both_and_the_run_goes_on_exactly",
    )
    yield Mutation(
        "another number of processes may resume",
        "unpaired.training.run_folder._changed",
        replace("name", "count", by="state.facts.get('processes', 1)"),
        f"{PROCESSES}::test_another_number_of_processes_is_refused_by_name_unless_allowed",
    )
