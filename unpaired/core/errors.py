"""The two exceptions a user is meant to see, the exit codes of commands, and how a message stays one line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError

DONE, BAD, RESUMABLE, INTERRUPTED = 0, 2, 75, 130
"""Finished; bad input or usage; stopped after saving; Ctrl-C where there was nothing to save."""
LONGEST = 300
"""Characters of a value shown in a message."""


class BadInput(ValueError):
    """A file, folder or setting of the user's is not usable.

    The message is one line: which file or setting, what was expected, what was found and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(BaseException):
    """Work was stopped on request after saving its state; the same command resumes. Exit code 75.

    Like KeyboardInterrupt it is no Exception: it may be raised anywhere, and nobody who catches all errors of a
    library's is to take it for one.
    """


def shown(text: object) -> str:
    """`text` (a path, say) on one line: line breaks, control characters and undecodable bytes as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in str(text))


def naming(path: object, error: BadInput) -> str:
    """A message with the file's name in front, unless it contains it already."""
    return str(error) if str(path) in str(error) else f"{path}: {error}"


def brief(value: object) -> str:
    """`repr(value)` on one line, cut where it is long: what a file holds may be of any length."""
    try:
        text = shown(repr(value))
    except ValueError:  # an integer of more digits than Python will print
        return f"a {type(value).__name__} too long to show"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def some_of(names: Sequence[str], most: int = 20, between: str = ", ") -> str:
    """The first names on one line, and how many more there are: `a, b and 3 more`."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return between.join(map(shown, names[:most])) + more


def first_problem(error: ValidationError) -> str:
    """The first field that pydantic refused, its reason and what was found, on one line."""
    problem = error.errors()[0]
    where = ".".join(map(str, problem["loc"])) or "the whole"
    return shown(f"{where}: {problem['msg']}, found {brief(problem['input'])}")
