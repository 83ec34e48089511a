"""The command line: `COMMANDS` says which function of `unpaired.commands` each name runs.

Exit codes: 0 done, 2 bad input or usage (one line on stderr), 75 stopped and resumable.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import tyro

from unpaired.commands.bench import bench
from unpaired.commands.check import check
from unpaired.commands.convert import convert
from unpaired.commands.demo import demo
from unpaired.commands.evaluate import evaluate
from unpaired.commands.export import export
from unpaired.commands.hub import pull, push
from unpaired.commands.info import info
from unpaired.commands.metrics import metrics
from unpaired.commands.official import equivalents, is_official
from unpaired.commands.prepare import (
    prepare_cityscapes,
    prepare_earth,
    prepare_emoji,
    prepare_folders,
    prepare_published,
    prepare_shards,
)
from unpaired.commands.reproduce import reproduce
from unpaired.commands.segmenter import labels, segmenter
from unpaired.commands.serve import serve
from unpaired.commands.study import study_prepare, study_results, study_serve
from unpaired.commands.train import train
from unpaired.commands.translate import translate
from unpaired.core.errors import BAD, DONE, INTERRUPTED, RESUMABLE, BadInput, Stopped, shown
from unpaired.core.signals import stop_on_request

COMMANDS: dict[str, Callable[..., int | None]] = {
    "demo": demo,
    "prepare earth": prepare_earth,
    "prepare emoji": prepare_emoji,
    "prepare folders": prepare_folders,
    "prepare cityscapes": prepare_cityscapes,
    "prepare shards": prepare_shards,
    "prepare": prepare_published,
    "check": check,
    "train": train,
    "translate": translate,
    "evaluate": evaluate,
    "metrics": metrics,
    "segmenter": segmenter,
    "labels": labels,
    "reproduce": reproduce,
    "export": export,
    "bench": bench,
    "info": info,
    "convert": convert,
    "push": push,
    "pull": pull,
    "serve": serve,
    "study prepare": study_prepare,
    "study serve": study_serve,
    "study results": study_results,
}
GROUPS = ("prepare", "study")
"""First words that several commands share."""


SERVERS = ("serve", "study")
"""Commands that go on until they are stopped, and have their own way to."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one command; returns the exit code, having said in one line what was wrong."""
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
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return DONE if argv else BAD
    if argv[0] == "--version":
        from unpaired.core.version import __version__

        print(__version__)
        return 0
    if argv[0] in GROUPS and argv[1:] in ([], ["-h"], ["--help"]):
        print(_overview(argv[0]))
        return DONE if len(argv) > 1 else BAD
    name, rest = _command(argv)
    settings: dict[str, Any] = {}
    if name == "train":
        settings, rest = split_settings(rest)
        _settings_help(rest)
    call = _parse(name, rest)
    return call(**({"settings": settings} if settings else {})) or 0


def _run_official(argv: list[str]) -> int:
    """Say what the official code's command line is here, and run that."""
    commands, notes = equivalents(argv)
    lines = [*notes, *(f"running: {shlex.join(['unpaired', *command])}" for command in commands)]
    print("\n".join(lines), file=sys.stderr, flush=True)
    return max(_dispatch(command) for command in commands)


def _command(argv: list[str]) -> tuple[str, list[str]]:
    for words in (2, 1):
        name = " ".join(argv[:words])
        if name in COMMANDS:
            return name, argv[words:]
    close = difflib.get_close_matches(argv[0], [name.split()[0] for name in COMMANDS], 1)
    hint = f"did you mean {close[0]}?" if close else "`unpaired --help` lists them"
    raise BadInput(f"unknown command {argv[0]}; {hint}")


def _parse(name: str, args: list[str]) -> Callable[..., int | None]:
    """The command with its arguments bound; a usage error becomes one line."""
    command = COMMANDS[name]

    @functools.wraps(command)
    def bind(*args: Any, **kwargs: Any) -> Callable[..., int | None]:
        return functools.partial(command, *args, **kwargs)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(bind, prog=f"unpaired {name}", args=args)
    except SystemExit as stop:
        if not stop.code:
            raise
        raise BadInput(f"{name}: {_one_line(complaint.getvalue())}") from None


def split_settings(args: list[str]) -> tuple[dict[str, Any], list[str]]:
    """Take `--group.setting value`, `--group.setting=value` and bare switches out of the arguments."""
    settings: dict[str, Any] = {}
    rest: list[str] = []
    position = 0
    while position < len(args):
        flag, equals, value = args[position].partition("=")
        position += 1
        if not (flag.startswith("--") and "." in flag):
            rest.append(args[position - 1])
            continue
        key = flag.removeprefix("--").replace("-", "_")
        if not equals and position < len(args) and not args[position].startswith("--"):
            value, position = args[position], position + 1
        elif not equals:
            group, _, last = key.rpartition(".")
            value = "false" if last.startswith("no_") else "true"
            key = f"{group}.{last.removeprefix('no_')}"
        settings[key] = value
    return settings, rest


def _settings_help(args: list[str]) -> None:
    """`train PRESET --help`: every setting with this preset's value."""
    if args and not args[0].startswith("-") and {"-h", "--help"} & set(args[1:]):
        from unpaired.experiment import Experiment
        from unpaired.presets import preset

        config = (tyro.conf.AvoidSubcommands, tyro.conf.SuppressFixed)
        tyro.cli(Experiment, prog=f"unpaired train {args[0]}", default=preset(args[0]), args=["--help"], config=config)


def _overview(group: str = "") -> str:
    """The commands with the first line of each one's help."""
    rows = {name: (command.__doc__ or "").partition("\n")[0] for name, command in COMMANDS.items()}
    rows = {
        ("prepare NAME" if name == "prepare" else name): line for name, line in rows.items() if name.startswith(group)
    }
    width = max(map(len, rows))
    lines = [f"  {name:<{width}}  {line}" for name, line in rows.items()]
    title = "usage: unpaired COMMAND ...   (unpaired COMMAND --help tells the rest)"
    return "\n".join(["Unpaired image-to-image translation: CycleGAN, exact to the paper.", "", title, "", *lines])


def _one_line(box: str) -> str:
    """The words of a parser's framed message."""
    text = re.sub(r"[\u2500-\u257f]", " ", box)
    return " ".join(text.split())


def _fail(line: str, code: int = BAD) -> int:
    print(shown(f"unpaired: {' '.join(line.split())}"), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
