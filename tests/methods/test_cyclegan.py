import math

import pytest
import torch
from torch.testing import assert_close

from tests.methods.lines import (
    Line,
    LineDiscriminator,
    constant,
    discriminator_losses,
    generator_losses,
    merge_passes,
    values,
)
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import ABLATIONS, Batch, CycleGAN, CycleGANConfig, forward_many
from unpaired.models import PatchGANConfig, PixelGANConfig, ResNetConfig
from unpaired.training.engine import Engine, frozen
from unpaired.training.trainer import Trainer

FORMS = ("least-squares", "log-likelihood", "hinge")
TINY = {"generator": ResNetConfig(width=4, blocks=1), "discriminator": PatchGANConfig(width=4, layers=1)}
X, Y = 0.5, -0.25
"""The images of the worked example: two of each domain, constant."""


def worked_example(**settings):
    """G(x) = x/2 + 0.1, F(y) = 0.2 - y, D_Y(y) = 2 y, D_X(x) = x - 1.

    x = 0.5, so G(x) = 0.35, F(G(x)) = -0.15, F(x) = -0.3;
    y = -0.25, so F(y) = 0.45, G(F(y)) = 0.325, G(y) = -0.025.
    D_Y(G(x)) = 0.7, D_Y(y) = -0.5; D_X(F(y)) = -0.55, D_X(x) = -0.5.
    """
    weights = {"forward_cycle_weight": 10.0, "backward_cycle_weight": 7.0, "identity_weight": 5.0}
    method = CycleGAN(CycleGANConfig(**TINY, **weights | settings), (3, 3))
    method.G, method.F = Line(0.5, 0.1), Line(-1.0, 0.2)
    method.D_Y, method.D_X = LineDiscriminator(2.0, 0.0), LineDiscriminator(1.0, -1.0)
    return method


def log1pexp(score):
    return math.log(1 + math.exp(score))


GENERATOR = {
    # (0.7 - 1)^2 and (-0.55 - 1)^2
    "least-squares": {"gan/G": 0.09, "gan/F": 2.4025},
    # -log sigmoid(s) = log(1 + e^-s)
    "log-likelihood": {"gan/G": log1pexp(-0.7), "gan/F": log1pexp(0.55)},
    "hinge": {"gan/G": -0.7, "gan/F": 0.55},
}
DISTANCES = {
    "cycle/G": 6.5,  # 10 |F(G(x)) - x| = 10 |-0.15 - 0.5|
    "cycle/F": 4.025,  # 7 |G(F(y)) - y| = 7 |0.325 + 0.25|
    "identity/G": 1.125,  # 5 |G(y) - y| = 5 |-0.025 + 0.25|
    "identity/F": 4.0,  # 5 |F(x) - x| = 5 |-0.3 - 0.5|
}
DISCRIMINATOR = {
    # ((-0.5 - 1)^2 + 0.7^2) / 2 and ((-0.5 - 1)^2 + (-0.55)^2) / 2
    "least-squares": {"discriminator/Y": 1.37, "discriminator/X": 1.27625},
    "log-likelihood": {
        "discriminator/Y": (log1pexp(0.5) + log1pexp(0.7)) / 2,
        "discriminator/X": (log1pexp(0.5) + log1pexp(-0.55)) / 2,
    },
    # (max(0, 1 + 0.5) + max(0, 1 + 0.7)) / 2 and (max(0, 1 + 0.5) + max(0, 1 - 0.55)) / 2
    "hinge": {"discriminator/Y": 1.6, "discriminator/X": 0.975},
}


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_generator_term_equals_its_value_worked_by_hand(form, joined):
    method = worked_example(adversarial=form)
    merge_passes(method, joined)
    terms, fakes = generator_losses(method, constant(X), constant(Y))
    assert values(terms) == pytest.approx(GENERATOR[form] | DISTANCES, abs=1e-12)
    assert_close(fakes["G"], constant(0.35))
    assert_close(fakes["F"], constant(0.45))


