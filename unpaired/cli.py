"""The command line: `GROUPS` names the function of `unpaired.commands` that each command runs.

Exit codes: 0 done, 2 bad input or usage (one line on stderr), 75 stopped and resumable.
"""

from __future__ import annotations

import io
import os
import shlex
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from unpaired.commands import prepare, study
from unpaired.commands.arguments import Command, bind, help_width, nearest
from unpaired.commands.bench import bench
from unpaired.commands.check import check
from unpaired.commands.convert import convert
from unpaired.commands.demo import demo
from unpaired.commands.evaluate import evaluate
from unpaired.commands.export import export
from unpaired.commands.hub import pull, push
from unpaired.commands.info import info
from unpaired.commands.metrics import metrics
from unpaired.commands.models import models
from unpaired.commands.official import equivalents, is_official
from unpaired.commands.report import report
from unpaired.commands.reproduce import reproduce
from unpaired.commands.segmenter import labels, segmenter
from unpaired.commands.serve import serve
from unpaired.commands.train import train
from unpaired.commands.train_settings import setting_flags, settings_help, split_settings
from unpaired.commands.translate import translate
from unpaired.core.errors import BAD, DONE, INTERRUPTED, RESUMABLE, BadInput, Stopped, shown
from unpaired.core.signals import stop_on_request

GROUPS: dict[str, dict[str, Command]] = {
    "prepare": {
        "prepare folders": prepare.folders,
        "prepare": prepare.published,
        "prepare aligned": prepare.aligned,
        "prepare earth": prepare.earth,
        "prepare emoji": prepare.emoji,
        "prepare cityscapes": prepare.cityscapes,
        "prepare shards": prepare.shards,
        "check": check,
    },
    "train": {"demo": demo, "train": train},
    "use": {
        **{"translate": translate, "info": info, "models": models, "export": export},
        **{"convert": convert, "push": push, "pull": pull},
    },
    "evaluate": {"evaluate": evaluate, "report": report, "metrics": metrics, "segmenter": segmenter, "labels": labels},
    "serve": {
        "serve": serve,
        **{"study prepare": study.prepare, "study serve": study.serve, "study results": study.results},
    },
    "paper": {"reproduce": reproduce, "bench": bench},
}
COMMANDS = {name: command for commands in GROUPS.values() for name, command in commands.items()}
PREFIXES = ("prepare", "study")
"""First words that several commands share."""
SERVERS = ("serve", "study")
"""Commands that handle signals themselves."""
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of domains and files have characters of any script
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one command; returns the exit code. Bad input is one line on stderr."""
    try:
        if argv and argv[0] in SERVERS:
            return _dispatch(argv)
        with stop_on_request():
            return _dispatch(argv)
    except BadInput as error:
        return _fail(str(error))
    except Stopped as stop:
        return _fail(str(stop), RESUMABLE)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return BAD
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}; check the disk's space and permissions")
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)


def _dispatch(argv: list[str]) -> int:
    if is_official(argv):
        return _run_official(argv)
    if not argv or argv[0] in HELP:
        print(_overview())
        return DONE if argv else BAD
    if argv[0] == "--version":
        from unpaired.core.version import __version__

        print(__version__)
        return DONE
    if argv[0] in PREFIXES and (not argv[1:] or argv[1] in HELP):
        print(_overview(argv[0]))
        return DONE if argv[1:] else BAD
    name, rest = _command(argv)
    if name == "train":
        return _train(rest)
    return bind(name, COMMANDS[name], rest)() or DONE


def _train(words: list[str]) -> int:
    """`train`, whose settings are further flags; with a preset its help shows them."""
    settings, rest = split_settings(words)
    if rest and not rest[0].startswith("-") and {*HELP, "--help-all"} & {*rest}:
        print(settings_help(rest[0], settings, "--help-all" in rest))
        return DONE
    more: dict[str, Any] = {"settings": settings} if settings else {}
    return bind("train", COMMANDS["train"], rest, setting_flags)(**more) or DONE


def _run_official(argv: list[str]) -> int:
    """Print this package's equivalent of an official command line, and run it."""
    official = equivalents(argv)
    lines = [*official.notes, *(f"running: {shlex.join(['unpaired', *command])}" for command in official.commands)]
    print("\n".join(lines), file=sys.stderr, flush=True)
    os.environ.update(official.environment)  # before torch looks for devices
    return max(_dispatch(command) for command in official.commands)


def _command(argv: list[str]) -> tuple[str, list[str]]:
    for words in (2, 1):
        name = " ".join(argv[:words])
        if name in COMMANDS:
            return name, argv[words:]
    hint = nearest(argv[0], [name.split()[0] for name in COMMANDS]) or "; `unpaired --help` lists them"
    raise BadInput(f"unknown command {shown(argv[0])}{hint}")


def _overview(prefix: str = "") -> str:
    """The commands by group, each with the first line of its help."""
    lines = ["usage: unpaired COMMAND ...", "", "Unpaired image-to-image translation: CycleGAN, exact to the paper."]
    for group, commands in GROUPS.items():
        rows = {name: command for name, command in commands.items() if name.startswith(prefix)}
        if rows:
            lines += ["", f"{group}:", *(_overview_row(name, command) for name, command in rows.items())]
    return "\n".join([*lines, "", "`unpaired COMMAND --help` shows the arguments and an example."])


def _overview_row(name: str, command: Command) -> str:
    title = f"  {'prepare NAME' if name == 'prepare' else name:<20}"
    summary = (command.__doc__ or "").partition("\n")[0]
    return textwrap.fill(summary, help_width(), initial_indent=title, subsequent_indent=" " * len(title))


def _fail(line: str, code: int = BAD) -> int:
    print(shown(f"unpaired: {' '.join(line.split())}"), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
