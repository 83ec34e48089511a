import pytest
import torch

from unpaired.losses.cycle import l1


def image(values):
    return torch.tensor(values, dtype=torch.float64).reshape(1, 1, 2, -1)


def test_l1_matches_a_value_worked_by_hand():
    # |1 - 0| + |-1 - 1| + |0.5 - 0.5| + |0 - (-0.25)| = 3.25, over 4 values
    assert l1(image([1, -1, 0.5, 0]), image([0, 1, 0.5, -0.25])).item() == 0.8125


def test_l1_is_zero_for_equal_images_and_two_at_most():
    black, white = -torch.ones(2, 3, 4, 4), torch.ones(2, 3, 4, 4)
    assert l1(white, white) == 0
    assert l1(black, white) == 2


@pytest.mark.parametrize("repeats", [(5, 1, 1, 1), (1, 3, 1, 1), (1, 1, 7, 2)])
def test_l1_is_a_mean_so_lambda_means_the_same_at_every_batch_channel_count_and_size(repeats):
    a, b = torch.rand(2, 1, 1, 4, 4, dtype=torch.float64)
    assert l1(a.repeat(repeats), b.repeat(repeats)).item() == pytest.approx(l1(a, b).item(), rel=1e-12)


def test_l1_pulls_each_value_towards_its_target_with_equal_force():
    moved = image([1, -1, 0.5, 0.2]).requires_grad_()
    l1(moved, image([0, 1, 0.4, 0.9])).backward()
    assert moved.grad is not None
    assert moved.grad.flatten().tolist() == [0.25, -0.25, 0.25, -0.25]  # sign / 4