@pytest.mark.parametrize("joined", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_every_discriminator_term_equals_its_value_worked_by_hand(form, joined):
    method = worked_example(adversarial=form)
    merge_passes(method, joined)
    terms = discriminator_losses(method, constant(X), constant(Y), {"F": constant(0.45), "G": constant(0.35)})
    assert values(terms) == pytest.approx(DISCRIMINATOR[form], abs=1e-12)


def test_discriminators_judge_what_their_own_history_hands_out():
    method = worked_example()
    method.past_y = lambda fakes: torch.full_like(fakes, 0.8)  # an older G(x): D_Y scores it 1.6
    method.past_x = lambda fakes: torch.full_like(fakes, 0.2)  # an older F(y): D_X scores it -0.8
    terms = discriminator_losses(method, constant(X), constant(Y), {"F": constant(0.45), "G": constant(0.35)})
    # ((-0.5 - 1)^2 + 1.6^2) / 2 and ((-0.5 - 1)^2 + 0.8^2) / 2
    assert values(terms) == pytest.approx({"discriminator/Y": 2.405, "discriminator/X": 1.445}, abs=1e-12)


def test_only_the_discriminators_step_adds_to_the_histories():
    method = worked_example(history=5)
    _, fakes = generator_losses(method, constant(X), constant(Y))
    assert method.past_x.images == method.past_y.images == []
    discriminator_losses(method, constant(X), constant(Y), fakes)
    assert_close(torch.stack(method.past_y.images), constant(0.35))
    assert_close(torch.stack(method.past_x.images), constant(0.45))


@pytest.mark.parametrize(
    ("setting", "names"),
    [
        ("gan_weight", {"gan/G", "gan/F"}),
        ("forward_cycle_weight", {"cycle/G"}),
        ("backward_cycle_weight", {"cycle/F"}),
        ("identity_weight", {"identity/F", "identity/G"}),
    ],
)
def test_a_weight_of_zero_takes_its_own_term_out_and_no_other(setting, names):
    terms, _ = generator_losses(worked_example(**{setting: 0.0}), constant(X), constant(Y))
    whole = GENERATOR["least-squares"] | DISTANCES
    assert values(terms) == pytest.approx({k: v for k, v in whole.items() if k not in names}, abs=1e-12)


def test_the_weight_of_the_game_multiplies_both_adversarial_terms():
    terms, _ = generator_losses(worked_example(gan_weight=3.0), constant(X), constant(Y))
    assert values(terms) == pytest.approx(DISTANCES | {"gan/G": 0.27, "gan/F": 7.2075}, abs=1e-12)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("cycle alone", {"cycle/G", "cycle/F"}),
        ("GAN alone", {"gan/G", "gan/F"}),
        ("GAN + forward cycle", {"gan/G", "gan/F", "cycle/G"}),  # |F(G(x)) - x|
        ("GAN + backward cycle", {"gan/G", "gan/F", "cycle/F"}),  # |G(F(y)) - y|
    ],
)
def test_the_ablations_keep_the_terms_that_tables_4_and_5_name(name, kept):
    weights = {key.removeprefix("method."): value for key, value in ABLATIONS[name].items()}
    terms, _ = generator_losses(worked_example(identity_weight=0.0, **weights), constant(X), constant(Y))
    assert set(terms) == kept


def test_an_objective_without_terms_is_refused():
    with pytest.raises(ValueError, match="one weight above 0"):
        CycleGANConfig(gan_weight=0, forward_cycle_weight=0, backward_cycle_weight=0)


def test_without_identity_weight_its_terms_are_neither_computed_nor_named():
    method = worked_example(identity_weight=0.0)
    terms, _ = generator_losses(method, constant(X), constant(Y))
    expected = GENERATOR["least-squares"] | {name: DISTANCES[name] for name in ("cycle/G", "cycle/F")}
    assert values(terms) == pytest.approx(expected, abs=1e-12)
    assert method.G.calls == method.F.calls == [2, 2]  # a translation and a way back, two images each


@pytest.mark.parametrize(("joined", "generator", "discriminator"), [(False, [2, 2, 2], [2, 2]), (True, [4, 2], [4])])
def test_joining_saves_passes_over_the_same_images(joined, generator, discriminator):
    method = worked_example()
    merge_passes(method, joined)
    _, fakes = generator_losses(method, constant(X), constant(Y))
    assert method.G.calls == generator and method.F.calls == generator[::-1]  # F cycles before it translates
    assert method.D_X.calls == method.D_Y.calls == [2]
    method.D_X.calls.clear()
    method.D_Y.calls.clear()
    discriminator_losses(method, constant(X), constant(Y), fakes)
    assert method.D_X.calls == method.D_Y.calls == discriminator


