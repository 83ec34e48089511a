"""The official command lines, row by row, and whole."""

import json
import re
from pathlib import Path

import pytest
import yaml

from tests.data_sets import make_data, make_model
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.cli import run
from unpaired.commands import official as compat
from unpaired.commands.train_settings import split_settings
from unpaired.core.errors import BadInput
from unpaired.experiment import flatten, with_settings
from unpaired.presets import cyclegan

GUIDE = Path(__file__).parent.parent / "docs/switching.md"
BASE = ["--dataroot", "D"]


def settings(*flags):
    """The settings that differ from the preset's after `train.py --dataroot D FLAGS`."""
    [command], _ = compat.equivalents(["train", *BASE, *flags])
    assert command[:6] == ["train", "cyclegan", "--data", "D", "--out", "checkpoints/experiment_name"]
    given, rest = split_settings(command[6:])
    assert rest == []
    before, after = flatten(cyclegan()), flatten(with_settings(cyclegan(), given))
    return {key: value for key, value in after.items() if before.get(key) != value}


ROWS = [
    ("--lr 0.0001", {"optim.lr": 1e-4}),
    ("--beta1 0.9", {"optim.beta1": 0.9}),
    ("--n_epochs 3 --n_epochs_decay 4", {"optim.epochs": 3, "optim.decay_epochs": 4}),
    ("--niter 3 --niter_decay 4", {"optim.epochs": 3, "optim.decay_epochs": 4}),
    ("--batch_size 2", {"data.batch": 2}),
    ("--load_size 143 --crop_size 128", {"data.load_size": 143, "data.crop_size": 128}),
    ("--loadSize 143 --fineSize 128", {"data.load_size": 143, "data.crop_size": 128}),
    ("--preprocess scale_width_and_crop", {"data.preprocess": "scale_width_and_crop"}),
    ("--num_threads 0", {"data.workers": 0}),
    ("--pool_size 0", {"method.history": 0}),
    ("--ngf 32 --ndf 16", {"method.generator.width": 32, "method.discriminator.width": 16}),
    ("--netG resnet_6blocks", {"method.generator.blocks": 6}),
    ("--which_model_netG resnet_6blocks", {"method.generator.blocks": 6}),
    ("--netG resnet_9blocks --netD basic --norm instance --gan_mode lsgan --lr_policy linear", {}),
    ("--netD n_layers --n_layers_D 2", {"method.discriminator.layers": 2}),
    ("--netD basic --n_layers_D 2", {}),  # the official code reads it with n_layers only
    ("--norm batch", {"method.generator.norm": "batch", "method.discriminator.norm": "batch"}),
    ("--gan_mode vanilla", {"method.adversarial": "log-likelihood"}),
    ("--no_flip", {"data.flip": False}),
    ("--input_nc 1 --output_nc 4 --lambda_identity 0", {"data.channels_a": 1, "data.channels_b": 4}),
    ("--lambda_identity 0", {"method.identity_weight": 0.0}),
    ("--lambda_identity 1.0", {"method.identity_weight": 10.0}),
    (
        "--lambda_A 5 --lambda_B 5",
        {"method.forward_cycle_weight": 5.0, "method.backward_cycle_weight": 5.0, "method.identity_weight": 2.5},
    ),
    (
        "--lambda_A 3 --lambda_identity 0",
        {"method.forward_cycle_weight": 3.0, "method.identity_weight": 0.0},
    ),
    (
        "--lambda_A 3 --lambda_identity 0 --direction BtoA",
        {"method.backward_cycle_weight": 3.0, "method.identity_weight": 0.0},
    ),
    ("--print_freq 100 --batch_size 4", {"runtime.log_every": 25, "data.batch": 4}),
    ("--display_freq 400 --save_latest_freq 1000", {"runtime.sample_every": 400, "runtime.save_every": 1000}),
    ("--gpu_ids -1", {"runtime.device": "cpu"}),
    ("--gpu_ids 0", {}),
    ("--no_dropout --continue_train --epoch_count 5 --display_id 0 --no_html --verbose", {}),
    ("--max_dataset_size inf --init_type normal --init_gain 0.02 --phase train --dataset_mode unaligned", {}),
    ("--optim.beta2 0.99 --lr=0.001", {"optim.beta2": 0.99, "optim.lr": 1e-3}),
]


