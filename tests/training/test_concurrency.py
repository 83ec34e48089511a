"""Two tasks at a time: concurrently, with half of the threads each, and with the results in order."""

from threading import Barrier, current_thread

import pytest
import torch

from unpaired.training.concurrency import run_in_halves, run_on_threads, run_sequentially


@pytest.fixture(autouse=True)
def four_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def where():
    return current_thread(), torch.get_num_threads()


def test_two_tasks_run_at_the_same_time_with_half_of_the_threads_each():
    meeting = Barrier(2, timeout=10)

    def task():
        meeting.wait()
        return where()

    (first, threads), (second, others) = run_on_threads([task, task])
    assert first is not second and threads == others == 2
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("run", [run_sequentially, run_in_halves, run_on_threads])
def test_results_come_in_the_order_of_the_tasks(run, count):
    assert run([lambda k=k: k for k in range(count)]) == list(range(count))


@pytest.mark.parametrize("which", [0, 1])
def test_an_error_waits_for_the_other_task_and_restores_the_threads(which):
    ended = []

    def fails():
        raise ValueError("one")

    def takes_its_time():
        torch.ones(300, 300).mm(torch.ones(300, 300))
        ended.append(True)

    with pytest.raises(ValueError, match="one"):
        run_on_threads((fails, takes_its_time) if which == 0 else (takes_its_time, fails))
    assert ended and torch.get_num_threads() == 4


def test_in_halves_one_task_follows_the_other_on_half_of_the_threads():
    assert run_in_halves([where, where]) == [(current_thread(), 2)] * 2
    assert run_sequentially([where]) == [(current_thread(), 4)]
