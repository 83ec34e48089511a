"""The base class of archives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from unpaired.data.sources.hub import HubPath, commit_of

Stamp = tuple[object, object]


@dataclass(frozen=True)
class Archive(ABC):
    """A file that holds image files."""

    path: Path | HubPath
    numbered: ClassVar[bool] = True
    """Whether its images have row numbers instead of names, starting at zero in each archive."""

    @property
    def stem(self) -> str:
        """The archive's file name without its suffix."""
        return PurePosixPath(self.path.name).stem

    @property
    def remote(self) -> bool:
        """Whether it is on the hub."""
        return isinstance(self.path, HubPath)

    @property
    def stamp(self) -> Stamp:
        """Changes when the file does."""
        if isinstance(self.path, HubPath):
            return commit_of(self.path)
        about = self.path.stat()
        return about.st_mtime_ns, about.st_size

    def under(self, root: Path) -> str:
        """Its name within the data set `root`; `listed/NAME` where it is elsewhere."""
        return self.path.under(root) if isinstance(self.path, HubPath) else name_under(self.path, root)

    @abstractmethod
    def names(self) -> Sequence[str]:
        """The names of all images, in order.

        Raises:
            BadInput: damaged, compressed, or without a column of images.
        """

    @abstractmethod
    def read(self, name: str, limit: int) -> bytes | None:
        """The bytes of one image, possibly cut off after `limit` + 1; None where there is no such name.

        Raises:
            BadInput: the archive is damaged or cannot be read.
        """

    def __str__(self) -> str:
        return str(self.path)


def name_under(path: Path, root: Path) -> str:
    """A file's name within the data set `root`; `listed/NAME` where it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else f"listed/{path.name}"
