"""Uncompressed tar archives of image files, as WebDataset and `unpaired prepare shards` write them.

The index of offsets is read once; then any image is read by itself.
"""

from __future__ import annotations

import tarfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from unpaired.core.errors import BadInput
from unpaired.data.sources.base import Archive, Stamp
from unpaired.imaging.kinds import SUFFIXES, suffix_of_name

SUFFIX = ".tar"
Index = dict[str, tuple[int, int]]
"""Offset and size in bytes of each image."""


@dataclass(frozen=True)
class TarArchive(Archive):
    """A tar file on this machine."""

    path: Path
    numbered = False

    def names(self) -> list[str]:
        """The names of all images, sorted as paths are."""
        return sorted(_read_index(self.path, self.stamp), key=PurePosixPath)

    def read(self, name: str, limit: int) -> bytes | None:
        """The bytes of one image."""
        offset, size = _read_index(self.path, self.stamp).get(name, (0, -1))
        if size < 0:
            return None
        wanted = min(size, limit + 1)
        with self.path.open("rb") as file:
            file.seek(offset)
            data = file.read(wanted)
        if len(data) < wanted:
            raise BadInput(f"its archive ends before it; copy {self.path} again")
        return data


@lru_cache(maxsize=4096)
def _read_index(path: Path, _stamp: Stamp) -> Index:
    index: Index = {}
    try:
        with tarfile.open(path, "r:") as tar:
            for member in tar:
                name = PurePosixPath(member.name)
                plain = member.isreg() and not member.sparse and suffix_of_name(name) in SUFFIXES
                unsafe = name.is_absolute() or any(part.startswith(".") for part in name.parts)  # or hidden
                if plain and not unsafe:
                    index[name.as_posix()] = (member.offset_data, member.size)
    except (tarfile.TarError, ValueError, EOFError) as error:
        raise BadInput(f"{path}: not a whole, plain tar ({error}); `unpaired prepare shards` makes them") from error
    return index
