"""The FCN score and the Cityscapes metrics on a data set whose answers are known: photos are labels, darkened."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from tests.rule import Rule
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.data.manifest import new_dataset
from unpaired.evaluation.labels import Copying, label_scores
from unpaired.evaluation.segmenter import Segmenter, ceiling, imported_segmenter, load_segmenter, train_segmenter
from unpaired.models.fcn import FCN, FCNConfig

CLASSES = {"left": (200, 40, 40), "right": (40, 200, 40), "nowhere": (40, 40, 200)}
SIDE = 16


def darker(image):
    return (image + 1) / 2 - 1


def brighter(image):
    return (image + 1) * 2 - 1


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """B: left and right part of an image, their border anywhere; A: the same at half the brightness."""
    root = tmp_path_factory.mktemp("labels") / "data"
    rng = np.random.default_rng(0)
    with new_dataset(root) as manifest:
        for folder, count in (("train", 24), ("test", 4)):
            for k in range(count):
                label = np.empty((SIDE, SIDE, 3), np.uint8)
                border = int(rng.integers(4, 12))
                label[:, :border], label[:, border:] = CLASSES["left"], CLASSES["right"]
                label[0, 0] = (1, 2, 3)  # no class's colour: ignored
                manifest.save(Image.fromarray(label), f"{folder}B/{k}.png")
                manifest.save(Image.fromarray(label // 2), f"{folder}A/{k}.png")
        manifest.describe(name="halves", aligned=True, palette={"domain": "B", "classes": CLASSES})
    return root


def by_colour(photos):
    """Scores of a segmenter that is never wrong: red is left, green is right."""
    return torch.stack([photos[:, 0], photos[:, 1], torch.full_like(photos[:, 0], -2.0)], 1)


NEVER_WRONG = Segmenter(by_colour, "a rule", {})


def test_a_perfect_translator_scores_one_both_ways(data):
    result = label_scores(Rule({"AtoB": brighter, "BtoA": darker}), data, NEVER_WRONG)
    for direction in ("AtoB", "BtoA"):
        # the class that is nowhere is left out of the means
        assert result[direction] == {"pixel_accuracy": 1.0, "class_accuracy": 1.0, "class_iou": 1.0}


def test_one_that_exchanges_the_classes_scores_nothing(data):
    exchanged = Rule({"AtoB": lambda x: brighter(x[:, [1, 0, 2]]), "BtoA": lambda y: darker(y[:, [1, 0, 2]])})
    result = label_scores(exchanged, data, NEVER_WRONG)
    assert result["AtoB"]["pixel_accuracy"] == result["BtoA"]["pixel_accuracy"] == 0.0


def test_copying_is_judged_like_any_translation(data):
    same = label_scores(Rule({"AtoB": lambda x: x, "BtoA": lambda y: y}), data, NEVER_WRONG)
    assert label_scores(Copying(), data, NEVER_WRONG) == same


def test_painting_everything_left_scores_its_share(data):
    red = torch.tensor(CLASSES["left"]).view(1, 3, 1, 1) / 127.5 - 1
    everywhere = Rule({"AtoB": lambda x: red.expand(len(x), 3, *x.shape[2:])})
    result = label_scores(everywhere, data, None)
    left = total = 0
    for path in (data / "testB").iterdir():
        label = np.asarray(Image.open(path))
        left += int((label == CLASSES["left"]).all(2).sum())
        total += SIDE * SIDE - 1  # one pixel is ignored
    assert result["AtoB"]["pixel_accuracy"] == pytest.approx(left / total, abs=1e-4)
    assert result["AtoB"]["class_accuracy"] == 0.5
    assert result["AtoB"]["class_iou"] == pytest.approx(left / total / 2, abs=1e-4)
    assert "BtoA" not in result and result["recipe"]["labels -> photo"] == "no segmenter given"


def test_the_protocols_size_is_that_of_the_segmenter_and_labels_keep_their_classes(data):
    large = Segmenter(by_colour, "a rule", {}, size=(2 * SIDE, 2 * SIDE))
    assert label_scores(Rule({"BtoA": darker}), data, large)["BtoA"]["pixel_accuracy"] > 0.97  # soft at the border


def test_a_segmenter_learns_its_real_photos_and_is_the_same_when_read_again(data, tmp_path):
    path = tmp_path / "segmenter.safetensors"
    made = train_segmenter(data, path, steps=40, width=8)
    assert made.facts["ceiling"]["pixel_accuracy"] > 0.9
    read = load_segmenter(path)
    assert read.facts == made.facts and ceiling(read, data) == made.facts["ceiling"]
    photos = torch.rand(1, 3, 20, 28) * 2 - 1
    assert_close(read.classify(photos), made.classify(photos))
    result = label_scores(Rule({"BtoA": darker}), data, read)
    assert result["recipe"]["ceiling"] == made.facts["ceiling"]
    assert "not comparable with the paper" in result["recipe"]["labels -> photo"]


def test_the_commands_train_a_segmenter_and_print_its_ceiling(data, tmp_path, capsys):
    path = tmp_path / "segmenter.safetensors"
    assert run(["segmenter", str(data), str(path), "--steps", "2", "--width", "4"]) == 0
    assert json.loads(capsys.readouterr().out)["ceiling"].keys() == {"pixel_accuracy", "class_accuracy", "class_iou"}
    assert run(["labels", str(path), str(data)]) == 2  # no model
    assert run(["labels", "x", str(data), "--segmenter", "a.b:c"]) == 2
    assert "needs --segmenter-weights" in capsys.readouterr().err


def test_a_users_own_segmenter_is_named_and_called_with_its_weights(tmp_path):
    weights = tmp_path / "mine.bin"
    weights.write_bytes(b"")
    own = imported_segmenter("tests.test_label_scores:own_segmenter", weights, None)
    assert own.label == "tests.test_label_scores:own_segmenter with mine.bin"
    assert own(torch.zeros(1, 3, 4, 4)).tolist() == [[[1] * 4] * 4]
    with pytest.raises(BadInput, match="MODULE:FUNCTION"):
        imported_segmenter("tests.nothing:here", weights, None)
    with pytest.raises(BadInput, match="no such file"):
        imported_segmenter("tests.test_label_scores:own_segmenter", tmp_path / "none", None)


def own_segmenter(weights):
    assert weights.name == "mine.bin"
    return lambda photos: torch.stack([photos[:, 0] - 1, photos[:, 0]], 1)


def test_training_folders_without_pairs_and_foreign_files_are_refused(data, tmp_path):
    (tmp_path / "set").mkdir()
    for folder in ("trainA", "trainB", "testA", "testB"):
        (tmp_path / "set" / folder).mkdir()
        name = "0.png" if folder != "trainB" else "1.png"
        Image.new("RGB", (8, 8), CLASSES["left"]).save(tmp_path / "set" / folder / name)
    (tmp_path / "set" / "dataset.json").write_text((data / "dataset.json").read_text())
    with pytest.raises(BadInput, match=r"learns from pairs.*found 2 alone; `unpaired prepare earth --aligned`"):
        train_segmenter(tmp_path / "set", tmp_path / "out.safetensors", steps=1)
    with pytest.raises(BadInput, match="expected a file that `unpaired segmenter` wrote"):
        load_segmenter(data / "dataset.json")


def test_the_segmenter_scores_every_pixel_of_any_size():
    network = FCN(FCNConfig(classes=5, width=4, stages=3)).eval()
    assert network(torch.zeros(2, 3, 37, 50)).shape == (2, 5, 37, 50)
