"""Work done in a forked child of this process: everything is imported already, and its memory is its own."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unpaired.cli import run

MEGABYTE = 2**20


@dataclass(frozen=True)
class Outcome:
    """How a child ended."""

    code: int
    said: str
    """All of stdout and stderr, what libraries in C print included."""
    grew: int
    """Bytes by which its memory peaked over what it began with."""


def in_child(work: Callable[[], int], seconds: int = 120) -> Outcome:
    """Fork, do `work`, and tell how it went; a child that hangs is ended by its own alarm."""
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as peak:
        pid = os.fork()
        if pid == 0:
            _child(work, seconds, said.fileno(), peak.fileno())
        _, status = os.waitpid(pid, 0)
        said.seek(0)
        peak.seek(0)
        return Outcome(os.waitstatus_to_exitcode(status), said.read().decode(errors="replace"), int(peak.read() or 0))


def command(argv: Sequence[object], **options: int) -> Outcome:
    """`unpaired ARGV` in a child."""
    return in_child(lambda: run([str(word) for word in argv]), **options)


def complaints(outcome: Outcome) -> list[str]:
    """The lines that a command says to its user, without progress."""
    progress = re.compile(
        r"[\w .()]+: \d+(/\d+)?[ ,]|unpaired: (serving .*|stopped)$|downloading |.*: resumes after|"
        r"smoke: (\d|cpu|images resized)"
    )
    return [line for line in outcome.said.splitlines() if line and not progress.match(line)]


def wrong_with_refusal(outcome: Outcome, size: int) -> str:
    """What keeps this from being a clean refusal of a file of `size` bytes; empty where nothing does."""
    lines = complaints(outcome)
    if outcome.code != 2:
        return f"exit code {outcome.code}: {outcome.said[-600:]}"
    if len(lines) != 1 or not lines[0].startswith("unpaired: ") or not lines[0].isprintable():
        return f"not one line: {outcome.said[-600:]}"
    if outcome.grew > 2 * size + 200 * MEGABYTE:
        return f"memory grew by {outcome.grew / MEGABYTE:.0f} MB over a file of {size / MEGABYTE:.1f} MB"
    return ""


def below(folder: Path) -> dict[str, bytes]:
    """Everything under a folder, to see that nothing has changed."""
    found = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        found[name] = os.readlink(path).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
    return found


def _child(work: Callable[[], int], seconds: int, said: int, peak: int) -> None:
    code = 97
    try:
        os.dup2(said, 1)
        os.dup2(said, 2)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
        import signal

        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(seconds)
        before = _reset_peak()
        code = work()
        os.write(peak, str(max(0, _memory("VmHWM") - before)).encode())
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 98
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _reset_peak() -> int:
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(what: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024
