"""Discriminators with several outputs: copies at several scales, and two kinds side by side."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

from unpaired.config.networks import JointConfig, PatchGANConfig
from unpaired.models.patchgan import PatchGAN
from unpaired.models.projected import Outputs, ProjectedDiscriminator


class MultiScalePatchGAN(nn.Module):
    """PatchGANs of one architecture: the first sees the image, each other one at half the size of the one before.

    Source: Wang et al., pix2pixHD, CVPR 2018 (arXiv:1711.11585) Sec. 3.2. Images are halved by 3x3 means at stride 2
    that leave out the padding, as in the authors' code.
    """

    def __init__(self, cfg: PatchGANConfig, channels: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(PatchGAN(cfg, channels) for _ in range(cfg.scales))
        self.batch_independent = cfg.norm != "batch"

    def forward(self, x: Float[Tensor, "b c h w"]) -> Outputs:
        """Raw scores of every scale, (b, 1, p, q) each, the finest first."""
        scores = []
        for k, discriminator in enumerate(self.scales):
            x = avg_pool2d(x, 3, stride=2, padding=1, count_include_pad=False) if k else x
            scores.append(discriminator(x))
        return Outputs(scores)


def patchgan(cfg: PatchGANConfig, channels: int) -> PatchGAN | MultiScalePatchGAN:
    """A PatchGAN of one scale or several."""
    return PatchGAN(cfg, channels) if cfg.scales == 1 else MultiScalePatchGAN(cfg, channels)


class JointDiscriminator(nn.Module):
    """A PatchGAN, of one scale or several, beside a projected discriminator."""

    def __init__(self, cfg: JointConfig, channels: int) -> None:
        super().__init__()
        self.patchgan = patchgan(cfg.patchgan, channels)
        self.projected = ProjectedDiscriminator(cfg.projected, channels)
        self.batch_independent = self.patchgan.batch_independent

    def forward(self, x: Float[Tensor, "b c h w"]) -> Outputs:
        """Raw scores: those of the PatchGAN, then those of the four feature maps."""
        scores = self.patchgan(x)
        return Outputs((*(scores if isinstance(scores, tuple) else (scores,)), *self.projected(x)))
