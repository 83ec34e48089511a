"""Arrays on disk that outlive the process, in a folder that belongs to one piece of work."""

from __future__ import annotations

import glob
import hashlib
import json
import math
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unpaired.core.errors import BadInput, Stopped
from unpaired.core.files import flush


class Scratch:
    """Arrays as files of one folder.

    A file is mapped for one reading or writing at a time: pages of a lasting map would count as the process's memory.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def open(self, name: str, shape: tuple[int, ...], dtype: np.dtype | type) -> NDArray:
        """The array of this name, on disk; zeros where nothing was written, which take no room."""
        path, size = self.folder / name, math.prod(shape) * np.dtype(dtype).itemsize
        if not path.exists() or path.stat().st_size != size:
            with path.open("wb") as file:
                file.truncate(size)
        return np.memmap(path, dtype, "r+", shape=shape)

    def flush(self, name: str) -> None:
        """What was written is on the disk when this returns."""
        if (self.folder / name).exists():
            flush(self.folder / name)

    def drop(self, name: str) -> None:
        """Give its room back."""
        (self.folder / name).unlink(missing_ok=True)

    def done(self, name: str) -> bool:
        """Whether `finish` was called for this piece of work, by this process or an earlier one."""
        return (self.folder / f"{name}.done").exists()

    def finish(self, name: str) -> None:
        """Remember that a piece of work is done."""
        self.flush(name)
        (self.folder / f"{name}.done").touch()
        flush(self.folder)

    def remove(self) -> None:
        """All of it."""
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def resumable(out: Path, settings: Sequence[object], *refusals: type[Exception]) -> Iterator[Scratch]:
    """A folder beside `out` for work known by its settings; those of other work on the same output are removed.

    It is removed when the work is done, or refused by an error of one of these types; otherwise it stays. Ctrl-C
    becomes Stopped, which names the folder.
    """
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    folder = out.with_name(f".{out.name}.work-{key[:16]}")
    for old in out.parent.glob(f".{glob.escape(out.name)}.work-*"):
        if old != folder and old.is_dir():
            shutil.rmtree(old, ignore_errors=True)
    scratch = Scratch(folder)
    try:
        yield scratch
    except refusals:
        scratch.remove()
        raise
    except KeyboardInterrupt:
        raise Stopped(f"stopped; the same command resumes ({folder} holds what is done)") from None
    scratch.remove()


def require_room(folder: Path, size: int) -> None:
    """Raise BadInput if the disk cannot hold `size` bytes, less what is in the folder already."""
    have = sum(file.stat().st_blocks * 512 for file in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if size - have > free:
        raise BadInput(f"{folder}: this needs {size / 1e9:.1f} GB of disk, and {free / 1e9:.1f} GB are free")
