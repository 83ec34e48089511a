"""Weights at the start of training."""

from __future__ import annotations

from torch import Tensor, nn

from unpaired.config.networks import InitName

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def initialise(network: nn.Module, init: InitName = "normal", gain: float = 0.02) -> None:
    """Convolutions from the distribution `init`, BatchNorm scales from N(1, gain), every bias 0, in place.

    Draws in module order from torch's global generator, as the official code's `init_weights` does.

    Args:
        network: Its weights are replaced.
        init: normal, N(0, gain) as published (App. 7.2); xavier (normal), kaiming (normal, fan-in) or orthogonal.
        gain: Standard deviation of normal, gain of xavier and orthogonal; kaiming ignores it.
    """
    if any(weight.is_meta for weight in network.parameters()):
        return  # weights without values; to draw them would import torch._dynamo, which takes seconds
    for module in network.modules():
        if isinstance(module, CONVOLUTIONS):
            _draw(module.weight, init, gain)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """The published initialisation: convolutions from N(0, std)."""
    initialise(network, "normal", std)


def _draw(weight: Tensor, init: InitName, gain: float) -> None:
    if init == "normal":
        nn.init.normal_(weight, 0.0, gain)
    elif init == "xavier":
        nn.init.xavier_normal_(weight, gain)
    elif init == "kaiming":
        nn.init.kaiming_normal_(weight, a=0, mode="fan_in")
    else:
        nn.init.orthogonal_(weight, gain)
