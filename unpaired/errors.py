"""The two exceptions a user is meant to see, and the exit codes of commands."""

DONE, BAD, RESUMABLE, INTERRUPTED = 0, 2, 75, 130
"""Finished; bad input or usage; stopped after saving; Ctrl-C where there was nothing to save."""


class BadInput(ValueError):
    """A file, folder or setting of the user's is not usable.

    The message is one line: which file or setting, what was expected, what was found and what to do.
    The command line prints it without a traceback and exits with code 2.
    """


class Stopped(Exception):
    """Work was stopped on request after saving its state; the same command goes on. Exit code 75."""
