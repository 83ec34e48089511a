"""Every foreign format, made by a network that computes what its tool computes, and there and back again."""

import re
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from tests.convert.others import CUT, JoliGEN, MMagic, Official, UNet, tracked
from tests.data_sets import make_data, make_model
from unpaired.checkpoints.bundle import BUNDLE, Bundle, load_bundle, write_bundle
from unpaired.checkpoints.convert import convert
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.inference import Translator

IMAGE = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(5)) * 2 - 1


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(3)


def saved(path, state, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path, **options)
    return path


def outputs(model, direction="AtoB"):
    return Translator.load(model, direction).translate(IMAGE)


@torch.no_grad()
def plain(network, image=IMAGE):
    return network.eval()(image)


def assert_translates_as(model, network, direction="AtoB"):
    expected = plain(network)
    assert expected.std() > 0.05  # an output that is all one colour would prove nothing
    assert_close(outputs(model, direction), expected, atol=1e-5, rtol=0)


def batch_norm(channels):
    norm = nn.BatchNorm2d(channels)
    for values in (norm.weight.data, norm.running_var):
        values.uniform_(0.5, 1.5)
    norm.running_mean.normal_()
    return norm


OFFICIAL = {
    "nine blocks": lambda: Official(blocks=9),
    "six blocks": lambda: Official(blocks=6),
    "dropout": lambda: Official(blocks=2, dropout=True),
    "zero padding": lambda: Official(blocks=2, reflect=False),
    "zero padding and dropout": lambda: Official(blocks=2, dropout=True, reflect=False),
    "batch norm": lambda: Official(blocks=2, norm=batch_norm, bias=False),
    "no norm": lambda: Official(blocks=1, norm=lambda _: nn.Identity(), bias=False),
    "channels": lambda: Official(blocks=1, channels=3, out=5),
    "u-net 64": lambda: UNet(),
    "u-net of pix2pix": lambda: UNet(norm=batch_norm, bias=False, dropout=True),
    "CUT": lambda: CUT(),
    "CUT, only up": lambda: CUT(down=False),
    "CUT, only down": lambda: CUT(up=False),
    "joliGEN": lambda: JoliGEN(),
}


@pytest.mark.parametrize("kind", OFFICIAL)
def test_a_foreign_generator_translates_as_it_did(tmp_path, kind):
    network = OFFICIAL[kind]()
    convert(saved(tmp_path / "latest_net_G.pth", network.state_dict()), tmp_path / "out")
    assert_translates_as(tmp_path / "out", network)


@pytest.mark.parametrize("kind", [kind for kind in OFFICIAL if kind != "joliGEN"])
def test_there_and_back_gives_the_same_file_content(tmp_path, kind):
    state = OFFICIAL[kind]().state_dict()
    convert(saved(tmp_path / "net.pth", state), tmp_path / "b.safetensors")
    convert(tmp_path / "b.safetensors", tmp_path / "back.pth")
    back = torch.load(tmp_path / "back.pth", weights_only=True)
    assert list(back) == list(state)
    assert all(torch.equal(back[key], value) and back[key].dtype == value.dtype for key, value in state.items())


def test_what_is_written_loads_into_the_official_network(tmp_path):
    model = make_model(tmp_path / "model", method__generator__blocks=6)
    convert(model, tmp_path / "checkpoints/mine")
    assert sorted(path.name for path in (tmp_path / "checkpoints/mine").iterdir()) == [
        "latest_net_G_A.pth",
        "latest_net_G_B.pth",
    ]
    for net, direction in (("G_A", "AtoB"), ("G_B", "BtoA")):
        official = Official(w=4, blocks=6)
        official.load_state_dict(torch.load(tmp_path / f"checkpoints/mine/latest_net_{net}.pth", weights_only=True))
        assert_translates_as(model, official, direction)


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod."])
@pytest.mark.parametrize("zipped", [True, False])
def test_prefixes_and_old_serialisation_do_not_matter(tmp_path, prefix, zipped):
    network = Official(blocks=1)
    state = {prefix + key: value for key, value in network.state_dict().items()}
    convert(saved(tmp_path / "net.pth", state, _use_new_zipfile_serialization=zipped), tmp_path / "out")
    assert_translates_as(tmp_path / "out", network)


