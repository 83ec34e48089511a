import math
import shutil
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, normalize
from torch.testing import assert_close

from tests.data_sets import make_data, shapes, tiny
from tests.methods.lines import Line, LineDiscriminator, generator_losses, values
from unpaired.cli import run
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.experiment import build_method, draft_method
from unpaired.inference import Translator
from unpaired.methods import CUT, Batch, CUTConfig, Pix2Pix, Pix2PixConfig
from unpaired.models import PatchGANConfig, ResNetConfig, UNetConfig, build_discriminator, build_generator
from unpaired.models.kernels import optimize
from unpaired.models.resnet import ResNetGenerator
from unpaired.presets import preset
from unpaired.training import train
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

BLUR = {"downsampling": "blur", "upsampling": "blur"}
TINY = {
    "generator": ResNetConfig(width=2, blocks=5, init="xavier", init_gain=1.0, **BLUR),
    "discriminator": PatchGANConfig(width=2, layers=1, init="xavier", init_gain=1.0, downsampling="blur"),
}


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


# The generator's features


def test_the_published_generator_gives_the_published_layers():
    generator = build_generator(preset("cut").method.generator, 3, 3)
    assert generator.encoder == {0: 3, 4: 128, 8: 256, 12: 256, 16: 256}


@pytest.mark.parametrize("norm", ["instance", "none"])
@pytest.mark.parametrize(
    "cfg",
    [
        ResNetConfig(width=2, blocks=5, **BLUR),
        ResNetConfig(width=2, blocks=2),
        UNetConfig(width=2, downs=5),
    ],
    ids=["blur", "strided", "unet"],
)
def test_features_are_the_outputs_of_layers_in_the_pass_of_the_whole_network(cfg, norm):
    generator = build_generator(replace(cfg, norm=norm, init="xavier", init_gain=1.0), 3, 3)
    x, seen = torch.rand(2, 3, 32, 32), []
    for layer in encoder_layers(generator):
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(output.clone()))
    generator(x)
    seen = [x, *seen] if isinstance(cfg, UNetConfig) else seen
    taken = seen[:]
    found = generator.features(x, generator.encoder)
    assert [feature.shape[1] for feature in found] == list(generator.encoder.values())
    assert_close(found, taken, rtol=0, atol=0)


def encoder_layers(generator):
    """The layers themselves, found by their kind."""
    if isinstance(generator, ResNetGenerator):
        return [generator.model[index] for index in generator.encoder]
    return [module for module in generator.modules() if isinstance(module, nn.Conv2d)][:4]


@pytest.mark.parametrize("cfg", [TINY["generator"], UNetConfig(width=2, downs=5)], ids=["resnet", "unet"])
def test_fused_layers_leave_features_and_their_gradient_as_they_are(cfg):
    plain = build_generator(cfg, 3, 3)
    fused = deepcopy(plain)
    optimize(fused, torch.device("cpu"), torch.float32)
    x = torch.rand(1, 3, 32, 32)
    before, after = (network.features(network(x), network.encoder) for network in (plain, fused))
    assert_close(plain.features(x, plain.encoder), fused.features(x, fused.encoder), rtol=0, atol=0)
    assert_close(before, after, rtol=1e-3, atol=1e-3)
    for features in (before, after):
        sum(feature.square().mean() for feature in features).backward()
    for weight, same in zip(plain.parameters(), fused.parameters(), strict=True):
        assert_close(weight.grad, same.grad, rtol=1e-2, atol=1e-3)


def test_features_end_at_the_last_layer():
    generator = build_generator(TINY["generator"], 3, 3)
    generator.model[9].register_forward_hook(lambda *_: pytest.fail("layer 9 was computed"))
    assert len(generator.features(torch.rand(1, 3, 16, 16), (4, 8))) == 2


def test_anti_aliased_discriminators_have_the_official_layers():
    discriminator = build_discriminator(PatchGANConfig(downsampling="blur"), 3)
    kinds = [type(layer).__name__ for layer in discriminator.model]
    block = ["Conv2d", "InstanceNorm2d", "LeakyReLU"]
    assert kinds == ["Conv2d", "LeakyReLU", "BlurDown", *block, "BlurDown", *block, "BlurDown", *block, "Conv2d"]
    assert all(layer.stride == (1, 1) for layer in discriminator.model if isinstance(layer, nn.Conv2d))
    assert discriminator(torch.rand(1, 3, 64, 64)).shape == (1, 1, 6, 6)  # 64, 63, 32, 31, 16, 15, 8, 7, 6


