import math

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits, sigmoid

from unpaired.losses.adversarial import (
    ADVERSARIAL,
    hinge_discriminator,
    hinge_generator,
    log_likelihood_discriminator,
    log_likelihood_generator,
    lsgan_discriminator,
    lsgan_generator,
)

HUGE = 1e4


def scores(*values):
    """One image's map of scores, (1, 1, 1, n)."""
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 1, -1)


def everywhere(value):
    return torch.full((2, 1, 3, 3), float(value), dtype=torch.float64)


def test_least_squares_discriminator_matches_values_worked_by_hand():
    assert lsgan_discriminator(everywhere(1), everywhere(0)) == 0
    assert lsgan_discriminator(everywhere(0), everywhere(1)) == 1  # (1 + 1) / 2
    assert lsgan_discriminator(everywhere(0.5), everywhere(0.5)) == 0.25  # (1/4 + 1/4) / 2
    # real: (4 + 0.25) / 2 = 2.125; fake: (4 + 0 + 1) / 3 = 5/3; half of the sum
    assert lsgan_discriminator(scores(3, 0.5), scores(2, 0, -1)).item() == pytest.approx((2.125 + 5 / 3) / 2, abs=1e-15)


def test_least_squares_generator_matches_values_worked_by_hand():
    assert lsgan_generator(everywhere(1)) == 0
    assert lsgan_generator(everywhere(0)) == 1
    assert lsgan_generator(scores(3, -1, 1, 0.5)).item() == 2.0625  # (4 + 4 + 0 + 0.25) / 4


def test_log_likelihood_matches_values_worked_by_hand():
    # D = sigmoid(0) = 1/2: (log 2 + log 2) / 2
    assert log_likelihood_discriminator(everywhere(0), everywhere(0)).item() == pytest.approx(math.log(2), abs=1e-15)
    assert log_likelihood_generator(everywhere(0)).item() == pytest.approx(math.log(2), abs=1e-15)
    # D(y) = sigmoid(log 3) = 3/4, D(G(x)) = sigmoid(-log 4) = 1/5: (-log 3/4 - log 4/5) / 2 = -log(3/5) / 2
    value = log_likelihood_discriminator(everywhere(math.log(3)), everywhere(-math.log(4)))
    assert value.item() == pytest.approx(-math.log(3 / 5) / 2, abs=1e-15)
    # D(G(x)) = 3/4 and 1/5: (-log 3/4 - log 1/5) / 2 = log(20/3) / 2
    value = log_likelihood_generator(scores(math.log(3), -math.log(4)))
    assert value.item() == pytest.approx(math.log(20 / 3) / 2, abs=1e-15)


def test_hinge_matches_values_worked_by_hand():
    assert hinge_discriminator(everywhere(1), everywhere(-1)) == 0
    assert hinge_discriminator(everywhere(5), everywhere(-7)) == 0  # beyond the margin nothing is gained
    assert hinge_discriminator(everywhere(0), everywhere(0)) == 1  # (1 + 1) / 2
    # real: (max(0, 1 - 3) + max(0, 1 + 1)) / 2 = 1; fake: (max(0, 1 + 0.5) + max(0, 1 - 2)) / 2 = 0.75
    assert hinge_discriminator(scores(3, -1), scores(0.5, -2)).item() == 0.875
    assert hinge_generator(scores(3, -1, 0.5)).item() == pytest.approx(-2.5 / 3, abs=1e-15)


def test_log_likelihood_is_the_cross_entropy_of_the_sigmoid():
    torch.manual_seed(0)
    real, fake = (torch.randn(2, 1, 5, 7, dtype=torch.float64) * 4 for _ in range(2))
    ones, zeros = torch.ones_like(real), torch.zeros_like(fake)
    by_torch = binary_cross_entropy_with_logits(real, ones) + binary_cross_entropy_with_logits(fake, zeros)
    by_definition = -(sigmoid(real).log().mean() + (1 - sigmoid(fake)).log().mean())  # Eq. 1, negated
    ours = log_likelihood_discriminator(real, fake)
    assert ours.item() == pytest.approx(by_torch.item() / 2, rel=1e-12)
    assert ours.item() == pytest.approx(by_definition.item() / 2, rel=1e-9)
    by_torch = binary_cross_entropy_with_logits(fake, ones)
    assert log_likelihood_generator(fake).item() == pytest.approx(by_torch.item(), rel=1e-12)


