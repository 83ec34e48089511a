"""What `unpaired check` reports: folders, findings and notes, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from unpaired.core.errors import counted, shown
from unpaired.data.sources import ImageFile

Severity = Literal["refused", "warning"]
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class Finding:
    """A fault of one file or folder."""

    path: str
    """Relative to the data set."""
    reason: str
    """folder, link, not-a-file, empty, unreadable, tiny, channels, mask, settings (refused); blank, range, odd-mode,
    duplicate, few, imbalance (warning)."""
    message: str
    severity: Severity


@dataclass(frozen=True)
class Folder:
    """The images and other files of one folder."""

    images: int
    """Images that can be read."""
    widths: tuple[float, ...]
    """Smallest, median and largest in pixels; empty where there are no images."""
    heights: tuple[float, ...]
    kinds: dict[str, int]
    """Images by channels and bit depth, commonest first: {"3 channels, 8-bit": 120}."""
    ignored: tuple[str, ...]
    """Files that are no images by their suffix, or hidden; relative to the folder."""


@dataclass(frozen=True)
class Diagnosis:
    """The result of `examine`."""

    root: Path
    folders: dict[str, Folder]
    findings: tuple[Finding, ...]
    notes: tuple[str, ...]
    ranges: dict[str, str] = field(default_factory=dict)
    """Black, white and type of A and B, where they are not full scale; as in `data.range_a`."""
    sizes: dict[str, dict[Size, ImageFile]] = field(default_factory=dict)
    """Of trainA and trainB: each (width, height) among the images that are not refused, and one of that size."""

    @property
    def ok(self) -> bool:
        """Whether training would start: no finding is of severity "refused"."""
        return self._count("refused") == 0

    def to_json(self) -> str:
        """The diagnosis as JSON."""
        folders = {name: asdict(folder) for name, folder in self.folders.items()}
        findings = [asdict(finding) for finding in self.findings]
        content = {"root": str(self.root), "ok": self.ok, "folders": folders, "findings": findings}
        return json.dumps({**content, "notes": self.notes}, indent=2)

    def lines(self) -> Iterator[str]:
        """The diagnosis as text: the folders, each finding with its file, the verdict last."""
        for name, folder in self.folders.items():
            yield f"{name:8}{counted(folder.images, 'image')}{_size_words(folder)}"
            yield from (f"{'':8}{count} of {kind}" for kind, count in folder.kinds.items())
        yield from (f"{f.severity:8} {shown(f.path)}: {f.message}" for f in self.findings)
        yield from (f"{'note':8} {note}" for note in self.notes)
        refused = self._count("refused")
        verdict = f"{refused} refused; replace or remove what is named" if refused else "nothing refused"
        yield f"{verdict}, {counted(self._count('warning'), 'warning')}"

    def _count(self, severity: Severity) -> int:
        return sum(finding.severity == severity for finding in self.findings)


def _size_words(folder: Folder) -> str:
    if not folder.images:
        return ""
    low, middle, high = (f"{w:g}x{h:g}" for w, h in zip(folder.widths, folder.heights, strict=True))
    return f", all {low}" if low == high else f", width x height {low} to {high}, median {middle}"
