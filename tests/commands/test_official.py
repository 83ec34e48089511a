"""The official command lines, row by row, and whole."""

import json
import os
import re
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from tests.data_sets import make_data, make_model
from unpaired import Translator
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.checkpoints.run_state import seal
from unpaired.cli import run
from unpaired.commands import official, official_flags
from unpaired.commands.train_settings import split_settings
from unpaired.core.errors import BadInput
from unpaired.experiment import flatten, with_settings
from unpaired.presets import cyclegan, preset

GUIDE = Path(__file__).parent.parent.parent / "docs/switching.md"
BASE = ["--dataroot", "D"]


def settings(*flags):
    """The settings that differ from the preset's after `train.py --dataroot D FLAGS`."""
    [command] = official.equivalents(["train", *BASE, *flags]).commands
    assert command[:6] == ["train", "cyclegan", "--data", "D", "--out", "checkpoints/experiment_name"]
    given, rest = split_settings(command[6:])
    assert rest == []
    before, after = flatten(cyclegan()), flatten(with_settings(cyclegan(), given))
    return {key: value for key, value in after.items() if before.get(key) != value}


def experiment(*flags):
    """The whole experiment of `train.py --dataroot D FLAGS`, whatever commands come before."""
    command = official.equivalents(["train", *BASE, *flags]).commands[-1]
    return with_settings(preset(command[1]), split_settings(command[6:])[0])


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
    ("--gpu_ids 1", {"runtime.device": "cuda"}),
    ("--preprocess none", {"data.preprocess": "none"}),
    ("--norm none", {"method.generator.norm": "none", "method.discriminator.norm": "none"}),
    ("--norm sync_batch", {"method.generator.norm": "batch", "method.discriminator.norm": "batch"}),
    ("--norm syncbatch", {"method.generator.norm": "batch", "method.discriminator.norm": "batch"}),
    ("--no_lsgan", {"method.adversarial": "log-likelihood"}),
    ("--lr_policy step --lr_decay_iters 20", {"optim.schedule": "step", "optim.decay_every": 20}),
    ("--lr_policy cosine", {"optim.schedule": "cosine"}),
    ("--init_type xavier", {"method.generator.init": "xavier", "method.discriminator.init": "xavier"}),
    ("--init_gain 0.1", {"method.generator.init_gain": 0.1, "method.discriminator.init_gain": 0.1}),
    ("--display_single_pane_ncols 4", {}),
    ("--no_dropout --epoch_count 5 --display_id 0 --no_html --verbose", {}),
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
        ("--gan_mode wgangp", "--gan_mode wgangp .there is lsgan or vanilla or hinge: the official CycleGAN has"),
        ("--lr_policy plateau", "--lr_policy plateau .there is linear or lambda or step or cosine: .* always 0"),
        ("--gpu_ids 0,1", "CUDA_VISIBLE_DEVICES=0,1 torchrun --nproc-per-node 2 -m unpaired train"),
        ("--gpu_ids one", "--gpu_ids: expected numbers"),
        ("--model colorization", "--model colorization has no counterpart here: it is pix2pix from lightness"),
        ("--model test", "--model test has no counterpart here: .* `unpaired test`"),
        ("--model pix2pixHD", "--model pix2pixHD .* cycle_gan, pix2pix, cut, fastcut and test are known"),
        ("--model pix2pix --dataset_mode unaligned", "pix2pix learns from pairs"),
        ("--model pix2pix --lambda_A 3", "--lambda_A: flags of --model cycle_gan"),
        ("--lambda_L1 3", "--lambda_L1: flags of --model pix2pix"),
        ("--num_test 3 --results_dir r", "--num_test, --results_dir: flags of test.py"),
        ("--continue_train", "--continue_train: checkpoints/experiment_name holds no run"),
        ("--suffix {depth}", "--suffix {depth}: expected names of flags in braces"),
        ("--netG unet_512", "--netG unet_512 .there is resnet_9blocks or"),
        ("--serial_batches", "--serial_batches .A is shuffled"),
        ("--max_dataset_size 10", "--max_dataset_size .make a folder or a list"),
        ("--epoch 5", "--epoch 5 .there is latest: .*--from RUN/checkpoints/step-N"),
        ("--lambda_A 3", "identity terms different weights.*--lambda_identity 0"),
        ("--lamda_A 3", r"not flags of the official code: --lamda_A; did you mean --lambda_A\?, 3\. docs/switching.md"),
        ("--foo 3 --bar", "--foo.*, --bar"),
        ("--batch_size two", "--batch_size: expected a number, got two"),
        ("--lr --ngf", "--lr: a value is missing"),
        ("--gan_mode wgangp --lr_policy plateau", "--gan_mode wgangp.*--lr_policy plateau"),
    ],
)
def test_what_has_no_counterpart_is_named_with_what_to_do(flags, words):
    with pytest.raises(BadInput, match=words):
        official.equivalents(["train", *BASE, *flags.split()])


