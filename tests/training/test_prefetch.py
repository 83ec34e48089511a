"""Batches reach the device whole, in order and with the numbers they had; on a card one ahead of the step."""

import pytest
import torch

from tests.data_sets import make_data, tiny
from unpaired.config import RuntimeConfig
from unpaired.core.pipeline import one_ahead
from unpaired.data.pairing import UnpairedImages
from unpaired.training.engine import Engine
from unpaired.training.prefetch import prefetch


def assert_fed(root, runtime):
    """Every image of a semi-paired data set, as the host makes it and as it is fed."""
    data = UnpairedImages(tiny(root, data__batch=2, data__pairs=1).data, seed=0)
    engine = Engine(runtime)
    expected = list(data.batches(0, 5))
    found = list(prefetch(data.batches(0, 5), engine))
    assert [item.files for item in found] == [batch.files for batch in expected]
    for batch, item in zip(expected, found, strict=True):
        pairs = zip((batch.x, batch.y, *batch.pairs), item.batch.tensors, strict=True)
        for host, there in pairs:
            assert there.device.type == engine.device.type and there.is_contiguous(memory_format=engine.layout)
            assert torch.equal(there.cpu(), host)


def paired_data(folder):
    root = make_data(folder / "data")
    for side in "AB":
        (root / f"pairs{side}").symlink_to(root / "testA")
    return root


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return paired_data(tmp_path_factory.mktemp("feed"))


@pytest.mark.parametrize("precision", ["exact", "fp32"])
def test_what_is_fed_has_the_numbers_that_the_host_makes(root, precision):
    assert_fed(root, RuntimeConfig(device="cpu", precision=precision))


def test_each_is_drawn_before_the_one_in_front_of_it_is_handed_out():
    seen = []

    def drawn():
        for item in "abc":
            seen.append(f"draw {item}")
            yield item

    for item in one_ahead(drawn()):
        seen.append(f"use {item}")
    assert seen == ["draw a", "draw b", "use a", "draw c", "use b", "use c"]
    assert list(one_ahead([])) == []
