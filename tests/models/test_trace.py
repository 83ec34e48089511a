"""What torch.fx reads off a network's forward pass, and what it must refuse."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unpaired.models import ResNetConfig, UNetConfig, build_generator
from unpaired.models.resnet import checkpoint_blocks
from unpaired.models.trace import Untraceable, beside, trace


class Made(nn.Module):
    """A module of one convolution and a forward given to it."""

    def __init__(self, forward) -> None:
        super().__init__()
        self.conv, self.act, self.given = nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True), forward

    def forward(self, x):
        return self.given(self, x)


def carried_out(network, x):
    """The traced operations, one after another."""
    values = [x]
    for operation in trace(network)[1:]:
        values.append(operation.work(*[values[source].clone() for source in operation.sources]))
    return values[-1]


@pytest.mark.parametrize(
    "cfg", [ResNetConfig(width=4, blocks=2), UNetConfig(width=2, downs=5), ResNetConfig(width=4, blocks=1, norm="none")]
)
def test_the_operations_give_what_the_network_gives(cfg):
    network = build_generator(cfg, 3, 3)
    x = torch.rand(1, 3, 32, 32)
    assert torch.equal(carried_out(network, x), network(x))


def test_sums_concatenations_and_values_read_twice_have_their_sources():
    made = Made(lambda m, x: torch.cat([m.conv(x) + x, x], dim=1))
    first, conv, total, joined = trace(made)
    assert first is None and conv.work is made.conv and conv.sources == (0,)
    assert (total.work, total.sources) == (torch.add, (1, 0))
    assert (joined.work, joined.sources) == (beside, (2, 0))


def test_identities_are_operations_only_where_wanted():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Identity(), nn.ReLU())
    assert [operation.work for operation in trace(network)[1:]] == [network[0], network[2]]
    assert [operation.work for operation in trace(network, keep_identities=True)[1:]] == list(network)


def test_a_checkpointed_block_is_one_operation():
    network = build_generator(ResNetConfig(width=4, blocks=2), 3, 3)
    before = len(trace(network))
    checkpoint_blocks(network)
    works = [operation.work for operation in trace(network)[1:]]
    assert network.model[10] in works and len(works) < before - 10


@pytest.mark.parametrize(
    "forward",
    [
        lambda m, x: m.conv(x) * 2,
        lambda m, x: m.conv(x) if x.mean() > 0 else x,
        lambda m, x: torch.cat([x, x], dim=2),
        lambda m, x: (m.conv(x), x),
        lambda m, x: m.conv(x) + 1,
    ],
    ids=["product", "branch on values", "rows joined", "two results", "constant"],
)
def test_whatever_is_more_than_layers_sums_and_channels_is_refused(forward):
    with pytest.raises(Untraceable):
        trace(Made(forward))


def test_a_value_changed_in_place_under_another_reader_is_refused():
    with pytest.raises(Untraceable, match="ReLU changes a value in place"):
        trace(Made(_twice))


def _twice(m, x):
    y = m.conv(x)
    return m.act(y) + y