def test_flags_without_effect_are_named_with_the_reason():
    notes = official.equivalents(["train", *BASE, "--epoch_count", "3", "--display_id", "0"]).notes
    assert notes == [
        "--epoch_count is not needed: the checkpoint holds the step",
        "--display_id is not needed: no display server: the report is a file",
    ]


def test_the_gpu_is_chosen_or_named():
    cpu = official.equivalents(["train", *BASE, "--gpu_ids", "-1"])
    assert cpu.commands[0][-2:] == ["--runtime.device", "cpu"]
    second = official.equivalents(["test", *BASE, "--gpu_ids", "1"])
    assert second.environment == {"CUDA_VISIBLE_DEVICES": "1"} and "--gpu_ids 1: CUDA_VISIBLE_DEVICES=1" in second.notes
    first = official.equivalents(["train", *BASE, "--gpu_ids", "0"])
    assert first.environment == {} and first.notes[0].startswith("--gpu_ids 0: the first GPU")


def test_a_suffix_is_filled_in_as_the_official_code_does():
    [command] = official.equivalents(
        ["train", *BASE, "--name", "n", "--netG", "resnet_6blocks", "--suffix", "{model}_{netG}_size{load_size}"]
    ).commands
    assert command[command.index("--out") + 1] == "checkpoints/n_cycle_gan_resnet_6blocks_size286"


def test_own_flags_pass_through():
    flags = ["--from", "models/a", "--allow-config-change", "--optim.beta2=0.99"]
    [command] = official.equivalents(["train", *BASE, *flags]).commands
    assert command[-4:] == flags


def test_a_switch_that_is_implied_and_given_is_passed_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints/n").mkdir(parents=True)
    (tmp_path / "checkpoints/n/config.yaml").touch()
    flags = ["--name", "n", "--continue_train", "--optim.beta2=0.99", "--allow-config-change"]
    [command] = official.equivalents(["train", *BASE, *flags]).commands
    assert command[-2:] == ["--allow-config-change", "--optim.beta2=0.99"]
    assert command.count("--allow-config-change") == 1


def test_pix2pix_is_mapped_with_its_pairs_split_first():
    flags = ["--dataroot", "facades", "--name", "n", "--model", "pix2pix", "--direction", "BtoA", "--lambda_L1", "50"]
    before, command = official.equivalents(["train", *flags]).commands
    assert before == ["prepare", "aligned", "facades", "facades.pairs"]
    given, rest = split_settings(command[2:])
    assert rest == ["--data", "facades.pairs", "--out", "checkpoints/n"]
    experiment = with_settings(preset(command[1]), given)
    assert experiment.method.name == "pix2pix" and experiment.data.paired
    assert experiment.method.l1_weight == 50 and experiment.method.generator.norm == "batch"
    before, command = official.equivalents(["test", *flags[:-2]]).commands
    layout = ["--direction", "BtoA", "--layout", "official", "--scale", "train"]
    assert command == ["translate", "checkpoints/n", "facades.pairs/testB", "results/n/test_latest", *layout]


