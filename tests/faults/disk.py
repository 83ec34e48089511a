"""A disk that fails on request: at the n-th call that a writer makes of the operating system."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "rmdir", "unlink")


class PowerCut(BaseException):
    """Nothing happens after it: no clean-up, no message."""


class FullDisk:
    """`os.fsync` as it answers when the disk runs full at its n-th call."""

    def __init__(self, at):
        self.at, self.calls = at, 0

    def __call__(self, handle):
        self.calls += 1
        if self.calls == self.at:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Disk:
    """Counts calls and ends the `at`-th as `fault` says.

    before: power fails and the call is not made. after: it is made, then power fails. torn: half of a write is made.
    ENOSPC, EIO: the call fails with this error, later ones succeed.
    """

    def __init__(self, at: int = 0, fault: str = "before") -> None:
        self.at, self.fault = at, fault
        self.calls: list[str] = []
        self.off = False

    def __call__(self, name: str, plain: Any, *args: Any, **kwargs: Any) -> Any:
        if self.off:
            raise PowerCut
        self.calls.append(name)
        if len(self.calls) != self.at:
            return plain(*args, **kwargs)
        if self.fault in ("ENOSPC", "EIO"):
            number = getattr(errno, self.fault)
            raise OSError(number, os.strerror(number))
        self.off = True
        if self.fault == "after":
            plain(*args, **kwargs)
        elif self.fault == "torn" and name == "write":
            plain(args[0], bytes(args[1])[: len(args[1]) // 2])
        raise PowerCut


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Inside, the calls of `os` that write go through `disk`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in CALLS:
            plain = getattr(os, name)
            patch.setattr(os, name, lambda *a, _name=name, _plain=plain, **k: disk(_name, _plain, *a, **k))
        yield disk


class Order:
    """Notes which files have been flushed when a folder is renamed into its place."""

    def __init__(self) -> None:
        self.flushed: set[Path] = set()
        self.renamed: list[tuple[Path, set[Path]]] = []

    def __call__(self, name: str, plain: Any, *args: Any, **kwargs: Any) -> Any:
        if name == "fsync":
            self.flushed.add(Path(os.readlink(f"/proc/self/fd/{args[0]}")))
        if name == "rename" and Path(args[0]).is_dir():
            written = {Path(args[0]), *Path(args[0]).iterdir()}
            self.renamed.append((Path(args[1]), written - self.flushed))
        return plain(*args, **kwargs)