def test_batches_of_different_sizes_and_networks_that_mix_images_are_never_joined():
    network = Line(2.0, 0.0)
    network.merge_passes = True
    wide = torch.ones(1, 3, 4, 8, dtype=torch.float64)
    small, large = forward_many(network, constant(1.0), wide)
    assert network.calls == [2, 1] and small.shape == (2, 3, 4, 4) and large.shape == (1, 3, 4, 8)
    network.calls.clear()
    network.batch_independent = False
    forward_many(network, constant(1.0), constant(2.0))
    assert network.calls == [2, 2]


def test_joined_batches_of_different_lengths_come_back_in_their_order():
    network = Line(2.0, 0.0)
    network.merge_passes = True
    a, b = forward_many(network, constant(1.0), constant(3.0)[:1])
    assert network.calls == [3]
    assert_close(a, constant(2.0))
    assert_close(b, constant(6.0)[:1])


def test_gradients_of_the_generator_terms_reach_both_generators_through_both_cycles():
    method = worked_example()
    terms, _ = generator_losses(method, constant(X), constant(Y))
    # F(G(x)) - x = 0.2 - (s x + t) - x is negative: d(10 |.|)/ds = 10 x, d/dt = 10
    slope, shift = torch.autograd.grad(terms["cycle/G"], [method.G.slope, method.G.shift])
    assert (slope.item(), shift.item()) == pytest.approx((5.0, 10.0))
    # G(F(y)) - y = (s (0.2 - y) + t) - y is positive: d(7 |.|)/ds = 7 * 0.45, d/dt = 7
    terms, _ = generator_losses(method, constant(X), constant(Y))
    slope, shift = torch.autograd.grad(terms["cycle/F"], [method.G.slope, method.G.shift])
    assert (slope.item(), shift.item()) == pytest.approx((3.15, 7.0))


def test_translations_handed_to_the_discriminators_carry_no_gradient():
    _, fakes = generator_losses(worked_example(), constant(X), constant(Y))
    assert not fakes["F"].requires_grad and not fakes["G"].requires_grad


def test_the_discriminators_step_gives_the_generators_no_gradient():
    method = worked_example()
    _, fakes = generator_losses(method, constant(X), constant(Y))
    sum(discriminator_losses(method, constant(X), constant(Y), fakes).values()).backward()
    assert all(p.grad is None for network in method.generators.values() for p in network.parameters())
    assert all(p.grad is not None for network in method.discriminators.values() for p in network.parameters())


def test_inside_frozen_the_generators_step_gives_the_discriminators_no_gradient():
    method = worked_example()
    with frozen(method.discriminators):
        terms, _ = generator_losses(method, constant(X), constant(Y))
        sum(terms.values()).backward()
    assert all(p.grad is None for network in method.discriminators.values() for p in network.parameters())
    assert all(p.grad is not None for network in method.generators.values() for p in network.parameters())
    assert all(p.requires_grad for network in method.discriminators.values() for p in network.parameters())


def test_discriminators_are_thawed_even_when_the_step_fails():
    method = worked_example()
    with pytest.raises(ZeroDivisionError), frozen(method.discriminators):
        assert not any(p.requires_grad for network in method.discriminators.values() for p in network.parameters())
        _ = 1 / 0
    assert all(p.requires_grad for network in method.discriminators.values() for p in network.parameters())


def test_domains_may_differ_in_channels():
    method = CycleGAN(CycleGANConfig(**TINY), (1, 3))
    x, y = torch.rand(2, 1, 16, 16), torch.rand(2, 3, 16, 16)
    terms, fakes = generator_losses(method, x, y)
    assert fakes["F"].shape == x.shape and fakes["G"].shape == y.shape
    judged = discriminator_losses(method, x, y, fakes)
    assert all(term.isfinite() for term in (terms | judged).values())


def test_identity_needs_equal_channels_and_says_which_setting_to_change():
    with pytest.raises(ValueError, match=r"got 1 and 3; set --method.identity-weight 0"):
        CycleGAN(CycleGANConfig(**TINY, identity_weight=5.0), (1, 3))


