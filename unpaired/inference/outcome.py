"""What became of many files: a row each, and one line for those that could not be translated."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from unpaired.core.errors import BadInput
from unpaired.core.files import write_text


@dataclass(frozen=True)
class Outcome:
    """One file: what was written of it, or why nothing was."""

    file: str
    written: str | None
    error: str | None


def conclude(outcomes: Sequence[Outcome], report: Path | None = None) -> None:
    """Write the report, if any: one JSON object a line, in the order of the files. Pass where all were translated.

    Raises:
        BadInput: names all files that were not, or the report cannot be written.
    """
    if report is not None:
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            write_text(report, "".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes))
        except OSError as error:
            raise BadInput(f"{report}: cannot be written ({error.strerror}); choose another --report") from error
    if bad := [outcome.error for outcome in outcomes if outcome.error]:
        raise BadInput(f"{len(bad)} of {len(outcomes)} files could not be translated: {'; '.join(bad)}")
