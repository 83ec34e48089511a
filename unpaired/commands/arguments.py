"""The arguments of a command, from its signature and its docstring.

- A parameter before `*` is positional, one after it a flag: `test_share` is `--test-share`, `from_` is `--from`.
- `bool` is a switch (`--no-NAME` where it is on by default), `Literal` a choice.
- `tuple[X, ...]` repeats, `tuple[X, X]` takes two values.
- `Annotated[X, "WORD"]` names the value in the help: `--out FOLDER`.
- The docstring's first paragraphs, `Args:` and `Example:` are the help.
"""

from __future__ import annotations

import argparse
import difflib
import functools
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, NoReturn, get_args, get_origin, get_type_hints

from unpaired.core.errors import BadInput, shown

Folder = Annotated[Path, "FOLDER"]
File = Annotated[Path, "FILE"]

Command = Callable[..., int | None]
WORDS: dict[Any, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH"}
"""The name of a value in the help, by its type."""
ONE, PAIR, ANY = 0, 2, 3
"""How many values an argument takes."""
NUMBERS = {int: "a whole number", float: "a number"}


def bind(name: str, command: Command, words: Sequence[str], others: Callable[[], Iterable[str]] = tuple) -> Command:
    """The command called `name` with the arguments of a command line; `--help` prints and exits.

    The command's signature follows the rules of this module; `words` stand after its name. `others` gives further
    flags to offer where one is unknown. Raises `BadInput` for a usage error, in one sentence.
    """
    parser = Parser(name, command)
    values, rest = parser.parse_known_intermixed_args(list(words))
    if rest:
        raise BadInput(parser.unexpected(rest, others()))
    if missing := [spelled for key, spelled in parser.needed.items() if not getattr(values, key)]:
        raise BadInput(f"{name} needs {_listed(missing)}")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in vars(values).items()}
    return functools.partial(command, **given)


class Parser(argparse.ArgumentParser):
    """argparse for one command, without abbreviations; its complaints are one sentence."""

    def __init__(self, name: str, command: Command) -> None:
        """The parser of the command called `name`."""
        text, documented, example = _docstring(command)
        width = help_width()
        super().__init__(
            prog=f"unpaired {name}",
            description="\n\n".join(textwrap.fill(part, width) for part in text.split("\n\n")),
            epilog=f"example:\n{textwrap.indent(example, '  ')}" if example else None,
            allow_abbrev=False,
            add_help=False,
            formatter_class=functools.partial(
                argparse.RawDescriptionHelpFormatter, width=width, max_help_position=width // 3
            ),
        )
        self.name = name
        self.flags = {"--help": ""}
        """Each flag and the name of its value, empty for a switch."""
        self.needed: dict[str, str] = {}
        """Required arguments as the usage shows them, by the parameter's name."""
        self.positionals: list[str] = []
        """The positional arguments as they are shown."""
        self.add_argument("-h", "--help", action="help", help="show this text")
        hints = get_type_hints(command, include_extras=True)
        for parameter in inspect.signature(command).parameters.values():
            if not documented.get(parameter.name, "").startswith("(not a flag)"):
                self._add(parameter, hints.get(parameter.name, str), documented.get(parameter.name, ""))
        needed = [spelled for spelled in self.needed.values() if spelled.startswith("-")]
        self.usage = textwrap.fill(" ".join([self.prog, *self.positionals, *needed, "[--flag ...]"]), width - 7)

    def error(self, message: str) -> NoReturn:
        """Raise argparse's complaint as `BadInput`."""
        if valueless := re.match(r"argument (\S+): expected \S+ arguments?$", message):
            raise BadInput(f"{self.name}: {valueless[1]} needs {self.flags[valueless[1]]}")
        raise BadInput(f"{self.name}: {message.removeprefix('argument ')}")

    def unexpected(self, rest: list[str], others: Iterable[str]) -> str:
        """The message for words that no argument takes."""
        flag = next((word.partition("=")[0] for word in rest if word.startswith("-") and word != "-"), None)
        if flag is None:
            usage = " ".join(self.positionals) or "no arguments"
            return f"{self.name} takes {usage}; found {shown(' '.join(rest))} besides"
        hint = nearest_flag(flag, [*self.flags, *others])
        return f"{self.name} has no flag {shown(flag)}{hint or f'; `unpaired {self.name} --help` lists them'}"

    def _add(self, parameter: inspect.Parameter, hint: Any, text: str) -> None:
        kind, word, repeats = _kind(hint)
        options: dict[str, Any] = {"help": text.replace("%", "%%"), "default": parameter.default}
        if parameter.default is parameter.empty:
            options["default"] = None
        elif parameter.default not in (None, False, True, (), ""):
            options["help"] += f" (default: {parameter.default})"
        if parameter.kind is not parameter.KEYWORD_ONLY:
            self._add_positional(parameter, options | {"type": _converter(kind)}, repeats)
            return
        flag = "--" + parameter.name.rstrip("_").replace("_", "-")
        if kind is bool:
            flag, action = (flag, "store_true") if not parameter.default else (f"--no-{flag[2:]}", "store_false")
            self.flags[flag] = ""
            self.add_argument(flag, dest=parameter.name, action=action, **options)
            return
        self.flags[flag] = " ".join([word] * (repeats if repeats == PAIR else 1))
        if parameter.default is parameter.empty:
            self.needed[parameter.name] = f"{flag} {word}"
        more: dict[int, dict[str, Any]] = {PAIR: {"nargs": 2}, ANY: {"action": "append", "default": []}}
        options |= more.get(repeats, {})
        self.add_argument(flag, dest=parameter.name, type=_converter(kind), metavar=word, **options)

    def _add_positional(self, parameter: inspect.Parameter, options: dict[str, Any], repeats: int) -> None:
        word = parameter.name.upper()
        required = parameter.default is parameter.empty
        if required:
            self.needed[parameter.name] = word
        many = f"{word} [{word} ...]"
        self.positionals.append((many if repeats else word) if required else f"[{word}{' ...' if repeats else ''}]")
        self.add_argument(parameter.name, metavar=word, nargs="*" if repeats else "?", **options)


