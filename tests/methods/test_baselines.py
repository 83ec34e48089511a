"""Every baseline's terms on images of x = 0.5 and y = -0.25 with G(x) = x/2 + 0.1 = 0.35 and F(y) = 0.2 - y = 0.45."""

import pytest
import torch
from torch.testing import assert_close

from tests.methods.lines import Line, LineDiscriminator, constant, discriminator_losses, generator_losses, values
from unpaired.config.networks import CoupledConfig
from unpaired.methods import (
    BiGAN,
    BiGANConfig,
    CoGAN,
    CoGANConfig,
    FeatureGAN,
    FeatureGANConfig,
    Pix2Pix,
    Pix2PixConfig,
    SimGAN,
    SimGANConfig,
    featuregan,
)
from unpaired.models import PatchGANConfig, ResNetConfig

TINY = {"generator": ResNetConfig(width=4, blocks=1), "discriminator": PatchGANConfig(width=4, layers=1)}
x, y = constant(0.5), constant(-0.25)
FAKES = {"F": constant(0.45), "G": constant(0.35)}
GAME = {"gan/G": 0.09, "gan/F": 2.4025}  # D_Y(G(x)) = 2 * 0.35: (0.7 - 1)^2; D_X(F(y)) = 0.45 - 1: (-0.55 - 1)^2


class PairJudge(Line):
    """x - 2 y of the first channels of a pair."""

    def forward(self, both):
        return both[:, :1] - 2 * both[:, 3:4]


def with_lines(method):
    method.G, method.F = Line(0.5, 0.1), Line(-1.0, 0.2)
    method.D_Y, method.D_X = LineDiscriminator(2.0, 0.0), LineDiscriminator(1.0, -1.0)
    return method


def check_fakes(fakes):
    assert_close(fakes["G"], constant(0.35))
    assert_close(fakes["F"], constant(0.45))
    assert not fakes["F"].requires_grad and not fakes["G"].requires_grad


def test_simgan_adds_the_distance_between_input_and_translation():
    terms, fakes = generator_losses(with_lines(SimGAN(SimGANConfig(**TINY, content_weight=3.0), (3, 3))), x, y)
    # 3 |0.35 - 0.5| and 3 |0.45 + 0.25|
    assert values(terms) == pytest.approx(GAME | {"content/G": 0.45, "content/F": 2.1}, abs=1e-12)
    check_fakes(fakes)


def test_feature_loss_takes_the_distance_in_features(monkeypatch):
    monkeypatch.setattr(featuregan, "load_content", lambda path, device: lambda images: images.square() * 2)
    terms, fakes = generator_losses(with_lines(FeatureGAN(FeatureGANConfig(**TINY, feature_weight=3.0), (3, 3))), x, y)
    # 6 |0.35^2 - 0.5^2| and 6 |0.45^2 - 0.25^2|
    assert values(terms) == pytest.approx(GAME | {"features/G": 0.765, "features/F": 0.84}, abs=1e-12)
    check_fakes(fakes)


def bigan():
    method = with_lines(BiGAN(BiGANConfig(**TINY), (3, 3)))
    method.D = PairJudge(0.0, 0.0)
    return method


def test_bigans_discriminator_tells_the_two_kinds_of_pair_apart():
    # D(x, G(x)) = 0.5 - 0.7 = -0.2 should be 1, D(F(y), y) = 0.45 + 0.5 = 0.95 should be 0: (1.2^2 + 0.95^2) / 2
    assert values(discriminator_losses(bigan(), x, y, FAKES)) == pytest.approx({"discriminator": 1.17125}, abs=1e-12)


def test_bigans_generators_want_the_discriminators_answers_exchanged():
    terms, fakes = generator_losses(bigan(), x, y)
    assert values(terms) == pytest.approx({"gan": 0.02125}, abs=1e-12)  # ((0.95 - 1)^2 + 0.2^2) / 2
    check_fakes(fakes)


def test_bigans_discriminator_sees_pairs_out_of_their_histories():
    method = bigan()
    discriminator_losses(method, x, y, FAKES)
    assert_close(torch.stack(method.past_forward.images), torch.cat([x, FAKES["G"]], 1))
    assert_close(torch.stack(method.past_backward.images), torch.cat([FAKES["F"], y], 1))


def pix2pix():
    method = with_lines(Pix2Pix(Pix2PixConfig(**TINY, adversarial="least-squares", l1_weight=3.0), (3, 3)))
    method.D_X = method.D_Y = PairJudge(0.0, 0.0)
    return method


def test_pix2pix_is_judged_beside_its_input_and_against_the_truth():
    terms, fakes = generator_losses(pix2pix(), x, y)
    # D(x, G(x)) = -0.2, D(F(y), y) = 0.95; 3 |0.35 + 0.25|, 3 |0.45 - 0.5|
    assert values(terms) == pytest.approx({"gan/G": 1.44, "gan/F": 0.0025, "l1/G": 1.8, "l1/F": 0.15}, abs=1e-12)
    check_fakes(fakes)


def test_pix2pix_discriminators_compare_the_true_pair_with_the_translated_one():
    # D(x, y) = 0.5 + 0.5 = 1: (0 + 0.2^2) / 2 and (0 + 0.95^2) / 2
    terms = discriminator_losses(pix2pix(), x, y, FAKES)
    assert values(terms) == pytest.approx({"discriminator/Y": 0.02, "discriminator/X": 0.45125}, abs=1e-12)


