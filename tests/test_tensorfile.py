"""The header of a safetensors file is judged by itself, before a tensor or much memory is taken."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save_file

from unpaired.core.safetensors_file import MAX_HEADER, check_finite, check_fit, read_header, read_tensors

pytestmark = pytest.mark.promise("hostile weights and archives")
FOUR = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}


def written(path, header, data=bytes(16), length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def refused(path, words):
    with pytest.raises(ValueError, match=words):
        read_header(path)


def test_what_was_saved_is_described_and_read(tmp_path):
    tensors = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(0, 3), "n": torch.tensor(7)}
    save_file(tensors, tmp_path / "x", {"about": "it"})
    header = read_header(tmp_path / "x")
    assert header.metadata == {"about": "it"}
    assert {name: (spec.dtype, spec.shape) for name, spec in header.tensors.items()} == {
        name: (value.dtype, tuple(value.shape)) for name, value in tensors.items()
    }
    assert all(torch.equal(value, tensors[name]) for name, value in read_tensors(tmp_path / "x").items())


def test_tensors_read_have_memory_of_their_own(tmp_path):
    save_file({"a": torch.ones(4)}, tmp_path / "x")
    found = read_tensors(tmp_path / "x")["a"]
    content = bytearray((tmp_path / "x").read_bytes())
    content[-16:] = bytes(16)
    with (tmp_path / "x").open("r+b") as file:
        file.write(content)
    assert torch.equal(found, torch.ones(4))


def test_a_header_longer_than_any_of_ours_is_refused_before_it_is_parsed(tmp_path):
    refused(written(tmp_path / "x", b"{}".ljust(MAX_HEADER + 1)), "a header of 4194305 bytes; at most 4194304")


def test_a_header_longer_than_the_file_is_refused(tmp_path):
    refused(written(tmp_path / "x", b"{}", b"", length=3), "cut off: 10 bytes")


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (FOUR | {"dtype": "F31"}, "its header says of 'a'"),
        (FOUR | {"shape": [1] * 9 + [4]}, "the shape or place"),
        (FOUR | {"shape": [True, 4]}, "the shape or place"),
        (FOUR | {"shape": [-2, -2]}, "the shape or place"),
        (FOUR | {"shape": [2**62, 2**62]}, "16 bytes"),
        (FOUR | {"data_offsets": [0, 8]}, "of shape .* 8 bytes"),
    ],
)
def test_a_tensor_that_its_bytes_do_not_make_is_refused(tmp_path, spec, words):
    refused(written(tmp_path / "x", {"a": spec}), words)


def at(begin, end):
    return FOUR | {"data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "size", "words"),
    [
        ({"a": at(0, 16), "b": at(8, 24)}, 24, "places 'b' at byte 8, where 16 was expected"),
        ({"a": at(0, 16), "b": at(0, 16)}, 16, "places 'b' at byte 0, where 16 was expected"),
        ({"a": at(0, 16), "b": at(24, 40)}, 40, "places 'b' at byte 24, where 16 was expected"),
        ({"a": at(0, 16)}, 32, "accounts for 16 of 32 bytes"),
    ],
    ids=["overlap", "the same place", "gap", "more behind"],
)
def test_tensors_fill_the_file_one_after_another(tmp_path, header, size, words):
    refused(written(tmp_path / "x", header, bytes(size)), words)


def test_a_name_given_twice_is_refused(tmp_path):
    one = json.dumps({"a": FOUR})
    refused(written(tmp_path / "x", f"{one[:-1]},{one[1:]}".encode()), "'a' is there twice")


def test_weights_that_do_not_fit_are_named_with_both_kinds_and_shapes(tmp_path):
    asked = {"a": torch.zeros(2, 3), "b": torch.zeros(1)}
    save_file({"a": torch.zeros(3, 2), "b": torch.zeros(1), "c": torch.zeros(1)}, tmp_path / "x")
    with pytest.raises(ValueError, match=r"'a' is torch.float32 of shape \(3, 2\) where .*\(2, 3\) .* and 1 more"):
        check_fit(read_header(tmp_path / "x"), asked)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_are_not_finite_are_named(value):
    check_finite({"a": torch.ones(2), "n": torch.tensor(3)})
    with pytest.raises(ValueError, match="1 of its tensors hold NaN or infinity, b the first"):
        check_finite({"a": torch.ones(2), "b": torch.tensor([1.0, value])})
