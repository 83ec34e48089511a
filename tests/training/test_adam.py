"""Adam on tensors as they lie: torch's bits, and no copy."""

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from unpaired.training.adam import Adam

SHAPES = [(8, 4, 3, 3), (16, 1, 4, 4), (1, 16, 4, 4), (5,)]


def weights():
    random = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=random) for shape in SHAPES]
    return [torch.nn.Parameter(w.contiguous(memory_format=torch.channels_last) if w.dim() == 4 else w) for w in made]


def follow(adam, steps=3):
    """Down gradients that lie as their weights do, which is how autograd leaves them."""
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        for weight in adam.param_groups[0]["params"]:
            weight.grad = torch.empty_like(weight).copy_(torch.randn(weight.shape, generator=random))
        adam.step()
    return adam.param_groups[0]["params"]


@pytest.mark.parametrize("fused", [True, None])
def test_it_gives_torchs_bits(fused):
    ours, theirs = (kind(weights(), lr=1e-2, betas=(0.5, 0.999), fused=fused) for kind in (Adam, torch.optim.Adam))
    assert all(torch.equal(a, b) for a, b in zip(follow(ours), follow(theirs), strict=True))
    assert all(state["exp_avg"].shape == weight.shape for weight, state in ours.state.items())


def copies(adam):
    follow(adam)
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        adam.step()
    return sum(event.count for event in seen.key_averages() if event.key == "aten::clone")


def test_it_copies_no_gradient():
    assert copies(Adam(weights(), fused=True)) == 0
    assert copies(torch.optim.Adam(weights(), fused=True)) > 0, "torch does not either any more: this class may go"
