import pytest
import torch
from torch import relu_
from torch.nn.functional import conv2d, conv_transpose2d, instance_norm, leaky_relu_
from torch.testing import assert_close

from unpaired.models import UNetConfig, UNetGenerator
from unpaired.models.layers import ResizeConv

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


@pytest.mark.parametrize(("settings", "words"), [({"width": 0}, "width.*got 0"), ({"downs": 4}, "downs.*got 4")])
def test_impossible_sizes_are_refused_with_the_value_found(settings, words):
    with pytest.raises(ValueError, match=words):
        UNetConfig(**settings)


def test_resize_convolutions_replace_every_stride_half_convolution_and_keep_its_place():
    plain, resize = tiny(), tiny(upsampling="resize")
    places = [name for name, module in plain.named_modules() if isinstance(module, torch.nn.ConvTranspose2d)]
    assert len(places) == 5
    assert [name for name, module in resize.named_modules() if isinstance(module, ResizeConv)] == places
    assert resize(torch.rand(1, 3, 64, 32)).shape == (1, 3, 64, 32)
