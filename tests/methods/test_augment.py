"""DiffAugment in the methods: who is shown what."""

import pytest
import torch

from tests.methods.lines import Line, discriminator_losses, generator_losses
from unpaired.config.methods import augmentations
from unpaired.core.errors import BadInput
from unpaired.experiment import from_dict, to_dict, with_settings
from unpaired.methods import CUT, CUTConfig, CycleGAN, CycleGANConfig
from unpaired.models import PatchGANConfig, ResNetConfig
from unpaired.presets import preset

SMALL = {"generator": ResNetConfig(width=4, blocks=1), "discriminator": PatchGANConfig(width=4, layers=1)}
METHODS = {"cyclegan": (CycleGAN, CycleGANConfig), "cut": (CUT, CUTConfig)}
ALL = "colour,translation,cutout"
IMAGES = torch.linspace(-1, 1, 2 * 3 * 16 * 16).reshape(2, 3, 16, 16)


class Watching(Line):
    """Keeps what it is shown."""

    def forward(self, x):
        self.shown = [*getattr(self, "shown", []), x]
        return super().forward(x)


def make(name, **settings):
    torch.manual_seed(0)
    kind, config = METHODS[name]
    method = kind(config(**SMALL, **settings), (3, 3))
    method.D_Y = Watching(1.0, 0.0)
    return method


@pytest.mark.parametrize("name", METHODS)
def test_a_real_image_and_an_equal_translation_are_shown_equal_and_changed(name):
    method = make(name, augment=ALL)
    discriminator_losses(method, IMAGES, IMAGES, {"G": IMAGES, "F": IMAGES})
    real, fake = method.D_Y.shown
    assert torch.equal(real, fake) and not torch.equal(real, IMAGES)


@pytest.mark.parametrize("name", METHODS)
def test_the_adversarial_loss_of_the_generator_sees_augmented_translations_and_has_a_gradient(name):
    method = make(name, augment=ALL)
    losses, fakes = generator_losses(method, IMAGES, IMAGES)
    (shown,) = method.D_Y.shown
    assert not torch.allclose(shown, fakes["G"], atol=0.01)
    gradients = torch.autograd.grad(losses["gan/G"], [*method.G.parameters()], allow_unused=True)
    assert any(gradient is not None and bool(gradient.abs().sum() > 0) for gradient in gradients)


def test_the_numbers_differ_between_steps_and_between_discriminators():
    method = make("cyclegan", augment="colour")
    method.D_X, drawn = Watching(1.0, 0.0), []
    for _ in range(2):
        method.drawn.plan([2], torch.device("cpu"))
        discriminator_losses(method, IMAGES, IMAGES, {"G": IMAGES, "F": IMAGES})
        drawn += [method.D_Y.shown[-1], method.D_X.shown[-1]]
    assert all(not torch.equal(a, b) for k, a in enumerate(drawn) for b in drawn[:k])


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_kind_is_answered_with_the_known_ones(name):
    settings = {"method.name": name, "method.augment": "colour, shear"}
    with pytest.raises(BadInput, match="augment must be some of colour, translation, cutout, got 'shear'"):
        with_settings(preset("smoke"), settings)


def test_kinds_are_typed_with_commas_between_and_kept_in_a_file_of_settings():
    chosen = with_settings(preset("smoke"), {"method.augment": "colour, cutout"})
    assert augmentations(chosen.method.augment) == {"colour", "cutout"} and from_dict(to_dict(chosen)) == chosen


def test_without_a_policy_nothing_is_drawn_and_the_images_are_shown():
    make("cyclegan", augment=ALL)
    with_policy = torch.random.get_rng_state()
    method = make("cyclegan")
    assert method.planned.keys() == {"past_x", "past_y"} and not torch.equal(with_policy, torch.random.get_rng_state())
    discriminator_losses(method, IMAGES, IMAGES, {"G": IMAGES, "F": IMAGES})
    assert method.D_Y.shown[0] is IMAGES
