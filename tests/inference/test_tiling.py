"""Tiled equals whole, for every generator, at odd sizes; strong random weights make every pixel matter."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from unpaired.core.errors import BadInput
from unpaired.inference.graph import evaluate, normalised, steps_of
from unpaired.inference.moments import merged, moments
from unpaired.inference.runtimes.torch import TorchRuntime
from unpaired.inference.tiling import Memory, Tiling, spread, statistics_of, translate_by
from unpaired.metrics.seams import seam_score
from unpaired.models import ResNetConfig, UNetConfig, build_generator

GENERATORS = {
    "resnet": ResNetConfig(width=6, blocks=2),
    "resnet9": ResNetConfig(width=4, blocks=9),
    "resnet resize": ResNetConfig(width=6, blocks=2, upsampling="resize"),
    "resnet zero": ResNetConfig(width=6, blocks=1, padding="zero", dropout=True),
    "resnet batch": ResNetConfig(width=6, blocks=1, norm="batch"),
    "resnet none": ResNetConfig(width=6, blocks=1, norm="none"),
    "resnet blur": ResNetConfig(width=6, blocks=1, downsampling="blur", upsampling="blur"),
    "resnet no blocks": ResNetConfig(width=6, blocks=0),
    "unet": UNetConfig(width=4, downs=5),
    "unet deep": UNetConfig(width=4, downs=6, dropout=True),
    "unet resize": UNetConfig(width=4, downs=5, upsampling="resize"),
    "unet image skip": UNetConfig(width=4, downs=5, upsampling="resize", image_skip=True),
    "unet blur": UNetConfig(width=4, downs=5, downsampling="blur", upsampling="blur"),
    "unet batch": UNetConfig(width=4, downs=5, norm="batch"),
}


def network(name, channels=3, out_channels=3, gain=3):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        built = build_generator(GENERATORS[name], channels, out_channels).eval().requires_grad_(False)
        for parameter in built.parameters():
            parameter *= gain
        for module in built.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 2)
    return built


def decoded(height, width, channels=3, seed=0):
    return torch.rand(1, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def tiled(plan, images, out_channels=3, arrays=None):
    out = torch.full((1, out_channels, *images.shape[2:]), torch.nan)

    def look(box):
        return images[..., box[0][0] : box[0][1], box[1][0] : box[1][1]]

    def write(box, image):
        out[..., box[0][0] : box[0][1], box[1][0] : box[1][1]] = image

    plan.run(look, write, arrays or Memory())
    return out


@pytest.mark.parametrize("size", [(64, 96), (65, 130), (131, 47), (33, 33)])
@pytest.mark.parametrize("name", GENERATORS)
def test_exact_tiles_equal_the_whole_image(name, size):
    built, images = network(name), decoded(*size)
    whole = TorchRuntime(built, 3, 3).translate(images)
    assert whole.std() > 1e-4
    out = tiled(Tiling.exact(built, size, 3, tile=32), images)
    torch.testing.assert_close(out, whole, atol=1e-4, rtol=0)


def test_tiles_alone_do_not():
    built, images = network("resnet"), decoded(64, 96)
    runtime = TorchRuntime(built, 3, 3)
    alone = torch.cat([runtime.translate(images[..., left : left + 32]) for left in (0, 32, 64)], dim=3)
    assert (alone - runtime.translate(images)).abs().max() > 0.1


@pytest.mark.parametrize("tile", [8, 13, 32, 64, 1000])
def test_any_side_of_tiles_gives_the_same(tile):
    built, images = network("resnet", 1, 2), decoded(50, 61, 1)
    out = tiled(Tiling.exact(built, (50, 61), 1, tile), images, 2)
    torch.testing.assert_close(out, TorchRuntime(built, 1, 2).translate(images), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", ["resnet", "resnet resize", "unet"])
def test_sampled_statistics_of_the_image_itself_give_the_image_itself(name):
    built, images = network(name), decoded(65, 98)
    out = tiled(Tiling.sampled(built, (65, 98), images, tile=40), images)
    torch.testing.assert_close(out, TorchRuntime(built, 3, 3).translate(images), atol=1e-4, rtol=0)


def test_sampled_statistics_of_another_image_are_those_used():
    built, images, other = network("resnet"), decoded(64, 64), 0.3 * decoded(32, 32, seed=1)
    out = tiled(Tiling.sampled(built, (64, 64), other, tile=32), images)
    given = dict(zip(normalised(steps_of(built, (64, 64), 3)), statistics_of(built, other), strict=True))
    torch.testing.assert_close(out, translate_by(built, images, lambda n, _: given[n]), atol=1e-4, rtol=0)
    assert (out - TorchRuntime(built, 3, 3).translate(images)).abs().max() > 0.1


@pytest.mark.slow
def test_the_borders_of_tiles_are_not_to_be_seen_and_those_of_tiles_alone_are():
    built = network("resnet", gain=5)
    rows, columns = torch.meshgrid(torch.linspace(0, 9, 320), torch.linspace(0, 7, 320), indexing="ij")
    waves = torch.stack([rows.sin(), (rows * columns / 9).cos(), columns.sin()])[None] * 0.6
    images = waves + 0.02 * decoded(320, 320)
    runtime = TorchRuntime(built, 3, 3)
    out = tiled(Tiling.exact(built, (320, 320), 3, tile=64), images)
    alone = torch.full_like(out, torch.nan)
    for top in range(0, 320, 64):
        for left in range(0, 320, 64):
            part = (..., slice(top, top + 64), slice(left, left + 64))
            alone[part] = runtime.translate(images[part])
    whole, exact, plain = (
        seam_score(image[0].permute(1, 2, 0).numpy(), 64) for image in (runtime.translate(images), out, alone)
    )
    assert exact == pytest.approx(whole, abs=1e-4)
    assert exact == pytest.approx(1, abs=0.02)
    assert plain > 1.1


def test_the_module_is_left_as_it_is():
    built = network("unet")
    keys, hooks = list(built.state_dict()), [len(module._forward_hooks) for module in built.modules()]
    before = {key: value.clone() for key, value in built.state_dict().items()}
    tiled(Tiling.exact(built, (40, 40), 3, 32), decoded(40, 40))
    assert keys == list(built.state_dict()) and hooks == [len(module._forward_hooks) for module in built.modules()]
    assert all(torch.equal(before[key], value) for key, value in built.state_dict().items())


@pytest.mark.slow
def test_work_stopped_at_any_tile_goes_on_and_ends_in_the_same_bits():
    built, images = network("resnet"), decoded(65, 70)
    plan = Tiling.exact(built, (65, 70), 3, tile=32)
    expected, begun = tiled(plan, images), 0
    for stop_after in range(0, plan.tiles, 7):
        arrays, out, left = Memory(), torch.full_like(expected, torch.nan), stop_after

        def write(box, image, out=out):
            out[..., box[0][0] : box[0][1], box[1][0] : box[1][1]] = image

        def count(tiles):
            nonlocal left
            left -= tiles
            if left < 0:
                raise KeyboardInterrupt

        def look(box):
            return images[..., box[0][0] : box[0][1], box[1][0] : box[1][1]]

        with pytest.raises(KeyboardInterrupt):
            plan.run(look, write, arrays, count)
        begun += stop_after
        plan.run(look, write, arrays)
        assert torch.equal(out, expected)
    assert begun > 0


def test_only_planes_smaller_than_the_image_are_kept_and_dropped_when_read():
    built, images = network("resnet"), decoded(64, 64)
    plan = Tiling.exact(built, (64, 64), 3, tile=32)
    assert all(sweep.size[0] < 64 for sweep in plan.sweeps if sweep.kept)
    arrays = Memory()
    tiled(plan, images, arrays=arrays)
    assert not [name for name in arrays.arrays if name.startswith("plane")]
    half, quarter = 4 * 12 * 32 * 32, 4 * 24 * 16 * 16  # float32, twice and four times the width
    assert plan.room == half + 2 * quarter  # the first expansion is made from the stream and the last block's change


def test_moments_of_parts_merge_to_those_of_the_whole_and_do_not_cancel():
    x = torch.randn(1, 5, 40, 30, generator=torch.Generator().manual_seed(0)) + 1e4
    parts = np.stack([moments(part) for part in x.split([7, 1, 32], dim=2)])
    mean, variance = merged(parts)
    torch.testing.assert_close(mean, x.double().mean((0, 2, 3)), atol=1e-6, rtol=0)
    torch.testing.assert_close(variance, x.double().var((0, 2, 3), correction=0), atol=1e-5, rtol=1e-4)


def test_a_box_takes_only_what_it_needs():
    steps, seen = steps_of(network("resnet none"), (400, 400), 3), []
    images = decoded(400, 400)

    def known(number, box):
        if number == 0:
            seen.append(box)
            return images[..., box[0][0] : box[0][1], box[1][0] : box[1][1]]
        return None

    evaluate(steps, len(steps) - 1, ((200, 204), (200, 204)), known, lambda number, x: None)
    ((top, bottom), (left, right)) = seen[0]
    assert 0 < top < 200 < 204 < bottom < 400 and bottom - top < 60 and (left, right) == (top, bottom)


def test_parts_are_spread_from_the_first_pixel_to_the_last():
    assert spread(1000).tolist() == list(range(1000))
    chosen = spread(20_000)
    assert len(chosen) == 1024 and chosen[0] == 0 and chosen[-1] == 19_999 and (np.diff(chosen) > 0).all()
    assert np.diff(chosen[::64]).max() - np.diff(chosen[::64]).min() <= 1


def test_a_layer_that_is_not_known_is_named():
    built = network("resnet")
    built.model[-1] = nn.PixelShuffle(1)
    with pytest.raises(BadInput, match="does not know the layer PixelShuffle"):
        Tiling.exact(built, (32, 32), 3)
