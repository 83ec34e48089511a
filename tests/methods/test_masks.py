"""Training with masks: the terms worked by hand, and what they do to a background."""

import pytest
import torch

from tests.methods.lines import constant, generator_losses, merge_passes, values
from tests.methods.test_cyclegan import X, Y, worked_example
from tests.methods.test_toys import GRAY, SMALL, Recolour, squares
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import Batch, CycleGAN, CycleGANConfig, SimGAN, SimGANConfig
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer


def masks():
    """Of x the left half; of y a quarter of every pixel."""
    of_x = torch.zeros(2, 1, 4, 4, dtype=torch.float64)
    of_x[..., :2] = 1
    return of_x, torch.full((2, 1, 4, 4), 0.25, dtype=torch.float64)


@pytest.mark.parametrize("joined", [False, True])
def test_every_masked_term_equals_its_value_worked_by_hand(joined):
    method = worked_example()
    merge_passes(method, joined)
    terms, fakes = generator_losses(method, constant(X), constant(Y), masks())
    assert values(terms) == pytest.approx(
        {
            "background/G": 0.75,  # 10 |G(x) - x| = 10 |0.35 - 0.5| on half of the pixels
            "background/F": 5.25,  # 10 * 3/4 |F(y) - y| = 7.5 |0.45 + 0.25|
            # left 0.35, scored 0.7; right 0.5, scored 1: the mean of 0.3^2 and 0
            "gan/G": 0.045,
            # 0.45 / 4 - 0.25 * 3/4 = -0.075, scored -1.075: 2.075^2
            "gan/F": 4.305625,
            "cycle/G": 7.25,  # F(0.35) = -0.15 and F(0.5) = -0.3: 10 times the mean of 0.65 and 0.8
            "cycle/F": 2.1875,  # G(-0.075) = 0.0625: 7 |0.0625 + 0.25|
            "identity/G": 1.125,
            "identity/F": 4.0,
        },
        abs=1e-12,
    )
    assert fakes["G"][..., 0].unique().tolist() == pytest.approx([0.35]) and fakes["G"][..., 3].unique().tolist() == [X]
    assert fakes["F"].unique().tolist() == pytest.approx([-0.075])


def test_white_masks_change_nothing_to_the_bit():
    torch.manual_seed(0)
    method, white = worked_example(), torch.ones(2, 1, 4, 4, dtype=torch.float64)
    x, y = torch.rand(2, 2, 3, 4, 4, dtype=torch.float64) * 2 - 1
    (terms, fakes), (plain, made) = generator_losses(method, x, y, (white, white)), generator_losses(method, x, y)
    assert values(terms) == values(plain) | {"background/G": 0, "background/F": 0}
    assert torch.equal(fakes["F"], made["F"]) and torch.equal(fakes["G"], made["G"])


def test_the_background_term_can_be_left_out():
    terms, _ = generator_losses(worked_example(background_weight=0.0), constant(X), constant(Y), masks())
    assert not any(name.startswith("background") for name in terms)


def changes(masked):
    """By how much G changes ground and squares of X, and F those of Y, after 150 steps; means over pixels.

    Y is X with a quarter of the contrast: -0.2 and 0.1 for -0.6 and 0.6.
    """
    torch.manual_seed(0)
    method = CycleGAN(CycleGANConfig(**SMALL), GRAY)
    method.G, method.F = Recolour(), Recolour()
    trainer = Trainer(method, OptimConfig(lr=0.01), Engine(RuntimeConfig(precision="fp32", device="cpu")))
    random = torch.Generator().manual_seed(0)
    for _ in range(150):
        x, seen_in_y = squares(random), squares(random)
        masks = ((x > 0).float(), (seen_in_y > 0).float()) if masked else None
        trainer.train_step(Batch(x, seen_in_y / 4 - 0.05, masks))
    x = squares(torch.Generator().manual_seed(1), 16)
    with torch.no_grad():
        pairs = ((x, method.G(x)), (x / 4 - 0.05, method.F(x / 4 - 0.05)))
    return [[float((out - image)[where].mean().abs()) for where in (x < 0, x > 0)] for image, out in pairs]


@pytest.mark.slow
def test_the_generators_themselves_learn_to_leave_what_is_outside_of_masks():
    plain, ((ground, square), (ground_back, _)) = changes(masked=False), changes(masked=True)
    assert all(changed > 0.25 for changed, _ in plain)  # 0.4, if X becomes Y pixel by pixel
    assert ground < 0.05 and ground_back < 0.05
    assert square > 0.15


def test_a_method_that_takes_none_says_so():
    assert not SimGAN.masked
    with pytest.raises(NotImplementedError, match="SimGAN takes no masks"):
        trainer = Trainer(SimGAN(SimGANConfig(**SMALL), GRAY), OptimConfig(), Engine(RuntimeConfig(device="cpu")))
        trainer.train_step(Batch(constant(X), constant(Y), masks()))
