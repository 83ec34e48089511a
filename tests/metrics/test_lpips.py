from __future__ import annotations

import math

import pytest
import torch

from tests.images import waves
from unpaired.features.trunks import ALEXNET_ENDS, VGG16_ENDS, alexnet, vgg16
from unpaired.metrics.lpips import lpips


def by_formula(network):
    """Weights that need no file: sines of the index."""

    def weight(i, value):
        places = torch.arange(value.numel(), dtype=torch.float64)
        if value.ndim != 4:
            return (0.1 * torch.sin(places * 0.7 + i)).float()
        return (torch.sin(places * 12.9898 + i) * math.sqrt(2 / value[0].numel()) * 1.4).float().reshape(value.shape)

    network.load_state_dict({key: weight(i, value) for i, (key, value) in enumerate(network.state_dict().items())})
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("make", "ends", "expected"),
    # The package lpips 0.1.4 on these trunks and images, with heads of cos(index)^2 / channels
    [(alexnet, ALEXNET_ENDS, 0.006537801586091518), (vgg16, VGG16_ENDS, 0.0057446956634521484)],
)
@pytest.mark.slow
def test_equals_its_authors_code_on_the_same_weights(make, ends, expected):
    network = by_formula(make())
    a, b = waves(7, 5), waves(6, 4)
    maps, other = network.maps(a, ends), network.maps(b, ends)
    heads = [torch.cos(torch.arange(x.shape[1]).float()).square() / x.shape[1] for x in maps]
    assert lpips(maps, other, heads).tolist() == pytest.approx([expected], rel=1e-5)


def test_one_place_and_two_channels_by_hand():
    a, b = torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1), torch.tensor([0.0, 2.0]).reshape(1, 2, 1, 1)
    # unit length: (0.6, 0.8) and (0, 1); differences squared 0.36 and 0.04
    assert lpips([a], [b], [torch.tensor([1.0, 10.0])]).item() == pytest.approx(0.36 + 0.4)


def test_equal_images_have_no_distance():
    a = torch.rand(2, 3, 4, 4)
    assert lpips([a], [a], [torch.ones(3)]).tolist() == [0, 0]
