"""CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017, arXiv:1703.10593), and what Tables 4 and 5 take away from it."""

from __future__ import annotations

from unpaired.config.methods import CycleGANConfig
from unpaired.imaging.images import Images
from unpaired.losses.cycle import l1
from unpaired.losses.masks import background, inside
from unpaired.methods.base import Fakes, Terms
from unpaired.methods.twoway import TwoWay

ABLATIONS: dict[str, dict[str, float]] = {
    "cycle alone": {"method.gan_weight": 0.0},
    "GAN alone": {"method.forward_cycle_weight": 0.0, "method.backward_cycle_weight": 0.0},
    "GAN + forward cycle": {"method.backward_cycle_weight": 0.0},
    "GAN + backward cycle": {"method.forward_cycle_weight": 0.0},
}
"""The rows of Tables 4 and 5 as settings of an experiment: what each leaves out of Eq. 3."""


class CycleGAN(TwoWay):
    """L(G, F, D_X, D_Y) = L_GAN(G, D_Y) + L_GAN(F, D_X) + lambda L_cyc(G, F)   (Eq. 3)."""

    masked = True

    def __init__(self, cfg: CycleGANConfig, channels: tuple[int, int]) -> None:
        """Fresh networks for images of `channels` = (channels of X, channels of Y)."""
        if cfg.identity_weight and channels[0] != channels[1]:
            raise ValueError(
                f"method.identity_weight compares G(y) with y, which needs equal channels, got {channels[0]} and "
                f"{channels[1]}; set --method.identity-weight 0"
            )
        super().__init__(cfg, channels)
        self.cfg = cfg

    def generator_losses(self, x: Images, y: Images) -> tuple[Terms, Fakes]:
        """Adversarial, cycle (Eq. 2) and identity (Sec. 5.2) terms; one of weight 0 is not computed."""
        return self._terms(x, y, None)

    def masked_losses(self, x: Images, y: Images, masks: tuple[Images, Images]) -> tuple[Terms, Fakes]:
        """The same for m * G(x) + (1 - m) * x in place of G(x), and for F(y) alike; G and F learn to leave the rest."""
        return self._terms(x, y, masks)

    def _terms(self, x: Images, y: Images, masks: tuple[Images, Images] | None) -> tuple[Terms, Fakes]:
        G, F, cfg, both = self.G, self.F, self.cfg, self.both
        terms: Terms = {}
        if cfg.identity_weight:
            (fake_y, same_y), (fake_x, same_x) = both(lambda: self.each(G, x, y), lambda: self.each(F, y, x))
            terms["identity/Y"] = cfg.identity_weight * l1(same_y, y)
            terms["identity/X"] = cfg.identity_weight * l1(same_x, x)
        else:
            fake_y, fake_x = both(lambda: G(x), lambda: F(y))
        if masks is not None:
            if cfg.background_weight:
                terms["background/X"] = cfg.background_weight * background(masks[0], fake_y, x)
                terms["background/Y"] = cfg.background_weight * background(masks[1], fake_x, y)
            fake_y, fake_x = inside(masks[0], fake_y, x), inside(masks[1], fake_x, y)
        if cfg.gan_weight:
            terms |= self.gan_losses(fake_y, fake_x, cfg.gan_weight)
        again_x, again_y = both(
            lambda: F(fake_y) if cfg.forward_cycle_weight else None,
            lambda: G(fake_x) if cfg.backward_cycle_weight else None,
        )
        if again_x is not None:
            terms["cycle/X"] = cfg.forward_cycle_weight * l1(again_x, x)
        if again_y is not None:
            terms["cycle/Y"] = cfg.backward_cycle_weight * l1(again_y, y)
        return terms, Fakes(x=fake_x.detach(), y=fake_y.detach())

    def paired_losses(self, x: Images, y: Images) -> Terms:
        """Both ways straight to the truth, where it is known: semi-paired training."""
        weight = self.cfg.paired_weight
        if not weight:
            return {}
        made_y, made_x = self.both(lambda: self.G(x), lambda: self.F(y))
        return {"paired/Y": weight * l1(made_y, y), "paired/X": weight * l1(made_x, x)}
