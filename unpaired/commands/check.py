"""The doctor of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unpaired.core.errors import BAD, DONE


def check(data: Annotated[Path, Positional], *, json: bool = False) -> int:
    """Dataset doctor: name every file that training would refuse, and what looks odd, with the reason.

    Args:
        data: Folder with trainA and trainB, or hf://datasets/user/name, all of which is fetched.
        json: Print the findings as JSON.
    """
    from unpaired.data.checks import examine

    diagnosis = examine(data)
    print(diagnosis.to_json() if json else "\n".join(diagnosis.lines()))
    return DONE if diagnosis.ok else BAD
