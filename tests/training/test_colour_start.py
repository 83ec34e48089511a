from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from tests.data_sets import make_data, make_model, tiny
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.config.methods import CycleGANConfig
from unpaired.core.errors import BadInput
from unpaired.methods import CycleGAN
from unpaired.models import PatchGANConfig, UNetConfig
from unpaired.training import loop
from unpaired.training.colour_start import RIDGE, ColourMoments, colour_map, colour_start
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer


def moments(images):
    found = ColourMoments.none(images.shape[1])
    for image in images:
        found.add(image[None])
    return found


def test_moments_are_those_of_all_pixels():
    images = torch.rand(3, 3, 5, 7, dtype=torch.float64) * 2 - 1
    found, pixels = moments(images), images.transpose(0, 1).flatten(1)
    assert_close(found.mean(), pixels.mean(1))
    assert_close(found.covariance(), torch.cov(pixels, correction=0) + RIDGE * torch.eye(3, dtype=torch.float64))


def test_independent_channels_are_scaled_by_the_ratio_of_their_deviations():
    signs = torch.tensor([[1.0, -1, 1, -1], [1, 1, -1, -1]], dtype=torch.float64)  # uncorrelated
    source = (signs * torch.tensor([[0.1], [0.4]]) + torch.tensor([[0.2], [0.0]])).reshape(1, 2, 2, 2)
    target = (signs * torch.tensor([[0.3], [0.2]]) + torch.tensor([[-0.1], [0.5]])).reshape(1, 2, 2, 2)
    found = colour_map(moments(source), moments(target))
    # deviations 0.1 and 0.4 become 0.3 and 0.2, but for the ridge: sqrt((0.09 + 1e-4) / (0.01 + 1e-4)), ...
    scales = [((0.09 + RIDGE) / (0.01 + RIDGE)) ** 0.5, ((0.04 + RIDGE) / (0.16 + RIDGE)) ** 0.5]
    assert_close(found.matrix, torch.diag(torch.tensor(scales, dtype=torch.float64)))
    # the pixel (0.2 + 0.1, 0 + 0.4) goes to (-0.1 + 0.1 scale, 0.5 + 0.4 scale)
    moved = found(source)[0, :, 0, 0]
    assert_close(moved, torch.tensor([-0.1 + 0.1 * scales[0], 0.5 + 0.4 * scales[1]], dtype=torch.float64))


def test_the_map_takes_one_covariance_to_the_other_and_back():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.rand(2, 3, 3, generator=generator, dtype=torch.float64) - 0.3
    a, b = (
        0.2 * torch.einsum("dc,bchw->bdhw", m, torch.randn(2, 3, 8, 8, generator=generator).double()) for m in mixing
    )
    there, back = colour_map(moments(a), moments(b)), colour_map(moments(b), moments(a))
    assert_close(there.matrix @ moments(a).covariance() @ there.matrix, moments(b).covariance())
    assert_close(there.matrix @ back.matrix, torch.eye(3, dtype=torch.float64))
    assert_close(there.matrix, there.matrix.T)
    assert torch.linalg.eigvalsh(there.matrix).min() > 0


def test_colours_beyond_the_range_are_cut_off():
    dark, bright = torch.linspace(-1, -0.9, 16).reshape(1, 1, 4, 4), torch.linspace(-1, 1, 16).reshape(1, 1, 4, 4)
    found = colour_map(moments(dark), moments(bright))(torch.ones(1, 1, 2, 2))
    assert (found == 1).all()


def test_a_constant_domain_is_no_division_by_zero():
    found = colour_map(moments(torch.zeros(1, 3, 4, 4)), moments(torch.rand(1, 3, 4, 4)))
    assert found.matrix.isfinite().all()


def a_trainer(**settings):
    torch.manual_seed(0)
    cfg = CycleGANConfig(
        generator=UNetConfig(width=4, upsampling="resize", downs=5),
        discriminator=PatchGANConfig(width=4, layers=1, norm="none"),
    )
    engine = Engine(RuntimeConfig(device="cpu", precision="fp32", threads=settings.pop("threads", 1)))
    return Trainer(CycleGAN(cfg, settings.pop("channels", (3, 3))), OptimConfig(ema_decay=0.9), engine)


