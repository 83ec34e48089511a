import pytest
import torch
from torch import relu_
from torch.nn.functional import conv2d, conv_transpose2d, instance_norm, leaky_relu_
from torch.testing import assert_close

from unpaired.models import UNetConfig, UNetGenerator, build_generator
from unpaired.models.layers import BlurConv, ConvBlur, ResizeConv

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(cfg, channels=3, out_channels=3):
    with torch.device("meta"):
        return UNetGenerator(cfg, channels, out_channels)


def tiny(channels=3, out_channels=3, **settings):
    torch.manual_seed(0)
    return UNetGenerator(UNetConfig(**{"width": 2, "downs": 5} | settings), channels, out_channels)


def official_shapes(downs, norm, dropout, width, channels, out_channels):
    """Names and shapes of the official checkpoints: blocks nested at index 1, then 3, 3, ...

    Outermost: 0 conv, 1 block, 2 ReLU, 3 transposed. Between: 0 LeakyReLU, 1 conv, 2 norm, 3 block, 4 ReLU,
    5 transposed, 6 norm, 7 dropout. Innermost: 0 LeakyReLU, 1 conv, 2 ReLU, 3 transposed, 4 norm.
    """
    widths = [width * min(2**k, 8) for k in range(downs)]
    shapes = {}

    def add(name, shape, out, norm_name=None, bias=norm == "instance"):
        shapes[f"{name}.weight"] = shape
        if bias:
            shapes[f"{name}.bias"] = (out,)
        if norm == "batch" and norm_name:
            shapes.update({f"{norm_name}.{part}": () if part.startswith("num") else (out,) for part in BATCH_NORM})

    add("model.model.0", (width, channels, 4, 4), width)
    add("model.model.3", (2 * width, out_channels, 4, 4), out_channels, bias=True)
    place = "model.model.1.model"
    for outer, inner in zip(widths[:-2], widths[1:-1], strict=True):
        add(f"{place}.1", (inner, outer, 4, 4), inner, f"{place}.2")
        add(f"{place}.5", (2 * inner, outer, 4, 4), outer, f"{place}.6")
        place += ".3.model"
    add(f"{place}.1", (widths[-1], widths[-2], 4, 4), widths[-1])
    add(f"{place}.3", (widths[-1], widths[-2], 4, 4), widths[-2], f"{place}.4")
    return shapes


@pytest.mark.parametrize("downs", [7, 8])  # the official unet_128 and unet_256
@pytest.mark.parametrize(("norm", "dropout"), [("instance", False), ("batch", True), ("none", False)])
def test_names_and_shapes_of_the_weights_are_those_of_the_official_checkpoints(downs, norm, dropout):
    network = on_meta(UNetConfig(downs=downs, norm=norm, dropout=dropout, width=8), 2, 5)
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert found == official_shapes(downs, norm, dropout, 8, 2, 5)


def test_dropout_sits_in_the_innermost_full_width_steps_only():
    network = on_meta(UNetConfig(downs=8, dropout=True))
    places = {name for name, module in network.named_modules() if isinstance(module, torch.nn.Dropout)}
    nested = [f"model.model.1.model.{'3.model.' * depth}7" for depth in range(7)]
    assert places == set(nested[3:6])  # 256 px: scales 5, 6 and 7 of 8


def test_the_output_is_as_large_as_an_input_whose_sides_divide_by_two_to_the_downs():
    network = tiny()
    assert network.size_multiple == 32
    for size in ((32, 32), (64, 32), (32, 96)):
        assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_other_sides_do_not_fit_together():
    with pytest.raises(RuntimeError, match="[Ss]izes of tensors must match"):
        tiny()(torch.rand(1, 3, 48, 36))


@pytest.mark.parametrize(("channels", "out_channels"), [(1, 3), (2, 5)])
def test_the_two_domains_may_differ_in_channels(channels, out_channels):
    network = tiny(channels, out_channels)
    assert network(torch.rand(1, channels, 32, 32)).shape == (1, out_channels, 32, 32)


