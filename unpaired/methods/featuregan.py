"""Feature loss + GAN: SimGAN whose distance is taken in a pretrained network's features (CycleGAN Sec. 5.1.2).

The paper takes VGG-16's relu4_2, which a weight file given by the user provides; without one it is EfficientNet-Lite0
at the same resolution, which comes in a wheel. What was used must stand beside every number: `content_name`.
"""

from __future__ import annotations

from unpaired.config.methods import FeatureGANConfig
from unpaired.features.content import load_content
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.losses.masks import Masks
from unpaired.methods.base import Losses
from unpaired.methods.twoway import TwoWay
from unpaired.models import Discriminator, Generator


class FeatureGAN(TwoWay):
    """L(G, D_Y) = L_GAN(G, D_Y) + lambda |phi(x) - phi(G(x))|_1, and the same for F; phi is never trained."""

    def __init__(self, cfg: FeatureGANConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y); phi is read at the first step."""
        if {*channels} - {1, 3}:
            raise ValueError(f"method.features: a network of images takes 1 or 3 channels, got {channels}")
        super().__init__(cfg, channels)
        self.cfg = cfg

    def direction(
        self, G: Generator, F: Generator, D: Discriminator, x: Images, y: Images, mask: Masks | None
    ) -> tuple[Losses, Images]:
        """Adversarial and feature loss of G."""
        phi, fake = load_content(self.cfg.features, x.device), G(x)
        losses = {"gan": self.loss.generator(D(fake)), "features": self.cfg.feature_weight * l1(phi(fake), phi(x))}
        return losses, fake
