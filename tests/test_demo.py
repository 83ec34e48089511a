"""`unpaired demo` with two steps of training: every stage leaves what the README says it leaves."""

import json

import pytest

from unpaired.cli import run
from unpaired.imaging.images import read_image


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "earth"
    assert run(["demo", str(folder), "--steps", "2"]) == 0
    return folder


def test_a_globe_is_translated_before_training_by_the_model_that_comes_with_the_package(demo):
    globe, translated = (read_image(demo / name).pixels for name in ("globe.png", "globe-map.png"))
    assert globe.shape == translated.shape == (1350, 2700, 3)
    assert (demo / "globe-map.png").stat().st_mtime <= (demo / "run" / "bundle.safetensors").stat().st_mtime
    sea = translated[675, 200:260].astype(int)  # the middle of the Pacific on the equator
    land = translated[520, 1380:1440].astype(int)  # the Sahara
    assert (sea[:, 2] > sea[:, 0]).all() and (land[:, 0] > land[:, 2]).all()


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_test_image_is_translated_both_ways_under_its_own_name(demo):
    assert names(demo / "AtoB") == names(demo / "data" / "testA")
    assert names(demo / "BtoA") == names(demo / "data" / "testB")


def test_the_run_holds_what_the_readme_names(demo):
    expected = {"config.yaml", "bundle.safetensors", "checkpoints", "metrics.jsonl", "samples", "tensorboard"}
    assert expected | {"evaluation.json", "report.html"} <= set(names(demo / "run"))


def test_the_scores_stand_beside_the_known_baselines(demo):
    scores = json.loads((demo / "run" / "evaluation.json").read_text())
    for direction, copied, mean, matched in (("AtoB", 117.4, 21.7, 22.4), ("BtoA", 117.4, 39.1, 40.2)):
        assert {"mean_abs_error", "psnr", "ssim", "water_iou", "swd", "cycle_error"} <= set(scores[direction])
        errors = {name: values["mean_abs_error"] for name, values in scores["baselines"][direction].items()}
        expected = {"copy": copied, "mean_colour": mean, "histogram_matching": matched}
        assert errors == pytest.approx(expected, abs=0.1)  # docs/lab-notes.md
    assert scores["recipe"]


def test_the_same_command_again_goes_on_from_what_is_there(demo, capsys, monkeypatch):
    scores = json.loads((demo / "run" / "evaluation.json").read_text())
    monkeypatch.setattr("unpaired.evaluation.evaluate", lambda *_, **__: scores)  # the same again takes half a minute
    before = (demo / "run" / "bundle.safetensors").read_bytes()
    assert run(["demo", str(demo), "--steps", "2"]) == 0
    assert "finished, 2 of 2 steps done" in capsys.readouterr().err
    assert (demo / "run" / "bundle.safetensors").read_bytes() == before
