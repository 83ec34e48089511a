import pytest
import torch
from torch import nn
from torch.testing import assert_close

from unpaired.models import PatchGAN, PatchGANConfig, PixelGAN, PixelGANConfig

BATCH_NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def on_meta(kind, cfg, channels=3):
    with torch.device("meta"):
        return kind(cfg, channels)


def tiny(kind, norm="instance", channels=3, **settings):
    torch.manual_seed(0)
    cfg = PatchGANConfig if kind is PatchGAN else PixelGANConfig
    return kind(cfg(width=4, norm=norm, **settings), channels)


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.state_dict().items()}


def described(prefix, convolutions, norms, biased, norm):
    """Names and shapes of the official checkpoints, from {index: shape} and the indices of norms."""
    found = {f"{prefix}.{k}.weight": shape for k, shape in convolutions.items()}
    found |= {f"{prefix}.{k}.bias": shape[:1] for k, shape in convolutions.items() if norm == "instance" or k in biased}
    if norm == "batch":
        for k in norms:
            out = convolutions[k - 1][:1]
            found |= {f"{prefix}.{k}.{part}": () if part.startswith("num") else out for part in BATCH_NORM}
    return found


def test_the_published_discriminator_has_the_published_number_of_parameters():
    network = on_meta(PatchGAN, PatchGANConfig())
    assert sum(p.numel() for p in network.parameters()) == 2_764_737


def test_the_documented_names_of_the_three_layer_discriminator_are_met_literally():
    expected = {f"model.{k}.{part}" for k in (0, 2, 5, 8, 11) for part in ("weight", "bias")}
    assert set(on_meta(PatchGAN, PatchGANConfig()).state_dict()) == expected


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
@pytest.mark.parametrize("layers", [1, 2, 3, 4, 5, 6])
def test_patchgan_names_and_shapes_are_those_of_the_official_checkpoints(layers, norm):
    width = [8 * min(2**k, 8) for k in range(layers + 1)]
    convolutions = {0: (8, 2, 4, 4), 2 + 3 * layers: (1, width[-1], 4, 4)}
    convolutions |= {2 + 3 * (k - 1): (width[k], width[k - 1], 4, 4) for k in range(1, layers + 1)}
    norms = [3 + 3 * (k - 1) for k in range(1, layers + 1)]
    network = on_meta(PatchGAN, PatchGANConfig(width=8, layers=layers, norm=norm), channels=2)
    assert shapes(network) == described("model", convolutions, norms, {0, 2 + 3 * layers}, norm)


@pytest.mark.parametrize("norm", ["instance", "batch", "none"])
def test_pixelgan_names_and_shapes_are_those_of_the_official_checkpoints(norm):
    convolutions = {0: (8, 2, 1, 1), 2: (16, 8, 1, 1), 5: (1, 16, 1, 1)}
    network = on_meta(PixelGAN, PixelGANConfig(width=8, norm=norm), channels=2)
    assert shapes(network) == described("net", convolutions, [3], {0}, norm)


def made_positive(network):
    """Every weight positive and no bias, so that no two paths of the gradient cancel."""
    network.double()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                module.weight.abs_().add_(0.01)
                if module.bias is not None:
                    module.bias.zero_()
    return network


def seen_by(network, side, row, column):
    """First and last pixel, by row and by column, that one score depends on."""
    image = torch.ones(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    network(image)[0, 0, row, column].backward()
    assert image.grad is not None
    pixels = image.grad.abs().sum((0, 1)).nonzero()
    return pixels.min(0).values.tolist(), pixels.max(0).values.tolist()


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70), (4, 142), (5, 286)])
def test_the_receptive_field_measured_by_gradient_is_the_published_one(layers, field):
    cfg = PatchGANConfig(width=1, layers=layers, norm="none")  # instance norm would look at the whole image
    network, stride = made_positive(PatchGAN(cfg, 3)), 2**layers
    side = field + 6 * stride
    with torch.no_grad():
        middle = network(torch.ones(1, 3, side, side, dtype=torch.float64)).shape[-1] // 2
    first, last = seen_by(network, side, middle, middle)
    assert min(first) > 0 and max(last) < side - 1, "the border cuts the field"
    assert [b - a + 1 for a, b in zip(first, last, strict=True)] == [field, field]
    assert seen_by(network, side, middle, middle + 1)[0] == [first[0], first[1] + stride]


def test_pixelgan_judges_each_pixel_by_that_pixel_alone():
    network = made_positive(PixelGAN(PixelGANConfig(width=2, norm="none"), 3))
    assert seen_by(network, 9, 3, 5) == ([3, 5], [3, 5])


def test_the_published_discriminator_gives_a_map_of_thirty_or_fourteen_scores_a_side():
    network = on_meta(PatchGAN, PatchGANConfig())
    for side, scores in ((256, 30), (128, 14)):
        assert network(torch.empty(2, 3, side, side, device="meta")).shape == (2, 1, scores, scores)


def test_pixelgan_gives_a_score_for_every_pixel():
    assert tiny(PixelGAN, channels=2)(torch.rand(2, 2, 7, 9)).shape == (2, 1, 7, 9)


@pytest.mark.parametrize("kind", [PatchGAN, PixelGAN])
def test_scores_are_raw_and_not_squashed(kind):
    network = tiny(kind, norm="none")
    with torch.no_grad():
        scores = network(1e4 * torch.randn(1, 3, 32, 32))
    assert scores.max() > 1 and scores.min() < -1


def test_the_first_convolution_has_no_norm_and_the_last_layer_is_a_convolution():
    network = on_meta(PatchGAN, PatchGANConfig())
    assert isinstance(network.model[1], nn.LeakyReLU) and network.model[1].negative_slope == 0.2
    assert isinstance(network.model[-1], nn.Conv2d)


@pytest.mark.parametrize("kind", [PatchGAN, PixelGAN])
@pytest.mark.parametrize("norm", ["instance", "none"])
def test_without_batch_norm_each_image_of_a_batch_is_judged_alone(kind, norm):
    network = tiny(kind, norm).double()
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    assert network.batch_independent
    assert_close(network(images), torch.cat([network(image[None]) for image in images]), rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", [PatchGAN, PixelGAN])
def test_with_batch_norm_the_images_of_a_batch_depend_on_one_another(kind):
    network = tiny(kind, "batch").double()
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    assert not network.batch_independent
    assert (network(images) - torch.cat([network(image[None]) for image in images])).abs().max() > 1e-3


@pytest.mark.parametrize("kind", [PatchGAN, PixelGAN])
def test_with_instance_norm_training_and_evaluation_give_the_same(kind):
    network, images = tiny(kind), torch.rand(2, 3, 32, 32)
    network(torch.rand(2, 3, 32, 32) + 5)
    assert torch.equal(network.train()(images), network.eval()(images))
    assert list(network.buffers()) == []


@pytest.mark.parametrize(
    ("cfg", "settings"),
    [(PatchGANConfig, {"layers": 0}), (PatchGANConfig, {"width": 0}), (PixelGANConfig, {"width": 0})],
)
def test_impossible_sizes_are_refused_with_the_value_found(cfg, settings):
    with pytest.raises(ValueError, match=f"{next(iter(settings))}.*got.*0"):
        cfg(**settings)
