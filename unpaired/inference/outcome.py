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


def write_report(outcomes: Sequence[Outcome], path: Path) -> None:
    """One JSON object a line, in the order of the files.

    Raises:
        BadInput: the place cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, "".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes))
    except OSError as error:
        raise BadInput(f"{path}: cannot be written ({error.strerror}); choose another --report") from error


def require_whole(outcomes: Sequence[Outcome]) -> None:
    """Pass where every file was translated.

    Raises:
        BadInput: names all that were not.
    """
    bad = [outcome.error for outcome in outcomes if outcome.error]
    if bad:
        raise BadInput(f"{len(bad)} of {len(outcomes)} files could not be translated: {'; '.join(bad)}")
