import pytest
import torch

from unpaired.core.errors import BadInput
from unpaired.data.prepare.cityscapes import CLASSES
from unpaired.metrics.palette import IGNORE, Palette

FLAG = {"palette": {"domain": "B", "classes": {"black": [0, 0, 0], "red": [200, 0, 0], "white": [255, 255, 255]}}}
PALETTE = Palette.of(FLAG, "DATA")


def decoded(*colours):
    """One row of pixels, (1, 3, 1, n) in [-1, 1]."""
    return torch.tensor(colours).T.view(1, 3, 1, -1) / 127.5 - 1


def test_a_pixel_is_of_the_class_whose_colour_is_nearest():
    # (90, 0, 0): 90 from black, 110 from red; (110, 0, 0): the other way round
    # (230, 120, 120): 172 from red (30^2 + 2 * 120^2), 193 from white (25^2 + 2 * 135^2)
    image = decoded((0, 0, 0), (90, 0, 0), (110, 0, 0), (230, 120, 120), (230, 150, 150))
    assert PALETTE.nearest(image).tolist() == [[[0, 0, 1, 1, 2]]]


def test_the_truth_is_read_by_exact_colours_and_all_others_are_ignored():
    assert PALETTE.exact(decoded((0, 0, 0), (200, 0, 0), (199, 0, 0), (255, 255, 255))).tolist() == [
        [[0, 1, IGNORE, 2]]
    ]


def test_a_data_set_without_a_palette_and_gray_images_are_refused():
    with pytest.raises(BadInput, match="DATA: expected a data set of labels"):
        Palette.of({}, "DATA")
    with pytest.raises(ValueError, match="3 channels"):
        PALETTE.nearest(torch.zeros(1, 1, 2, 2))


def test_cityscapes_has_its_19_classes_in_the_order_of_their_train_ids():
    assert len(CLASSES) == len(set(CLASSES.values())) == 19
    assert list(CLASSES)[:3] == ["road", "sidewalk", "building"] and list(CLASSES)[13] == "car"
    assert [CLASSES["sky"], CLASSES["bicycle"]] == [(70, 130, 180), (119, 11, 32)]
