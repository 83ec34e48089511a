"""The training doctor: planted faults are found, healthy translations have no finding."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tests.data_sets import make_data
from unpaired.evaluation.report import write_report
from unpaired.experiment import flatten, with_root, with_settings
from unpaired.methods import METHODS
from unpaired.presets import PRESETS, preset
from unpaired.training import train
from unpaired.training.doctor import WARM_UP, Doctor, examine, overwhelmed
from unpaired.training.samples import FAINT, SampleOutputs

HEALTHY_LOSSES = {"gan/G": 0.5, "discriminator/Y": 0.15, "discriminator/X": 0.2}


LATE = 5000
"""A step past every warm-up."""


def photographs(shift, count=6, side=64):
    """Cut from photographs, so that brightness and texture are those of images."""
    whole = torch.from_numpy(np.stack([data.astronaut()[..., :3], data.astronaut()[..., ::-1]]).copy()).float()
    image = whole[shift].permute(2, 0, 1) / 127.5 - 1
    return [image[:, 60 * k : 60 * k + side, 70 * k : 70 * k + side].contiguous() for k in range(count)]


X, Y = photographs(0), photographs(1)


def warm(image):
    """A healthy translation: other colours, the same content."""
    return (0.6 * image.flip(0) + 0.3 * image + torch.tensor([0.1, 0.0, -0.1])[:, None, None]).clamp(-1, 1)


def cool(image):
    return ((image - torch.tensor([0.1, 0.0, -0.1])[:, None, None]).flip(0) - 0.3 * image).clamp(-1, 1)


def sampled(there, back=None, inputs=X, other=None):
    """Both directions; the second is healthy unless given."""

    def one(images, forth, home):
        outputs = [forth(image) for image in images]
        rng = torch.Generator().manual_seed(0)
        noisy = [image + FAINT * torch.randn(image.shape, generator=rng) for image in outputs]
        files = [Path(f"{k}.png") for k in range(len(images))]
        return SampleOutputs(
            files, images, outputs, [home(image) for image in outputs], [home(image) for image in noisy]
        )

    return {"AtoB": one(inputs, there, back or (lambda image: image)), "BtoA": one(Y, other or cool, warm)}


def found(case):
    return {finding.symptom for direction in case for finding in examine(case, direction)}


def test_a_healthy_pair_of_translations_has_no_finding():
    assert found(sampled(warm, cool)) == set()
    assert Doctor(preset("smoke")).examine(LATE, sampled(warm, cool), HEALTHY_LOSSES) == []


def hide(image):
    """Steganography: one image for all, the input a fiftieth of it."""
    return 0.5 * Y[0] + image / 50


def seek(image):
    return 50 * (image - 0.5 * Y[0])


def checkerboard(image):
    board = torch.ones_like(image)
    board[:, ::2, 1::2] = board[:, 1::2, ::2] = -1
    return warm(image) + 0.1 * board


CASES = {
    "inverted": lambda: sampled(lambda image: -image, lambda image: -image),
    "copying": lambda: sampled(lambda image: image + 0.004),
    "collapse": lambda: sampled(lambda image: Y[0] + 0.01 * image),
    "checkerboard": lambda: sampled(checkerboard, cool),
    "blank input": lambda: sampled(warm, cool, inputs=[torch.zeros_like(X[0]), *X[1:]]),
    "hidden signal": lambda: sampled(hide, seek),
}


@pytest.mark.parametrize("symptom", CASES)
def test_a_planted_fault_is_found(symptom):
    assert symptom in found(CASES[symptom]())


def test_a_finding_names_its_images_and_what_to_try():
    case = sampled(warm, cool, inputs=[torch.zeros_like(X[0]), *X[1:]])
    (finding,) = examine(case, "AtoB")
    assert finding.images == ("0.png",)
    assert str(finding).startswith("doctor: AtoB: blank input: 1 of 6 images show nothing (0.png); remove such files")


def test_only_what_lasts_from_one_sampling_to_the_next_is_reported():
    doctor, wrong, well = Doctor(preset("smoke")), sampled(lambda image: image), sampled(warm, cool)
    assert doctor.examine(LATE, wrong, {}) == []
    assert [finding.symptom for finding in doctor.examine(LATE, wrong, {})] == ["copying"]
    assert doctor.examine(LATE, well, {}) == []
    assert doctor.examine(LATE, wrong, {}) == []


def test_a_discriminator_that_is_never_wrong_is_named_and_others_are_not():
    assert overwhelmed(HEALTHY_LOSSES, chance=0.25) == []
    (finding,) = overwhelmed({"gan/G": 1.0, "discriminator/Y": 0.01, "discriminator/X": 0.2}, chance=0.25)
    assert (finding.symptom, finding.where) == ("discriminator winning", "discriminator/Y")


@pytest.mark.slow
def test_a_run_reports_what_lasts_on_the_terminal_in_the_log_and_in_the_report(tmp_path, capsys):
    data_set = make_data(tmp_path / "data")
    settings = {"optim.steps": 6, "runtime.log_every": 1, "runtime.sample_every": 1, "runtime.precision": "fp32"}
    for file in sorted((data_set / "testA").iterdir())[:2]:  # planted: images that show nothing
        with Image.open(file) as decoded:
            size = decoded.size
        Image.new("RGB", size, (90, 90, 90)).save(file)
    experiment = with_settings(with_root(preset("smoke"), data_set), settings)
    run = train(experiment, tmp_path / "run")
    said = [line for line in capsys.readouterr().err.splitlines() if "doctor:" in line]
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    found = {(each["symptom"], each["where"]) for line in logged for each in line.get("findings", [])}
    assert ("blank input", "AtoB") in found and ("blank input", "BtoA") not in found
    assert len(said) == len(found)  # each once
    assert not any("findings" in line for line in logged[:1])
    page = write_report(run).read_text()
    assert "Findings of the training doctor" in page and "<b>blank input</b>, A to B, steps 2 to 6" in page


def test_images_of_different_sizes_are_compared_by_their_common_part():
    sizes = [image[:, : 40 + 4 * k, : 64 - 4 * k] for k, image in enumerate(X)]
    assert found(sampled(warm, cool, inputs=sizes)) == set()


@pytest.mark.parametrize("symptom", ["copying", "checkerboard", "collapse", "inverted", "hidden signal"])
def test_a_symptom_of_untrained_networks_is_reported_only_after_its_warm_up(symptom):
    case, experiment = CASES[symptom](), preset("smoke")
    early, late = WARM_UP[symptom] - 1, WARM_UP[symptom]
    assert late >= 500
    doctor = Doctor(experiment)
    assert symptom not in {found.symptom for step in (20, early, early) for found in doctor.examine(step, case, {})}
    assert symptom not in {found.symptom for found in doctor.examine(late, case, {})}  # the first time it counts
    assert symptom in {found.symptom for found in doctor.examine(late + 1, case, {})}


def test_a_discriminator_may_win_while_it_warms_up():
    doctor, losses = Doctor(preset("smoke")), {"discriminator/Y": 0.001}
    healthy = sampled(warm, cool)
    assert [doctor.examine(step, healthy, losses) for step in (100, 200, 499)] == [[], [], []]
    assert [bool(doctor.examine(step, healthy, losses)) for step in (500, 501)] == [False, True]


def test_a_blank_input_is_reported_from_the_first_samplings_on():
    doctor, case = Doctor(preset("smoke")), CASES["blank input"]()
    assert doctor.examine(1, case, {}) == []
    assert [found.symptom for found in doctor.examine(2, case, {})] == ["blank input"]


def test_advice_is_a_flag_that_the_command_line_takes_and_that_changes_the_setting():
    experiment = with_settings(preset("smoke"), {"optim.lr": 2e-4, "method.identity_weight": 5})
    settings = flatten(experiment)
    (winning,) = overwhelmed({"discriminator/Y": 0.001}, 0.25, settings)
    assert "--optim.discriminator-lr 1e-04" in winning.advice or "--optim.discriminator-lr 0.0001" in winning.advice
    found = {symptom: examine(CASES[symptom](), "AtoB", settings) for symptom in CASES}
    advice = {each.symptom: each.advice for findings in found.values() for each in findings} | {
        "winning": winning.advice
    }
    assert "--method.forward-cycle-weight 5 --method.backward-cycle-weight 5" in advice["hidden signal"]
    assert "--method.identity-weight 10" in advice["inverted"] and "--runtime.seed 1" in advice["inverted"]
    flags = [flag for words in advice.values() for flag in re.findall(r"--[a-z_.-]+ [\w.-]+", words)]
    assert len(flags) >= 8
    for name, value in (flag.removeprefix("--").split() for flag in flags):
        changed = with_settings(experiment, {name: value})
        assert changed != experiment, name


@pytest.mark.parametrize("name", [*METHODS, "quick", "standard"])
def test_advice_of_every_method_is_taken_by_its_command_line(name):
    experiment = preset(name) if name in PRESETS else with_settings(preset("smoke"), {"method.name": name})
    settings = flatten(experiment)
    found = [finding for symptom in CASES for finding in examine(CASES[symptom](), "AtoB", settings)]
    found += overwhelmed({"discriminator/Y": 0.001}, 0.25, settings)
    assert {finding.symptom for finding in found} >= {"inverted", "copying", "collapse", "checkerboard"}
    for flag in [flag for each in found for flag in re.findall(r"--[a-z_.-]+ [\w.-]+", each.advice)]:
        setting, value = flag.removeprefix("--").split()
        assert with_settings(experiment, {setting: value}) != experiment, flag


def test_a_method_of_one_direction_is_examined_as_well():
    for symptom in ("copying", "collapse", "checkerboard"):
        one = {"AtoB": CASES[symptom]()["AtoB"]}
        assert symptom not in {finding.symptom for finding in examine(one, "AtoB")}
        assert symptom in {finding.symptom for finding in examine(one, "AtoB", real={"A": X, "B": Y})}
    healthy = {"AtoB": sampled(warm, cool)["AtoB"]}
    assert examine(healthy, "AtoB", real={"A": X, "B": Y}) == []
