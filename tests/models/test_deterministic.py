"""Layers with an order of summation equal torch's, forwards and backwards."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.data_sets import make_data, tiny
from unpaired.checkpoints.run_state import load_state
from unpaired.experiment import build_method
from unpaired.models.deterministic import Double, ReflectionPad, make_deterministic
from unpaired.models.kernels import optimize
from unpaired.models.trace import trace
from unpaired.training import train
from unpaired.training.engine import Engine, same_bits
from unpaired.training.trainer import Trainer

pytestmark = pytest.mark.promise("determinism")
UP = {"scale_factor": 2, "mode": "bilinear", "align_corners": False}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(ReflectionPad(p), nn.ReflectionPad2d(p)) for p in (1, 3, (2, 0, 1, 4))] + [(Double(**UP), nn.Upsample(**UP))],
    ids=["pad 1", "pad 3", "uneven pad", "resize"],
)
@pytest.mark.parametrize("size", [(8, 8), (5, 11)])
def test_forward_and_backward_equal_torchs(ours, theirs, size):
    x = torch.randn(2, 3, *size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn_like(theirs(x))
    results = []
    for layer in (ours, theirs):
        out = layer(x)
        (gradient,) = torch.autograd.grad((out * weight).sum(), x)
        results.append((out, gradient))
    assert_close(results[0][0], results[1][0], atol=1e-14, rtol=1e-14)
    assert_close(results[0][1], results[1][1], atol=1e-14, rtol=1e-14)


def test_reflection_is_a_copy_bit_for_bit():
    x = torch.randn(1, 2, 9, 7)
    assert torch.equal(ReflectionPad(3)(x), nn.ReflectionPad2d(3)(x))


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
def test_every_such_layer_of_a_network_is_exchanged_and_its_weights_stay(tmp_path, upsampling):
    network = build_method(tiny(tmp_path, method__generator__upsampling=upsampling)).G
    x = torch.rand(1, 3, 16, 16)
    before, keys = network(x), list(network.state_dict())
    make_deterministic(network)
    assert list(network.state_dict()) == keys
    assert not [module for module in network.modules() if type(module) in (nn.ReflectionPad2d, nn.Upsample)]
    assert_close(network(x), before, atol=1e-6, rtol=1e-5)


def assert_same_bits_twice(tmp_path, promise, device):
    data = make_data(tmp_path / "data")
    settings = {"runtime__deterministic": True, "runtime__device": device, "method__generator__upsampling": "resize"}
    one, two = (load_state(train(tiny(data, **settings), tmp_path / name))[0].tensors for name in ("one", "two"))
    assert one.keys() == two.keys() and all(torch.equal(value, two[key]) for key, value in one.items())
    assert not torch.are_deterministic_algorithms_enabled()
    promise(f"{device}: {len(one)} tensors of two runs equal in every bit")


@pytest.mark.slow
def test_a_deterministic_run_gives_the_same_bits_twice_and_leaves_torch_as_it_was(tmp_path, promise):
    assert_same_bits_twice(tmp_path, promise, "cpu")


def test_a_deterministic_run_refuses_what_has_no_order_and_exchanges_its_layers(tmp_path):
    with same_bits(True), pytest.raises(RuntimeError, match="deterministic"):
        torch.zeros(3).put_(torch.tensor([0]), torch.ones(1))
    experiment = tiny(tmp_path, runtime__deterministic=True, runtime__precision="exact")
    trainer = Trainer(build_method(experiment), experiment.optim, Engine(experiment.runtime))
    assert not [m for m in trainer.method.G.modules() if type(m) in (nn.ReflectionPad2d, nn.Upsample)]
    assert [m for m in trainer.method.G.modules() if type(m) is ReflectionPad]


def test_layers_with_an_order_are_joined_to_units_like_those_they_replace(tmp_path):
    network = build_method(tiny(tmp_path, method__generator__upsampling="resize")).G
    x, plain = torch.rand(1, 3, 16, 16), deepcopy(network)
    make_deterministic(network)
    assert len(trace(network)) == len(trace(plain))
    optimize(network, torch.device("cpu"), torch.float32)
    assert_close(network(x), plain(x), atol=1e-5, rtol=1e-4)
