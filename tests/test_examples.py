"""The examples as their users run them."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tests.data_sets import make_data
from unpaired.checkpoints.bundle import load_bundle
from unpaired.core.errors import BadInput
from unpaired.imaging.images import read_image
from unpaired.methods import METHODS, Batch, compute_losses
from unpaired.models import PatchGANConfig, ResNetConfig

EXAMPLES = Path(__file__).parent.parent / "examples"


def load(name):
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(module, monkeypatch, *arguments):
    """As `python examples/NAME.py ARGUMENTS`."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


@pytest.fixture
def gcgan():
    yield load("geometry_consistency")
    METHODS.pop("gcgan", None)


def test_a_method_from_outside_trains_resumes_and_translates(tmp_path, gcgan, monkeypatch, capsys):
    data = make_data(tmp_path / "data")
    arguments = (data, tmp_path / "run", "--preset", "smoke", "--steps", "6")
    run(gcgan, monkeypatch, *arguments)
    run(gcgan, monkeypatch, *arguments)
    assert "finished, 6 of 6 steps done" in capsys.readouterr().err
    bundle = load_bundle(tmp_path / "run")
    assert list(bundle.translators) == ["AtoB"] and bundle.experiment.method.name == "gcgan"
    del METHODS["gcgan"]
    with pytest.raises(BadInput, match="method.name: expected .*or one of your own once it is imported, got 'gcgan'"):
        load_bundle(tmp_path / "run")


def method(names, **settings):
    torch.manual_seed(0)
    models = ResNetConfig(width=4, blocks=1), PatchGANConfig(width=4, layers=1)
    return names.GcGAN(names.GcGANConfig(generator=models[0], discriminator=models[1], **settings), (3, 3))


@pytest.mark.parametrize("geometry", ["flip", "rotate"])
def test_its_geometry_term_is_what_the_paper_writes(gcgan, geometry):
    names = method(gcgan, geometry=geometry, geometry_weight=3.0)
    x, y = torch.rand(2, 1, 3, 32, 24) * 2 - 1
    terms, fakes = compute_losses(names.generator_losses(Batch(x, y)))
    turn = (lambda t: t.flip(-2)) if geometry == "flip" else (lambda t: torch.rot90(t, 1, (-2, -1)))
    back = (lambda t: t.flip(-2)) if geometry == "flip" else (lambda t: torch.rot90(t, 3, (-2, -1)))
    plain, turned = names.G(x), names.G(turn(x))
    expected = 3.0 * ((plain - back(turned)).abs().mean() + (turned - turn(plain)).abs().mean())
    assert_close(terms["geometry"], expected)
    assert_close(fakes["turned"], turned)
    assert expected > 0.01  # a network that turned everything alike would show nothing


def test_its_discriminators_see_upright_and_turned_images(gcgan):
    names = method(gcgan, history=0)
    x, y = torch.rand(2, 1, 3, 32, 24) * 2 - 1
    _, fakes = compute_losses(names.generator_losses(Batch(x, y)))
    terms, _ = compute_losses(names.discriminator_losses(Batch(x, y), fakes))

    def loss(discriminator, real, fake):
        return 0.5 * ((discriminator(real) - 1).square().mean() + discriminator(fake).square().mean())

    assert_close(terms["discriminator/Y"], loss(names.D_Y, y, names.G(x)))
    assert_close(terms["discriminator/turned"], loss(names.D_T, y.flip(-2), names.G(x.flip(-2))))


def test_microscopy_keeps_sixteen_bits_and_two_channels_all_the_way(tmp_path, monkeypatch):
    run(load("microscopy16"), monkeypatch, tmp_path, "--steps", "3", "--train", "4", "--width", "4")
    source = read_image(tmp_path / "data/testA/field000.tif").pixels
    assert source.shape == (64, 64, 2) and source.dtype == np.uint16
    translated = sorted((tmp_path / "translated").iterdir())
    assert [path.name for path in translated] == [f"field{k:03}.tif" for k in range(4)]
    pixels = read_image(translated[0]).pixels
    assert pixels.shape == (64, 64, 2) and pixels.dtype == np.uint16
    assert len(np.unique(pixels)) > 1000  # 8 bits would have 256 values at most