# The losses


class Point(Line):
    """A network of single pixels, whose features are its input."""

    encoder = {0: 3}  # noqa: RUF012

    def features(self, x, layers):
        assert list(layers) == [0]
        return [x]


def worked_example(slope=1.0, **settings):
    """G(x) = slope * x, D_Y(y) = 2 y, heads that leave features as they are; two pixels, red and green."""
    method = CUT(CUTConfig(**TINY, temperature=1.0, **settings), (3, 3))
    method.G, method.D_Y, method.layers, method.heads = (
        Point(slope, 0.0),
        LineDiscriminator(2.0, 0.0),
        (0,),
        nn.ModuleList([nn.Identity()]),
    )
    return method, torch.eye(3, dtype=torch.float64)[None, :, None, :2]  # (1, 3, 1, 2)


KEPT, EXCHANGED = math.log(1 + math.exp(-1)), math.log(1 + math.e)


def test_losses_equal_values_worked_by_hand():
    method, x = worked_example(nce_weight=3.0, gan_weight=2.0)
    losses, fakes = generator_losses(method, x, x)
    # D_Y(G(x)) = 2 for red, 0 for green: 2 ((2 - 1)^2 + (0 - 1)^2) / 2 = 2; lambda is shared by both PatchNCE terms
    expected = {"gan/G": 2.0, "nce/X": 1.5 * KEPT, "nce/Y": 1.5 * KEPT}
    assert values(losses) == pytest.approx(expected, abs=1e-12)
    assert_close(fakes["G"], x)


def test_without_identity_lambda_weighs_the_one_term():
    method, x = worked_example(nce_weight=10.0, identity=False)
    losses, _ = generator_losses(method, x, x)
    assert values(losses) == pytest.approx({"gan/G": 1.0, "nce/X": 10 * KEPT}, abs=1e-12)
    assert method.G.calls == [1]  # y was not translated


def test_a_loss_of_weight_0_is_not_computed():
    method, x = worked_example(nce_weight=0.0)
    assert values(generator_losses(method, x, x)[0]) == pytest.approx({"gan/G": 1.0}, abs=1e-12)
    assert method.G.calls == [1]
    method, x = worked_example(gan_weight=0.0, identity=False)
    assert values(generator_losses(method, x, x)[0]) == pytest.approx({"nce/X": KEPT}, abs=1e-12)
    assert method.D_Y.calls == []


def test_a_translation_that_exchanges_places_costs_more():
    method, x = worked_example()
    assert method.contrast(x, x.flip(3)).item() == pytest.approx(EXCHANGED, abs=1e-12)


def test_flip_equivariance_mirrors_the_input_and_the_features_back():
    method, x = worked_example(flip_equivariance=True, identity=False)
    shown = set()
    for _ in range(8):
        method.drawn.plan([1], x.device)
        losses, fakes = generator_losses(method, x, x)
        assert losses["nce/X"].item() == pytest.approx(KEPT, abs=1e-12)
        method.drawn.rewind()
        assert torch.equal(method.translations(Batch(x, x))["G"], fakes["G"])
        shown.add(torch.equal(fakes["G"], x))
        assert torch.equal(fakes["G"], x) or torch.equal(fakes["G"], x.flip(3))
    assert shown == {True, False}


def test_every_network_of_the_generator_side_learns_from_a_u_net_too():
    cfg = replace(CUTConfig(**TINY), generator=UNetConfig(width=2, downs=5), direction="BtoA")
    method = CUT(cfg, (3, 3))
    x, y = torch.rand(2, 1, 3, 32, 32)
    losses, fakes = generator_losses(method, x, y)
    assert torch.equal(fakes["G"], method.G(y)) and list(method.translators) == ["BtoA"]
    sum(losses.values()).backward()
    for name, network in method.generators.items():
        assert any(weight.grad.abs().sum() > 0 for weight in network.parameters()), name


def test_domains_of_different_channels_are_refused():
    with pytest.raises(BadInput, match="needs equal channels, got 3 and 1"):
        draft_method(replace(preset("cut"), data=replace(preset("cut").data, channels_b=1)))


@pytest.mark.parametrize(
    "settings", [{"patches": 1}, {"temperature": 0.0}, {"nce_weight": -1.0}, {"nce_weight": 0.0, "gan_weight": 0.0}]
)
def test_senseless_settings_are_refused(settings):
    with pytest.raises(ValueError, match="method"):
        CUTConfig(**settings)


