"""Runs, settings and data sets from strangers: no code runs, nothing is written outside, one line is said."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.data_sets import make_data, make_model, tiny
from tests.faults.child import Outcome, below, command, in_child, wrong_with_refusal
from tests.faults.hostile_runs import Spoil, described, passed_over, reported, resumed, settings
from unpaired.core.errors import BAD, BadInput
from unpaired.core.files import write_text
from unpaired.evaluation.report import write_report
from unpaired.training import train

pytestmark = pytest.mark.promise("hostile weights and archives")
VICTIM = Path("victim")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A data set, a sound run of six steps, a model, and a folder that nobody is to write to."""
    root = tmp_path_factory.mktemp("runs")
    make_data(root / "data")
    train(tiny(root / "data"), root / "sound")
    make_model(root / "model")
    (root / "victim").mkdir()
    (root / "victim" / "file").write_text('{"step": 1}\n')
    return root


@pytest.fixture
def run(place, tmp_path):
    return Path(shutil.copytree(place / "sound", tmp_path / "run"))


def refused(outcome: Outcome, files: Path) -> str:
    return wrong_with_refusal(outcome, sum(path.stat().st_size for path in files.rglob("*") if path.is_file()))


def saying(work) -> int:
    """A library call as a command would make it."""
    try:
        work()
    except BadInput as error:
        print(f"unpaired: {error}")
        return BAD
    return 0


def check(place: Path, folder: Path, spoil: Spoil, outcome) -> None:
    """Nothing of the victim's changes, no canary appears, and the refusal is clean."""
    spoil(folder)
    before = below(place)
    said = outcome()
    assert refused(said, folder) == ""
    assert below(place) == before and not list(Path.cwd().glob("CANARY"))


@pytest.mark.parametrize("name", resumed(VICTIM))
def test_a_run_from_a_stranger_is_not_resumed(place, run, name):
    experiment = tiny(place / "data", optim__steps=6)
    spoil = resumed(place / "victim")[name]
    check(place, run, spoil, lambda: in_child(lambda: saying(lambda: train(experiment, run))))


@pytest.mark.parametrize("name", passed_over(VICTIM))
def test_what_a_run_does_not_rely_on_is_passed_over_and_never_followed(place, run, name):
    passed_over(place / "victim")[name](run)
    before, experiment = below(place), tiny(place / "data", optim__steps=6)
    outcome = in_child(lambda: saying(lambda: (train(experiment, run), write_report(run))))
    assert outcome.code in (0, BAD) and "Traceback" not in outcome.said
    assert below(place) == before


@pytest.mark.parametrize("name", reported())
def test_no_report_is_written_of_a_run_from_a_stranger(place, run, name):
    check(place, run, reported()[name], lambda: in_child(lambda: saying(lambda: write_report(run))))


@pytest.mark.parametrize("name", settings())
def test_settings_from_a_stranger_start_no_training(place, tmp_path, name):
    path = tmp_path / "settings" / "settings.yaml"
    path.parent.mkdir()
    argv = ["train", "smoke", "--data", place / "data", "--out", tmp_path / "new", "--config", path]
    check(place, path.parent, lambda folder: path.write_text(settings()[name]), lambda: command(argv))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", described())
def test_a_data_sets_description_from_a_stranger_is_refused(place, tmp_path, name):
    data = Path(shutil.copytree(place / "data", tmp_path / "data"))
    argv = ["evaluate", place / "model", data, "--out", tmp_path / "report.json"]
    check(place, data, described()[name], lambda: command(argv))


def test_a_link_in_the_way_of_a_file_being_written_is_not_followed(tmp_path):
    (tmp_path / "victim").write_text("mine")
    (tmp_path / ".report.html.part").symlink_to(tmp_path / "victim")
    write_text(tmp_path / "report.html", "page")
    assert (tmp_path / "victim").read_text() == "mine"
    assert (tmp_path / "report.html").read_text() == "page" and not (tmp_path / "report.html").is_symlink()