def cogan():
    """G(z) = 2 z + 0.1, rendered by G_X(f) = f / 2 and G_Y(f) = 0.2 - f; z is 0.3 everywhere."""
    cfg = CoGANConfig(
        generator=CoupledConfig(width=4, halvings=2, latent=3),
        discriminator=PatchGANConfig(width=4, layers=1),
        adversarial="least-squares",
    )
    method = CoGAN(cfg, (3, 3))
    method.G, method.G_X, method.G_Y = Line(2.0, 0.1), Line(0.5, 0.0), Line(-1.0, 0.2)
    method.E_X, method.E_Y = Line(0.4, 0.0), Line(-0.4, 0.1)
    method.D_X, method.D_Y, method.D = Line(1.0, -0.1), Line(2.0, 0.0), LineDiscriminator(3.0, 0.5)
    method.noise = lambda images: constant(0.3)
    return method


def test_cogan_renders_one_latent_in_both_domains():
    terms, fakes = generator_losses(cogan(), x, y)
    # G(z) = 0.7: x^ = 0.35, D(D_X(x^)) = 3 * 0.25 + 0.5 = 1.25; y^ = -0.5, D(D_Y(y^)) = -3 + 0.5 = -2.5
    game = {"gan/X": 0.0625, "gan/Y": 12.25}
    # E_X(x) = 0.2 becomes 0.5, then 0.25 for 0.5; E_Y(y) = 0.2 becomes 0.5, then -0.3 for -0.25
    assert values(terms) == pytest.approx(game | {"latent/X": 0.25, "latent/Y": 0.05}, abs=1e-12)
    assert_close(fakes["G_X"], constant(0.35))
    assert_close(fakes["G_Y"], constant(-0.5))


def test_cogans_discriminators_share_all_but_their_first_layer():
    terms = discriminator_losses(cogan(), x, y, {"G_X": constant(0.35), "G_Y": constant(-0.5)})
    # real: D(D_X(0.5)) = 1.7, D(D_Y(-0.25)) = -1: (0.7^2 + 1.25^2) / 2, (2^2 + 2.5^2) / 2
    assert values(terms) == pytest.approx({"discriminator/X": 1.02625, "discriminator/Y": 5.125}, abs=1e-12)


def test_finding_latents_does_not_move_cogans_generators():
    method = cogan()
    terms, _ = generator_losses(method, x, y)
    (terms["latent/X"] + terms["latent/Y"]).backward()
    assert method.E_X.slope.grad is not None and method.E_Y.slope.grad is not None
    # 0.25 = G_X(G(E_X(x))) is below x: d|.|/d slope of E_X = -x * 2 * 0.5 = -0.5
    assert method.E_X.slope.grad.item() == pytest.approx(-0.5)
    assert all(network.slope.grad is None for network in (method.G, method.G_X, method.G_Y))


def test_cogans_networks_are_tied_and_its_latent_grid_fits_any_size():
    method = CoGAN(CoGANConfig(generator=CoupledConfig(width=4, halvings=3, latent=5)), (3, 1))
    there, back = method.translators["AtoB"], method.translators["BtoA"]
    assert there[1] is back[1] is method.G
    z = method.noise(torch.zeros(2, 3, 16, 40))
    assert z.shape == (2, 5, 2, 5) and -1 <= z.min() < -0.5 and 0.5 < z.max() <= 1
    assert there(torch.zeros(2, 3, 16, 40)).shape == (2, 1, 16, 40)
    assert back(torch.zeros(2, 1, 16, 40)).shape == (2, 3, 16, 40)


def test_terms_that_compare_the_domains_refuse_other_channels():
    with pytest.raises(ValueError, match=r"content_weight compares G\(x\) with x.*got 3 and 1"):
        SimGAN(SimGANConfig(**TINY), (3, 1))
    with pytest.raises(ValueError, match="1 or 3 channels"):
        FeatureGAN(FeatureGANConfig(**TINY), (3, 4))


@pytest.mark.parametrize("config", [SimGANConfig, FeatureGANConfig, Pix2PixConfig])
def test_weights_of_baselines_must_be_finite_and_not_negative(config):
    names = [name for name in vars(config()) if name.endswith("_weight")]
    assert names
    for name in names:
        with pytest.raises(ValueError, match=rf"method\.{name} .*got -1"):
            config(**{name: -1})


def test_cogans_discriminators_are_initialised_as_set_and_refuse_what_they_do_not_have():
    stds = []
    for gain in (0.02, 0.5):
        torch.manual_seed(0)
        discriminator = PatchGANConfig(width=8, layers=1, norm="none", init_gain=gain)
        made = CoGAN(CoGANConfig(generator=CoupledConfig(width=4, latent=8), discriminator=discriminator), (3, 3))
        stds.append((made.D[0].weight.std().item(), made.D_X[0].weight.std().item(), made.G[0].weight.std().item()))
    assert [second / first for first, second in zip(*stds, strict=True)] == pytest.approx([25, 25, 1], rel=1e-4)
    for wrong in ({"scales": 3}, {"spectral_norm": True}):
        with pytest.raises(ValueError, match="cogan, whose discriminators share layers, takes scales 1"):
            CoGANConfig(discriminator=PatchGANConfig(**wrong))
