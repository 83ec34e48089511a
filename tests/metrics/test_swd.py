import numpy as np
import pytest
import torch
from torch.nn.functional import avg_pool2d

from unpaired.metrics import swd as module
from unpaired.metrics.swd import Patches, distance, laplacian_pyramid, level_sizes, wasserstein


def swd(a, b):
    """The distance between two batches of images."""
    sets = []
    for images in (a, b):
        patches = Patches(len(level_sizes(min(*a.shape[2:], *b.shape[2:]))), len(images))
        patches.add(images, range(len(images)))
        sets.append(patches)
    return distance(*sets)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """24 colour images of 32 px with structure at several scales, in [-1, 1]."""
    noise = torch.Generator().manual_seed(0)
    coarse = torch.randn(24, 3, 4, 4, generator=noise).repeat_interleave(8, 2).repeat_interleave(8, 3)
    return (0.3 * coarse + 0.15 * torch.randn(24, 3, 32, 32, generator=noise)).clamp(-1, 1)


def test_the_one_dimensional_distance_matches_values_worked_by_hand():
    a = np.array([[0.0, 1.0, 3.0]], np.float32)
    b = np.array([[5.0, 6.0, 8.0]], np.float32)
    assert wasserstein(a, b).tolist() == [5]  # every unit of mass moves by 5
    assert wasserstein(np.float32([[0, 0]]), np.float32([[0, 4]])).tolist() == [2]  # half of it moves by 4
    assert wasserstein(np.float32([[3, 1, 2]]), np.float32([[1, 2, 3]])).tolist() == [0]  # order is nothing


def test_samples_of_different_sizes_are_compared_by_their_quantiles():
    few = np.float32([[0, 10]])
    many = np.float32([[0, 0, 0, 10, 10, 10]])
    assert wasserstein(few, many).tolist() == [0]
    assert wasserstein(many + 3, few).tolist() == [3]


def test_the_pyramid_adds_up_to_the_image():
    images = torch.rand(2, 3, 33, 50)
    pyramid = laplacian_pyramid(images, 2)
    assert [band.shape[2:] for band in pyramid] == [(33, 50), (17, 25)]
    torch.testing.assert_close(pyramid[0] + module._enlarge(pyramid[1], (33, 50)), images)


def test_a_flat_image_has_nothing_in_the_fine_levels_of_its_pyramid():
    fine, coarse = laplacian_pyramid(torch.full((1, 3, 32, 32), 0.5), 2)
    assert fine.abs().max() < 1e-6 and torch.allclose(coarse, torch.tensor(0.5))


def test_levels_go_down_to_sixteen_pixels():
    assert level_sizes(64) == [64, 32, 16]
    assert level_sizes(100) == [100, 50, 25]
    assert level_sizes(16) == [16]
    with pytest.raises(ValueError, match="at least 16 px, got 15"):
        level_sizes(15)


def values(distances):
    return [level.value for level in distances.levels]


def test_a_set_has_no_distance_to_itself(images):
    assert values(swd(images, images)) == [0, 0]


def test_the_distance_is_symmetric_and_the_same_for_the_same_seed(images, monkeypatch):
    other = images.flip(2) * 0.8
    assert values(swd(images, other)) == pytest.approx(values(swd(other, images)), rel=1e-5)
    first = swd(images, other).mean.value
    assert swd(images, other).mean.value == first
    monkeypatch.setattr(module, "SEED", 1)
    assert swd(images, other).mean.value != first


@pytest.mark.parametrize("direction", ["blur", "noise", "colour", "contrast"])
def test_the_distance_grows_with_what_is_wrong(images, direction):
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    wrong = {
        "blur": [images.lerp(avg_pool2d(images, 3, 1, 1), share) for share in (0.3, 0.6, 1.0)],
        "noise": [images + sigma * noise for sigma in (0.05, 0.15, 0.5)],
        "colour": [images + torch.tensor([shift, 0, -shift]).view(1, 3, 1, 1) for shift in (0.05, 0.2, 0.6)],
        "contrast": [images * scale for scale in (0.9, 0.6, 0.3)],
    }[direction]
    small, middle, large = (swd(images, each).mean.value for each in wrong)
    assert 0 < small < middle < large


def test_blur_shows_in_the_finest_level_and_a_colour_shift_in_the_coarsest(images):
    blurred = values(swd(images, avg_pool2d(images, 3, 1, 1)))
    shifted = values(swd(images, images + torch.tensor([0.3, 0, -0.3]).view(1, 3, 1, 1)))
    assert blurred[0] > 2 * blurred[1]
    assert shifted[1] > 20 * shifted[0]


def test_sets_of_different_sizes_of_the_same_kind_are_nearer_than_another_kind(images):
    assert swd(images, images[:16]).mean.value < 0.5 * swd(images, 0.5 * images[:16]).mean.value


def test_the_order_and_the_batches_in_which_images_come_do_not_matter(images):
    whole, parts = Patches(2, 24), Patches(2, 24)
    whole.add(images, range(24))
    parts.add(images[10:], range(10, 24))
    parts.add(images[:10], range(10))
    assert all(np.array_equal(whole.level(k), parts.level(k)) for k in range(2))


def test_the_interval_holds_the_distance_and_is_wider_when_images_are_groups(images):
    copies = images[:6].repeat_interleave(4, 0)
    a, b = Patches(2, 24), Patches(2, 24)
    a.add(copies, range(24))
    b.add(0.7 * copies, range(24))
    alone = distance(a, b, together=True).mean
    groups = [k // 4 for k in range(24)]
    grouped = distance(a, b, (groups, groups), together=True).mean
    assert alone.interval.low <= alone.value <= alone.interval.high and alone.interval.n == 24
    assert grouped.value == alone.value
    assert grouped.interval.high - grouped.interval.low > 1.3 * (alone.interval.high - alone.interval.low)
