"""Files that the package writes name the version of their format."""

from __future__ import annotations

import json

import pytest
import yaml
from safetensors import safe_open

from tests.data_sets import make_data, tiny
from unpaired.data.manifest import new_dataset
from unpaired.evaluation import evaluate
from unpaired.training import train

pytestmark = pytest.mark.promise("safe checkpoints")


@pytest.mark.slow
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
    assert {name: facts.get("format") for name, facts in artefacts.items()} == dict.fromkeys(artefacts, 1)
