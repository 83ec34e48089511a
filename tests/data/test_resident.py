"""Images that stay on the device: cropped there with the numbers that the host makes, as long as memory lasts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data_sets import make_data
from unpaired.config import DataConfig
from unpaired.data import resident
from unpaired.data.folders import PixelStore
from unpaired.data.pairing import UnpairedImages
from unpaired.data.resident import ResidentImages

CPU = torch.device("cpu")


def opened(root, on_device, **settings):
    cfg = DataConfig(**({"root": str(root), "load_size": 24, "crop_size": 16, "workers": 0} | settings))
    store = PixelStore(cfg)
    store.resident = ResidentImages(CPU) if on_device else None
    return UnpairedImages(cfg, seed=3, store=store)


def placed(batch):
    """The tensors as they reach the device, and whether all images of A and of B were there."""
    tensors = [pixels.on(CPU) for pixels in (batch.a, batch.b, *(batch.aligned or ()))]
    return [*tensors, *(batch.masks or ())], batch.a.is_resident and batch.b.is_resident


def assert_same_crops(host, device, steps=24):
    """Equal tensors in every step; returns in which steps all images were on the device."""
    found = []
    for step in range(steps):
        (expected, _), (tensors, there) = placed(host.batch(step)), placed(device.batch(step))
        assert all(torch.equal(a, b) for a, b in zip(expected, tensors, strict=True)), step
        found.append(there)
    return found


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = make_data(tmp_path_factory.mktemp("resident") / "data")
    for side in "AB":
        (root / f"pairs{side}").symlink_to(root / "testA")
        (root / f"masks{side}").mkdir()
        for path in (root / f"train{side}").iterdir():
            mask = np.zeros((36, 40), np.uint8)
            mask[5:20, 8:30] = 255
            Image.fromarray(mask).save(root / f"masks{side}" / path.name)
    return root


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"batch": 2},
        {"preprocess": "crop"},
        {"preprocess": "none", "flip": False},
        {"pairs": 1},
        {"masks": True},
        {"cache_gb": 0.0},
    ],
    ids=str,
)
def test_crops_cut_on_the_device_are_the_crops_of_the_host(root, settings):
    """From the second epoch on every image is on the device, in whatever order B is drawn."""
    host, device = opened(root, False, **settings), opened(root, True, **settings)
    there = assert_same_crops(host, device)
    assert not there[0] and all(there[-4:])


def test_an_image_on_the_device_is_not_decoded_again(root, monkeypatch):
    device = opened(root, True, cache_gb=0.0)
    for step in range(18):
        placed(device.batch(step))
    monkeypatch.setattr(PixelStore, "_sized", lambda *_: pytest.fail("decoded again"))
    for step in range(18, 24):
        assert placed(device.batch(step))[1]


def test_images_that_do_not_fit_stay_on_the_host(root, monkeypatch):
    """The images take no more than what is left free: 3 of 24 x 24 x 3 bytes where 5,200 are free."""
    monkeypatch.setattr(resident, "free_bytes", lambda device: 5_200)
    host, device = opened(root, False, batch=2), opened(root, True, batch=2)
    assert_same_crops(host, device)
    kept = device.store.resident
    assert len(kept.images) == 3 and kept.bytes == 3 * 24 * 24 * 3


def test_sixteen_bits_stay_on_the_host(root, tmp_path):
    for side in "AB":
        (tmp_path / f"train{side}").mkdir()
        for k in range(3):
            levels = np.random.default_rng(k).integers(0, 65536, (20, 20), dtype=np.uint16)
            Image.fromarray(levels).save(tmp_path / f"train{side}" / f"{k}.png")
        Image.fromarray(np.full((20, 20), 7, np.uint8)).save(tmp_path / f"train{side}" / "3.png")
    settings = {"preprocess": "crop", "channels_a": 1, "channels_b": 1, "batch": 2}
    host, device = opened(tmp_path, False, **settings), opened(tmp_path, True, **settings)
    there = assert_same_crops(host, device)
    assert len(device.store.resident.images) == 2 and not all(there)
