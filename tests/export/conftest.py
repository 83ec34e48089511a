"""Models exported once for all tests here; each is a real export, and takes seconds."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from tests.data_sets import make_data, make_model
from unpaired.checkpoints.bundle import load_bundle
from unpaired.export import export
from unpaired.inference.runtimes.bundles import torch_runtime

ARCHITECTURES = {
    "resnet": {},
    "resnet resize": {"method__generator__upsampling": "resize", "method__generator__padding": "zero"},
    "unet": {"method__generator__name": "unet", "method__generator__downs": 5, "method__generator__width": 2},
    "unet resize": {
        "method__generator__name": "unet",
        "method__generator__downs": 5,
        "method__generator__width": 2,
        "method__generator__upsampling": "resize",
    },
    "unet image skip": {
        "method__generator__name": "unet",
        "method__generator__downs": 5,
        "method__generator__width": 2,
        "method__generator__upsampling": "resize",
        "method__generator__image_skip": True,
    },
    "unet blur": {
        "method__generator__name": "unet",
        "method__generator__downs": 5,
        "method__generator__width": 2,
        "method__generator__downsampling": "blur",
        "method__generator__upsampling": "blur",
    },
}


class Kept(SimpleNamespace):
    """A bundle, its network in torch, and its .onnx file."""


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """By architecture, made when first asked for."""
    made = {}

    def get(name="resnet"):
        if name not in made:
            folder = tmp_path_factory.mktemp(name.replace(" ", "-"))
            bundle = make_model(folder / "run", **ARCHITECTURES[name])
            file = export(bundle, folder / "out", "onnx")
            made[name] = Kept(bundle=bundle, network=torch_runtime(load_bundle(bundle), "AtoB"), onnx=file)
        return made[name]

    return get


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("data"))


def noise(batch, height, width, channels=3, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (batch, channels, height, width)).astype(np.float32)
