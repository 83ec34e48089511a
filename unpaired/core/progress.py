"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Advance = Callable[..., None]
"""advance(amount=1, note=None): work done since the last call, and a few words to show beside it."""

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def progress(title: str, total: int, done: int = 0, *, quiet: bool = False) -> Iterator[Advance]:
    """Show work of `total` parts on stderr, `done` of which were finished earlier; nothing if `quiet`."""
    if quiet:
        yield lambda amount=1, note=None: None
        return
    with _bar(title, total, done) if sys.stderr.isatty() else _lines(title, total, done) as advance:
        yield advance


def track(items: Collection[Item], title: str) -> Iterator[Item]:
    """`items` unchanged, one after another, with progress."""
    with progress(title, len(items)) as advance:
        for item in items:
            yield item
            advance()


def duration(seconds: float) -> str:
    """Seconds in words: 45 s, 3 min 05 s, 2 h 10 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def terminal_width() -> int:
    """Columns of the terminal; 80 where there is none."""
    return shutil.get_terminal_size().columns


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Advance]:
    """One line: title, bar, step, total and time left keep their width; the note is shortened to the rest."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn as TimeLeft
    from rich.table import Column
    from rich.text import Text

    class Note(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(task.fields["note"], no_wrap=True, overflow="ellipsis")

    console = Console(stderr=True)
    longest = max(12, console.width // 3)
    title = title if len(title) <= longest else f"{title[: longest - 1]}…"

    def fixed() -> Column:
        return Column(no_wrap=True)

    columns = [
        TextColumn("{task.description}", table_column=fixed()),
        BarColumn(bar_width=min(40, console.width // 6), table_column=fixed()),
        MofNCompleteColumn(table_column=fixed()),
        TimeLeft(table_column=fixed()),
    ]
    with Progress(*columns, Note(), console=console) as bar:
        task = bar.add_task(title, total=total, completed=done, note="")

        def advance(amount: int = 1, note: str | None = None) -> None:
            if note is not None:
                bar.update(task, note=note)
            bar.advance(task, amount)

        yield advance


@contextmanager
def _lines(title: str, total: int, done: int) -> Iterator[Advance]:
    start = last = time.monotonic()
    now_done = done

    def advance(amount: int = 1, note: str | None = None) -> None:
        nonlocal now_done, last
        now_done += amount
        now = time.monotonic()
        if now - last < SECONDS_BETWEEN_LINES and now_done < total:
            return
        last = now
        left = (now - start) / max(now_done - done, 1) * (total - now_done)
        words = f"{title}: {now_done}/{total}, {duration(left)} left" if now_done < total else f"{title}: {total} done"
        print(f"{words}  {note or ''}".rstrip(), file=sys.stderr, flush=True)

    yield advance
