"""Finite numbers, and the same bits for the same seed."""

from __future__ import annotations

from collections.abc import Iterator

from tests.faults.defences.mutation import Mutation
from tests.faults.mutate import always, body, drop, never, replace

DESCENT = "tests/training/test_optimizer_step.py"
DETERMINISTIC = "tests/models/test_deterministic.py"
ABREAST = "tests/training/test_concurrent_losses.py"
ADDED_AT_ONCE = """
def added(function):
    part = self._part(function, step.parameters, weight)
    step.add(part.losses, part.gradients, weight)
    return part.fakes
return {name: fake for fakes in self._run([partial(added, each) for each in functions]) for name, fake in fakes.items()}
"""


def finite() -> Iterator[Mutation]:
    yield Mutation(
        "gradients are followed unchecked",
        "unpaired.training.engine.Engine.finish",
        drop("statement", "NotFinite"),
        f"{DESCENT}::test_a_bad_image_stops_before_any_weight_is_touched_and_names_the_terms",
    )
    yield Mutation(
        "only losses are checked",
        "unpaired.training.optimizer_step.OptimizerStep.health",
        replace("call", "get_total_norm", by="0"),
        f"{DESCENT}::test_a_bad_gradient_of_finite_terms_stops_too",
    )
    yield Mutation(
        "only gradients are checked",
        "unpaired.training.optimizer_step.OptimizerStep.health",
        replace("call", "sum", by="0"),
        f"{DESCENT}::test_a_bad_term_whose_gradients_are_finite_stops_too",
    )
    yield Mutation(
        "the optimizer on a GPU updates unchecked",
        "unpaired.training.optimizer_step.OptimizerStep.update",
        drop("statement", "found_inf"),
        f"{DESCENT}::test_where_asking_the_device_would_wait_the_optimiser_itself_leaves_the_weights_alone",
    )
    yield Mutation(
        "each process checks its own numbers only",
        "unpaired.training.processes.Processes.average_",
        replace("return", "flat", by="return health"),
        "tests/training/test_processes.py::test_gradients_are_averaged_and_a_nan_of_any_process_reaches_all",
    )
    yield Mutation(
        "weights are saved unchecked",
        "unpaired.training.loop.Run.require_finite",
        never("broken"),
        f"{DESCENT}::test_weights_that_overflow_in_the_last_update_are_not_saved",
    )
    yield Mutation(
        "a bundle's weights are not checked",
        "unpaired.checkpoints.bundle.load_bundle",
        drop("statement", "check_finite"),
        "tests/faults/test_weights.py::test_numbers_that_are_not_finite_get_past_no_command",
    )
    yield Mutation(
        "another tool's weights are not checked",
        "unpaired.core.torch_pickle._owned",
        never("isfinite"),
        "tests/test_torch_pickle.py::test_values_that_are_not_finite_are_refused",
    )
    yield Mutation(
        "a server does not check the output of its models",
        "unpaired.serve.worker.warm_up",
        drop("operand", "isfinite"),
        "tests/serve/test_worker.py::test_a_warm_up_judges_what_comes_out",
    )


def determinism() -> Iterator[Mutation]:
    equal = f"{DETERMINISTIC}::test_forward_and_backward_equal_torchs"
    refuses = f"{DETERMINISTIC}::test_a_deterministic_run_refuses_what_has_no_order_and_exchanges_its_layers"
    yield Mutation(
        "reflection repeats the edge's own line",
        "unpaired.models.deterministic.reflect",
        replace("call", "narrow", "before", by="x.narrow(dim, 0, before)"),
        equal,
    )
    yield Mutation(
        "resizing takes the wrong neighbour",
        "unpaired.models.deterministic.double",
        replace("name", "after", by="before"),
        equal,
    )
    yield Mutation(
        "torch's deterministic algorithms are not requested",
        "unpaired.training.engine.same_bits",
        drop("statement", "use_deterministic_algorithms", nth=0),
        refuses,
    )
    yield Mutation(
        "layers without a fixed order of sums stay",
        "unpaired.training.engine.Engine._place",
        drop("statement", "make_deterministic"),
        refuses,
    )
    yield Mutation(
        "gradients are added in the order in which threads finish",
        "unpaired.training.engine.Engine.add",
        body(ADDED_AT_ONCE),
        f"{ABREAST}::test_it_makes_no_difference_which_task_is_first",
    )
    yield Mutation(
        "dropout and running statistics run in two threads",
        "unpaired.training.engine.Engine.place",
        drop("operand", "ordered"),
        f"{ABREAST}::test_dropout_and_running_statistics_keep_passes_in_order",
    )
    yield Mutation(
        "two threads prepare layers at the same time",
        "unpaired.training.engine.Engine.runner",
        always("seen"),
        f"{ABREAST}::test_a_step_of_new_shapes_does_nothing_at_the_same_time",
    )
    yield Mutation(
        "a thread finds weights that another rounded",
        "unpaired.training.engine.Engine.precision",
        replace("keyword", "cache_enabled", by="True"),
        f"{ABREAST}::test_no_thread_finds_weights_that_another_rounded",
    )
    yield Mutation(
        "the caller's random state decides",
        "unpaired.training.loop._new_trainer",
        drop("statement", "seed_everything", nth=0),
        "tests/training/test_run.py::test_the_global_dice_of_the_caller_do_not_decide_a_run",
    )
