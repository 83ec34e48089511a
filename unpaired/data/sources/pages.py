"""A stack or an animation as an archive of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from unpaired.data.sources.base import Archive
from unpaired.imaging.codecs import encode
from unpaired.imaging.pages import open_pages, read_header
from unpaired.imaging.values import stored_values


@dataclass(frozen=True)
class PageArchive(Archive):
    """The images of one file, by their numbers."""

    path: Path
    inside: str
    """The file's name within its part of the data set, without suffix."""

    @property
    def stem(self) -> str:
        """Its name within its part, so that files of one name in several folders differ."""
        return self.inside

    def names(self) -> Sequence[str]:
        """`0000.tif`, `0001.tif`, ...; one name for a file of one image."""
        return [f"{number:04d}.tif" for number in range(read_header(self.path).pages)]

    def read(self, name: str, limit: int) -> bytes | None:
        """An image as a TIFF, which holds every kind of pixels."""
        with open_pages(self.path) as pages:
            number = int(name.removesuffix(".tif"))
            if number >= pages.layout.count:
                return None
            page = pages.read(number)
        return encode(replace(page, pixels=stored_values(page)), ".tif")
