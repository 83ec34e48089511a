from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.images import wave_levels
from unpaired.features.resizing import RESIZE, clean, pytorch_fid, tensorflow


def test_tensorflows_way_equals_torch_fidelitys():
    resized = tensorflow(wave_levels(), 299)
    assert resized[:, 7, 11].tolist() == pytest.approx([176.5953, 248.3378, 209.2156], abs=1e-3)
    assert resized.double().sum().item() == pytest.approx(34208994.1707, rel=1e-8)


def test_two_pixels_to_four_by_hand():
    image = np.array([[[0] * 3, [80] * 3]], np.uint8)
    assert tensorflow(image, 4)[0, 0].tolist() == [0, 40, 80, 80]  # from corners: places 0, 0.5, 1, 1.5
    assert pytorch_fid(image, 4)[0, 0].tolist() == [0, 20, 60, 80]  # from centres: places -0.25, 0.25, 0.75, 1.25


def test_only_the_clean_way_sees_what_lies_between():
    stripes = np.tile(np.array([0, 255, 0, 0], np.uint8), 256)  # one white line in four, shrunk to a quarter
    image = np.broadcast_to(stripes[None, :, None], (1024, 1024, 3)).copy()
    means = {name: resize(image, 256).mean().item() for name, resize in RESIZE.items()}
    assert means["clean"] == pytest.approx(255 / 4, abs=1)
    assert abs(means["tensorflow"] - 255 / 4) > 50
    assert clean(image, 256).dtype == torch.float32
