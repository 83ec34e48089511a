"""A finding of the training doctor."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """A symptom: what was observed, in which images, and what to change."""

    symptom: str
    where: str
    """A direction, or the name of a discriminator's loss."""
    seen: str
    images: tuple[str, ...]
    advice: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal for findings of the same symptom in the same place."""
        return self.symptom, self.where

    def __str__(self) -> str:
        more = ", ..." if len(self.images) > 3 else ""
        images = f" ({', '.join(self.images[:3])}{more})" if self.images else ""
        return f"doctor: {self.where}: {self.symptom}: {self.seen}{images}; {self.advice}"
