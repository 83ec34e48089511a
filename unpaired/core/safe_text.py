"""Untrusted JSON and YAML: plain values, bounded in length and depth, without references.

Only short texts are parsed: shared references, endless brackets or a million empty lists would take much memory.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from unpaired.core.errors import BadInput, brief, shown

MAX_SETTINGS = 2**16
"""Bytes of a file of settings; a whole experiment takes two thousand."""
MAX_JSON = 2**23
"""Bytes of any other JSON: the numbers of some 50,000 images."""
MAX_LINE = 2**14
"""Characters of a line of a log."""
MAX_DEPTH = 32
"""Nested lists and mappings; an experiment has four."""
TOO_DEEP = f"nested more than {MAX_DEPTH} deep"


def parse_json(text: str | bytes) -> Any:
    """The values in a JSON text.

    Raises:
        ValueError: not JSON, nested too deeply, or an object that names something twice.
    """
    try:
        return _shallow(json.loads(text, object_pairs_hook=_once))
    except RecursionError:
        raise ValueError(TOO_DEEP) from None


def parse_yaml(text: str) -> Any:
    """The values in a YAML text of plain types.

    Raises:
        ValueError: not YAML, nested too deeply, a mapping that names something twice, or references (`*name`), which a
            few lines can make billions of.
    """
    try:
        return _shallow(yaml.load(text, _WithoutReferences))  # a SafeLoader: plain types, no objects
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None


def read_text(path: Path, most: int = MAX_JSON) -> str:
    """A text file of at most `most` bytes.

    Raises:
        BadInput: no such file, too long, or not UTF-8; the message names it.
    """
    try:
        mode = path.stat().st_mode
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):  # a pipe may have no end
            raise BadInput(f"{path}: expected a text file, found no regular file")
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    if len(content) > most:
        raise BadInput(f"{path}: over the limit of {most} bytes; expected a file written by unpaired, or one like it")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: not text in UTF-8 ({error.reason} at byte {error.start})") from error


def read_json(path: Path, most: int = MAX_JSON) -> Any:
    """The values in a JSON file.

    Raises:
        BadInput: as `read_text`, or not JSON.
    """
    try:
        return parse_json(read_text(path, most))
    except BadInput:
        raise
    except ValueError as error:
        raise BadInput(f"{path}: not valid JSON ({shown(error)})") from error


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each line of a file of JSON objects, as text and as values; a last line that was never finished is left out.

    Raises:
        BadInput: a line is no JSON object, or too long for one of ours; the message names the file and the line.
    """
    number = 0
    try:
        with path.open(encoding="utf-8", newline="\n") as file:
            while line := file.readline(MAX_LINE):
                number += 1
                if len(line) == MAX_LINE:
                    raise ValueError(f"more than {MAX_LINE} characters")
                if not line.endswith("\n"):
                    return
                values = parse_json(line) if line.strip() else {}
                if not isinstance(values, dict):
                    raise ValueError(f"found {brief(values)}")
                if values:
                    yield line, values
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BadInput(f"{path}: expected one JSON object a line; line {number}: {shown(error)}") from error


class _WithoutReferences(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("references (*name) are not taken; write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []  # another kind is refused below
        names = Counter((key.tag, key.value) for key, _ in pairs if isinstance(key, yaml.ScalarNode))
        if twice := [name for (_, name), times in names.items() if times > 1]:
            raise yaml.YAMLError(f"{brief(twice[0])} is there twice")
        return super().construct_mapping(node, deep)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        name, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"{brief(name)} is there twice")
    return values


def _shallow(value: Any, left: int = MAX_DEPTH) -> Any:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else ()
    if inside and not left:
        raise ValueError(TOO_DEEP)
    for each in inside:
        _shallow(each, left - 1)
    return value
