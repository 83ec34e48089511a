"""What the doctor of training says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """Something wrong: what was seen, in which pictures, and what to try."""

    symptom: str
    where: str
    """A direction, or a critic's term."""
    seen: str
    pictures: tuple[str, ...]
    advice: str

    def __str__(self) -> str:
        more = ", ..." if len(self.pictures) > 3 else ""
        pictures = f" ({', '.join(self.pictures[:3])}{more})" if self.pictures else ""
        return f"doctor: {self.where}: {self.symptom}: {self.seen}{pictures}; {self.advice}"