CUT = ["--dataroot", "d", "--name", "n"]


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (["--model", "cut"], "cut"),
        (["--CUT_mode", "CUT"], "cut"),
        (["--model", "cut", "--CUT_mode", "FastCUT"], "fastcut"),
        (["--CUT_mode", "fastcut"], "fastcut"),
        (["--model", "fastcut"], "fastcut"),
        (["--lambda_NCE", "2"], "cut"),
    ],
)
def test_cut_and_fastcut_are_the_presets(flags, expected):
    [command] = official.equivalents(["train", *CUT, *flags]).commands
    assert command[:2] == ["train", expected]


def test_flags_of_cut_become_settings():
    flags = "--model cut --lambda_GAN 2 --lambda_NCE 3 --nce_idt False --nce_T 0.1 --num_patches 64 --flip_equivariance"
    flags += " --normG batch --normD none --no_antialias --no_antialias_up --beta2 0.99 --pool_size 50 --nce_layers"
    flags += " 0,4,8,12,16 --netF mlp_sample --netF_nc 256 --nce_includes_all_negatives_from_minibatch false"
    found = official.equivalents(["train", *CUT, *flags.split(), "--direction", "BtoA"])
    given, _ = split_settings(found.commands[0][2:])
    experiment = with_settings(preset("cut"), given)
    method = experiment.method
    assert (method.gan_weight, method.nce_weight, method.temperature, method.patches) == (2, 3, 0.1, 64)
    assert (method.identity, method.flip_equivariance, method.direction) == (False, True, "BtoA")
    assert (method.generator.norm, method.discriminator.norm, experiment.optim.beta2) == ("batch", "none", 0.99)
    assert (method.generator.downsampling, method.generator.upsampling) == ("strided", "transposed")
    assert method.discriminator.downsampling == "strided"
    assert any(note.startswith("--pool_size: ") for note in found.notes)
    assert not any(note.startswith("--direction") for note in found.notes)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--model cut --lambda_A 3", "--lambda_A: flags of --model cycle_gan"),
        ("--model cycle_gan --lambda_NCE 3", "--lambda_NCE: flags of --model cut"),
        ("--model cut --nce_layers 0,4", "--nce_layers 0,4 .there is 0,4,8,12,16: the published"),
        ("--model cut --nce_includes_all_negatives_from_minibatch", "minibatch true .there is false: negatives are"),
        ("--model cut --netG stylegan2", "--netG stylegan2 .there is resnet_9blocks"),
    ],
)
def test_what_cut_has_not_here_is_refused(flags, words):
    with pytest.raises(BadInput, match=words):
        official.equivalents(["train", *CUT, *flags.split()])


@pytest.mark.parametrize(("direction", "side"), [("AtoB", "A"), ("BtoA", "B")])
def test_cut_is_tested_in_its_one_direction(direction, side):
    flags = ["--CUT_mode", "CUT", "--phase", "train", "--direction", direction, "--nce_idt", "True"]
    assert official.equivalents(["test", *CUT, *flags]).commands == [
        ["translate", "checkpoints/n", f"d/train{side}", "results/n/train_latest", "--direction", direction]
        + ["--layout", "official", "--scale", "train"]
    ]


def test_testing_becomes_one_translation_per_direction():
    flags = ["--dataroot", "d", "--name", "n", "--model", "cycle_gan", "--num_test", "50", "--eval", "--netG", "x"]
    found = official.equivalents(["test", *flags])
    layout = ["--layout", "official", "--scale", "train"]
    assert found.commands == [
        ["translate", "checkpoints/n", "d/testA", "results/n/test_latest", "--direction", "AtoB", *layout],
        ["translate", "checkpoints/n", "d/testB", "results/n/test_latest", "--direction", "BtoA", *layout],
    ]
    assert len(found.notes) == 3
    with pytest.raises(BadInput, match="--n_epochs, --lr_policy: flags of train.py"):
        official.equivalents(["test", *flags, "--n_epochs", "3", "--lr_policy", "linear"])


