"""Crops that are wider than high, from training to evaluation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from tests.data_sets import make_data, tiny
from unpaired import Translator
from unpaired.core.errors import BadInput
from unpaired.evaluation import evaluate
from unpaired.inference.info import describe
from unpaired.training import train
from unpaired.training.sizes import SizeChecks

WIDE = {"data__load_size": "72x36", "data__crop_size": "64x32"}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("crops") / "data", test=2)


@pytest.fixture(scope="module")
def shapes_seen():
    return []


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, shapes_seen):
    """Three steps on crops of 64x32."""
    check = SizeChecks.check

    def noted(self, x, y, *files):
        shapes_seen.append((tuple(x.shape), tuple(y.shape)))
        return check(self, x, y, *files)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SizeChecks, "check", noted)
        return train(tiny(data, optim__steps=3, **WIDE), tmp_path_factory.mktemp("crops") / "run")


def test_every_step_sees_crops_of_that_width_and_height(run, shapes_seen):
    assert shapes_seen == [((1, 3, 32, 64), (1, 3, 32, 64))] * 3


def test_samples_are_the_middle_of_resized_images(run, data):
    grid = np.asarray(Image.open(run / "samples/step-000003_AtoB.png"))
    assert grid.shape == (2 * 32 + 2, 3 * 64 + 4, 3)
    middle = Image.open(data / "testA/00.png").resize((72, 36), Image.Resampling.BICUBIC).crop((4, 2, 68, 34))
    np.testing.assert_array_equal(grid[:32, :64], np.asarray(middle))


def test_the_bundle_keeps_the_size_for_translating(run):
    assert "at 64x32 px (resize_and_crop)" in describe(run)
    assert Translator.load(run, scale="train")(Image.new("RGB", (90, 90))).size == (64, 32)


def test_the_model_is_evaluated(run, data):
    result = evaluate(run, data, limit=1, device="cpu")
    assert np.isfinite(result["AtoB"]["swd"]) and np.isfinite(result["BtoA"]["swd"])


def test_another_crop_on_resume_is_named_and_accepted(run, data, capsys):
    other = tiny(data, optim__steps=4, data__load_size="72x48", data__crop_size="64x40")
    with pytest.raises(BadInput, match="data.crop_size was 64x32 and is now 64x40"):
        train(other, run)
    train(other, run, allow_config_change=True)
    words = "smoke: images resized to 72 px wide and 48 px high, random crops 64 px wide and 40 px high"
    assert words in capsys.readouterr().err.splitlines()
