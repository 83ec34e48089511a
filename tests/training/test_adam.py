"""Adam on views in memory order: torch's bits, and no copy."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from unpaired.training.adam import Adam

SHAPES = [(8, 4, 3, 3), (16, 1, 4, 4), (1, 16, 4, 4), (5,)]


def weights():
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=random) for shape in SHAPES]
    return [torch.nn.Parameter(w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w) for w in made]


def follow(adam, weights, steps=3):
    """Steps down gradients in the memory layout of their weights, which is how autograd leaves them."""
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        gradients = [torch.empty_like(w).detach().copy_(torch.randn(w.shape, generator=random)) for w in weights]
        step(adam, weights, gradients)
    return weights


def step(adam, weights, gradients):
    if isinstance(adam, Adam):
        return adam.follow(gradients)
    for weight, gradient in zip(weights, gradients, strict=True):
        weight.grad = gradient
    adam.step()


@pytest.mark.parametrize("fused", [True, None])
@pytest.mark.slow
def test_it_gives_torchs_bits(fused):
    ours, theirs = weights(), weights()
    settings = {"lr": 1e-2, "betas": (0.5, 0.999), "fused": fused}
    adam, plain = Adam(ours, **settings), torch.optim.Adam(theirs, **settings)
    assert all(torch.equal(a, b) for a, b in zip(follow(adam, ours), follow(plain, theirs), strict=True))
    for moments, weight in zip(adam.moments(), theirs, strict=True):
        assert all(torch.equal(moments[key], plain.state[weight][key]) for key in ("exp_avg", "exp_avg_sq", "step"))


def copies(kind):
    made = weights()
    adam = kind(made, fused=True)
    follow(adam, made)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        follow(adam, made, steps=1)
    return sum(event.count for event in seen.key_averages() if event.key == "aten::clone")


def test_it_copies_no_gradient():
    assert copies(Adam) == 0
    assert copies(torch.optim.Adam) > 0, "torch does not either any more: this class may go"


def test_a_parameter_that_was_cast_is_refused():
    network = torch.nn.Conv2d(2, 2, 3)
    adam = Adam(network.parameters())
    network.double()
    with pytest.raises(RuntimeError, match="moved or cast"):
        adam.follow([torch.zeros_like(p) for p in network.parameters()])
