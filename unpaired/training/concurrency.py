"""Independent tasks of a step: one after another, or two at a time on halves of a CPU's threads or two CUDA streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import torch

Result = TypeVar("Result")


def run_sequentially(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """One after another, with all threads."""
    return [task() for task in tasks]


def run_in_halves(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """One after another with half of the threads: the bits of `run_on_threads`, for shapes that are new.

    Where two threads prepare the same convolution at once, torch's libraries now and then sum in another order.
    """
    with half_of_the_threads():
        return run_sequentially(tasks)


def run_on_threads(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Two at a time, on half of torch's threads each. An error of either is raised when both have ended."""

    def every_second() -> list[Result]:
        torch.set_num_threads(half)
        return run_sequentially(tasks[1::2])

    with half_of_the_threads() as half:
        other = _second_thread().submit(every_second)
        try:
            mine = run_sequentially(tasks[::2])
        finally:
            wait([other])
        return _interleaved(mine, other.result())


def run_on_streams(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Two at a time, on the current CUDA stream and a second one, which joins it at the end.

    The tasks are referenced until then, so no tensor that they use on both streams is freed before.
    """
    here = torch.cuda.current_stream()
    beside = _second_stream(here.device_index)
    beside.wait_stream(here)
    with torch.cuda.stream(beside):
        others = run_sequentially(tasks[1::2])
    mine = run_sequentially(tasks[::2])
    here.wait_stream(beside)
    return _interleaved(mine, others)


@contextmanager
def half_of_the_threads() -> Iterator[int]:
    """Inside, torch uses half of its threads, as many as this yields, for work of this thread."""
    before = torch.get_num_threads()
    half = max(1, before // 2)
    torch.set_num_threads(half)
    try:
        yield half
    finally:
        torch.set_num_threads(before)


def _interleaved(even: Sequence[Result], odd: Sequence[Result]) -> list[Result]:
    sides = iter(even), iter(odd)
    return [next(sides[k % 2]) for k in range(len(even) + len(odd))]


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="second")


@cache
def _second_stream(device: int) -> torch.cuda.Stream:
    return torch.cuda.Stream(device)
