"""Weights from strangers, through every command that takes some: no code runs, memory is bounded, one line is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.data_sets import make_data, make_model
from tests.faults.child import below, command, wrong_with_refusal
from tests.faults.hostile_weights import Good, segmenters, weights

pytestmark = pytest.mark.promise("hostile weights and archives")
ENTRIES: dict[str, Callable[[Path, Path, Path], list[object]]] = {
    "info": lambda model, data, out: ["info", model],
    "translate": lambda model, data, out: ["translate", model, data / "testA", out],
    "evaluate": lambda model, data, out: ["evaluate", model, data, "--out", out / "report.json"],
    "export": lambda model, data, out: ["export", model, out / "x.onnx", "--format", "onnx"],
    "convert": lambda model, data, out: ["convert", model, out / "x"],
    "serve": lambda model, data, out: ["serve", model, "--port", 0],
    "train": lambda model, data, out: ["train", "smoke", "--data", data, "--out", out, "--optim.start", model],
    "labels": lambda model, data, out: ["labels", model, data],
    "labels by a segmenter": lambda model, data, out: ["labels", data.parent / "good", data, "--segmenter", model],
    "push": lambda model, data, out: ["push", model, out / "pushed", "--licence", "mit"],
    "bench": lambda model, data, out: [
        *("bench", "translate", "--size", 32, "--width", 4, "--blocks", 1, "--repeats", 1, "--model", model)
    ],
    "metrics": lambda model, data, out: [
        *("metrics", data / "testA", data / "testB", "--features", "inception", "--weights", model)
    ],
}
"""Every command that reads weights: hostile file, data set and output to its arguments."""
CUT = 31
"""In the short run every file goes through `info`, and every so many through each other command."""
SLOW = {"serve": 5}
"""Times fewer where each file takes a process of its own, which imports torch anew."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Hostile files under files/, a data set, and a canary that any code would have to write."""
    root = tmp_path_factory.mktemp("weights")
    make_data(root / "data")
    (root / "files").mkdir()
    good = Good.of(make_model(root / "good"))
    for name, content in weights(good, f"touch {root}/canary").items():
        (root / "files" / name).write_bytes(content)
    return root


def wrong(place: Path, entries: list[str], every: int = 1) -> list[str]:
    """What went wrong, by command and file."""
    before = below(place)
    files, found = sorted((place / "files").iterdir()), []
    for k, entry in enumerate(entries):
        step = every * SLOW.get(entry, 1)
        for path in files[k % step :: step]:
            outcome = command(ENTRIES[entry](path, place / "data", place / "out"))
            fault = wrong_with_refusal(outcome, path.stat().st_size)
            if fault or (place / "canary").exists():
                found.append(f"{entry} {path.name}: {fault or 'the canary appeared'}")
                (place / "canary").unlink(missing_ok=True)
    return found + [name for name in below(place) if name not in before]


def test_there_are_more_than_two_hundred_and_the_sound_bundle_is_read(place):
    assert len(list((place / "files").iterdir())) >= 200
    assert command(["info", place / "good"]).code == 0


def test_the_canary_would_appear_if_a_pickle_were_loaded(place):
    """Each route runs code where it is let, so that a canary that does not appear proves something."""
    import pickle

    from tests.faults.child import in_child
    from tests.faults.hostile_weights import calls

    canary, sung = place / "sung", []
    for name, content in calls(f"touch {canary}").items():

        def load(content: bytes = content) -> int:
            pickle.Unpickler(__import__("io").BytesIO(content)).load()
            return 0

        in_child(load)
        sung += [name] if canary.exists() else []
        canary.unlink(missing_ok=True)
    assert len(sung) >= 14, sung


def test_no_file_gets_past_info(place):
    assert wrong(place, ["info"]) == []


def test_no_file_gets_past_the_other_commands(place):
    assert wrong(place, [name for name in ENTRIES if name != "info"], every=CUT) == []


@pytest.mark.promise("finite numbers")
@pytest.mark.parametrize("entry", ENTRIES)
def test_numbers_that_are_not_finite_get_past_no_command(place, entry):
    nan, inf = (next((place / "files").glob(f"{number}-*.safetensors")) for number in ("nan", "inf"))
    for path in (nan, inf):
        outcome = command(ENTRIES[entry](path, place / "data", place / "out"))
        assert wrong_with_refusal(outcome, path.stat().st_size) == ""
        assert entry in ("metrics", "labels by a segmenter") or "NaN or infinity" in outcome.said


SEGMENTERS = dict(segmenters())


@pytest.mark.parametrize("name", SEGMENTERS)
def test_no_segmenter_from_a_stranger_is_used(place, tmp_path, name):
    path = tmp_path / "segmenter.safetensors"
    path.write_bytes(SEGMENTERS[name])
    outcome = command(["labels", place / "good", place / "data", "--segmenter", path])
    assert wrong_with_refusal(outcome, path.stat().st_size) == ""
    assert "expected a file that `unpaired segmenter` wrote" in outcome.said


@pytest.mark.torture
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("entry", ENTRIES)
def test_no_file_gets_past(place, entry, promise):
    assert wrong(place, [entry]) == []
    files = len(list((place / "files").iterdir()))
    promise(f"{-(-files // SLOW.get(entry, 1))} weight files through {entry}")
