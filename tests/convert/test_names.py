"""Names and layouts under which other tools keep generators, and what a file is that holds none."""

import json

import pytest
import torch
from safetensors.torch import save_file

from tests.convert.others import Official
from tests.convert.test_convert import assert_translates_as, saved
from unpaired.checkpoints.convert import convert
from unpaired.checkpoints.convert.names import direction_of
from unpaired.core.errors import BadInput
from unpaired.inference.info import describe


@pytest.fixture
def both():
    torch.manual_seed(0)
    return Official(blocks=1), Official(blocks=1)


@pytest.mark.parametrize(
    ("name", "direction"),
    [
        ("latest_net_G_A", "AtoB"),
        ("latest_net_G_B", "BtoA"),
        ("latest_net_G", None),
        ("netG_A2B", "AtoB"),
        ("netG_B2A", "BtoA"),
        ("G_AB", "AtoB"),
        ("G_BA_199", "BtoA"),
        ("generator_A2B", "AtoB"),
        ("generator_BtoA", "BtoA"),
        ("genX2Y", "AtoB"),
        ("netD_A", None),
        ("D_B", None),
        ("model", None),
    ],
)
def test_a_name_tells_the_direction(name, direction):
    assert direction_of(name) == direction


@pytest.mark.parametrize(
    ("a", "b"),
    [("generator_A2B", "generator_B2A"), ("G_AB", "G_BA"), ("netG_A2B", "netG_B2A"), ("netG_A", "netG_B")],
)
@pytest.mark.parametrize("nested", [0, 1, 2])
def test_both_generators_in_one_file(tmp_path, both, a, b, nested):
    content = {a: both[0].state_dict(), b: both[1].state_dict(), "D_A": {"model.0.weight": torch.zeros(64, 3, 4, 4)}}
    content |= {"optimizer_G": {"state": {}, "param_groups": []}, "epoch": 7}
    for _ in range(nested):
        content = {"state_dict": content}
    convert(saved(tmp_path / "both.pt", content), tmp_path / "out")
    assert_translates_as(tmp_path / "out", both[0])
    assert_translates_as(tmp_path / "out", both[1], "BtoA")


def test_a_lightning_checkpoint(tmp_path, both):
    state = {f"netG_A.{key}": value for key, value in both[0].state_dict().items()}
    state |= {f"netG_B.{key}": value for key, value in both[1].state_dict().items()}
    state |= {"netD_A.model.0.weight": torch.zeros(64, 3, 4, 4)}
    convert(saved(tmp_path / "last.ckpt", {"state_dict": state, "global_step": 3}), tmp_path / "out")
    assert_translates_as(tmp_path / "out", both[0])
    assert_translates_as(tmp_path / "out", both[1], "BtoA")


def test_a_folder_of_files_named_by_their_direction_gives_the_last_of_each(tmp_path, both):
    folder = tmp_path / "saved"
    folder.mkdir()
    old = Official(blocks=2)
    for name, network in (("G_AB_9", old), ("G_AB_10", both[0]), ("G_BA_10", both[1]), ("G_BA_2", old)):
        saved(folder / f"{name}.pth", network.state_dict())
    saved(folder / "D_A_10.pth", {"model.0.weight": torch.zeros(64, 3, 4, 4)})
    convert(folder, tmp_path / "out")
    assert_translates_as(tmp_path / "out", both[0])
    assert_translates_as(tmp_path / "out", both[1], "BtoA")


def test_the_layout_with_another_name_for_sequence_and_block(tmp_path, both):
    state = {
        key.replace("model.", "main.", 1).replace("conv_block", "res"): value
        for key, value in both[0].state_dict().items()
    }
    convert(saved(tmp_path / "netG_B2A.pth", state), tmp_path / "out")
    assert_translates_as(tmp_path / "out", both[0], "BtoA")


def test_safetensors_of_another_tool(tmp_path, both):
    save_file(
        {key: value.contiguous().half() for key, value in both[0].state_dict().items()}, tmp_path / "G_A.safetensors"
    )
    convert(tmp_path / "G_A.safetensors", tmp_path / "out")
    half = Official(blocks=1)
    half.load_state_dict({key: value.half().float() for key, value in both[0].state_dict().items()})
    assert_translates_as(tmp_path / "out", half)


# Padding


class Replicating(Official):
    """The official network with its blocks' padding_type set to replicate."""

    def __init__(self):
        super().__init__(blocks=2)
        for block in self.modules():
            if hasattr(block, "conv_block"):
                for k, layer in enumerate(block.conv_block):
                    if isinstance(layer, torch.nn.ReflectionPad2d):
                        block.conv_block[k] = torch.nn.ReplicationPad2d(1)


def test_blocks_that_replicate_the_border_convert_with_padding_replicate(tmp_path):
    torch.manual_seed(1)
    network = Replicating()
    path = saved(tmp_path / "latest_net_G.pth", network.state_dict())
    convert(path, tmp_path / "out", padding="replicate")
    assert_translates_as(tmp_path / "out", network)
    lines = convert(path, tmp_path / "guess")
    assert any("does not say how the blocks pad; reflect is assumed" in line for line in lines)
    with pytest.raises(AssertionError):
        assert_translates_as(tmp_path / "guess", network)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("train_opt.txt", "           padding_type: replicate           \t[default: reflect]"),
        ("train_config.json", json.dumps({"G": {"padding_type": "replicate"}})),
    ],
)
def test_the_options_beside_the_weights_tell_the_padding(tmp_path, name, text):
    torch.manual_seed(1)
    network = Replicating()
    path = saved(tmp_path / "latest_net_G.pth", network.state_dict())
    (tmp_path / name).write_text(text)
    lines = convert(path, tmp_path / "out")
    assert_translates_as(tmp_path / "out", network)
    assert not any("does not say" in line for line in lines) and any("replicate padding" in line for line in lines)


def test_a_padding_that_the_layers_contradict_is_refused(tmp_path, both):
    path = saved(tmp_path / "net.pth", both[0].state_dict())
    with pytest.raises(BadInput, match="--padding zero: the layers' places say padding reflect"):
        convert(path, tmp_path / "out", padding="zero")


# What is no weights


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("G.pth", b"<!DOCTYPE html><html>not found</html>", "a web page, not weights"),
        ("G.pth", b"\n<html>", "a web page, not weights"),
        ("G.t7", b"\x04\x00\x00\x00\x01\x00\x00\x00", "a Torch7 file, which only Lua Torch reads"),
    ],
)
def test_a_file_that_is_something_else_is_named(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        convert(tmp_path / name, tmp_path / "out")


def test_the_generator_with_other_layers_is_named(tmp_path):
    state = {"model.1.weight": torch.zeros(8, 3, 7, 7), "model.10.block.1.weight": torch.zeros(8, 8, 3, 3)}
    with pytest.raises(BadInput, match="PyTorch-GAN's generator .* layers that this package does not have"):
        convert(saved(tmp_path / "G.pth", state), tmp_path / "out")


def test_names_of_no_network_are_listed(tmp_path):
    with pytest.raises(BadInput, match="found none under epoch, lr"):
        convert(saved(tmp_path / "G.pth", {"epoch": 3, "lr": {"last": 0.1}}), tmp_path / "out")


def test_info_claims_nothing_about_a_training_it_does_not_know(tmp_path, both):
    convert(saved(tmp_path / "latest_net_G.pth", both[0].state_dict()), tmp_path / "out")
    text = describe(tmp_path / "out")
    assert "trained on" not in text and "data and size of the training unknown" in text
