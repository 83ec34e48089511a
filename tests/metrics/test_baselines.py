import pytest
import torch

from unpaired.metrics.baselines import apply_table, histogram, match_channels, matching_table, mean_colour
from unpaired.metrics.paired import levels


def image_of(*channels: list[int]) -> torch.Tensor:
    """One image of one row with these 8-bit levels in each channel."""
    return torch.tensor(channels).view(1, len(channels), 1, -1) / 127.5 - 1


def test_a_histogram_counts_each_level_of_each_channel():
    counts = histogram(image_of([0, 0, 5], [255, 5, 5]))
    assert counts.shape == (2, 256) and counts.sum() == 6
    assert (counts[0, 0], counts[0, 5], counts[1, 5], counts[1, 255]) == (2, 1, 2, 1)


def test_the_mean_colour_is_that_of_every_pixel():
    colour = mean_colour(histogram(image_of([0, 10, 20, 30], [255] * 4)))
    assert colour.tolist() == pytest.approx([15 / 127.5 - 1, 1.0], abs=1e-6)


def test_matching_maps_equal_shares_onto_each_other():
    source, target = histogram(image_of([10, 20, 30, 40])), histogram(image_of([100, 100, 200, 250]))
    matched = apply_table(image_of([10, 20, 30, 40]), matching_table(source, target))
    assert levels(matched).flatten().tolist() == [100, 100, 200, 250]


def test_matching_does_not_depend_on_how_many_pixels_a_set_has():
    source, target = histogram(image_of([1, 2, 3])), histogram(image_of([7, 7, 8, 8, 9, 9] * 3))
    matched = apply_table(image_of([1, 2, 3]), matching_table(source, target))
    assert levels(matched).flatten().tolist() == [7, 8, 9]


def test_a_set_matched_to_its_own_histogram_stays_as_it_is():
    images = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    counts = histogram(images)
    assert torch.equal(levels(apply_table(images, matching_table(counts, counts))), levels(images))


def test_levels_the_training_set_never_had_still_map_into_the_target():
    source, target = histogram(image_of([100, 150])), histogram(image_of([30, 60]))
    matched = apply_table(image_of([0, 100, 120, 255]), matching_table(source, target))
    assert levels(matched).flatten().tolist() == [0, 30, 30, 60]


def test_channels_are_repeated_or_weighed_and_never_guessed():
    gray, colour = image_of([0, 255]), image_of([255], [255], [255])
    assert torch.equal(match_channels(gray, 3), gray.expand(1, 3, 1, 2))
    assert match_channels(colour, 1).item() == pytest.approx(1, abs=1e-6)
    assert match_channels(torch.zeros(1, 4, 2, 2), 3) is None