def help_width() -> int:
    """Columns of a help text: those of the terminal, from 60 to 100; 80 where there is no terminal."""
    return max(60, min(100, shutil.get_terminal_size().columns))


def nearest(word: str, words: Iterable[str]) -> str:
    """`; did you mean WORD?` for a word close to one of `words`, else empty."""
    close = difflib.get_close_matches(word, list(words), 1)
    return f"; did you mean {close[0]}?" if close else ""


def nearest_flag(flag: str, flags: Iterable[str]) -> str:
    """As `nearest`; of dotted flags the last part counts, too: --lr is near --optim.lr."""
    names = {name.removeprefix("--"): name for name in flags}
    by_end = {name.rpartition(".")[2]: flag for name, flag in names.items()}
    word = flag.removeprefix("--")
    found = by_end.get(word) or next(iter(difflib.get_close_matches(word, names, 1)), "")
    found = found or next(iter(difflib.get_close_matches(word, by_end, 1)), "")
    return f"; did you mean {names.get(found) or by_end.get(found) or found}?" if found else ""


def _kind(hint: Any) -> tuple[Any, str, int]:
    """The type of one value, its word in the help, and ONE, PAIR or ANY."""
    word = ""
    if get_origin(hint) is Annotated:
        hint, word = get_args(hint)[0], get_args(hint)[1]
    members = [member for member in get_args(hint) if member is not NoneType]
    if NoneType in get_args(hint):
        kind, inner, repeats = _kind(members[0])
        return kind, word or inner, repeats
    if get_origin(hint) is tuple:
        kind, inner, _ = _kind(members[0])
        return kind, word or inner, ANY if Ellipsis in members else PAIR
    if get_origin(hint) is Literal:
        return hint, word or f"{{{','.join(members)}}}", ONE
    return hint, word or WORDS.get(hint, "VALUE"), ONE


def _converter(kind: Any) -> Callable[[str], Any]:
    def convert(text: str) -> Any:
        if get_origin(kind) is Literal:
            choices = get_args(kind)
            if text in choices:
                return text
            raise argparse.ArgumentTypeError(
                f"expected {_listed(choices, 'or')}, got {shown(text)}{nearest(text, choices)}"
            )
        try:
            return kind(text)
        except ValueError:
            expected = NUMBERS.get(kind, kind.__name__)
            raise argparse.ArgumentTypeError(f"expected {expected}, got {shown(text)}") from None

    return convert


def _docstring(command: Command) -> tuple[str, dict[str, str], str]:
    """The paragraphs, the text of each argument and the example of a command's docstring."""
    sections = re.split(r"^(Args|Example):\n", inspect.getdoc(command) or "", flags=re.MULTILINE)
    named = dict(zip(sections[1::2], map(textwrap.dedent, sections[2::2]), strict=True))
    items = re.findall(r"^(\w+): (.*(?:\n .*)*)", named.get("Args", ""), re.MULTILINE)
    arguments = {name: " ".join(text.split()) for name, text in items}
    return sections[0].strip(), arguments, named.get("Example", "").strip()


def _listed(words: Sequence[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
