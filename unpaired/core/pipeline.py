"""Work in threads with results in order, batches of like items, and one item made ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """work(item) for each item, in order, in the pool; at most `ahead` are under way, so memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def in_batches(items: Iterable[Item], key: Callable[[Item], Hashable], batch: int, window: int) -> Iterator[list[Item]]:
    """Up to `batch` items of one key together, also where items of other keys are between them.

    At most `window` items wait for a full batch; then the key that came first goes incomplete.
    """
    waiting: dict[Hashable, list[Item]] = {}
    for item in items:
        alike = waiting.setdefault(key(item), [])
        alike.append(item)
        if len(alike) == batch:
            yield waiting.pop(key(item))
        elif sum(map(len, waiting.values())) >= window:
            yield waiting.pop(next(iter(waiting)))
    yield from waiting.values()


def one_ahead(items: Iterable[Item]) -> Iterator[Item]:
    """The same items; the next one is made before one is given."""
    waiting: deque[Item] = deque()
    for item in items:
        waiting.append(item)
        if len(waiting) > 1:
            yield waiting.popleft()
    yield from waiting
