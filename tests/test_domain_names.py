"""The names of the domains, from the data set to the commands that use a model."""

import io
import json
import sys

import pytest

from tests.data_sets import make_model
from unpaired import Translator
from unpaired.checkpoints.bundle import load_bundle
from unpaired.cli import main
from unpaired.config import DataConfig
from unpaired.core.errors import BadInput
from unpaired.data.manifest import names_of, with_arrow, with_names
from unpaired.experiment import Experiment, with_settings
from unpaired.inference.info import describe
from unpaired.inference.runtimes.facts import Facts
from unpaired.training.run_folder import settings


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return make_model(tmp_path_factory.mktemp("model"), data__name_a="satellite", data__name_b="relief")


def dataset(root, **facts):
    (root / "dataset.json").write_text(json.dumps(facts), encoding="utf-8")
    return DataConfig(root=str(root))


def test_a_training_takes_the_names_of_its_data_set(tmp_path):
    assert names_of(with_names(DataConfig(root=str(tmp_path)))) == ("A", "B")
    cfg = dataset(tmp_path, domains={"A": "horses", "B": "z" * 80})
    assert names_of(with_names(cfg)) == ("horses", "z" * 64)
    given = DataConfig(root=str(tmp_path), name_b="zebras")
    assert names_of(with_names(given)) == ("horses", "zebras")


def test_a_name_that_is_too_long_is_refused_in_one_line():
    with pytest.raises(BadInput, match="data.name_a must have at most 64 characters") as caught:
        with_settings(Experiment(name="x"), {"data.name_a": "z" * 65})
    assert "\n" not in str(caught.value)


def test_names_do_not_affect_whether_a_run_may_be_resumed():
    named = with_settings(Experiment(name="x"), {"data.name_a": "horses", "data.name_b": "zebras"})
    assert settings(named) == settings(Experiment(name="x"))


def test_a_direction_is_shown_with_its_domains():
    assert with_arrow("AtoB", ("horses", "zebras")) == "AtoB (horses → zebras)"
    assert with_arrow("BtoA", ("horses", "zebras")) == "BtoA (zebras → horses)"
    assert with_arrow("BtoA", ("A", "B")) == "BtoA"
    assert "\n" not in with_arrow("AtoB", ("a\nb", "c"))


def test_the_bundle_keeps_the_names_for_translate_and_info(model):
    assert names_of(load_bundle(model).experiment.data) == ("satellite", "relief")
    translator = Translator.load(model, device="cpu")
    assert translator.describe().startswith("AtoB (satellite → relief): ")
    assert translator.to("BtoA").describe().startswith("BtoA (relief → satellite): ")
    lines = describe(model).splitlines()
    assert lines[1].startswith("AtoB (satellite → relief): ") and lines[2].startswith("BtoA (relief → satellite): ")


def test_an_exported_file_keeps_the_names():
    facts = Facts(
        **{"direction": "AtoB", "channels_in": 3, "channels_out": 3, "precision": "fp32", "size_multiple": 4},
        **{"min_size": 4, "experiment": "x", "step": 1, "bundle_sha256": "0", "domains": ("satellite", "relief")},
    )
    assert Facts.from_json(facts.to_json(), "file") == facts
    with pytest.raises(BadInput, match="describes another kind of model"):
        Facts.from_json(facts.to_json().replace('"relief"', "5"), "file")


def test_a_terminal_without_the_arrow_shows_it_escaped(model, monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="cp1252"))
    with pytest.raises(SystemExit) as end:
        main(["info", str(model)])
    sys.stdout.flush()
    assert end.value.code == 0 and b"AtoB (satellite \\u2192 relief): " in raw.getvalue()
