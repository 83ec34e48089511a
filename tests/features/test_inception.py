from __future__ import annotations

import math

import pytest
import torch

from tests.images import wave_levels
from unpaired.features.inception import Inception
from unpaired.features.resizing import tensorflow


def by_formula(network):
    """Weights that need no file: sines and cosines of the index, batch norms near one."""

    def weight(i, key, value):
        places = torch.arange(value.numel(), dtype=torch.float64)
        if key.endswith("running_var"):
            found = 1 + 0.5 * torch.sin(places + i)
        elif key.endswith("bn.weight"):
            found = 1 + 0.2 * torch.cos(places + i)
        elif key.endswith("num_batches_tracked"):
            found = torch.zeros(1)
        elif value.ndim == 4:
            found = torch.sin(places * 12.9898 + i) * math.sqrt(2 / value[0].numel()) * 1.4
        else:
            found = 0.1 * torch.sin(places * 0.7 + i)
        return found.reshape(value.shape).to(value.dtype)

    weights = network.state_dict()
    network.load_state_dict({key: weight(i, key, value) for i, (key, value) in enumerate(weights.items())})
    return network.eval()


@pytest.fixture(scope="module")
def network():
    return by_formula(Inception())


def test_has_as_many_weights_as_the_published_network(network):
    assert sum(weight.numel() for weight in network.parameters()) == 23_850_960


def test_its_names_are_those_of_the_published_file(network):
    keys = set(network.state_dict())
    assert {
        "Conv2d_1a_3x3.conv.weight",
        "Mixed_5b.branch5x5_2.bn.running_mean",
        "Mixed_6a.branch3x3dbl_3.conv.weight",
        "Mixed_6e.branch7x7dbl_5.conv.weight",
        "Mixed_7a.branch7x7x3_4.conv.weight",
        "Mixed_7c.branch3x3dbl_3b.bn.weight",
        "Mixed_7c.branch_pool.conv.weight",
        "fc.bias",
    } <= keys
    assert len(keys) == 6 * 94 + 2  # 94 convolutions with their batch norms, and the classes


def test_equals_torch_fidelity_on_the_same_weights_and_image(network):
    resized = tensorflow(wave_levels(), 299)
    with torch.inference_mode():
        features = network((resized[None] - 128) / 128)[0]
    # torch-fidelity 0.4.0, FeatureExtractorInceptionV3, layer 2048, on this image with these weights
    assert features[[0, 1, -2, -1]].tolist() == pytest.approx([0.034200333, 0, 0, 0.049930781], abs=1e-6)
    assert features.sum().item() == pytest.approx(67.1144714, rel=1e-5)
