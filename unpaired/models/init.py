"""Weights at the start of training."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.parametrize import register_parametrization

from unpaired.config.networks import InitName
from unpaired.core.device import without_autocast


def initialise(network: nn.Module, init: InitName = "normal", gain: float = 0.02) -> None:
    """Convolutions and linear layers from the distribution `init`, BatchNorm scales from N(1, gain), every bias 0.

    In place; draws in module order from torch's global generator, as the official code's `init_weights` does. `init` is
    normal, N(0, gain) as published (App. 7.2), xavier (normal), kaiming (normal, fan-in, without a gain) or orthogonal.
    """
    if any(weight.is_meta for weight in network.parameters()):
        return  # weights without values; to draw them would import torch._dynamo, which takes seconds
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if init == "normal":
                nn.init.normal_(module.weight, 0.0, gain)
            elif init == "xavier":
                nn.init.xavier_normal_(module.weight, gain)
            elif init == "kaiming":
                nn.init.kaiming_normal_(module.weight, a=0, mode="fan_in")
            else:
                nn.init.orthogonal_(module.weight, gain)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, gain)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def normalise_marked(network: nn.Module) -> None:
    """Divide kernels by their largest singular value, in every part of the network whose `spectral_norm` is true.

    Called after the weights are drawn: from here on a convolution's `weight` is computed from
    `parametrizations.weight.original`, with one power iteration a pass in training. Kernels on the meta device have no
    values and stay as they are. Source: Miyato, Kataoka, Koyama, Yoshida, ICLR 2018 (arXiv:1802.05957).
    """
    for part in [part for part in network.modules() if getattr(part, "spectral_norm", False)]:
        for module in part.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                register_parametrization(module, "weight", SpectralNorm(module.weight))


class SpectralNorm(_SpectralNorm):
    """torch's, in the weight's own precision: autocast on CUDA, unlike that on a CPU, would iterate in bf16."""

    def forward(self, weight: Tensor) -> Tensor:
        """The weight over its largest singular value, of the same shape."""
        with without_autocast(weight.device):
            return super().forward(weight)
