"""Spectral normalisation of convolutions (Miyato, Kataoka, Koyama, Yoshida, ICLR 2018, arXiv:1802.05957)."""

from __future__ import annotations

from torch import nn
from torch.nn.utils.parametrizations import spectral_norm


def normalise_marked(network: nn.Module) -> None:
    """Divide kernels by their largest singular value, in every part of the network whose `spectral_norm` is true.

    Called after the weights are drawn: from here on a convolution's `weight` is computed from
    `parametrizations.weight.original`, with one power iteration a pass in training. Kernels on the meta device have no
    values and stay as they are.
    """
    for part in [part for part in network.modules() if getattr(part, "spectral_norm", False)]:
        for module in part.modules():
            if isinstance(module, nn.Conv2d) and not module.weight.is_meta:
                spectral_norm(module)
