"""Changes to Python source that find their place by qualified names and identifiers, never by lines of text.

A target such as `unpaired.training.trainer.Trainer.state` is looked up in the source tree without importing it.
Inside it a `Change` selects one syntax node by its kind and by identifiers or string constants that the node mentions.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

SIMPLE = (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Expr, ast.Raise, ast.Return, ast.Delete, ast.Assert)
Selected = tuple[Any, ast.AST]
"""A node that a change may replace, and the node whose names select it."""


class NoTarget(Exception):
    """A target, or the node to change inside it, does not exist or is not unique."""


@dataclass(frozen=True)
class Change:
    """One syntax node that is removed or replaced."""

    kind: str
    """A key of `KINDS`, or "body" or "start"."""
    names: tuple[str, ...] = ()
    """Identifiers and string constants that the node mentions, all of them."""
    by: str | None = None
    """Source of what replaces the node; without it the node is removed."""
    nth: int | None = None
    """Which one in source order, where several nodes of the target match. Of nested ones the innermost counts."""

    def apply(self, target: ast.AST) -> None:
        """Change the target in place."""
        if self.kind in ("body", "start"):
            _insert(target, self.by or "", keep=self.kind == "start")
        else:
            node = self._select(target)
            new = _parsed(self.by, node) if self.by is not None else _remains(node, self.kind)
            _exchange(target, node, new)

    def _select(self, target: ast.AST) -> Any:
        matches = {id(node): node for node, tested in KINDS[self.kind](target) if self._fits(tested)}
        inner = [one for one in matches.values() if not any(id(n) in matches for n in ast.walk(one) if n is not one)]
        inner.sort(key=lambda node: (node.lineno, node.col_offset))
        wanted = f"{self.kind} with {', '.join(self.names)}"
        if self.nth is None and len(inner) != 1:
            raise NoTarget(f"expected one {wanted}, found {len(inner)}")
        if self.nth is not None and len(inner) < max(2, self.nth + 1):
            raise NoTarget(f"expected more than one {wanted} and number {self.nth}, found {len(inner)}")
        return inner[self.nth or 0]

    def _fits(self, tested: ast.AST) -> bool:
        if self.kind in ("call", "name", "keyword"):
            first, *others = self.names
            return _own_name(tested) == first and set(others) <= _mentioned(tested)
        return set(self.names) <= _mentioned(tested)


def drop(kind: str, *names: str, nth: int | None = None) -> Change:
    """Remove one node.

    A statement becomes `pass`; a call `x.f()` becomes `x`; `with f(a) as b:` becomes `b = a`; an operand of `and` or
    `or`, a decorator, a base class or an item of a tuple is left out.
    """
    return Change(kind, names, None, nth)


def replace(kind: str, *names: str, by: str, nth: int | None = None) -> Change:
    """Replace one node by other source."""
    return Change(kind, names, by, nth)


def never(*names: str, nth: int | None = None) -> Change:
    """Make one condition (of an `if`, a conditional expression or a comprehension) false."""
    return Change("condition", names, "False", nth)


def always(*names: str, nth: int | None = None) -> Change:
    """Make one condition true."""
    return Change("condition", names, "True", nth)


def uncaught(*names: str) -> Change:
    """Let one `except` clause catch something else."""
    return Change("except", names, "ZeroDivisionError")


def body(source: str) -> Change:
    """Replace the body of the target function."""
    return Change("body", by=source)


def start(source: str) -> Change:
    """Put statements at the start of the target's body."""
    return Change("start", by=source)


def source_file(root: Path, target: str) -> tuple[Path, list[str]]:
    """The file that holds a dotted name, and the names below that module.

    Raises:
        NoTarget: no module of that name.
    """
    parts = target.split(".")
    for count in range(len(parts), 0, -1):
        path = root.joinpath(*parts[:count])
        for candidate in (path.with_suffix(".py"), path / "__init__.py"):
            if candidate.is_file():
                return candidate, parts[count:]
    raise NoTarget(f"{target}: no such module")


def mutated(root: Path, target: str, change: Change) -> tuple[Path, str]:
    """The file of a target, and its source with the change applied.

    Raises:
        NoTarget: the target or the node to change does not exist, is not unique, or the change makes no difference.
    """
    path, names = source_file(root, target)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    before = ast.dump(tree)
    node: ast.AST = tree
    for name in names:
        node = _member(node, name, target, path)
    try:
        change.apply(node)
    except NoTarget as error:
        raise NoTarget(f"{target} in {path.relative_to(root)}: {error}") from error
    if ast.dump(tree) == before:
        raise NoTarget(f"{target} in {path.relative_to(root)}: {change} makes no difference")
    return path, ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _member(node: ast.AST, name: str, target: str, path: Path) -> ast.AST:
    found = [each for each in getattr(node, "body", []) if name in _defined(each)]
    if len(found) != 1:
        raise NoTarget(f"{target}: expected one definition of {name} in {path}, found {len(found)}")
    return found[0]


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _conditions(target: ast.AST) -> Iterator[Selected]:
    for node in ast.walk(target):
        if isinstance(node, ast.If | ast.IfExp):
            yield node.test, node.test
        if isinstance(node, ast.comprehension):
            yield from ((each, each) for each in node.ifs)


