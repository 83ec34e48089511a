import pytest

from unpaired.presets import SCALED, crop_in, preset, quick, standard
from unpaired.training.schedule import Schedule


def test_presets_for_own_folders_follow_the_crop():
    sizes = {crop: standard(crop) for crop in (64, 128, 256, 512)}
    found = {
        crop: (
            e.method.generator.width,
            e.method.generator.downs,
            e.method.discriminator.patchgan.layers,
            e.method.discriminator.projected.side,
            e.optim.epochs + e.optim.decay_epochs,
            *(Schedule(e.optim, images).steps for images in (100, 1000, 9000)),
            e.data.load_size,
        )
        for crop, e in sizes.items()
    }
    assert found == {
        64: (32, 5, 2, 128, 10, 5_000, 10_000, 40_000, 72),
        128: (48, 6, 2, 128, 20, 10_000, 20_000, 80_000, 144),
        256: (64, 7, 3, 256, 40, 20_000, 40_000, 160_000, 288),
        512: (64, 7, 3, 256, 40, 20_000, 40_000, 160_000, 576),
    }
    assert {crop: quick(crop).method.generator.downs for crop in (32, 64, 128, 256)} == {32: 5, 64: 5, 128: 6, 256: 7}


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("crop", ["512x256", "256x512"])
def test_networks_and_steps_follow_the_smaller_side(name, crop):
    there, square = SCALED[name](crop), SCALED[name](256)
    assert (there.method, there.optim) == (square.method, square.optim)
    assert (there.data.load, there.data.crop) == (
        ((576, 288), (512, 256)) if crop == "512x256" else ((288, 576), (256, 512))
    )


@pytest.mark.parametrize("name", SCALED)
def test_the_crop_on_the_command_line_reaches_the_preset(name):
    assert preset(name, crop_in({"data.crop_size": "128"})) == SCALED[name](128)
    assert preset(name, crop_in({"data.crop_size": "256x128"})) == SCALED[name]("256x128")
    assert preset(name, crop_in({})) == SCALED[name]()


@pytest.mark.parametrize("text", ["", "x", "-64", "16", "99999", "6.4", "64x16", "64x", "64x64x64"])
def test_a_crop_of_no_use_leaves_the_preset_as_it_is(text):
    assert crop_in({"data.crop_size": text}) is None


def test_presets_of_one_size_ignore_the_crop():
    assert preset("earth", 128) == preset("earth")