# The step


def trainer_of(method, **optim):
    return Trainer(method, OptimConfig(**optim), Engine(RuntimeConfig(precision="exact", device="cpu")))


def test_heads_exist_from_the_start_and_are_part_of_the_state():
    torch.manual_seed(0)
    method = CUT(CUTConfig(**TINY), (3, 3))
    state = trainer_of(method).state()
    weight = state["network/H4/mlp.2.weight"]
    assert weight.shape == (256, 256)  # xavier as the generator: the square root of 2 / (256 + 256), times gain 1
    assert weight.std().item() == pytest.approx((2 / 512) ** 0.5, rel=0.02)
    assert state["network/H0/mlp.0.weight"].shape == (256, 3)
    assert not state["network/H16/mlp.0.bias"].any()
    assert any(key.startswith("optimizer/generators/") for key in state)


def official_step(G, heads, D, optimizers, x, y, places_of):
    """One step in the order of the authors' code: forward, D, then G with the heads, at given places."""
    fake, same = G(x), G(y)
    loss_D = 0.5 * ((D(y) - 1).square().mean() + D(fake.detach()).square().mean())
    optimizers[1].zero_grad()
    loss_D.backward()
    optimizers[1].step()

    def nce(source, target):
        total = 0
        for layer, head in heads.items():
            key, query = (G.model[: layer + 1](images)[0] for images in (source, target))
            places = places_of(key.shape[1:])
            key, query = (normalize(head(maps.flatten(1).T[places]), dim=1) for maps in (key, query))
            total += cross_entropy(query @ key.detach().T / 0.07, torch.arange(len(places)))
        return total / len(heads)

    loss_G = (D(fake) - 1).square().mean() + 0.5 * (nce(x, fake) + nce(y, same))
    optimizers[0].zero_grad()
    loss_G.backward()
    optimizers[0].step()


@pytest.mark.slow
def test_steps_equal_the_authors_order_of_updates():
    """Without norms, before which a bias has no gradient but rounding, and Adam makes whole steps of that."""
    networks = {part: replace(cfg, norm="none") for part, cfg in TINY.items()}
    method = CUT(CUTConfig(**networks), (3, 3))
    plain = deepcopy(method)
    heads = dict(zip(plain.layers, plain.heads, strict=True))
    optimizers = [
        torch.optim.Adam([*plain.G.parameters(), *plain.heads.parameters()], lr=1e-3, betas=(0.5, 0.999)),
        torch.optim.Adam(plain.D_Y.parameters(), lr=1e-3, betas=(0.5, 0.999)),
    ]
    trainer = trainer_of(method, lr=1e-3)

    def places_of(size):
        return method.drawn("places", tuple(size), None, torch.device("cpu"))

    for _ in range(2):
        x, y = torch.rand(2, 1, 3, 16, 16).mul(2).sub(1)
        trainer.train_step(Batch(x, y))
        method.drawn.rewind()
        official_step(plain.G, heads, plain.D_Y, optimizers, x, y, places_of)
    for name, weight in plain.named_parameters():
        assert_close(method.get_parameter(name), weight, rtol=1e-4, atol=2e-5, msg=lambda m, name=name: f"{name}: {m}")


def test_pix2pix_shows_its_discriminators_the_translations_of_the_generators_update():
    """The same dropout noise, and batch statistics kept once: the extra pass leaves no trace."""
    networks = {
        "generator": UNetConfig(width=2, downs=5, norm="batch", dropout=True),
        "discriminator": PatchGANConfig(width=2, layers=1, norm="batch"),
    }
    torch.manual_seed(0)
    method = Pix2Pix(Pix2PixConfig(**networks), (3, 3))
    before, shown = deepcopy(method), []
    trainer, losses = trainer_of(method), method.discriminator_losses
    method.discriminator_losses = lambda batch, fakes: shown.append(fakes) or losses(batch, fakes)
    x, y = torch.rand(2, 2, 3, 32, 32)
    torch.manual_seed(1)
    trainer.train_step(Batch(x, y))
    torch.manual_seed(1)
    for name, images in (("G", x), ("F", y)):
        assert torch.equal(shown[0][name], before.generators[name](images))
        for (key, kept), (_, once) in zip(
            method.generators[name].named_buffers(), before.generators[name].named_buffers(), strict=True
        ):
            assert key.endswith("num_batches_tracked") or torch.equal(kept, once)


