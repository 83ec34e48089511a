"""Stopping on request: the first Ctrl-C or SIGTERM requests a stop, the second ends the process."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from unpaired.core.errors import Stopped


class Request:
    """A requested stop: work polls `asked` where it can stop, or is interrupted while `at_once`."""

    def __init__(self, words: str) -> None:
        self.words = words
        self.at_once = True
        """Whether a signal raises Stopped where it comes; else it only sets `asked`."""
        self.asked = False
        self.patience = 0.0
        """Seconds within which further signals are the same request: launchers pass on what the terminal sent too."""
        self.since = 0.0

    def later(self) -> None:
        """From now on a signal waits for whoever polls `asked`."""
        self.at_once = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        """The signal's handler."""
        now = time.monotonic()
        if self.asked and now - self.since >= self.patience:
            sys.exit(128 + number)
        if self.asked:
            return
        self.asked, self.since = True, now
        if self.at_once:
            raise Stopped(self.words)
        print("stopping after this step and a checkpoint; once more to stop at once", file=sys.stderr, flush=True)


@contextmanager
def held_back() -> Iterator[None]:
    """Inside, a signal waits for the end, and a second ends the process.

    For calls of libraries that import on the way: a stop inside an import leaves them with half of a module, and their
    own error in its place.
    """
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        if came:
            came.clear()
            sys.exit(128 + number)
        came.append(number)
        print("stopping after this part; once more to stop at once", file=sys.stderr, flush=True)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


@contextmanager
def stop_on_request(words: str = "stopped; the same command starts again") -> Iterator[Request]:
    """Inside, the first signal raises Stopped(words) until `later()`, then sets `asked`; a second ends the process."""
    request = Request(words)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