def test_the_output_fills_the_range_of_images_and_never_leaves_it():
    network = tiny()
    with torch.no_grad():
        network.model.model[3].weight.mul_(100)
        out = network(torch.rand(1, 3, 64, 64) * 2 - 1)
    assert out.abs().max() <= 1
    assert out.min() < -0.99 and out.max() > 0.99


def published_block(weights, x, place, scales):
    """A block of the published code with instance norm, spelled out: its activations act in place, on x too."""

    def parts(k):
        return weights[f"{place}.{k}.weight"], weights[f"{place}.{k}.bias"]

    inner = conv2d(leaky_relu_(x, 0.2), *parts(1), stride=2, padding=1)
    if scales > 1:
        inner = published_block(weights, instance_norm(inner), f"{place}.3.model", scales - 1)
    up = conv_transpose2d(relu_(inner), *parts(5 if scales > 1 else 3), stride=2, padding=1)
    return torch.cat([x, instance_norm(up)], 1)


def test_the_skips_carry_activated_features_as_the_published_in_place_code_does():
    network = tiny(width=4).double()
    block, weights = network.model.model[1], network.state_dict()
    features = torch.randn(2, 4, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        ours = block(features.clone())
        assert_close(ours, published_block(weights, features.clone(), "model.model.1.model", 4), rtol=0, atol=1e-12)
    assert_close(ours[:, :4], torch.where(features > 0, features, 0.2 * features), rtol=0, atol=0)


def test_the_whole_network_equals_the_published_one_written_out():
    network = tiny(width=4).double()
    image = torch.rand(2, 3, 64, 64, dtype=torch.float64) * 2 - 1
    weights = network.state_dict()
    with torch.no_grad():
        x = conv2d(image, weights["model.model.0.weight"], weights["model.model.0.bias"], stride=2, padding=1)
        x = relu_(published_block(weights, x, "model.model.1.model", 4))
        x = conv_transpose2d(x, weights["model.model.3.weight"], weights["model.model.3.bias"], stride=2, padding=1)
        assert_close(network(image), x.tanh(), rtol=0, atol=1e-12)


def test_the_input_image_is_left_as_it_was():
    image = torch.rand(1, 3, 32, 32) - 0.5
    before = image.clone()
    tiny()(image)
    assert torch.equal(image, before)


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_without_batch_norm_each_image_of_a_batch_is_translated_alone(norm):
    network = tiny(norm=norm).double()
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    assert network.batch_independent
    assert_close(network(images), torch.cat([network(image[None]) for image in images]), rtol=0, atol=1e-12)


def test_with_batch_norm_the_images_of_a_batch_depend_on_one_another():
    network = tiny(norm="batch").double()
    images = torch.rand(3, 3, 64, 64, dtype=torch.float64)
    assert not network.batch_independent
    assert (network(images) - torch.cat([network(image[None]) for image in images])).abs().max() > 1e-3


def test_with_instance_norm_training_and_evaluation_give_the_same():
    network, images = tiny(), torch.rand(2, 3, 32, 32)
    network(torch.rand(2, 3, 32, 32) + 5)
    assert torch.equal(network.train()(images), network.eval()(images))
    assert list(network.buffers()) == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"width": 0}, "width.*got 0"),
        ({"downs": 4}, "downs.*got 4"),
        ({"image_skip": True}, "image_skip needs upsampling .resize., got 'transposed'"),
    ],
)
def test_impossible_sizes_are_refused_with_the_value_found(settings, words):
    with pytest.raises(ValueError, match=words):
        UNetConfig(**settings)


def test_resize_convolutions_replace_every_stride_half_convolution_and_keep_its_place():
    plain, resize = tiny(), tiny(upsampling="resize")
    places = [name for name, module in plain.named_modules() if isinstance(module, torch.nn.ConvTranspose2d)]
    assert len(places) == 5
    assert [name for name, module in resize.named_modules() if isinstance(module, ResizeConv)] == places
    assert resize(torch.rand(1, 3, 64, 32)).shape == (1, 3, 64, 32)