@pytest.mark.parametrize(("flags", "expected"), ROWS)
def test_each_flag_becomes_its_setting(flags, expected):
    found = settings(*flags.split())
    if "input_nc" in flags or flags == "--lambda_identity 0":
        expected = expected | {"method.identity_weight": 0.0}
    assert found == expected


def test_a_u_net_starts_from_its_own_defaults():
    found = settings("--netG", "unet_128", "--ngf", "32")
    assert found["method.generator.name"] == "unet" and found["method.generator.downs"] == 7
    assert found["method.generator.width"] == 32
    assert settings("--netD", "pixel")["method.discriminator.name"] == "pixelgan"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--gan_mode wgangp", "--gan_mode wgangp .there is lsgan or vanilla: the official CycleGAN has wgangp without"),
        ("--lr_policy cosine", "--lr_policy cosine .there is linear or lambda"),
        ("--netG unet_512", "--netG unet_512 .there is resnet_9blocks or"),
        ("--serial_batches", "--serial_batches .A is shuffled"),
        ("--max_dataset_size 10", "--max_dataset_size .make a folder or a list"),
        ("--model pix2pix", "--model pix2pix .there is cycle_gan"),
        ("--epoch 5", "--epoch 5 .there is latest: .*--from BUNDLE"),
        ("--lambda_A 3", "identity terms different weights.*--lambda_identity 0"),
        ("--lamda_A 3", r"not flags of the official code: --lamda_A \(did you mean --lambda_A\?\); docs/switching.md"),
        ("--foo 3 --bar", "--foo.*, --bar"),
        ("--batch_size two", "--batch_size: expected a number, got two"),
        ("--lr --ngf", "--ngf: a value is missing"),
        ("--gan_mode wgangp --lr_policy step", "--gan_mode wgangp.*--lr_policy step"),
    ],
)
def test_what_has_no_counterpart_is_named_with_what_to_do(flags, words):
    with pytest.raises(BadInput, match=words):
        compat.equivalents(["train", *BASE, *flags.split()])


def test_needless_flags_are_said_to_be_so():
    _, notes = compat.equivalents(["train", *BASE, "--continue_train", "--display_id", "0"])
    assert notes == [
        "--continue_train is not needed: the same command resumes by itself, exactly",
        "--display_id is not needed: no display server: the report is a file",
    ]


def test_testing_becomes_one_translation_per_direction():
    flags = ["--dataroot", "d", "--name", "n", "--model", "cycle_gan", "--num_test", "50", "--eval", "--netG", "x"]
    commands, notes = compat.equivalents(["test", *flags])
    layout = ["--layout", "official"]
    assert commands == [
        ["translate", "checkpoints/n", "d/testA", "results/n/test_latest", "--direction", "AtoB", *layout],
        ["translate", "checkpoints/n", "d/testB", "results/n/test_latest", "--direction", "BtoA", *layout],
    ]
    assert len(notes) == 3
    alone = ["--dataroot", "d/testB", "--name", "n", "--model", "test", "--model_suffix", "_B", "--phase", "val"]
    commands, _ = compat.equivalents(["test", *alone])
    assert commands == [
        ["translate", "checkpoints/n", "d/testB", "results/n/val_latest", "--direction", "BtoA", *layout]
    ]


def test_the_guide_shows_every_flag_and_no_other():
    shown = set(re.findall(r"`?--([A-Za-z]\w*)\b(?![-.])", GUIDE.read_text()))
    ours = {"data", "out", "from", "steps", "layout", "help", "b"}
    assert compat.KNOWN | set(compat.OLD_NAMES) <= shown
    assert shown - compat.KNOWN - set(compat.OLD_NAMES) <= ours


