"""Which images a run may use is decided before its first step, and is the same to its last."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace

import pytest
import torch

from tests import corpus
from tests.data_sets import make_data, shapes, tiny
from unpaired.checkpoints.run_state import load_state
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput, Stopped
from unpaired.data.checks import examine
from unpaired.data.folders import Files
from unpaired.data.selection import SKIPPED, save_selection, select
from unpaired.imaging import values
from unpaired.training import loop as training
from unpaired.training import train

pytestmark = pytest.mark.promise("hostile images")
BAD = {"trainA/00.png": b"", "trainA/zz.png": b"text", "trainB/03.png": b"\x89PNG\r\n\x1a\n", "testB/00.png": b"BM"}


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", a=8, b=8)


@pytest.fixture
def spoiled(data):
    for name, content in BAD.items():
        (data / name).write_bytes(content)
    return data


def last_hash(run):
    state, _ = load_state(run)
    content = b"".join(name.encode() + value.numpy().tobytes() for name, value in sorted(state.tensors.items()))
    return hashlib.sha256(content).hexdigest()


def test_bad_images_stop_a_training_before_its_first_step_and_all_are_named(spoiled, tmp_path):
    with pytest.raises(BadInput) as caught:
        train(tiny(spoiled), tmp_path / "run")
    message = str(caught.value)
    assert "4 images cannot be used" in message and message.isprintable()
    assert all(name in message for name in BAD) and "--data.on-bad-image skip" in message
    assert not (tmp_path / "run").exists()


def test_bad_images_are_left_out_where_asked_for_and_kept_in_words_equal_to_the_doctors(spoiled, tmp_path, capsys):
    run = train(tiny(spoiled, data__on_bad_image="skip"), tmp_path / "run")
    kept = json.loads((run / SKIPPED).read_text())
    found = json.loads(examine(spoiled).to_json())["findings"]
    assert kept["skipped"] == [finding for finding in found if finding["severity"] == "refused"]
    assert {finding["path"] for finding in kept["skipped"]} == set(BAD)
    assert kept["used"] == {"trainA": 7, "trainB": 7}
    said = capsys.readouterr().err
    assert f"skipped 4 images (1 of testB, 2 of trainA, 1 of trainB), named in {run / SKIPPED}" in said
    assert "7 images of A, 7 of B" in said


def test_a_run_that_skips_equals_one_on_the_good_images_alone(spoiled, tmp_path):
    run = train(tiny(spoiled, data__on_bad_image="skip"), tmp_path / "run")
    for name in BAD:
        (spoiled / name).unlink()
    assert last_hash(train(tiny(spoiled), tmp_path / "clean")) == last_hash(run)


@pytest.mark.slow
@pytest.mark.parametrize("mended", [False, True])
def test_a_resumed_run_sees_the_list_it_began_with(spoiled, tmp_path, monkeypatch, mended):
    """Also where a bad image has become a good one since: it was not among those drawn from."""
    skip = tiny(spoiled, data__on_bad_image="skip", optim__steps=12)  # more than an epoch of seven images, or of eight
    whole = train(skip, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(training.Run, "observe", stopping_at(3))
        with pytest.raises(Stopped):
            train(skip, tmp_path / "halves")
    if mended:
        shapes("A", 40).save(spoiled / "trainA/zz.png")
    assert last_hash(train(replace(skip), tmp_path / "halves")) == last_hash(whole)


def stopping_at(last):
    whole = training.Run.observe

    def observe(self, step, monitors, request):
        stopping = whole(self, step, monitors, request)
        if step == last:
            self.save(step)
            raise Stopped("asked for")
        return stopping

    return observe


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_resumed_run_on_other_images_is_refused(data, tmp_path, change):
    run = train(tiny(data), tmp_path / "run")
    path = data / "trainB/01.png"
    if change == "added":
        shapes("B", 41).save(data / "trainB/new.png")
    else:
        path.unlink() if change == "removed" else path.rename(data / "trainB/other.png")
    with pytest.raises(BadInput, match="no longer holds the images that .* began with"):
        train(tiny(data), run)


def test_a_run_begun_before_there_was_a_list_goes_on(data, tmp_path):
    run = train(tiny(data), tmp_path / "run")
    (run / SKIPPED).unlink()
    train(tiny(data), run)
    assert json.loads((run / SKIPPED).read_text())["skipped"] == []


def test_images_that_only_the_settings_refuse_are_named_too(data, tmp_path):
    shapes("A", 0).resize((20, 30)).save(data / "trainA/small.png")
    cfg = DataConfig(root=str(data), preprocess="crop", crop_size=32)
    with pytest.raises(
        BadInput, match=r"1 image cannot be used: trainA/small.png \(expected at least data.crop_size = 32"
    ):
        select(cfg, tmp_path / "run", begun=False)
    usable = select(replace(cfg, on_bad_image="skip"), tmp_path / "run", begun=False)
    assert [(finding.path, finding.reason) for finding in usable.skipped] == [("trainA/small.png", "settings")]


def test_a_narrow_image_that_scaling_would_blow_up_is_refused(data, tmp_path):
    (data / "trainA/tall.png").write_bytes(corpus.encoded(shapes("A", 0).resize((16, 20_000)), "PNG"))
    cfg = DataConfig(root=str(data), preprocess="scale_width_and_crop", load_size=4096, crop_size=16)
    with pytest.raises(BadInput, match=r"tall.png \(4096x5120000 after scale_width_and_crop is over the limit"):
        select(cfg, tmp_path / "run", begun=False)


def test_where_none_is_left_that_is_said(data, tmp_path):
    for path in (data / "trainA").iterdir():
        path.write_bytes(b"")
    with pytest.raises(BadInput, match="trainA: none of its 8 images can be used; `unpaired check"):
        train(tiny(data, data__on_bad_image="skip"), tmp_path / "run")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"skipped": 1}', '{"format": 2}', '{"skipped": [{"path": 1}]}', '{"used": {"trainA": "many"}}']
)
def test_a_damaged_list_is_named_in_one_line(tmp_path, text):
    (tmp_path / SKIPPED).write_text(text)
    with pytest.raises(BadInput) as caught:
        select(DataConfig(root=str(tmp_path)), tmp_path, begun=True)
    assert SKIPPED in str(caught.value) and str(caught.value).isprintable()


def test_names_that_are_no_text_are_kept_too(tmp_path):
    def files(*names):
        return Files(tmp_path, [(None, list(names))])

    name = "trainA/a\udcff.png"
    usable = select(DataConfig(root=str(tmp_path)), tmp_path, begun=True)
    save_selection(usable, tmp_path, str(tmp_path), files(name), files())
    kept = select(DataConfig(root=str(tmp_path)), tmp_path, begun=True)
    save_selection(kept, tmp_path, str(tmp_path), files(name), files())
    with pytest.raises(BadInput, match="began with"):
        save_selection(kept, tmp_path, str(tmp_path), files("trainA/a.png"), files())


def test_torch_draws_nothing_while_the_list_is_made(data, tmp_path):
    torch.manual_seed(3)
    before = torch.get_rng_state()
    select(DataConfig(root=str(data)), tmp_path, begun=False)
    assert torch.equal(before, torch.get_rng_state())


def test_what_the_check_decoded_is_not_decoded_again_by_the_training(tmp_path, monkeypatch):
    """trainA and trainB whole; of a store without room nothing."""
    data = make_data(tmp_path / "data")
    read = []
    whole = values.read_image
    monkeypatch.setattr(
        values, "read_image", lambda path: (read.append(path) if "train" in path.parent.name else None) or whole(path)
    )
    train(tiny(data), tmp_path / "run")
    assert read == []
    train(tiny(data, data__cache_gb=0), tmp_path / "other")
    assert len(read) == 12
    one, other = (load_state(tmp_path / run)[0].tensors for run in ("run", "other"))
    assert all(torch.equal(one[key], other[key]) for key in one if key.startswith("network/"))
