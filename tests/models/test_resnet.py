import numpy as np
import pytest
import torch
from torch import nn
from torch.testing import assert_close

from unpaired.models import ResNetConfig, ResNetGenerator
from unpaired.models.layers import ResizeConv

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(cfg, channels=3, out_channels=3):
    """The network's description without its memory."""
    with torch.device("meta"):
        return ResNetGenerator(cfg, channels, out_channels)


def tiny(seed=0, channels=3, out_channels=3, **settings):
    torch.manual_seed(seed)
    return ResNetGenerator(ResNetConfig(**{"width": 4, "blocks": 1} | settings), channels, out_channels)


def official_shapes(blocks, norm, dropout, padding, width=64, channels=3, out_channels=3):
    """Names and shapes of the official checkpoints.

    Convolutions at model.1, 4, 7, then blocks from 10 on, transposed ones at 10 + N and 13 + N, the last at
    17 + N. In a block the first convolution comes after its padding layer, if it has one; the second after
    the first's norm and ReLU, the dropout and its own padding layer, if it has one.
    """
    w, n = width, blocks
    first = 1 if padding == "reflect" else 0
    second = first + 3 + dropout + first
    convolutions = {1: (w, channels, 7, 7), 4: (2 * w, w, 3, 3), 7: (4 * w, 2 * w, 3, 3)}
    convolutions |= {10 + n: (4 * w, 2 * w, 3, 3), 13 + n: (2 * w, w, 3, 3), 17 + n: (out_channels, w, 7, 7)}
    outputs = {1: w, 4: 2 * w, 7: 4 * w, 10 + n: 2 * w, 13 + n: w, 17 + n: out_channels}
    names = {f"model.{k}": (shape, outputs[k], f"model.{k + 1}") for k, shape in convolutions.items()}
    for block in range(10, 10 + n):
        for k in (first, second):
            place = f"model.{block}.conv_block"
            names[f"{place}.{k}"] = ((4 * w, 4 * w, 3, 3), 4 * w, f"{place}.{k + 1}")
    shapes = {}
    for name, (shape, out, norm_name) in names.items():
        last = name == f"model.{17 + n}"
        shapes[f"{name}.weight"] = shape
        if norm == "instance" or last:
            shapes[f"{name}.bias"] = (out,)
        if norm == "batch" and not last:
            shapes |= {f"{norm_name}.{part}": () if part.startswith("num") else (out,) for part in BATCH_NORM}
    return shapes


@pytest.mark.parametrize(("blocks", "number"), [(9, 11_378_179), (6, 7_837_699)])
def test_the_published_generators_have_the_published_number_of_parameters(blocks, number):
    network = on_meta(ResNetConfig(blocks=blocks))
    assert sum(p.numel() for p in network.parameters()) == number
    assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize(
    ("blocks", "norm", "dropout", "padding"),
    [
        (9, "instance", False, "reflect"),
        (6, "instance", False, "reflect"),
        (0, "instance", False, "reflect"),
        (2, "instance", True, "reflect"),
        (2, "instance", False, "zero"),
        (2, "instance", True, "zero"),
        (2, "batch", False, "reflect"),
        (1, "batch", True, "zero"),
        (3, "none", False, "reflect"),
    ],
)
def test_names_and_shapes_of_the_weights_are_those_of_the_official_checkpoints(blocks, norm, dropout, padding):
    network = on_meta(ResNetConfig(blocks=blocks, norm=norm, dropout=dropout, padding=padding, width=8), 2, 5)
    found = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert found == official_shapes(blocks, norm, dropout, padding, width=8, channels=2, out_channels=5)


def test_the_documented_names_of_the_nine_block_network_are_met_literally():
    places = ["1", "4", "7", "19", "22", "26", *(f"{k}.conv_block.{c}" for k in range(10, 19) for c in (1, 5))]
    expected = {f"model.{place}.{part}" for place in places for part in ("weight", "bias")}
    assert set(on_meta(ResNetConfig()).state_dict()) == expected


def test_instance_norm_keeps_no_buffers():
    assert list(on_meta(ResNetConfig(blocks=1)).buffers()) == []


@pytest.mark.parametrize("upsampling", ["transposed", "resize"])
@pytest.mark.parametrize("size", [(12, 12), (16, 28), (36, 20)])
def test_the_output_is_as_large_as_an_input_whose_sides_divide_by_four(size, upsampling):
    network = tiny(upsampling=upsampling)
    assert network.size_multiple == 4
    assert network(torch.rand(1, 3, *size)).shape == (1, 3, *size)


