import math

import pytest
import torch
from torch.testing import assert_close

from unpaired.losses.patchnce import draw_places, features_at, patch_nce


def vectors(*images):
    return torch.tensor(images, dtype=torch.float64)


RIGHT, UP = [1.0, 0.0], [0.0, 1.0]


def test_equals_values_worked_by_hand():
    # similarities 1 with the own key and 0 with the other: -log(e / (e + 1)) at both places
    right_and_up = vectors([RIGHT, UP])
    assert patch_nce(right_and_up, right_and_up, 1.0).item() == pytest.approx(math.log(1 + math.exp(-1)), abs=1e-15)
    assert patch_nce(right_and_up, right_and_up, 0.5).item() == pytest.approx(math.log(1 + math.exp(-2)), abs=1e-15)
    # exchanged: 0 with the own key, 1 with the other
    assert patch_nce(right_and_up, right_and_up.flip(1), 1.0).item() == pytest.approx(math.log(1 + math.e), abs=1e-15)
    # opposite queries: -1 with the own key, 0 with the other
    assert patch_nce(-right_and_up, right_and_up, 1.0).item() == pytest.approx(math.log(1 + math.e), abs=1e-15)
    # the mean over places: log(1 + 1/e) at the first; at the second, halfway between both keys, log 2
    queries = vectors([RIGHT, [1.0, 1.0]])
    expected = (math.log(1 + math.exp(-1)) + math.log(2)) / 2
    assert patch_nce(queries, right_and_up, 1.0).item() == pytest.approx(expected, abs=1e-15)


def test_temperature_is_0_07_unless_given():
    right_and_up = vectors([RIGHT, UP])
    expected = math.log(1 + math.exp(1 / 0.07))
    assert patch_nce(right_and_up, right_and_up.flip(1), 0.07).item() == pytest.approx(expected, abs=1e-12)


def test_keys_that_are_alike_cost_the_logarithm_of_their_number():
    alike = torch.ones(3, 7, 5, dtype=torch.float64)
    assert patch_nce(alike, alike, 0.07).item() == pytest.approx(math.log(7), abs=1e-12)


def test_lengths_of_vectors_do_not_count():
    queries, keys = torch.randn(2, 6, 8, dtype=torch.float64), torch.randn(2, 6, 8, dtype=torch.float64)
    assert_close(patch_nce(3 * queries, keys / 5, 0.07), patch_nce(queries, keys, 0.07))


def test_negatives_come_from_the_same_image():
    one, other = vectors([RIGHT, UP]), vectors([UP, RIGHT])
    both = patch_nce(torch.cat([one, other]), torch.cat([one, other]), 1.0)
    assert_close(both, patch_nce(one, one, 1.0))  # with the other image's keys as negatives it would cost more


def test_no_gradient_goes_to_the_keys():
    queries, keys = (torch.randn(1, 4, 8, requires_grad=True) for _ in range(2))
    patch_nce(queries, keys, 0.07).backward()
    assert keys.grad is None and queries.grad is not None and queries.grad.abs().sum() > 0


def test_low_precision_vectors_are_compared_in_fp32():
    queries, keys = torch.randn(1, 16, 8).bfloat16(), torch.randn(1, 16, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        loss = patch_nce(queries, keys, 0.07)
    assert loss.dtype == torch.float32
    assert torch.equal(loss, patch_nce(queries.float(), keys.float(), 0.07))


def test_places_are_different_and_all_of_a_small_map():
    random = torch.Generator().manual_seed(3)
    places = draw_places(256, (40, 50), random)
    assert len(places.unique()) == 256 and 0 <= places.min() and places.max() < 2000
    assert draw_places(256, (2, 3), random).sort().values.tolist() == [0, 1, 2, 3, 4, 5]
    first, again = (draw_places(5, (9, 9), random.manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)


def test_features_are_read_at_rows_and_columns():
    features = torch.arange(2 * 2 * 3 * 4).reshape(2, 2, 3, 4)  # image, channel, row, column
    at = features_at(features, torch.tensor([6, 0]))  # row 1, column 2; row 0, column 0
    assert at.tolist() == [[[6, 18], [0, 12]], [[30, 42], [24, 36]]]
