"""The checks of a data set."""

from __future__ import annotations

from unpaired.commands.arguments import Folder
from unpaired.core.errors import BAD, DONE


def check(data: Folder, *, json: bool = False) -> int:
    """Name the files of a data set that training refuses.

    Oddities are named too, each with the reason. Exit code 2 if training refuses a file.

    Args:
        data: Folder with trainA and trainB, or hf://datasets/user/name, which is fetched whole.
        json: Print the findings as JSON.

    Example:
        unpaired check data
    """
    from unpaired.data.checks import examine

    diagnosis = examine(data)
    print(diagnosis.to_json() if json else "\n".join(diagnosis.lines()))
    return DONE if diagnosis.ok else BAD
