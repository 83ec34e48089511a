"""A data set of which a quarter is hostile: `check` and `train` name the same files, and memory stays bounded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import corpus
from tests.faults.child import MEGABYTE, Outcome, command, complaints
from unpaired.data.selection import SKIPPED

pytestmark = pytest.mark.promise("hostile images")
MOST = 300 * MEGABYTE
"""Memory that may be taken beside the libraries'; the bombs of the corpus declare up to 10 GB."""
TRAIN = ["--steps", 2, "--runtime.sample-every", 2, "--runtime.save-every", 2, "--runtime.device", "cpu"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """500 sound images, the corpus of hostile ones beside half of them, and odd names that hold nothing."""
    root = tmp_path_factory.mktemp("images")
    for k, (name, number) in enumerate({"trainA": 200, "trainB": 200, "testA": 50, "testB": 50}.items()):
        corpus.write_good(root / name, number, first_seed=1000 * k)
    for name, content in corpus.odd():
        (root / "trainB" / name).write_bytes(content)
    return root


@pytest.fixture(scope="module")
def bad(data):
    names = {f"trainA/{name}" for name in corpus.write_hostile(data / "trainA")}
    for name in corpus.ODD_NAMES:
        (data / "trainB" / name).write_bytes(b"")
    (data / "trainB" / f"{'long' * 60}.png").write_bytes(b"")
    (data / "trainB" / "around").symlink_to(data)  # a folder that leads back to itself
    return names | {f"trainB/{name}" for name in (*corpus.ODD_NAMES, f"{'long' * 60}.png")}


def report(outcome: Outcome) -> list[dict[str, str]]:
    """The refusals in the JSON that `check` printed, progress lines beside it left out."""
    text = outcome.said[outcome.said.index("{\n") : outcome.said.rindex("}") + 1]
    return [finding for finding in json.loads(text)["findings"] if finding["severity"] == "refused"]


def test_nothing_is_refused_of_500_good_files_and_the_odd_ones(data, promise):
    assert command(["check", data]).code == 0
    promise("0 of 500 sound images and 18 odd ones refused")


def test_check_names_every_bad_file_and_no_other(data, bad, promise):
    assert len(bad) >= 120
    outcome = command(["check", data, "--json"])
    assert outcome.code == 2 and outcome.grew < MOST
    assert {finding["path"] for finding in report(outcome)} == bad
    assert all(finding["message"] for finding in report(outcome))
    promise(f"all of {len(bad)} hostile ones named, memory grew by {outcome.grew / MEGABYTE:.0f} MB")


def test_training_names_them_all_before_its_first_step(data, bad, tmp_path):
    outcome = command(["train", "smoke", "--data", data, "--out", tmp_path / "run", *TRAIN])
    (line,) = complaints(outcome)
    assert outcome.code == 2 and outcome.grew < MOST and line.isprintable()
    assert f"{len(bad)} images cannot be used" in line and not (tmp_path / "run").exists()
    assert all(" ".join(name.split()) in line for name in bad if name.isprintable())


def test_training_without_them_reports_what_check_reports(data, bad, tmp_path):
    run = Path(tmp_path / "run")
    outcome = command(["train", "smoke", "--data", data, "--out", run, "--data.on-bad-image", "skip", *TRAIN])
    assert outcome.code == 0, outcome.said
    kept = json.loads((run / SKIPPED).read_text())
    assert kept["skipped"] == report(command(["check", data, "--json"]))
    assert f"skipped {len(bad)} images" in outcome.said
