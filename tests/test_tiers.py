"""Each file of tests belongs to one tier of `make test`, and every name in tests/tiers.py to a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import tiers

PARTS = [tier for tier in tiers.TIERS if tier != "fast"]
FILES = sorted(tiers.TESTS.rglob("test_*.py"))


def tiers_of(file: Path) -> Iterator[str]:
    above = [path for path in (file, *file.parents) if path.is_relative_to(tiers.TESTS)]
    return (tier for tier in PARTS if not any(tiers.left_out(path, tier) for path in above))


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(tiers.TESTS)))
def test_each_file_is_in_one_tier(file):
    assert len(list(tiers_of(file))) == 1


@pytest.mark.parametrize("place", [*tiers.SLOW, *(place for places in tiers.PLACES.values() for place in places)])
def test_no_place_is_gone(place):
    assert (tiers.TESTS / place).exists()


@pytest.mark.parametrize(
    ("file", "tier"),
    [
        ("faults/test_stop.py", "forks"),
        ("serve/test_serve.py", "servers"),
        ("test_demo.py", "long"),
        ("training/test_concurrent_losses.py", "alone"),
        ("losses/test_gan.py", "common"),
    ],
)
def test_where_a_file_runs(file, tier):
    assert list(tiers_of(tiers.TESTS / file)) == [tier]
