"""Work side by side on the CPU, each piece on its share of torch's threads.

Several threads on one small piece wait for each other longer than they save.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")
Other = TypeVar("Other")

_in_turn = ContextVar("sequential", default=False)
MOST_WORKERS = 4
"""Batches in memory at once."""


def side_by_side(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work`, without gradient, on every item, in order, several at once: whole batches.

    On a machine that trains meanwhile, one after another on all threads takes three times as long.
    """
    threads = torch.get_num_threads()
    workers = min(threads, MOST_WORKERS)

    def alone(item: Item) -> Result:
        torch.set_num_threads(threads // workers)
        with torch.inference_mode():
            return work(item)

    running: deque[Future[Result]] = deque()
    try:
        with ThreadPoolExecutor(workers, thread_name_prefix="evaluate") as pool:
            for item in items:
                running.append(pool.submit(alone, item))
                if len(running) > workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        torch.set_num_threads(threads)


def both(first: Callable[[], Result], second: Callable[[], Other]) -> tuple[Result, Other]:
    """Two pieces at once, half of the threads each, under this thread's modes: gradients, autocast.

    An error of either is raised when both have ended. Inside `sequential` one follows the other, with the same bits.
    """
    if _in_turn.get():
        with halved():
            return first(), second()
    gradients = torch.is_grad_enabled()
    mixed, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

    def apart() -> Other:
        torch.set_num_threads(share)
        with torch.set_grad_enabled(gradients), torch.autocast("cpu", dtype, enabled=mixed, cache_enabled=False):
            return second()

    with halved() as share:
        other = _second_thread().submit(apart)
        try:
            mine = first()
        finally:
            wait([other])
        return mine, other.result()


@contextmanager
def sequential(wanted: bool = True) -> Iterator[None]:
    """Inside, `both` does one piece after the other, if so wanted.

    For what is done for the first time: where two threads make the same convolution ready at once, torch's libraries
    now and then sum in another order, in some of a hundred fresh processes.
    """
    before = _in_turn.set(wanted)
    try:
        yield
    finally:
        _in_turn.reset(before)


@contextmanager
def halved() -> Iterator[int]:
    """Inside, torch has half of its threads, so many, for what this thread asks of it."""
    before = torch.get_num_threads()
    half = max(1, before // 2)
    torch.set_num_threads(half)
    try:
        yield half
    finally:
        torch.set_num_threads(before)


@cache
def _second_thread() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="second")
