"""Weights at the start of training."""

from __future__ import annotations

from torch import nn

CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Convolutions from N(0, 0.02), BatchNorm scales from N(1, 0.02), every bias 0 (App. 7.2).

    Draws in module order from torch's global generator, as the official code does, in place.
    """
    for module in network.modules():
        if isinstance(module, (*CONVOLUTIONS, nn.BatchNorm2d)):
            nn.init.normal_(module.weight, 1.0 if isinstance(module, nn.BatchNorm2d) else 0.0, std)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