def test_model_test_takes_one_folder_and_ignores_the_direction():
    alone = ["--dataroot", "d/testB", "--name", "n", "--model", "test", "--model_suffix", "_B", "--phase", "val"]
    found = official.equivalents(["test", *alone, "--direction", "AtoB", "--dataset_mode", "single"])
    assert found.commands == [
        ["translate", "checkpoints/n", "d/testB", "results/n/val_latest", "--direction", "BtoA"]
        + ["--layout", "official-single", "--scale", "train"]
    ]
    assert "--direction: --model test takes the generator of --model_suffix" in found.notes


def test_the_guide_shows_every_flag_and_no_other():
    shown = set(re.findall(r"`?--([A-Za-z]\w*)\b(?![-.])", GUIDE.read_text()))
    ours = {"data", "out", "from", "steps", "layout", "scale", "help", "b", "nproc", "device"}
    assert official_flags.KNOWN | set(official_flags.OLD_NAMES) <= shown
    assert shown - official_flags.KNOWN - set(official_flags.OLD_NAMES) <= ours


def test_the_settings_in_the_guide_exist():
    named = {
        name.replace("-", "_") for name in re.findall(r"--((?:data|method|optim|runtime)\.[\w.-]+)", GUIDE.read_text())
    }
    unet = with_settings(cyclegan(), {"method.generator.name": "unet"})
    others = (flatten(preset(name)) for name in ("pix2pix", "cut"))
    known = {*flatten(cyclegan()), *flatten(unet), *(key for settings in others for key in settings), "data.no_flip"}
    assert named - known <= {"runtime.trackers", "runtime.project"}


# For real


