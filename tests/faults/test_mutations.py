"""The list of defences stays true: each is found in the code, its test exists, and the docs hold the list."""

from __future__ import annotations

import ast
from functools import cache

import pytest

from tests.faults.defences import mutations
from tests.faults.mutate import Change, NoTarget, always, drop, mutated, never, replace, start
from tests.faults.mutations import PROJECT, table

ALL = [(promise, mutation) for promise, those in mutations().items() for mutation in those]


@cache
def functions(path):
    tests = ast.parse((PROJECT / path).read_text(encoding="utf-8")).body
    return {node.name for node in tests if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(("promise", "mutation"), ALL, ids=lambda value: getattr(value, "defence", value))
def test_a_mutation_finds_its_target_changes_it_and_names_a_test(promise, mutation):
    path, text = mutation.mutated(PROJECT)  # raises NoTarget where nothing is found or changed
    compile(text, str(path), "exec")
    file, _, name = mutation.test.partition("::")
    assert name.partition("[")[0] in functions(file)


def test_every_promise_has_its_defences_and_none_is_listed_twice():
    assert all(len(those) >= 4 for those in mutations().values())
    assert len({(each.target, each.change) for _, each in ALL}) == len(ALL)


def test_the_documents_hold_the_list():
    assert table() in (PROJECT / "docs/reliability.md").read_text(encoding="utf-8")


SOURCE = '''"""Docstring."""
from __future__ import annotations

LIMITS = ("width", "height")


class Reader(Base):
    @cached
    def read(self, path, size):
        """Docstring."""
        if size > MOST and path:
            raise ValueError(path)
        with opened(path) as file:
            flush(file)
        flush(file, path)
        return [x for x in file if x.strip()]
'''
READ = "package.module.Reader.read"


def changed(tmp_path, target, change):
    """The lines of SOURCE that a change removes, and those that it adds, without indentation."""
    (tmp_path / "package").mkdir(exist_ok=True)
    (tmp_path / "package/module.py").write_text(SOURCE)
    _, text = mutated(tmp_path, target, change)
    before, after = ([line.strip() for line in each.splitlines()] for each in (ast.unparse(ast.parse(SOURCE)), text))
    return [line for line in before if line not in after], [line for line in after if line not in before]


@pytest.mark.parametrize(
    ("target", "change", "removed", "added"),
    [
        (READ, never("MOST"), ["if size > MOST and path:"], ["if False:"]),
        (READ, always("strip"), ["return [x for x in file if x.strip()]"], ["return [x for x in file if True]"]),
        (READ, drop("operand", "size"), ["if size > MOST and path:"], ["if path:"]),
        (READ, drop("statement", "ValueError"), ["raise ValueError(path)"], ["pass"]),
        (READ, drop("with", "opened"), ["with opened(path) as file:"], ["file = path"]),
        (READ, drop("decorator", "cached"), ["@cached"], []),
        (READ, drop("call", "strip"), ["return [x for x in file if x.strip()]"], ["return [x for x in file if x]"]),
        (READ, replace("call", "flush", by="sync(path)", nth=1), ["flush(file, path)"], ["sync(path)"]),
        (READ, start("hello()"), [], ["hello()"]),
        ("package.module.Reader", drop("base", "Base"), ["class Reader(Base):"], ["class Reader:"]),
        ("package.module.LIMITS", drop("item", "width"), ["LIMITS = ('width', 'height')"], ["LIMITS = ('height',)"]),
        ("package.module", start("import pickle"), [], ["import pickle"]),
    ],
    ids=lambda value: str(value.kind) if isinstance(value, Change) else "",
)  # fmt: skip
def test_a_change_touches_the_node_that_its_names_select(tmp_path, target, change, removed, added):
    assert changed(tmp_path, target, change) == (removed, added)


@pytest.mark.parametrize(
    ("target", "change", "message"),
    [
        ("package.gone", never("MOST"), "package.gone: no such module"),
        ("package.module.Writer", never("MOST"), "expected one definition of Writer .* found 0"),
        (READ, never("LEAST"), "expected one condition with LEAST, found 0"),
        (READ, drop("statement", "flush"), "expected one statement with flush, found 2"),
        (READ, never("MOST", nth=0), "expected more than one condition with MOST"),
        (READ, replace("name", "MOST", by="MOST"), "makes no difference"),
    ],
)
def test_a_target_that_is_missing_or_not_unique_is_named(tmp_path, target, change, message):
    with pytest.raises(NoTarget, match=message):
        changed(tmp_path, target, change)
