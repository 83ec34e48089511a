"""The protocol of archives, and an image stored in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from unpaired.core.errors import BadInput


class Archive(Protocol):
    """A file that holds image files."""

    @property
    def stem(self) -> str:
        """The archive's file name without its suffix."""
        ...

    @property
    def remote(self) -> bool:
        """Whether it is on the hub."""
        ...

    @property
    def numbered(self) -> bool:
        """Whether its images have row numbers instead of names, starting at zero in each archive."""
        ...

    def under(self, root: Path) -> str:
        """Its name within the data set `root`; `listed/NAME` where it is elsewhere."""
        ...

    def names(self) -> Sequence[str]:
        """The names of all images, in order.

        Raises:
            BadInput: damaged, compressed, or without a column of images.
        """
        ...

    def read(self, name: str, limit: int) -> bytes | None:
        """The bytes of one image, possibly cut off after `limit` + 1; None where there is no such name.

        Raises:
            BadInput: the archive is damaged or cannot be read.
        """
        ...


@dataclass(frozen=True)
class StoredImage:
    """An image file inside an archive."""

    archive: Archive
    inside: str
    """Its name in the archive, with forward slashes."""

    @property
    def name(self) -> str:
        """The last part of its name."""
        return PurePosixPath(self.inside).name

    @property
    def stem(self) -> str:
        """`name` without its suffix."""
        return PurePosixPath(self.inside).stem

    @property
    def suffix(self) -> str:
        """The suffix of `name`."""
        return PurePosixPath(self.inside).suffix

    def read(self, limit: int) -> bytes:
        """Its bytes.

        Raises:
            BadInput: no such image, more than `limit` bytes, or a damaged archive.
        """
        data = self.archive.read(self.inside, limit)
        if data is None:
            raise BadInput("not in its archive; list the data again")
        if len(data) > limit:
            raise BadInput(f"over the limit of {limit} bytes")
        return data

    def __str__(self) -> str:
        return f"{self.archive}/{self.inside}"


ImageFile = Path | StoredImage
"""An image of a data set: a file, or an image in an archive."""


def read_bytes(image: ImageFile, limit: int) -> bytes:
    """The content of an image file.

    Raises:
        BadInput: it cannot be read from its archive; the message names it.
    """
    if isinstance(image, Path):
        return image.read_bytes()
    try:
        return image.read(limit)
    except BadInput as error:
        raise BadInput(f"{image}: {error}") from error


def name_under(path: Path, root: Path) -> str:
    """A file's name within the data set `root`; `listed/NAME` where it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else f"listed/{path.name}"
