"""JSON and YAML from strangers: what is too long, too deep, named twice or built of references is refused unread."""

from __future__ import annotations

import pytest

from unpaired.core.errors import BadInput
from unpaired.core.safe_text import MAX_DEPTH, MAX_LINE, json_lines, parse_json, parse_yaml, read_json, read_text

pytestmark = pytest.mark.promise("hostile weights and archives")


def test_a_text_is_read_up_to_its_length_and_not_beyond(tmp_path):
    (tmp_path / "x").write_text("a" * 100)
    assert read_text(tmp_path / "x", 100) == "a" * 100
    with pytest.raises(BadInput, match="x: over the limit of 99 bytes"):
        read_text(tmp_path / "x", 99)


def nested(depth):
    return "[" * depth + "1" + "]" * depth


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.slow
def test_nesting_is_bounded(parse):
    parse(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(ValueError, match="nested more than 32 deep"):
            parse(nested(depth))


def test_a_name_given_twice_is_refused():
    with pytest.raises(ValueError, match="'a' is there twice"):
        parse_json('{"b": 1, "a": {"a": 1, "a": 2}}')


@pytest.mark.parametrize("text", ["a: &x [1]\nb: *x", "a: &x {b: *x}", "a: &x {b: 1}\nc: {<<: *x}"])
def test_references_are_refused(text):
    with pytest.raises(ValueError, match="references .* are not taken"):
        parse_yaml(text)


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "!!python/name:os.system", "a: !evil x"])
def test_only_plain_types_come_out_of_yaml(text):
    with pytest.raises(ValueError, match="could not determine a constructor"):
        parse_yaml(text)


def test_a_line_of_a_log_is_bounded_and_named(tmp_path):
    (tmp_path / "log").write_text('{"a": 1}\n{"a": "' + "x" * MAX_LINE + '"}\n')
    lines = json_lines(tmp_path / "log")
    assert next(lines)[1] == {"a": 1}
    with pytest.raises(BadInput, match="line 2: more than 16384 characters"):
        next(lines)


def test_a_file_of_no_json_is_named_in_one_line(tmp_path):
    (tmp_path / "x.json").write_text('{"a":\n\n')
    with pytest.raises(BadInput, match=r"x\.json: not valid JSON") as caught:
        read_json(tmp_path / "x.json")
    assert str(caught.value).isprintable()


def test_a_mapping_that_names_something_twice_is_refused():
    with pytest.raises(ValueError, match="'crop_size' is there twice"):
        parse_yaml("data:\n  crop_size: 32\n  crop_size: 64\n")


@pytest.mark.parametrize("text", ["!!map [a]", "a: !!map [1, 2]", "!!set [a]"])
def test_a_list_that_calls_itself_a_mapping_is_refused(text):
    with pytest.raises(ValueError, match="mapping"):
        parse_yaml(text)
