"""Runs of earlier versions: each is resumed, translated, judged and reported by this one.

tests/fixtures/vX holds what version X left of a run stopped after step 5 of 8 (`run`), its data set (`data`), where
the same run went uninterrupted (`end`) and one image that its stopped run translated.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file
from torch.testing import assert_close

from tests.data_sets import make_data, tiny
from unpaired.checkpoints.run_state import load_state
from unpaired.data.manifest import new_dataset
from unpaired.evaluation import evaluate
from unpaired.evaluation.report import write_report
from unpaired.experiment import read_experiment, with_root, with_settings
from unpaired.inference import Translator
from unpaired.training import train

pytestmark = pytest.mark.promise("old runs")
VERSIONS = sorted((Path(__file__).parent / "fixtures").glob("v*"))


@pytest.fixture(params=VERSIONS, ids=lambda path: path.name)
def old(request, tmp_path):
    """A copy to work on."""
    return Path(shutil.copytree(request.param, tmp_path / "old"))


def terms(path):
    return {line["step"]: line["terms"] for line in map(json.loads, path.read_text().splitlines())}


def test_every_released_version_has_its_fixture():
    assert [path.name for path in VERSIONS] == ["v0.1.0"]


def test_its_checkpoint_is_read(old):
    state, notes = load_state(old / "run")
    assert state.step == 5 and notes == []
    (path,) = (old / "run/checkpoints").glob("*/state.safetensors")
    assert all(bool((state.tensors[key] == value).all()) for key, value in load_file(path).items())


def resumed(old, **settings):
    run = old / "run"
    experiment = with_root(read_experiment(run / "config.yaml"), old / "data")
    return train(with_settings(experiment, settings), run, allow_config_change=bool(settings))


def test_its_run_goes_on(old, capsys):
    run = resumed(old)
    assert "going on after step 5" in capsys.readouterr().err
    assert list(terms(run / "metrics.jsonl")) == list(range(1, 9))
    assert load_state(run)[0].step == 8


def test_its_run_goes_on_as_that_version_did(old):
    """To rounding: the same bits are promised only for the same versions and machine. What 0.1.0 called fp32 is
    exact now; fp32 draws dropout's dice in another order."""
    run = resumed(old, **{"runtime.precision": "exact"})
    now, then = terms(run / "metrics.jsonl"), terms(old / "end/metrics.jsonl")
    assert list(now) == list(then)
    for step, expected in then.items():
        assert now[step] == pytest.approx(expected, rel=1e-3), step
    weights, expected = (load_file(folder / "bundle.safetensors") for folder in (run, old / "end"))
    for key, value in expected.items():
        assert_close(weights[key], value, atol=1e-4, rtol=1e-3, msg=key)


def test_its_bundle_translates_as_it_did(old):
    out = Translator.load(old / "run", "AtoB")(old / "data/testA/01.png")
    before = np.asarray(Image.open(old / "translated.png")).astype(int)
    assert np.abs(np.asarray(out).astype(int) - before).max() <= 1


def test_it_is_judged_and_reported_as_before(old):
    before = json.loads((old / "run/evaluation.json").read_text())
    now = evaluate(old / "run", old / "data")
    assert now["AtoB"]["cycle_error"] == pytest.approx(before["AtoB"]["cycle_error"], rel=1e-3)
    page = write_report(old / "run", evaluation=before, data=old / "data").read_text()
    assert f"{before['BtoA']['cycle_error']:.1f}" in page


def test_every_artefact_of_a_run_names_the_version_of_its_format(tmp_path):
    run = train(tiny(make_data(tmp_path / "data")), tmp_path / "run")
    evaluate(run, tmp_path / "data", out=run / "evaluation.json")
    with new_dataset(tmp_path / "set"):
        pass
    with safe_open(run / "bundle.safetensors", framework="pt") as file:
        artefacts = {"bundle": json.loads(file.metadata()["unpaired"])}
    artefacts |= {
        f"line {k}": json.loads(text) for k, text in enumerate((run / "metrics.jsonl").read_text().splitlines())
    }
    artefacts |= {path.parent.name: json.loads(path.read_text()) for path in run.glob("checkpoints/*/manifest.json")}
    artefacts |= {"config": yaml.safe_load((run / "config.yaml").read_text())}
    artefacts |= {"skipped": json.loads((run / "skipped.json").read_text())}
    artefacts |= {"evaluation": json.loads((run / "evaluation.json").read_text())["recipe"]}
    artefacts |= {"dataset": json.loads((tmp_path / "set/dataset.json").read_text())}
    assert len(artefacts) == 10  # three lines, two checkpoints
    assert {name: facts.get("format") for name, facts in artefacts.items() if facts.get("format") not in (1, 2)} == {}
