"""The list of defences cannot rot: each still stands in the code once, its test exists, the documents hold the list."""

from __future__ import annotations

import ast

import pytest

from tests.faults.mutations import PROJECT, mutations, table

ALL = [(promise, mutation) for promise, those in mutations().items() for mutation in those]


@pytest.mark.parametrize(("promise", "mutation"), ALL, ids=lambda value: getattr(value, "defence", value))
def test_a_defence_stands_where_the_list_says_and_so_does_its_test(promise, mutation):
    text = (PROJECT / mutation.file).read_text(encoding="utf-8")
    ast.parse(mutation.spoilt(text))
    path, _, name = mutation.test.partition("::")
    tests = ast.parse((PROJECT / path).read_text(encoding="utf-8")).body
    assert name.partition("[")[0] in [node.name for node in tests if isinstance(node, ast.FunctionDef)]


def test_every_promise_has_its_defences_and_none_is_there_twice():
    assert all(len(those) >= 4 for those in mutations().values())
    assert len({(each.file, each.old, each.new) for _, each in ALL}) == len(ALL)


def test_the_documents_hold_the_list():
    assert table() in (PROJECT / "docs/reliability.md").read_text(encoding="utf-8")