def bright_and_dark(count):
    """Blue and red areas, dark in X and bright in Y, as a batch has them."""
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        masks = (torch.rand(2, 1, 1, 4, 4, generator=generator) > 0.5).float()
        masks = masks.repeat_interleave(8, 3).repeat_interleave(8, 4)
        blue, red = torch.tensor([-0.9, -0.8, -0.2]), torch.tensor([-0.3, -0.8, -0.9])
        images = [m * blue[:, None, None] + (1 - m) * red[:, None, None] for m in masks]
        yield SimpleNamespace(x=images[0], y=images[1] + 0.8)


@pytest.mark.slow
def test_generators_become_the_map_and_keep_what_is_blue_blue():
    trainer = a_trainer()
    before = {name: value.clone() for name, value in trainer.method.D_X.state_dict().items()}
    colour_start(trainer, lambda: bright_and_dark(150))
    for batch in bright_and_dark(3):
        fake_y, fake_x = trainer.method.G(batch.x), trainer.method.F(batch.y)
        assert (fake_y - (batch.x + 0.8)).abs().mean() < 0.12
        assert (fake_x - (batch.y - 0.8)).abs().mean() < 0.12
    states = trainer.generator_optimizer.state.values()
    assert trainer.steps == 0 and not any(value.any() for state in states for value in state.values())
    assert all(torch.equal(value, before[name]) for name, value in trainer.method.D_X.state_dict().items())
    for name, network in trainer.ema.generators.items():
        trained = trainer.method.generators[name].state_dict()
        assert all(torch.equal(value, trained[key]) for key, value in network.state_dict().items())


@pytest.mark.slow
def test_two_threads_give_the_bits_of_one():
    found, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2):
            trainer = a_trainer(threads=threads)
            assert trainer.engine.concurrent == (threads == 2)
            colour_start(trainer, lambda: bright_and_dark(4))
            networks = trainer.method.G, trainer.method.F
            found.append([weight.clone() for network in networks for weight in network.parameters()])
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*found, strict=True))


def test_domains_of_other_channels_are_refused():
    batch = SimpleNamespace(x=torch.zeros(1, 3, 32, 32), y=torch.zeros(1, 1, 32, 32))
    with pytest.raises(BadInput, match="equal channels, got 3 and 1"):
        colour_start(a_trainer(channels=(3, 1)), lambda: [batch])


def test_a_run_begins_with_the_colour_start_and_resumes_without_it(tmp_path, monkeypatch, capsys):
    from unpaired.experiment import with_root, with_settings
    from unpaired.presets import smoke
    from unpaired.training import train

    for name in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "data" / name).mkdir(parents=True)
        for k in range(2):
            Image.effect_noise((36, 36), 40 + k).convert("RGB").save(tmp_path / "data" / name / f"{k}.png")
    calls = []

    def counted(trainer, batches):
        calls.append((trainer.steps, len(list(batches()))))
        colour_start(trainer, batches)

    monkeypatch.setattr(loop, "colour_start", counted)
    experiment = with_settings(with_root(smoke(), tmp_path / "data"), {"optim.colour_start": 3, "optim.steps": 2})
    train(experiment, tmp_path / "run")
    assert calls == [(0, 2)]  # no more than the run's steps
    said = capsys.readouterr().err
    assert said.index("colour start: 4 done") < said.index("training: 2 done")  # two passes over its batches
    train(with_settings(experiment, {"optim.steps": 4}), tmp_path / "run", allow_config_change=True)
    assert calls == [(0, 2)]


def test_generators_that_are_fine_tuned_keep_what_they_have_learnt(tmp_path, monkeypatch, capsys):
    from unpaired.training import train

    model, data = make_model(tmp_path / "model"), make_data(tmp_path / "data")
    monkeypatch.setattr(loop, "colour_start", lambda *_: pytest.fail("the generators were overwritten"))
    train(tiny(data, optim__colour_start=3, optim__start=str(model)), tmp_path / "run")
    assert f"no colour start: the generators are those of {model}" in capsys.readouterr().err