def test_an_official_training_command_says_ours_and_trains(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data")
    command = "train --dataroot data --name mine --model cycle_gan --ngf 4 --ndf 4 --netG resnet_6blocks --load_size 36"
    command += " --crop_size 32 --netD n_layers --n_layers_D 1 --gpu_ids -1 --num_threads 0 --optim.steps 2 --no_html"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # restored afterwards
    assert run(command.split()) == 0
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "--no_html is not needed: report.html is one file"
    assert said[1] == "--gpu_ids -1: the CPU"
    ours = said[2].removeprefix("running: unpaired ")
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


def test_images_are_tested_at_the_training_size_unless_preprocess_is_none(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    side = Translator.load(make_model(tmp_path / "checkpoints/mine")).bundle.experiment.data.crop_size
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (3 * side, 2 * side), (90, 40, 200)).save(tmp_path / "photos/a.png")
    for number, (flags, size) in enumerate(
        [
            ([], (side, side)),
            (["--load_size", "512"], (side, side)),
            (["--preprocess", "none"], (3 * side, 2 * side)),
            (["--scale", "own"], (3 * side, 2 * side)),
        ]
    ):
        words = ["test", "--dataroot", "photos", "--name", "mine", "--model", "test", "--results_dir", str(number)]
        assert run([*words, *flags]) == 0
        for kind in ("real", "fake"):
            with Image.open(tmp_path / f"{number}/mine/test_latest/images/a_{kind}.png") as image:
                assert image.size == size


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
    from unpaired.imaging.images import DecodedImage, read_image, write_image

    make_model(tmp_path / "model")
    deep = np.random.default_rng(0).integers(0, 65536, (16, 16, 3), np.uint16)
    write_image(DecodedImage(deep), tmp_path / "one.tif")
    words = ["translate", str(tmp_path / "model"), str(tmp_path / "one.tif"), str(tmp_path / "out")]
    assert run([*words, "--layout", "official"]) == 0
    assert (read_image(tmp_path / "out/images/one_real_A.png").pixels == deep).all()
    assert read_image(tmp_path / "out/images/one_fake_B.png").pixels.dtype == np.uint16


def test_more_epochs_on_a_finished_run(tmp_path, monkeypatch, capsys):
    """--continue_train with higher --n_epochs and --epoch_count, as the maintainers advise."""
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data")
    command = "train --dataroot data --name mine --model cycle_gan --ngf 4 --ndf 4 --netG resnet_6blocks --load_size 36"
    command += " --crop_size 32 --netD n_layers --n_layers_D 1 --num_threads 0"
    assert run([*command.split(), "--continue_train"]) == 2
    assert "--continue_train: checkpoints/mine holds no run" in capsys.readouterr().err
    assert not (tmp_path / "checkpoints").exists()
    assert run([*command.split(), "--n_epochs", "1", "--n_epochs_decay", "0"]) == 0
    first = steps_of(tmp_path / "checkpoints/mine")
    more = ["--n_epochs", "1", "--n_epochs_decay", "1", "--continue_train", "--epoch_count", "2"]
    assert run([*command.split(), *more]) == 0
    assert steps_of(tmp_path / "checkpoints/mine") == 2 * first
    said = capsys.readouterr().err
    assert "--continue_train: the run resumes at its checkpoint; settings may differ, as for more epochs" in said
    assert run(["test", "--dataroot", "data", "--name", "mine", "--epoch", "7"]) == 2
    assert "no checkpoint of --epoch 7 is kept; there is step " in capsys.readouterr().err


def steps_of(run_folder):
    return max(int(path.name.removeprefix("step-")) for path in (run_folder / "checkpoints").glob("step-*"))


def test_epoch_and_load_iter_choose_a_kept_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for step, epoch, position in ((6, 1, 0), (9, 1, 3), (12, 2, 0)):
        folder = tmp_path / f"checkpoints/n/checkpoints/step-{step:08d}"
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(
            seal({"format": 1, "step": step, "epoch": epoch, "position": position, "files": {}})
        )
    (tmp_path / "checkpoints/n/config.yaml").write_text("")
    for flags, step, label in ((["--epoch", "1"], 6, "1"), (["--load_iter", "9"], 9, "iter_9")):
        command = official.equivalents(["test", "--dataroot", "d", "--name", "n", *flags]).commands[0]
        assert command[1:4] == [f"checkpoints/n/checkpoints/step-{step:08d}", "d/testA", f"results/n/test_{label}"]
    with pytest.raises(BadInput, match="no checkpoint of --load_iter 7 is kept; there is step 6, 9, 12"):
        official.equivalents(["test", "--dataroot", "d", "--name", "n", "--load_iter", "7"])


def test_official_weights_are_converted_for_a_test_and_named_for_training(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data", test=1)
    make_model(tmp_path / "model")
    assert run(["convert", "model", "checkpoints/mine"]) == 0
    for epoch in ("latest", "5"):
        for net in ("G_A", "G_B"):
            source = tmp_path / f"checkpoints/mine/latest_net_{net}.pth"
            (source.with_name(f"{epoch}_net_{net}.pth")).write_bytes(source.read_bytes())
    for flags, label in (([], "latest"), (["--epoch", "5"], "5")):
        assert run(["test", "--dataroot", "data", "--name", "mine", "--model", "cycle_gan", *flags]) == 0
        assert (tmp_path / f"results/mine/test_{label}/images/00_fake_B.png").is_file()
    assert "running: unpaired convert checkpoints/mine" in capsys.readouterr().err
    assert run(["train", "--dataroot", "data", "--name", "mine", "--continue_train"]) == 2
    said = capsys.readouterr().err
    assert "holds official weights; `unpaired convert checkpoints/mine checkpoints/mine_bundle`" in said


def test_model_test_writes_the_official_file_names(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data", test=1)
    make_model(tmp_path / "checkpoints/mine")
    command = "test --dataroot data/testA --name mine --model test --no_dropout --direction BtoA"
    assert run(command.split()) == 0
    written = sorted(path.name for path in (tmp_path / "results/mine/test_latest/images").iterdir())
    assert written == ["00_fake.png", "00_real.png"]
    shown = re.findall(r'src="images/([^"]+)"', (tmp_path / "results/mine/test_latest/index.html").read_text())
    assert shown == ["00_real.png", "00_fake.png"]


def test_side_by_side_images_become_pairs_and_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for phase, count in (("train", 3), ("test", 2)):
        (tmp_path / "facades" / phase).mkdir(parents=True)
        for k in range(count):
            pixels = np.full((36, 80, 3), 10 * k, np.uint8)
            pixels[:, 40:] += 100
            Image.fromarray(pixels).save(tmp_path / "facades" / phase / f"{k}.jpg", quality=95)
    command = "train --dataroot facades --name p --model cycle_gan --dataset_mode aligned --ngf 4 --ndf 4"
    command += " --load_size 36 --crop_size 32 --netG resnet_6blocks --netD n_layers --n_layers_D 1"
    command += " --num_threads 0 --optim.steps 1"
    assert run(command.split()) == 0
    for phase, count in (("train", 3), ("test", 2)):
        for side, level in (("A", 0), ("B", 100)):
            files = sorted((tmp_path / f"facades.pairs/{phase}{side}").iterdir())
            assert [file.name for file in files] == [f"{k}.png" for k in range(count)]
            with Image.open(files[1]) as image:
                assert image.size == (40, 36) and abs(np.asarray(image).mean() - level - 10) < 2
    assert json.loads((tmp_path / "facades.pairs/dataset.json").read_text())["aligned"] is True
    assert "paired: true" in (tmp_path / "checkpoints/p/config.yaml").read_text()
    assert run(command.split()) == 0  # the pairs are there: the same run
    Image.new("RGB", (81, 36)).save(tmp_path / "facades/test/odd.png")
    assert run(["prepare", "aligned", "facades", "again"]) == 2
    assert "odd.png: expected A and B side by side" in capsys.readouterr().err and not (tmp_path / "again").exists()


def test_other_uses_of_train_and_test_are_left_alone():
    assert not official.is_official(["train", "earth", "--data", "x"])
    assert not official.is_official(["translate", "--dataroot", "x"])
    assert json.dumps(official.equivalents(["train", *BASE]).commands) == json.dumps(
        [["train", "cyclegan", "--data", "D", "--out", "checkpoints/experiment_name"]]
    )


def official_weights(folder, seed):
    make_model(folder.parent / f"model{seed}", seed=seed)
    assert run(["convert", str(folder.parent / f"model{seed}"), str(folder)]) == 0


def test_weights_that_were_trained_on_are_converted_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_data(tmp_path / "data", test=1)
    seen = []
    for seed in range(2):
        official_weights(tmp_path / "checkpoints/mine", seed)
        later = time.time() + 10 * seed
        for path in (tmp_path / "checkpoints/mine").glob("*.pth"):
            os.utime(path, (later, later))
        assert run("test --dataroot data --name mine --model cycle_gan".split()) == 0
        seen.append((tmp_path / "results/mine/test_latest/images/00_fake_B.png").read_bytes())
    assert seen[0] != seen[1]


def test_direction_and_size_of_official_weights_follow_the_flags(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints/n").mkdir(parents=True)
    (tmp_path / "checkpoints/n/latest_net_G.pth").touch()
    flags = "test --dataroot d --name n --model cut --direction BtoA --load_size 128 --crop_size 128"
    convert, translate = official.equivalents(flags.split()).commands
    bundle = "checkpoints/n/bundles/latest-BtoA-load_size=128-crop_size=128.safetensors"
    expected = f"convert checkpoints/n {bundle} --epoch latest --trained BtoA --load-size 128 --crop-size 128"
    assert convert == expected.split()
    assert translate[1:3] == [bundle, "d/testB"] and "BtoA" in translate


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("--model pix2pix --netG resnet_9blocks", ("resnet", "batch", True)),
        ("--model pix2pix --netG unet_128", ("unet", "batch", True)),
        ("--model pix2pix --netG unet_128 --no_dropout", ("unet", "batch", False)),
    ],
)
def test_another_network_keeps_what_the_method_sets_for_all(flags, expected):
    found = experiment(*flags.split()).method.generator
    assert (found.name, found.norm, found.dropout) == expected


def test_the_networks_of_cut_keep_their_initialisation():
    method = experiment(*"--model cut --netG unet_128 --netD pixel".split()).method
    assert (method.generator.name, method.generator.init, method.discriminator.init) == ("unet", "xavier", "xavier")
    assert experiment("--model", "pix2pix", "--netD", "pixel").method.discriminator.norm == "batch"
