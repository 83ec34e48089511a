"""Images of several sizes: accepted, or refused before the first step by one line that names a file."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest
import tifffile
from safetensors.torch import load_file

from tests.data_sets import make_data, shapes, tiny
from unpaired.checkpoints.run_state import load_state
from unpaired.core.errors import BadInput
from unpaired.data.checks import examine
from unpaired.training import train
from unpaired.training.trainer import Trainer


def refused(experiment, run, words):
    """The run is refused by one line before it exists."""
    with pytest.raises(BadInput, match=words) as caught:
        train(experiment, run)
    assert "\n" not in str(caught.value) and not run.exists()


def test_a_test_image_that_does_not_fit_the_generator_is_named(tmp_path):
    """U-Net of five halvings: 32 divides 64x64, not 64x48."""
    root = make_data(tmp_path / "data")
    for folder in ("trainA", "trainB", "testA", "testB"):
        for file in (root / folder).iterdir():
            shapes(folder[-1], 1).resize((64, 64)).save(file)
    shapes("B", 2).resize((64, 48)).save(root / "testB/00.png")
    unet = {"method__generator__name": "unet", "method__generator__downs": 5, "method__generator__width": 2}
    refused(tiny(root, data__preprocess="none", **unet), tmp_path / "run", r"testB/00\.png: .*divide by 32.*64x48")


def test_a_training_image_that_is_too_small_for_the_discriminator_is_named(tmp_path):
    root = make_data(tmp_path / "data")
    shapes("A", 9).resize((64, 16)).save(root / "trainA/flat.png")
    experiment = tiny(root, data__preprocess="none", runtime__samples=1, method__discriminator__layers=3)
    refused(experiment, tmp_path / "run", r"trainA/flat\.png and .*64x16 .*do not pass through")


def test_mixed_sizes_in_batches_are_refused_by_name(tmp_path):
    """Also where each batch happens to be of one size: the history would mix them."""
    root = make_data(tmp_path / "data")
    shapes("B", 9).resize((52, 36)).save(root / "trainB/wide.png")
    words = r"data\.batch: .*\.png 40x36, wide\.png 52x36; set data\.batch 1"
    refused(tiny(root, data__preprocess="none", data__batch=2), tmp_path / "run", words)
    refused(tiny(root, data__preprocess="none", optim__accumulate=2), tmp_path / "run", words)


def test_mixed_sizes_one_at_a_time_are_trained_on(tmp_path):
    root = make_data(tmp_path / "data", a=2, b=1)
    shapes("A", 9).resize((52, 44)).save(root / "trainA/large.png")
    run = train(tiny(root, data__preprocess="none", method__history=1, optim__steps=6), tmp_path / "run")
    assert load_state(run)[0].step == 6


@pytest.mark.parametrize("batch", [1, 2])
def test_a_larger_crop_on_resume_works(tmp_path, capsys, batch):
    """First small, then larger; past translations of the small size leave the history."""
    root = make_data(tmp_path / "data")
    small = {"data__batch": batch, "optim__steps": 4, "method__history": 3}
    run = train(tiny(root, **small), tmp_path / "run")
    larger = tiny(root, **small | {"optim__steps": 8, "data__load_size": 48, "data__crop_size": 44})
    with pytest.raises(BadInput, match="data.crop_size was 32 and is now 44"):
        train(larger, run)
    train(larger, run, allow_config_change=True)
    state, _ = load_state(run)
    assert state.step == 8
    past = [value for key, value in state.tensors.items() if key.startswith("planned/") and "/image/" in key]
    assert past and {tuple(image.shape[-2:]) for image in past} == {(44, 44)}
    assert "data.crop_size was 32 and is now 44" in capsys.readouterr().err


def test_a_checkpoint_that_does_not_fit_is_refused_before_anything_is_written(tmp_path):
    root = make_data(tmp_path / "data")
    run = train(tiny(root, optim__steps=2), tmp_path / "run")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(BadInput, match="does not fit its settings"):
        train(tiny(root, optim__steps=4, method__generator__width=8), run, allow_config_change=True)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    train(tiny(root, optim__steps=2), run)  # the command it was begun with still serves


def test_an_image_that_changes_its_size_during_training_is_named_when_it_is_read(tmp_path, monkeypatch):
    """Nothing can know that before; but there is no traceback."""
    root = make_data(tmp_path / "data", a=1, b=1)
    plain = Trainer.train_step

    def train_step(self, *batch):
        shapes("A", 9).resize((40, 34)).save(root / "trainA/00.png")
        return plain(self, *batch)

    monkeypatch.setattr(Trainer, "train_step", train_step)
    experiment = tiny(root, data__preprocess="scale_width", data__load_size=40, data__crop_size=8, data__cache_gb=0)
    with pytest.raises(BadInput, match=r"trainA/00\.png: .*divide by 4.*found 40x34"):
        train(experiment, tmp_path / "run")


@pytest.mark.parametrize("made", ["empty", "hidden file"])
def test_empty_test_folders_do_not_stop_training(tmp_path, made):
    root = make_data(tmp_path / "data", test=0)
    if made == "hidden file":
        (root / "testA/.keep").touch()
    run = train(tiny(root, optim__steps=1), tmp_path / "run")
    assert (run / "samples/step-000001_AtoB.png").exists() and load_file(run / "bundle.safetensors")


def test_test_images_that_cannot_be_used_are_not_replaced_in_silence(tmp_path):
    root = make_data(tmp_path / "data")
    for file in (root / "testA").iterdir():
        file.write_bytes(b"no image")
    with suppress(FileNotFoundError), pytest.raises(BadInput, match="testA"):
        train(tiny(root), tmp_path / "run")


def test_the_size_of_a_skipped_image_does_not_count(tmp_path):
    root = make_data(tmp_path / "data")
    tifffile.imwrite(root / "trainA/bands.tif", np.zeros((44, 52, 5), np.uint8) + 9, photometric="minisblack")
    settings = {"data__preprocess": "none", "data__batch": 2, "data__on_bad_image": "skip", "optim__steps": 2}
    run = train(tiny(root, **settings), tmp_path / "run")
    assert load_state(run)[0].step == 2


def test_check_names_mixed_sizes_with_the_setting_that_helps(tmp_path):
    root = make_data(tmp_path / "data")
    shapes("B", 9).resize((52, 36)).save(root / "trainB/wide.png")
    (note,) = [note for note in examine(root).notes if "sizes" in note]
    assert note.startswith("trainB: images of 2 sizes (00.png 40x36, wide.png 52x36)")
    assert "a data.preprocess that ends in crop" in note and "data.batch must be 1" in note
    assert not [note for note in examine(root, cfg=tiny(root).data).notes if "sizes" in note]