def test_statistics_that_instance_norm_once_kept_are_dropped(tmp_path):
    old = Official(blocks=2, norm=tracked)
    assert (
        "model.2.running_mean" in old.state_dict() and "model.10.conv_block.6.num_batches_tracked" in old.state_dict()
    )
    convert(saved(tmp_path / "net.pth", old.state_dict()), tmp_path / "out")
    with torch.no_grad():
        expected = old.train()(IMAGE)  # as the official test ran it: each image's own statistics
    assert_close(outputs(tmp_path / "out"), expected, atol=1e-5, rtol=0)


def test_statistics_of_batch_norm_are_kept(tmp_path):
    network = Official(blocks=1, norm=batch_norm, bias=False)
    convert(saved(tmp_path / "net.pth", network.state_dict()), tmp_path / "out")
    kept = load_bundle(tmp_path / "out").translators["AtoB"].state_dict()
    assert torch.equal(kept["model.2.running_mean"], network.state_dict()["model.2.running_mean"])


@pytest.mark.parametrize("options", [{}, {"dropout": True}, {"norm": batch_norm, "bias": False}, {"blocks": 6}])
def test_mmagic_takes_bgr_and_says_which_domain_a_generator_makes(tmp_path, options):
    to_zebra, to_horse = MMagic(**options), MMagic(**options)
    state = {f"generators.zebra.{key}": value for key, value in to_zebra.state_dict().items()}
    state |= {f"generators.horse.{key}": value for key, value in to_horse.state_dict().items()}
    state["discriminators.zebra.model.0.conv.weight"] = torch.zeros(1)
    file = saved(tmp_path / "iter_80000.pth", {"meta": {"iter": 80000}, "state_dict": state})
    convert(file, tmp_path / "out", b="zebra")
    for direction, network in (("AtoB", to_zebra), ("BtoA", to_horse)):
        expected = plain(network, IMAGE.flip(1)).flip(1)
        assert expected.std() > 0.05
        assert_close(outputs(tmp_path / "out", direction), expected, atol=1e-4, rtol=0)  # sums in another order
    with pytest.raises(BadInput, match="names its domains horse and zebra; tell which one is folder B, e.g. --b zebra"):
        convert(file, tmp_path / "other")


def test_upit_calls_g_a_what_makes_a(tmp_path):
    makes_a, makes_b = Official(blocks=9), Official(blocks=9)
    state = {f"G_A.{key.removeprefix('model.')}": value for key, value in makes_a.state_dict().items()}
    state |= {f"G_B.{key.removeprefix('model.')}": value for key, value in makes_b.state_dict().items()}
    state |= {"D_A.0.weight": torch.zeros(4, 3, 4, 4)}
    convert(saved(tmp_path / "pytorch_model.bin", state), tmp_path / "out")
    assert_translates_as(tmp_path / "out", makes_b, "AtoB")
    assert_translates_as(tmp_path / "out", makes_a, "BtoA")


def test_a_upit_generator_by_itself(tmp_path):
    network = Official(blocks=1)
    state = {key.removeprefix("model."): value for key, value in network.state_dict().items()}
    convert(saved(tmp_path / "generator.pth", state), tmp_path / "out", direction="BtoA")
    assert_translates_as(tmp_path / "out", network, "BtoA")


# Folders, directions, and bundles of one direction


def official_folder(folder, epoch="latest", **options):
    nets = Official(blocks=1, **options), Official(blocks=1, **options)
    for name, net in zip(("G_A", "G_B"), nets, strict=True):
        saved(folder / f"{epoch}_net_{name}.pth", net.state_dict())
    saved(folder / f"{epoch}_net_D_A.pth", {"model.0.weight": torch.zeros(1)})
    return nets


def test_a_folder_gives_both_directions_of_the_epoch_asked_for(tmp_path):
    latest, early = official_folder(tmp_path / "run"), official_folder(tmp_path / "run", "5")
    for epoch, (to_b, to_a) in (("latest", latest), ("5", early)):
        convert(tmp_path / "run", tmp_path / epoch, epoch=epoch)
        assert_translates_as(tmp_path / epoch, to_b, "AtoB")
        assert_translates_as(tmp_path / epoch, to_a, "BtoA")
    with pytest.raises(BadInput, match=r"expected .*7_net_G_A\.pth.*, found 5_net_D_A\.pth, .*--epoch"):
        convert(tmp_path / "run", tmp_path / "seven", epoch="7")


