import pytest
import torch
from torch.testing import assert_close

from unpaired.losses.augment import augment, draw_numbers

ALL = ("colour", "translation", "cutout")
IDENTITY = [0.5, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0]
"""Brightness + 0, saturation * 1, contrast * 1, a shift of 0 px."""


def numbers(**changes):
    names = ("brightness", "saturation", "contrast", "down", "right", "row", "column")
    values = dict(zip(names, IDENTITY, strict=True)) | changes
    return torch.tensor([list(values.values())], dtype=torch.float64)


def ramp(side=8):
    return torch.arange(2 * side * side, dtype=torch.float64).reshape(1, 2, side, side) / 100


def test_the_middle_of_every_range_changes_nothing():
    assert_close(augment(ramp(), numbers(), ("colour", "translation")), ramp())


def test_without_a_policy_the_images_themselves_are_returned():
    images = ramp()
    assert augment(images, numbers(), ()) is images


def test_colour_worked_by_hand():
    """Two channels 0.2 and 0.6 at one pixel and 0 and 0.4 at the other.

    Brightness 0.75 adds 0.25: 0.45, 0.85 and 0.25, 0.65; grays 0.65 and 0.45. Saturation 0.25 halves the distance to
    the gray: 0.55, 0.75 and 0.35, 0.55; mean 0.55. Contrast 0 halves the distance to that: 0.55, 0.65 and 0.45, 0.55.
    """
    images = torch.tensor([[[[0.2, 0.0]], [[0.6, 0.4]]]], dtype=torch.float64)
    expected = torch.tensor([[[[0.55, 0.45]], [[0.65, 0.55]]]], dtype=torch.float64)
    assert_close(augment(images, numbers(brightness=0.75, saturation=0.25, contrast=0.0), ("colour",)), expected)


def test_an_eighth_of_the_side_is_the_largest_shift_and_zeros_move_in():
    images, expected = ramp(), torch.zeros(1, 2, 8, 8, dtype=torch.float64)
    expected[:, :, 1:, :-1] = images[:, :, :-1, 1:]  # 1 px down, 1 px to the left
    assert torch.equal(augment(images, numbers(down=0.99, right=0.0), ("translation",)), expected)


def test_cutout_is_half_as_wide_and_high_and_clipped_by_the_frame():
    images, expected = ramp() + 1, ramp() + 1
    expected[:, :, :2, 2:6] = 0  # rows -2 to 1, columns 2 to 5: 4.5 of 0 to 8 is centre 4
    assert torch.equal(augment(images, numbers(row=0.0, column=0.5), ("cutout",)), expected)


@pytest.mark.slow
def test_its_gradient_is_right_for_all_kinds_at_once():
    random = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 8, 8, generator=random, dtype=torch.float64, requires_grad=True)
    drawn = draw_numbers(2, random)
    assert torch.autograd.gradcheck(lambda x: augment(x, drawn, ALL), images)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_memory_layout_is_kept(layout):
    random = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 8, 8, generator=random).contiguous(memory_format=layout)
    assert augment(images, draw_numbers(2, random), ALL).is_contiguous(memory_format=layout)


def test_every_image_of_a_batch_has_its_own_numbers():
    images = ramp().repeat(2, 1, 1, 1)
    both = augment(images, torch.cat([numbers(), numbers(down=0.99)]), ("translation",))
    assert torch.equal(both[0], images[0]) and not torch.equal(both[1], images[1])