def test_the_last_convolution_sees_the_image_beside_the_features():
    network = tiny(upsampling="resize", image_skip=True)
    plain, image = tiny(upsampling="resize"), torch.rand(1, 3, 32, 64) * 2 - 1
    weight = network.last[1].weight.data
    assert weight.shape[1] == plain.model.model[3].conv.weight.shape[1] + 3
    weight.zero_()
    weight[range(3), range(-3, 0), 1, 1] = 1.0  # the middle of each kernel on its own channel of the image
    network.last[1].bias.data.zero_()
    assert_close(network(image), torch.tanh(image))


@pytest.mark.parametrize(("channels", "out_channels"), [(3, 3), (1, 3), (3, 1)])
def test_the_last_convolution_begins_with_a_copy_of_the_image(channels, out_channels):
    cfg = UNetConfig(width=4, downs=5, upsampling="resize", image_skip=True)
    network = build_generator(cfg, channels, out_channels)
    weight = network.last[1].weight.detach()
    copied = torch.zeros(out_channels, channels, 3, 3)
    copied[range(min(channels, out_channels)), range(min(channels, out_channels)), 1, 1] = 1.0
    assert torch.equal(weight[:, -channels:], copied)
    assert 0.01 < float(weight[:, :-channels].std()) < 0.03  # the features' weights stay drawn


def test_blurs_replace_every_convolution_that_changes_the_size_and_keep_its_place():
    plain, blur = tiny(), tiny(downsampling="blur", upsampling="blur")
    for old, new in ((torch.nn.Conv2d, ConvBlur), (torch.nn.ConvTranspose2d, BlurConv)):
        places = [name for name, module in plain.named_modules() if isinstance(module, old)]
        assert [name for name, module in blur.named_modules() if isinstance(module, new)] == places and len(places) == 5
    for size in ((32, 32), (32, 96)):
        assert blur(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_a_blurred_halving_is_a_convolution_and_the_binomial_mean_at_every_second_place():
    down = ConvBlur(1, 1, bias=False).double()
    down.conv.weight.data = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    down.conv.weight.data[0, 0, 1, 1] = 2.0
    x = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    x[0, 0, 1, 2] = 16.0
    # 32 at row 1, column 2: row weights 2/4 from row 0 (mirrored) and 1/4 from row 2; column 2 is sampled, weight 2/4
    assert_close(down(x)[0, 0], torch.tensor([[0.0, 8.0], [0.0, 4.0]], dtype=torch.float64))


def change_by_a_shift(network, pixels):
    """How much a translation changes when the image moves on a blank ground, relative to its contrast."""
    image = torch.rand(1, 3, 48, 48, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    seen = []
    for first in (48, 48 + pixels):
        ground = torch.zeros(1, 3, 160, 160, dtype=torch.float64)
        ground[:, :, first : first + 48, first : first + 48] = image
        with torch.no_grad():
            seen.append(network(ground)[:, :, first : first + 48, first : first + 48])
    return float((seen[0] - seen[1]).norm() / (seen[0] - seen[0].mean((2, 3), keepdim=True)).norm())


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_a_translation_follows_a_shift_of_one_pixel_better_with_blurs(norm):
    def change(pixels, sampling):
        torch.manual_seed(0)
        cfg = UNetConfig(width=4, downs=5, norm=norm, init="kaiming", **sampling)
        return change_by_a_shift(build_generator(cfg, 3, 3).double(), pixels)

    plain, blur = {}, {"downsampling": "blur", "upsampling": "blur"}
    assert change(32, plain) < 0.1 and change(32, blur) < 0.1  # the total stride: only the borders differ
    assert change(1, blur) < 0.6 * change(1, plain)
