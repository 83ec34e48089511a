"""The size of images as settings give it: `256` for a square, `512x256` for width and height."""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

from unpaired.core.errors import brief

_WRITTEN = re.compile(r"\s*([0-9]{1,9})(?:[xX×]([0-9]{1,9}))?\s*")


class Size(NamedTuple):
    """Width and height in pixels; as text the side of a square, or WIDTHxHEIGHT."""

    width: int
    height: int

    @classmethod
    def parse(cls, value: object) -> Size:
        """The size that a side or a text stands for, or ValueError: 256, "256" and "256x256" are equal."""
        if isinstance(value, int) and not isinstance(value, bool):
            return cls(value, value)
        found = _WRITTEN.fullmatch(value) if isinstance(value, str) else None
        if not found:
            raise ValueError(f"expected a side as 256 or WIDTHxHEIGHT as 512x256, got {brief(value)}")
        return cls(int(found[1]), int(found[2] or found[1]))

    @property
    def setting(self) -> int | str:
        """As settings hold it: the side of a square as a number, else WIDTHxHEIGHT."""
        return self.width if self.width == self.height else f"{self.width}x{self.height}"

    @property
    def words(self) -> str:
        """With the names of the sides, where they differ."""
        if self.width == self.height:
            return f"{self.width}x{self.height} px"
        return f"{self.width} px wide and {self.height} px high"

    def __str__(self) -> str:
        return str(self.setting)


SizeSetting = Annotated[int | str, BeforeValidator(lambda value: Size.parse(value).setting)]
"""The type of a setting: any of the notations, kept as `Size.setting`."""
