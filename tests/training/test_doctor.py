"""The doctor of training: planted faults are found, healthy translations are not remarked upon."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tests.data_sets import make_data
from unpaired.evaluation.report import write_report
from unpaired.experiment import with_root, with_settings
from unpaired.presets import preset
from unpaired.training import train
from unpaired.training.doctor import Doctor, examine, overwhelmed
from unpaired.training.samples import FAINT, SampleOutputs

HEALTHY_TERMS = {"gan/G": 0.5, "discriminator/Y": 0.15, "discriminator/X": 0.2}


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


def test_a_healthy_pair_of_translations_is_not_remarked_upon():
    assert found(sampled(warm, cool)) == set()
    assert Doctor("least-squares").look(sampled(warm, cool), HEALTHY_TERMS) == []


def hide(image):
    """Steganography: one image for all, the input a fiftieth of it."""
    return 0.5 * Y[0] + image / 50


def seek(image):
    return 50 * (image - 0.5 * Y[0])


def checkerboard(image):
    board = torch.ones_like(image)
    board[:, ::2, 1::2] = board[:, 1::2, ::2] = -1
    return warm(image) + 0.1 * board


@pytest.mark.parametrize(
    ("symptom", "case"),
    [
        ("inverted", lambda: sampled(lambda image: -image, lambda image: -image)),
        ("copying", lambda: sampled(lambda image: image + 0.004)),
        ("collapse", lambda: sampled(lambda image: Y[0] + 0.01 * image)),
        ("checkerboard", lambda: sampled(checkerboard, cool)),
        ("blank input", lambda: sampled(warm, cool, inputs=[torch.zeros_like(X[0]), *X[1:]])),
        ("hidden signal", lambda: sampled(hide, seek)),
    ],
)
def test_a_planted_fault_is_found(symptom, case):
    assert symptom in found(case())


def test_a_finding_names_its_images_and_what_to_try():
    case = sampled(warm, cool, inputs=[torch.zeros_like(X[0]), *X[1:]])
    (finding,) = examine(case, "AtoB")
    assert finding.images == ("0.png",)
    assert str(finding).startswith("doctor: AtoB: blank input: 1 of 6 images show nothing (0.png); remove such files")


def test_only_what_lasts_two_looks_is_told():
    doctor, wrong, well = Doctor(), sampled(lambda image: image), sampled(warm, cool)
    assert doctor.look(wrong, {}) == []
    assert [finding.symptom for finding in doctor.look(wrong, {})] == ["copying"]
    assert doctor.look(well, {}) == []
    assert doctor.look(wrong, {}) == []


def test_a_discriminator_that_is_never_wrong_is_named_and_others_are_not():
    assert overwhelmed(HEALTHY_TERMS, coin=0.25) == []
    (finding,) = overwhelmed({"gan/G": 1.0, "discriminator/Y": 0.01, "discriminator/X": 0.2}, coin=0.25)
    assert (finding.symptom, finding.where) == ("discriminator winning", "discriminator/Y")


def test_a_run_tells_what_lasts_on_the_terminal_in_the_log_and_in_the_report(tmp_path, capsys):
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
    assert "What the doctor of training saw" in page and "<b>blank input</b>, A to B, steps 2 to 6" in page


def test_images_of_different_sizes_are_judged_by_what_they_share():
    sizes = [image[:, : 40 + 4 * k, : 64 - 4 * k] for k, image in enumerate(X)]
    assert found(sampled(warm, cool, inputs=sizes)) == set()