def test_a_published_folder_holds_one_direction(tmp_path):
    network = Official(blocks=1)
    saved(tmp_path / "horse2zebra_pretrained/latest_net_G.pth", network.state_dict())
    convert(tmp_path / "horse2zebra_pretrained", tmp_path / "out")
    assert_translates_as(tmp_path / "out", network)
    assert Translator.load(tmp_path / "out").directions == ("AtoB",)


def test_the_name_of_a_file_tells_its_direction_unless_the_user_does(tmp_path):
    path = saved(tmp_path / "latest_net_G_B.pth", Official(blocks=1).state_dict())
    convert(path, tmp_path / "said")
    convert(path, tmp_path / "told", direction="AtoB")
    assert list(load_bundle(tmp_path / "said").translators) == ["BtoA"]
    assert list(load_bundle(tmp_path / "told").translators) == ["AtoB"]


def test_a_bundle_of_one_direction_serves_every_command(tmp_path, capsys):
    data = make_data(tmp_path / "data")
    convert(saved(tmp_path / "latest_net_G_B.pth", Official(blocks=1).state_dict()), tmp_path / "model")
    assert run(["info", str(tmp_path / "model")]) == 0
    said = capsys.readouterr().out
    assert "BtoA" in said and "AtoB" not in said and "converted from latest_net_G_B.pth" in said
    assert run(["translate", str(tmp_path / "model"), str(data / "testB"), str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out").iterdir())) == 3
    assert run(["translate", str(tmp_path / "model"), str(data / "testA"), "x", "--direction", "AtoB"]) == 2
    assert "translates BtoA, not AtoB" in capsys.readouterr().err
    assert run(["evaluate", str(tmp_path / "model"), str(data)]) == 0
    out = capsys.readouterr().out
    assert '"BtoA"' in out and '"AtoB"' not in out


def test_both_directions_of_a_bundle_do_not_fit_one_file(tmp_path):
    model = make_model(tmp_path / "model")
    with pytest.raises(BadInput, match=r"one file holds one direction; choose by --direction"):
        convert(model, tmp_path / "net.pth")
    convert(model, tmp_path / "net.pth", direction="BtoA")
    official = Official(blocks=1)
    official.load_state_dict(torch.load(tmp_path / "net.pth", weights_only=True))
    assert_translates_as(model, official, "BtoA")


def test_a_bundle_of_one_direction_becomes_the_single_file_that_official_testing_wants(tmp_path):
    both = load_bundle(make_model(tmp_path / "model"))
    write_bundle(tmp_path / "one.safetensors", Bundle(both.experiment, {"AtoB": both.translators["AtoB"]}, 1))
    convert(tmp_path / "one.safetensors", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["latest_net_G.pth"]


# What does not fit is named


def broken(change):
    state = Official(blocks=2).state_dict()
    change(state)
    return state


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda s: s.pop("model.15.bias"),
            r"does not fit the generator: model\.15\.bias: expected \(4,\), found none; its shapes say resnet, 2 bl",
        ),
        (
            lambda s: s.update({"model.4.weight": torch.zeros(8, 5, 3, 3)}),
            r"model\.4\.weight: expected \(8, 4, 3, 3\), found \(8, 5, 3, 3\);",
        ),
        (
            lambda s: s.update({"model.2.gamma": torch.zeros(4), "model.5.gamma": torch.zeros(8)}),
            r"model\.2\.gamma: expected no such weight, found \(4,\) \(and 1 more\)",
        ),
        (lambda s: s.update({"model.2.weight": torch.zeros(4)}), "model.2.weight: an InstanceNorm with weights"),
        (
            lambda s: s.update({"model.10.conv_block.3.weight": torch.zeros(16, 16, 3, 3)}),
            r"conv_block: expected convolutions at 1 and 5, 1 and 6, 0 and 3, 0 and 4, found at \(1, 3, 5\)",
        ),
    ],
)
def test_a_mismatch_names_the_key_what_was_expected_and_what_was_found(tmp_path, change, words):
    with pytest.raises(BadInput, match=words) as refusal:
        convert(saved(tmp_path / "net.pth", broken(change)), tmp_path / "out")
    assert "net.pth" in str(refusal.value) and "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (
            {"model.0.weight": torch.zeros(64, 3, 4, 4), "model.0.bias": torch.zeros(64)},
            "found a discriminator's names",
        ),
        ({"conv1.weight": torch.zeros(2)}, "found names of no known tool: conv1.weight"),
        ({"encoder.model.0.weight": torch.zeros(4, 3, 7, 7)}, "expected joliGEN's plain resnet"),
    ],
)
def test_what_is_no_generator_is_named(tmp_path, state, words):
    with pytest.raises(BadInput, match=words):
        convert(saved(tmp_path / "net.pth", state), tmp_path / "out")