@pytest.mark.parametrize("name", ["forward_cycle_weight", "backward_cycle_weight", "identity_weight", "history"])
@pytest.mark.parametrize("value", [-1, math.nan, math.inf])
def test_weights_must_be_finite_and_not_negative(name, value):
    with pytest.raises(ValueError, match=rf"method\.{name} .*got {value}"):
        CycleGANConfig(**{name: value})


def test_directions_and_networks_carry_the_letters_of_the_paper():
    method = CycleGAN(CycleGANConfig(**TINY), (2, 3))
    assert method.translators == {"AtoB": method.G, "BtoA": method.F}
    assert method.generators == {"G": method.G, "F": method.F}
    assert method.discriminators == {"D_X": method.D_X, "D_Y": method.D_Y}
    assert method.planned == {"past_x": method.past_x, "past_y": method.past_y}
    assert [method.G.model[1].in_channels, method.F.model[1].in_channels] == [2, 3]
    assert [method.D_X.model[0].in_channels, method.D_Y.model[0].in_channels] == [2, 3]


def trainer(joined, discriminator, history=2, batch_norm=False):
    torch.manual_seed(0)
    generator = ResNetConfig(width=4, blocks=1, norm="batch" if batch_norm else "instance")
    cfg = CycleGANConfig(generator=generator, discriminator=discriminator, identity_weight=5.0, history=history)
    method = CycleGAN(cfg, (3, 3)).double()
    made = Trainer(method, OptimConfig(), Engine(RuntimeConfig(precision="fp32", device="cpu")))
    merge_passes(method, joined)
    return made


@pytest.mark.slow
@pytest.mark.parametrize("discriminator", [PatchGANConfig(width=4, layers=2), PixelGANConfig(width=4)])
def test_joined_passes_train_the_same_weights_as_separate_ones(discriminator):
    """Exact arithmetic would make them equal; float64 leaves 1e-9 after twenty Adam steps."""
    together, apart = trainer(True, discriminator), trainer(False, discriminator)
    random = torch.Generator().manual_seed(0)
    for _ in range(20):
        x, y = torch.rand(2, 2, 3, 16, 16, generator=random, dtype=torch.float64) * 2 - 1
        first, second = together.train_step(Batch(x, y)), apart.train_step(Batch(x, y))
        assert values(first) == pytest.approx(values(second), rel=1e-8)
    start = trainer(False, discriminator).method.state_dict()
    ends = zip(together.method.state_dict().items(), apart.method.state_dict().values(), strict=True)
    for (name, ours), theirs in ends:
        assert_close(ours, theirs, rtol=0, atol=1e-9, msg=name)
        assert name.endswith("bias") or (ours - start[name]).abs().max() > 1e-4, f"{name} was not trained"


def test_a_generator_that_mixes_images_trains_the_same_when_joining_is_allowed():
    discriminator = PatchGANConfig(width=4, layers=1)
    together, apart = trainer(True, discriminator, batch_norm=True), trainer(False, discriminator, batch_norm=True)
    x, y = torch.rand(2, 2, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    pairs = zip(together.train_step(Batch(x, y)).values(), apart.train_step(Batch(x, y)).values(), strict=True)
    for ours, theirs in pairs:
        assert ours.item() == pytest.approx(theirs.item(), rel=1e-12)


def test_a_step_updates_the_generators_against_the_discriminators_as_they_were_before_it():
    made = trainer(False, PatchGANConfig(width=4, layers=1))
    x, y = torch.rand(2, 1, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    before = {name: value.clone() for name, value in made.method.state_dict().items()}
    expected, fakes = generator_losses(made.method, x, y)
    terms = made.train_step(Batch(x, y))
    assert {name: terms[name].item() for name in expected} == pytest.approx(values(expected), rel=1e-12)
    # the discriminators were shown the translations made before the update
    assert_close(torch.stack(made.method.past_y.images), fakes["G"])
    assert not any(term.requires_grad for term in terms.values())
    changed = [name for name, value in made.method.state_dict().items() if not torch.equal(value, before[name])]
    assert {name.partition(".")[0] for name in changed} == {"G", "F", "D_X", "D_Y"}
