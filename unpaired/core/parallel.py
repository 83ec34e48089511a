"""Inference on several batches at once on a CPU, each with its share of torch's threads.

Several threads on one small batch wait for each other longer than they save.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

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
