"""What the doctor of training says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something wrong: what was seen, in which images, and what to try."""

    symptom: str
    where: str
    """A direction, or a discriminator's term."""
    seen: str
    images: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        more = ", ..." if len(self.images) > 3 else ""
        images = f" ({', '.join(self.images[:3])}{more})" if self.images else ""
        return f"doctor: {self.where}: {self.symptom}: {self.seen}{images}; {self.advice}"