@pytest.mark.parametrize("score", [HUGE, -HUGE])
def test_log_likelihood_and_its_gradient_stay_finite_for_huge_scores(score):
    real, fake = (torch.full((1, 1, 2, 2), score, requires_grad=True) for _ in range(2))
    discriminator, generator = log_likelihood_discriminator(real, fake), log_likelihood_generator(fake)
    assert discriminator.item() == HUGE / 2  # one player wholly right, the other wrong by 1e4
    assert generator.item() == (0 if score > 0 else HUGE)
    (discriminator + generator).backward()
    assert real.grad is not None and real.grad.isfinite().all()
    assert fake.grad is not None and fake.grad.isfinite().all()


@pytest.mark.parametrize("form", ADVERSARIAL)
def test_the_discriminator_minimises_half_the_sum_of_its_two_errors(form):
    loss = ADVERSARIAL[form].discriminator
    error_on_one = {"least-squares": 4.0, "log-likelihood": math.log(1 + math.e), "hinge": 2.0}[form]
    perfect = {"least-squares": (1, 0), "log-likelihood": (HUGE, -HUGE), "hinge": (1, -1)}[form]
    assert loss(everywhere(perfect[0]), everywhere(perfect[1])) == 0
    # a real patch scored -1: (-1 - 1)^2 = 4, -log sigmoid(-1) = log(1 + e), 1 + 1 = 2; the other side perfect
    assert loss(everywhere(-1), everywhere(perfect[1])).item() == pytest.approx(error_on_one / 2, abs=1e-14)


@pytest.mark.parametrize("form", ADVERSARIAL)
def test_the_discriminator_pulls_real_scores_up_and_fake_ones_down_and_the_generator_pulls_them_up(form):
    real, fake = (everywhere(0.3).requires_grad_() for _ in range(2))
    ADVERSARIAL[form].discriminator(real, fake).backward()
    assert real.grad is not None and (real.grad < 0).all()  # descent raises them
    assert fake.grad is not None and (fake.grad > 0).all()
    judged = everywhere(0.3).requires_grad_()
    ADVERSARIAL[form].generator(judged).backward()
    assert judged.grad is not None and (judged.grad < 0).all()


@pytest.mark.parametrize("form", ADVERSARIAL)
def test_losses_are_means_so_repeating_patches_and_images_changes_nothing(form):
    torch.manual_seed(1)
    real, fake = (torch.randn(1, 1, 3, 3, dtype=torch.float64) for _ in range(2))
    game = ADVERSARIAL[form]
    discriminator, generator = game.discriminator(real, fake).item(), game.generator(fake).item()
    assert game.discriminator(real.repeat(4, 1, 2, 3), fake.repeat(4, 1, 2, 3)).item() == pytest.approx(discriminator)
    assert game.generator(fake.repeat(4, 1, 2, 3)).item() == pytest.approx(generator)


def test_the_forms_are_called_as_in_the_paper_and_its_successors():
    assert set(ADVERSARIAL) == {"least-squares", "log-likelihood", "hinge"}
    assert ADVERSARIAL["least-squares"].generator.__wrapped__ is lsgan_generator
    assert ADVERSARIAL["log-likelihood"].discriminator.__wrapped__ is log_likelihood_discriminator
    assert ADVERSARIAL["hinge"].discriminator.__wrapped__ is hinge_discriminator


def test_losses_of_several_outputs_are_averaged_with_equal_weights():
    loss = ADVERSARIAL["least-squares"]
    real, fake = (scores(1, 1, 1, 1), scores(3)), (scores(0, 0, 0, 0), scores(1))
    # first output: 0; second: ((3 - 1)^2 + 1^2) / 2 = 2.5
    assert loss.discriminator(real, fake).item() == 1.25
    # first output: (0 - 1)^2 = 1; second: 0
    assert loss.generator(fake).item() == 0.5
    assert loss.generator((scores(2.0),)).item() == loss.generator(scores(2.0)).item() == 1


def test_outputs_that_do_not_correspond_are_refused():
    with pytest.raises(ValueError):
        ADVERSARIAL["hinge"].discriminator((scores(1), scores(2)), (scores(1),))