def test_the_settings_in_the_guide_exist():
    named = {
        name.replace("-", "_") for name in re.findall(r"--((?:data|method|optim|runtime)\.[\w.-]+)", GUIDE.read_text())
    }
    unet = with_settings(cyclegan(), {"method.generator.name": "unet"})
    known = set(flatten(cyclegan())) | set(flatten(unet)) | {"data.no_flip"}
    assert named - known <= {"runtime.trackers", "runtime.project"}


# For real


def test_an_official_training_command_says_ours_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data")
    command = "train --dataroot data --name mine --model cycle_gan --ngf 4 --ndf 4 --netG resnet_6blocks --load_size 36"
    command += " --crop_size 32 --netD n_layers --n_layers_D 1 --gpu_ids -1 --num_threads 0 --optim.steps 2 --no_html"
    assert run(command.split()) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "--no_html is not needed: report.html is one file"
    ours = said[1].removeprefix("running: unpaired ")
    assert ours.startswith("train cyclegan --data data --out checkpoints/mine --data.load-size 36 --data.crop-size 32")
    config = yaml.safe_load((tmp_path / "checkpoints/mine/config.yaml").read_text())
    assert config["method"]["identity_weight"] == 5.0 and config["method"]["generator"]["blocks"] == 6
    assert (tmp_path / "checkpoints/mine/report.html").is_file()
    assert run(ours.split()) == 0  # the command that was said is the same run
    assert "finished, 2 of 2 steps done" in capsys.readouterr().err


def test_an_official_test_command_writes_the_official_results(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data", test=2)
    make_model(tmp_path / "checkpoints/mine")
    assert run("test --dataroot data --name mine --model cycle_gan --num_test 50".split()) == 0
    results = tmp_path / "results/mine/test_latest"
    kinds = ("real_A", "fake_B", "real_B", "fake_A")
    expected = sorted(f"{stem}_{kind}.png" for stem in ("00", "01") for kind in kinds)
    assert sorted(path.name for path in (results / "images").iterdir()) == expected
    shown = re.findall(r'src="images/([^"]+)"', (results / "index.html").read_text())
    assert shown == [f"{stem}_{kind}.png" for stem in ("00", "01") for kind in kinds]


def test_stems_that_would_collide_are_refused(tmp_path, capsys):
    make_model(tmp_path / "model")
    for name in ("a/1.png", "b/1.png"):
        make_data(tmp_path / name.replace(".", ""), 1, 1, 1)
        (tmp_path / "in" / name).parent.mkdir(parents=True)
        (tmp_path / name.replace(".", "") / "testA/00.png").rename(tmp_path / "in" / name)
    words = ["translate", str(tmp_path / "model" / BUNDLE), str(tmp_path / "in"), str(tmp_path / "out")]
    assert run([*words, "--layout", "official"]) == 2
    assert "would both be 1_*.png; use --layout own" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_sixteen_bits_stay_in_the_official_layout_too(tmp_path):
    import numpy as np

    from unpaired.imaging.images import DecodedImage, read_image, write_image

    make_model(tmp_path / "model")
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), np.uint16)
    write_image(DecodedImage(deep), tmp_path / "one.tif")
    words = ["translate", str(tmp_path / "model"), str(tmp_path / "one.tif"), str(tmp_path / "out")]
    assert run([*words, "--layout", "official"]) == 0
    assert (read_image(tmp_path / "out/images/one_real_A.png").pixels == deep).all()
    assert read_image(tmp_path / "out/images/one_fake_B.png").pixels.dtype == np.uint16


def test_other_uses_of_train_and_test_are_left_alone():
    assert not compat.is_official(["train", "earth", "--data", "x"])
    assert not compat.is_official(["translate", "--dataroot", "x"])
    assert json.dumps(compat.equivalents(["train", *BASE])[0]) == json.dumps(
        [["train", "cyclegan", "--data", "D", "--out", "checkpoints/experiment_name"]]
    )