def test_two_generators_of_different_architecture_are_told_apart(tmp_path):
    official_folder(tmp_path / "run")
    saved(tmp_path / "run/latest_net_G_B.pth", Official(blocks=2).state_dict())
    words = r"latest_net_G_A\.pth is resnet, 1 blocks.* but .*latest_net_G_B\.pth is resnet, 2 blocks.*--direction"
    with pytest.raises(BadInput, match=words):
        convert(tmp_path / "run", tmp_path / "out")
    convert(tmp_path / "run", tmp_path / "out", direction="BtoA")
    assert list(load_bundle(tmp_path / "out").translators) == ["BtoA"]


UNET = {"method__generator__name": "unet", "method__generator__width": 2, "method__generator__downs": 5}


@pytest.mark.parametrize(
    ("network", "name", "kind"),
    [({}, "upsampling", "resize"), (UNET, "upsampling", "blur"), (UNET, "downsampling", "blur")],
)
def test_layers_that_the_official_code_lacks_are_not_written(network, name, kind, tmp_path):
    model = make_model(tmp_path / "model", **network, **{f"method__generator__{name}": kind})
    with pytest.raises(BadInput, match=f"{name} {kind} has no counterpart in the official code"):
        convert(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_hostile_weights_end_in_one_line_and_exit_code_2(tmp_path):
    hostile = "import os, sys, torch\nclass P:\n    def __reduce__(self): return os.mkdir, (sys.argv[2],)\n"
    hostile += "torch.save({'model.1.weight': P()}, sys.argv[1])"
    subprocess.run([sys.executable, "-c", hostile, tmp_path / "net.pth", tmp_path / "canary"], check=True)
    command = [sys.executable, "-m", "unpaired", "convert", tmp_path / "net.pth", tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert re.fullmatch(r"unpaired: .*net\.pth: holds more than tensors .*\n", done.stderr)
    assert not (tmp_path / "canary").exists() and not (tmp_path / "out").exists()


def test_the_command_says_what_it_found_and_what_it_made(tmp_path, capsys):
    official_folder(tmp_path / "run")
    assert run(["convert", str(tmp_path / "run"), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("latest_net_G_A.pth: official resnet, 1 blocks, width 4, instance norm: AtoB")
    assert lines[-1].startswith(str(tmp_path / "out" / BUNDLE))


def test_training_with_direction_b_to_a_exchanges_the_generators(tmp_path):
    to_a, to_b = official_folder(tmp_path / "run")  # there real_A is an image of folder B
    convert(tmp_path / "run", tmp_path / "out", trained="BtoA")
    assert_translates_as(tmp_path / "out", to_a, "BtoA")
    assert_translates_as(tmp_path / "out", to_b, "AtoB")
    alone = saved(tmp_path / "pix/latest_net_G.pth", Official(blocks=1).state_dict())
    convert(alone.parent, tmp_path / "one", trained="BtoA")
    assert list(load_bundle(tmp_path / "one").translators) == ["BtoA"]


def test_the_size_of_the_training_is_that_of_the_options_unless_it_is_given(tmp_path):
    official_folder(tmp_path / "run")
    (tmp_path / "run/train_opt.txt").write_text(
        "   batch_size: 1   \n   crop_size: 512   \t[default: 256]\n   load_size: 572   \n"
        "   preprocess: scale_width_and_crop\n"
    )
    for given, expected in (
        ({}, (572, 512, "scale_width_and_crop")),
        ({"crop_size": "128", "preprocess": "resize_and_crop"}, (128, 128, "resize_and_crop")),
    ):
        convert(tmp_path / "run", tmp_path / "out", **given)
        data = load_bundle(tmp_path / "out").experiment.data
        assert (data.load_size, data.crop_size, data.preprocess) == expected
    (tmp_path / "run/train_opt.txt").write_text("preprocess: scale_shortside\n")
    with pytest.raises(BadInput, match="preprocess scale_shortside: expected resize_and_crop, .*; give --preprocess"):
        convert(tmp_path / "run", tmp_path / "out")
    with pytest.raises(BadInput, match="give --load-size, --crop-size and --preprocess"):
        convert(tmp_path / "run", tmp_path / "out", crop_size="600", load_size="100", preprocess="resize_and_crop")
