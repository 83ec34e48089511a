import math

import pytest
import torch

from unpaired.metrics.segmentation import (
    confusion_matrix,
    mean_class_accuracy,
    mean_class_iou,
    overlap,
    pixel_accuracy,
    water_mask,
)

TRUTH = torch.tensor([[0, 0, 0, 1], [1, 1, 2, 255]])
PREDICTED = torch.tensor([[0, 0, 1, 1], [1, 0, 2, 0]])


def test_the_confusion_matrix_has_the_truth_in_rows_and_skips_the_ignored_label():
    matrix = confusion_matrix(PREDICTED, TRUTH, classes=3, ignore=255)
    assert matrix.tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 1]]


def test_scores_match_values_worked_by_hand():
    matrix = confusion_matrix(PREDICTED, TRUTH, classes=3, ignore=255)
    assert pixel_accuracy(matrix) == pytest.approx(5 / 7)
    assert mean_class_accuracy(matrix) == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)
    assert mean_class_iou(matrix) == pytest.approx((2 / 4 + 2 / 4 + 1) / 3)


def test_classes_that_are_nowhere_are_left_out_of_the_means():
    matrix = torch.tensor([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert mean_class_accuracy(matrix) == pytest.approx((3 / 4 + 1) / 2)
    assert mean_class_iou(matrix) == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_a_class_predicted_but_not_there_counts_against_the_iou():
    matrix = confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 0]), classes=2)
    assert mean_class_iou(matrix) == pytest.approx((1 / 2 + 0) / 2)
    assert mean_class_accuracy(matrix) == pytest.approx(1 / 2)


def test_matrices_of_several_images_add_up():
    parts = sum(confusion_matrix(p, t, 3, ignore=255) for p, t in zip(PREDICTED, TRUTH, strict=True))
    assert torch.equal(torch.as_tensor(parts), confusion_matrix(PREDICTED, TRUTH, 3, ignore=255))


def test_no_pixels_give_nan_and_labels_outside_the_classes_are_refused():
    assert math.isnan(pixel_accuracy(torch.zeros(2, 2)))
    with pytest.raises(ValueError, match="truth: expected labels from 0 to 1, found 0 to 255"):
        confusion_matrix(torch.tensor([0, 1]), torch.tensor([0, 255]), classes=2)
    with pytest.raises(ValueError, match="one shape"):
        confusion_matrix(torch.tensor([0]), torch.tensor([0, 1]), classes=2)


def test_water_is_where_blue_exceeds_the_mean_of_red_and_green_by_the_bound_or_more():
    red, green, blue = [100, 100, 100, 0], [100, 90, 0, 9], [107, 103, 57, 255]
    image = torch.tensor([red, green, blue]).view(1, 3, 2, 2) / 127.5 - 1
    assert water_mask(image, 8).flatten().tolist() == [False, True, False, True]
    # The second has a brightness of 293 / 3 = 97.7 levels, the fourth of 264 / 3 = 88.
    assert water_mask(image, 8, darkest=88).flatten().tolist() == [False, True, False, True]
    assert water_mask(image, 8, darkest=89).flatten().tolist() == [False, True, False, False]
    assert water_mask(image, 8, brightest=88).flatten().tolist() == [False, False, False, True]
    assert water_mask(image, 8, brightest=87).flatten().tolist() == [False, False, False, False]
    with pytest.raises(ValueError, match="3 channels"):
        water_mask(torch.zeros(1, 1, 4, 4), 8)


def test_overlap_counts_what_a_pooled_iou_adds_up():
    found = torch.tensor([[[True, True, False]], [[False, False, False]]])
    truth = torch.tensor([[[True, False, True]], [[False, False, False]]])
    both, either = overlap(found, truth)
    assert both.tolist() == [1, 0] and either.tolist() == [3, 0]