def _fields(kind: type | tuple[type, ...], field: str) -> Callable[[ast.AST], Iterator[Selected]]:
    """Selects the expressions in one field of each node of a kind."""

    def select(target: ast.AST) -> Iterator[Selected]:
        for node in ast.walk(target):
            if isinstance(node, kind):
                value = getattr(node, field)
                yield from (
                    (each, each) for each in (value if isinstance(value, list) else [value]) if each is not None
                )

    return select


def _nodes(*kinds: type) -> Callable[[ast.AST], Iterator[Selected]]:
    """Selects each node of some kinds."""
    return lambda target: ((node, node) for node in ast.walk(target) if isinstance(node, kinds))


def _names(target: ast.AST) -> Iterator[Selected]:
    for node in ast.walk(target):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            yield node, node


def _keywords(target: ast.AST) -> Iterator[Selected]:
    return ((node.value, node) for node in ast.walk(target) if isinstance(node, ast.keyword))


KINDS: dict[str, Callable[[ast.AST], Iterator[Selected]]] = {
    "condition": _conditions,
    "operand": _fields(ast.BoolOp, "values"),
    "statement": _nodes(*SIMPLE),
    "return": _nodes(ast.Return),
    "call": _nodes(ast.Call),
    "name": _names,
    "keyword": _keywords,
    "with": _nodes(ast.With),
    "except": _fields(ast.ExceptHandler, "type"),
    "decorator": _fields((ast.FunctionDef, ast.ClassDef), "decorator_list"),
    "base": _fields(ast.ClassDef, "bases"),
    "item": _fields((ast.Tuple, ast.List, ast.Set), "elts"),
}
"""What can be changed. "call", "name" and "keyword" are selected by their own name first."""


def _own_name(node: ast.AST) -> str | None:
    """The last part of a dotted name, of what a call calls, or of a keyword."""
    if isinstance(node, ast.Call):
        return _own_name(node.func)
    return next((getattr(node, field) for field in ("id", "attr", "arg") if hasattr(node, field)), None)


def _mentioned(node: ast.AST) -> set[str]:
    if isinstance(node, ast.With):
        return set().union(*(_mentioned(item) for item in node.items))
    named = {name for each in ast.walk(node) if (name := _own_name(each))}
    return named | {each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and type(each.value) is str}


def _parsed(source: str, node: ast.AST) -> ast.AST | list[ast.stmt]:
    statements = ast.parse(source).body
    return statements if isinstance(node, ast.stmt) else cast(ast.Expr, statements[0]).value


def _remains(node: ast.AST, kind: str) -> ast.AST | list[ast.stmt] | None:
    """What stands in place of a node that is removed; None for an element of a list."""
    if isinstance(node, ast.With):
        bound = [
            ast.Assign([item.optional_vars], cast(ast.Call, item.context_expr).args[0])
            for item in node.items
            if item.optional_vars is not None
        ]
        return [*bound, *node.body]
    if isinstance(node, ast.stmt):
        return ast.Pass()
    if kind == "call":
        return cast(ast.Attribute, cast(ast.Call, node).func).value
    return None


def _exchange(target: ast.AST, old: ast.AST, new: ast.AST | list[ast.stmt] | None) -> None:
    for parent in ast.walk(target):
        for field, value in ast.iter_fields(parent):
            if value is old:
                setattr(parent, field, new)
            elif isinstance(value, list) and any(each is old for each in value):
                at = next(index for index, each in enumerate(value) if each is old)
                value[at : at + 1] = new if isinstance(new, list) else [] if new is None else [new]


def _insert(target: ast.AST, source: str, keep: bool) -> None:
    """Put statements behind the docstring and `from __future__` lines; the rest of the body stays if `keep`."""
    statements: list[ast.stmt] = target.body  # pyright: ignore[reportAttributeAccessIssue]
    first = next((n for n, each in enumerate(statements) if not _leads(each)), len(statements))
    statements[first:] = [*ast.parse(source).body, *(statements[first:] if keep else [])]


def _leads(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