def test_pix2pix_updates_its_generators_against_the_updated_discriminators():
    """Eq. 4 without its L1 term, whose gradient would be the same in either order."""
    networks = {"generator": ResNetConfig(width=2, blocks=0), "discriminator": PatchGANConfig(width=2, layers=1)}
    torch.manual_seed(0)
    method = Pix2Pix(Pix2PixConfig(**networks, l1_weight=0.0, adversarial="least-squares"), (3, 3))
    trainer, losses = trainer_of(method, lr=0.1), []
    x, y = torch.rand(2, 1, 3, 16, 16)
    before = deepcopy(method)
    losses = trainer.train_step(Batch(x, y))
    score = method.D_Y(torch.cat([x, before.G(x)], dim=1))
    assert_close(losses["gan/G"], (score - 1).square().mean(), rtol=1e-5, atol=1e-6)
    old = (before.D_Y(torch.cat([x, before.G(x)], dim=1)) - 1).square().mean()
    assert (old - losses["gan/G"]).abs() > 0.01


# A whole run


def experiment(data, **settings):
    networks = {"method__generator__width": 2, "method__generator__blocks": 2, "method__discriminator__width": 2}
    usual = {"method__name": "cut", "method__discriminator__layers": 1, "optim__steps": 4, "runtime__save_every": 2}
    return tiny(data, **usual | networks | settings)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("cut") / "data", a=4, b=4)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return train(experiment(data), tmp_path_factory.mktemp("cut") / "run")


@pytest.mark.slow
def test_a_resumed_fastcut_run_ends_where_an_uninterrupted_one_does(data, tmp_path):
    settings = {"method__identity": False, "method__flip_equivariance": True}
    out = train(experiment(data, **settings), tmp_path / "run")
    whole = (out / "bundle.safetensors").read_bytes()
    state = (out / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes()
    shutil.rmtree(out / "checkpoints" / "step-00000004")
    (out / "bundle.safetensors").unlink()
    train(experiment(data, **settings), out)
    assert (out / "bundle.safetensors").read_bytes() == whole
    assert (out / "checkpoints" / "step-00000004" / "state.safetensors").read_bytes() == state


@pytest.mark.slow
def test_one_direction_is_translated_and_the_other_refused(finished):
    assert Translator.load(finished).direction == "AtoB"
    assert Translator.load(finished)(shapes("A", 3)).size == shapes("A", 3).size
    with pytest.raises(BadInput, match="AtoB"):
        Translator.load(finished, "BtoA")


@pytest.mark.slow
def test_a_run_is_evaluated_reported_and_described(finished, data, capsys):
    assert run(["evaluate", str(finished), str(data)]) == 0
    assert run(["info", str(finished)]) == 0
    assert "AtoB" in capsys.readouterr().out
    assert "PatchNCE" in (finished / "report.html").read_text()
    assert sorted(path.name for path in (finished / "samples").iterdir())[-1].endswith("AtoB.png")


@pytest.mark.slow
def test_a_run_converts_to_the_authors_file_and_back(finished, tmp_path):
    assert run(["convert", str(finished), str(tmp_path / "official")]) == 0
    assert run(["convert", str(tmp_path / "official" / "latest_net_G.pth"), str(tmp_path / "back")]) == 0
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    ours, back = (Translator.load(path).translate(images) for path in (finished, tmp_path / "back"))
    assert torch.equal(ours, back)


@pytest.mark.slow
def test_another_run_starts_from_a_finished_one(finished, data, tmp_path):
    weights = {
        name: weight.clone() for name, weight in Translator.load(finished).bundle.translators["AtoB"].named_parameters()
    }
    out = train(experiment(data, optim__start=str(finished), optim__steps=1, optim__lr=1e-9), tmp_path / "run")
    tuned = dict(Translator.load(out).bundle.translators["AtoB"].named_parameters())
    assert_close(tuned, weights, rtol=0, atol=1e-7)


@pytest.mark.slow
def test_discriminators_learn_alone_in_the_warm_up(data, tmp_path):
    torch.manual_seed(0)
    start = build_method(experiment(data)).G.state_dict()
    out = train(experiment(data, optim__steps=2, optim__discriminator_warmup=2, runtime__seed=0), tmp_path / "run")
    assert start.keys() == Translator.load(out).bundle.translators["AtoB"].state_dict().keys()
    for weight, fresh in zip(
        Translator.load(out).bundle.translators["AtoB"].state_dict().values(), start.values(), strict=True
    ):
        assert torch.equal(weight, fresh)
