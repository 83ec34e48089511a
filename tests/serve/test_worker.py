"""The worker's parts, in this process."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from tests.data_sets import make_model
from tests.medical_images import dicom
from unpaired.core.errors import BadInput
from unpaired.imaging.images import DecodedImage, read_image
from unpaired.inference import Translator
from unpaired.inference.runtimes import Runtime
from unpaired.serve.cost import Served
from unpaired.serve.wire import packed, read
from unpaired.serve.worker import Joiner, Task, answers, warm_up


@dataclass(frozen=True)
class Rounding(Runtime):
    """A runtime that gives other last bits to larger batches, as convolutions may."""

    moves: float
    channels_in: int = 3
    channels_out: int = 3
    size_multiple: int = 1
    min_size: int = 1
    label: str = "test"
    batches: list[int] = field(default_factory=list)

    def __call__(self, images):
        self.batches.append(len(images))
        return -images + np.float32(self.moves if len(images) > 1 else 0)


def tasks(runtime, number, height=20):
    served, rng = Served(Translator("AtoB", runtime)), np.random.default_rng(0)
    decoded_images = [DecodedImage(rng.integers(256, size=(height, 30, 3), dtype=np.uint8)) for _ in range(number)]
    return [Task(k, served, image, ".png") for k, image in enumerate(decoded_images)]


def test_images_are_joined_only_where_no_bit_changes():
    same, moved = Rounding(0.0), Rounding(1e-7)
    joiner = Joiner(exact=True)
    for runtime in (same, moved):
        together = tasks(runtime, 4)
        for _ in range(3):
            for task, image in zip(together, joiner.translate(together), strict=True):
                np.testing.assert_array_equal(image.pixels, 255 - task.decoded.pixels)
    assert same.batches == [4, 1, 1, 1, 1, 4, 4]
    assert moved.batches == [4] + [1] * 12


def test_where_speed_is_asked_for_all_of_one_size_are_joined():
    moved = Rounding(1e-7)
    Joiner(exact=False).translate(tasks(moved, 4))
    assert moved.batches == [4]


def test_what_was_learned_of_one_size_says_nothing_of_another():
    same, joiner = Rounding(0.0), Joiner(exact=True)
    joiner.translate(tasks(same, 2))
    joiner.translate(tasks(same, 2, height=21))
    joiner.translate(tasks(same, 3))
    assert same.batches == [2, 1, 1, 2, 1, 1, 3, 1, 1, 1]


def test_images_of_one_padded_size_are_joined_and_keep_their_own():
    same, joiner = Rounding(0.0, size_multiple=4), Joiner(exact=False)
    together = [*tasks(same, 2), *tasks(same, 1, height=18), *tasks(same, 1, height=16)]
    served = together[0].served
    together = [replace(task, served=served) for task in together]
    assert [task.kind == together[0].kind for task in together] == [True, True, True, False]
    for task, image in zip(together, joiner.translate(together[:3]), strict=False):
        np.testing.assert_array_equal(image.pixels, 255 - task.decoded.pixels)
    assert same.batches == [3]


@pytest.mark.promise("finite numbers")
def test_a_warm_up_judges_what_comes_out(tmp_path):
    translator = Translator.load(make_model(tmp_path, 2, 5, seed=3))
    warm_up(translator, "good")
    with pytest.raises(BadInput, match=r"worse.*not finite"):
        warm_up(Translator("AtoB", Rounding(0.0, channels_in=1, channels_out=1)), "fine") or warm_up(
            Translator("AtoB", NotANumber()), "worse"
        )
    with pytest.raises(BadInput, match=r"odd.*found shape \(1, 3, 64, 96\)"):
        warm_up(Translator("AtoB", Rounding(0.0, channels_out=4)), "odd")


class NotANumber(Rounding):
    def __init__(self):
        super().__init__(0.0)

    def __call__(self, images):
        return images * np.nan


def test_a_slice_comes_back_as_a_slice_and_a_volume_is_refused(tmp_path):
    ranges = {"data.range_a": "-1000,1000,int16", "data.range_b": "-1000,1000,int16"}
    translator = Translator.load(make_model(tmp_path / "model", 1, 1, **ranges))
    numbers = np.arange(24 * 20, dtype=np.uint16).reshape(24, 20)
    options = {"RescaleSlope": 1, "RescaleIntercept": -1024}
    files = [dicom(tmp_path / "a.dcm", numbers, **options), dicom(tmp_path / "b.dcm", np.stack([numbers] * 2))]
    data = [file.read_bytes() for file in files]
    task = {"model": "ct", "direction": None, "scale": "own", "suffix": None}
    head = {"tasks": [task | {"id": k, "size": len(each)} for k, each in enumerate(data)]}
    found = answers({"ct": {"AtoB": Served(translator)}}, Joiner(exact=True), 10**6, head, b"".join(data))
    (refused, _), (about, body) = (read(io.BytesIO(answer)) for answer in found)
    assert refused["status"] == 422 and "2 pages" in refused["detail"]
    assert about["status"] == 200 and about["type"] == "application/dicom"
    right = translator.translate_decoded(read_image(data[0])).pixels
    np.testing.assert_array_equal(read_image(body).pixels, right)


def test_messages_arrive_as_they_were_sent():
    stream = io.BytesIO(packed({"a": [1, None]}, b"\0\1") + packed({}) + packed({"b": 2}, b"cut")[:-1])
    assert read(stream) == ({"a": [1, None]}, b"\0\1")
    assert read(stream) == ({}, b"")
    assert read(stream) is None