def test_a_side_that_does_not_divide_by_four_comes_out_larger_which_is_why_it_must():
    assert tiny()(torch.rand(1, 3, 30, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize(("channels", "out_channels"), [(1, 3), (3, 1), (2, 5)])
def test_the_two_domains_may_differ_in_channels(channels, out_channels):
    network = tiny(channels=channels, out_channels=out_channels)
    assert network(torch.rand(2, channels, 16, 16)).shape == (2, out_channels, 16, 16)


def test_the_output_fills_the_range_of_images_and_never_leaves_it():
    network = tiny()
    with torch.no_grad():
        network.model[-2].weight.mul_(100)
        out = network(torch.rand(1, 3, 32, 32) * 2 - 1)
    assert out.abs().max() <= 1
    assert out.min() < -0.99 and out.max() > 0.99


@pytest.mark.parametrize("norm", ["instance", "none"])
def test_without_batch_norm_each_image_of_a_batch_is_translated_alone(norm):
    network = tiny(norm=norm).double()
    images = torch.rand(3, 3, 16, 16, dtype=torch.float64)
    assert network.batch_independent
    assert_close(network(images), torch.cat([network(image[None]) for image in images]), rtol=0, atol=1e-12)


def test_with_batch_norm_the_images_of_a_batch_depend_on_one_another():
    network = tiny(norm="batch").double()
    images = torch.rand(3, 3, 16, 16, dtype=torch.float64)
    apart = torch.cat([network(image[None]) for image in images])
    assert not network.batch_independent
    assert (network(images) - apart).abs().max() > 1e-3


def test_with_instance_norm_training_and_evaluation_give_the_same():
    network, images = tiny(), torch.rand(2, 3, 16, 16)
    network(torch.rand(2, 3, 16, 16) + 5)  # running statistics, if there were any, would now be far off
    assert torch.equal(network.train()(images), network.eval()(images))


@pytest.mark.parametrize("settings", [{"norm": "batch"}, {"dropout": True}])
def test_batch_norm_and_dropout_do_differ_between_training_and_evaluation(settings):
    network, images = tiny(**settings), torch.rand(2, 3, 16, 16)
    assert not torch.allclose(network.train()(images), network.eval()(images), atol=1e-3)


@pytest.mark.parametrize("padding", ["reflect", "zero"])
def test_a_residual_block_adds_to_its_input_and_leaves_the_sum_as_it_is(padding):
    network = tiny(padding=padding, norm="none")
    block = network.model[10]
    x = torch.randn(1, 16, 6, 6)
    for weight in block.parameters():
        nn.init.zeros_(weight)
    assert torch.equal(block(x), x)  # negative values too: no ReLU after the sum


def test_only_the_reflecting_block_looks_the_same_at_the_border_of_a_constant_image():
    constant = torch.ones(1, 16, 8, 8)
    blocks = {padding: tiny(padding=padding, norm="none").model[10] for padding in ("reflect", "zero")}
    spread = {padding: block(constant).std((2, 3)).max().item() for padding, block in blocks.items()}
    assert spread["reflect"] < 1e-6 < 1e-3 < spread["zero"]


def checkerboard_energy(features):
    """Share of the non-constant energy of (1, c, h, w) features that alternates from pixel to pixel.

    Zero for a constant; the frequencies are Nyquist's: alternating in x, in y and in both.
    """
    inner = features[0, :, 8:-8, 8:-8].double().numpy()
    power = np.abs(np.fft.fft2(inner)) ** 2
    h, w = (side // 2 for side in inner.shape[1:])
    return float((power[:, h, 0] + power[:, 0, w] + power[:, h, w]).sum() / power.sum())


@pytest.mark.parametrize("seed", range(3))
def test_resize_convolutions_leave_no_checkerboard_where_transposed_ones_do(seed):
    energy = {}
    for upsampling in ("transposed", "resize"):
        network = tiny(seed, upsampling=upsampling, norm="none", blocks=2)
        up = network.model[12:18]  # both upsampling steps, with their ReLUs
        assert sum(isinstance(m, (ResizeConv, nn.ConvTranspose2d)) for m in up) == 2
        torch.manual_seed(seed)
        with torch.no_grad():
            energy[upsampling] = checkerboard_energy(up(torch.rand(1, 16, 1, 1).expand(1, 16, 12, 12)))
    assert energy["resize"] < 1e-12
    assert energy["transposed"] > 1e-4


def test_the_resize_variant_learns_as_many_weights_as_the_transposed_one():
    counts = {
        upsampling: sum(p.numel() for p in on_meta(ResNetConfig(blocks=1, upsampling=upsampling)).parameters())
        for upsampling in ("transposed", "resize")
    }
    assert counts["transposed"] == counts["resize"]


@pytest.mark.parametrize(("settings", "words"), [({"width": 0}, "width.*got 0"), ({"blocks": -1}, "blocks.*got -1")])
def test_impossible_sizes_are_refused_with_the_value_found(settings, words):
    with pytest.raises(ValueError, match=words):
        ResNetConfig(**settings)
