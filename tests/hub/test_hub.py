"""Publishing and fetching through huggingface_hub, against a hub of a few endpoints on this machine."""

import json
import subprocess
import sys

import pytest
import torch
import yaml

from tests.data_sets import make_data, make_model, tiny
from tests.hub.server import COMMIT
from unpaired.checkpoints.bundle import BUNDLE, load_bundle
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.hub import fetch, pull, push
from unpaired.inference import Translator
from unpaired.training import train

IMAGE = torch.rand(1, 3, 16, 16) * 2 - 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of two steps, evaluated."""
    place = tmp_path_factory.mktemp("trained")
    data = make_data(place / "secret-place/data", test=10)
    (data / "dataset.json").write_text('{"format": 1, "name": "Shapes", "counts": {"trainA": 6}, "sha256": "ab12"}')
    train(tiny(data, optim__steps=2), place / "run")
    assert run(["evaluate", str(place / "run"), str(data), "--paired", "no"]) == 0
    return place / "run"


def same(model, other):
    return torch.equal(Translator.load(model).translate(IMAGE), Translator.load(other).translate(IMAGE))


def test_a_run_goes_to_the_hub_and_comes_back(hub, trained, tmp_path, capsys):
    command = ["push", str(trained), "ada/shapes", "--licence", "cc-by-4.0", "--limits", "Only shapes.", "--private"]
    assert run(command) == 0
    assert capsys.readouterr().out.strip().endswith(f"/ada/shapes/commit/{COMMIT}")
    published = tmp_path / "hub/ada/shapes"
    assert sorted(path.name for path in published.iterdir()) == sorted(
        ["README.md", "SHA256SUMS", BUNDLE, "samples_AtoB.png", "samples_BtoA.png"]
    )
    made = json.loads((tmp_path / "hub/ada--shapes.json").read_text())
    assert made.get("private") is True or made.get("visibility") == "private"
    assert run(["pull", "ada/shapes", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().err
    assert f"ada/shapes: {BUNDLE}, " in said and " MB, from http://127.0.0.1:" in said and COMMIT[:12] in said
    assert same(tmp_path / "mine", trained)
    assert (tmp_path / "mine/README.md").read_text() == (published / "README.md").read_text()


def test_the_card_is_complete(hub, trained, tmp_path):
    push(trained, "ada/shapes", "cc-by-4.0", limits="Only shapes.")
    text = (tmp_path / "hub/ada/shapes/README.md").read_text()
    _, front, body = text.split("---\n", 2)
    assert yaml.safe_load(front)["license"] == "cc-by-4.0" and "image-to-image" in front
    report = json.loads((trained / "evaluation.json").read_text())
    value, span = report["AtoB"]["swd"], report["intervals"]["AtoB"]["swd"]
    assert f"| AtoB | swd | {value:g} | {span['low']:g} to {span['high']:g} | {span['n']} |" in body
    for words in (
        "preset `smoke`, method `cyclegan`, after 2 steps",
        "Trained on: Shapes.",
        "Images: trainA 6.",
        '"bootstrap"',
        "![samples_AtoB.png](samples_AtoB.png)",
        "- Only shapes.\n- It invents",
        "unpaired translate hub:ada/shapes INPUT OUTPUT",
        "The weights: cc-by-4.0.",
        "crop_size: 32",
    ):
        assert words in body, words
    assert "More Information Needed" not in text


def test_no_path_of_the_authors_machine_goes_along(hub, trained, tmp_path):
    push(trained, "ada/shapes", "mit")
    for file in (tmp_path / "hub/ada/shapes").iterdir():
        content = file.read_bytes()
        assert b"secret-place" not in content and str(tmp_path.parent).encode() not in content, file.name
    assert load_bundle(tmp_path / "hub/ada/shapes").experiment.data.root == "Shapes"


def test_a_model_loads_by_its_name_on_the_hub_and_is_kept(hub, trained, tmp_path, capsys):
    push(trained, "ada/shapes", "mit")
    translator = Translator.load("hub:ada/shapes", "BtoA")
    assert translator.direction == "BtoA" and same("hub:ada/shapes", trained)
    del hub[:]
    Translator.load(f"hub:ada/shapes@{COMMIT}")
    assert not [line for line in hub if line.startswith("GET") and line.endswith(BUNDLE)]  # from the cache
    make_data(tmp_path / "data")
    words = ["translate", "hub:ada/shapes", str(tmp_path / "data/testA"), str(tmp_path / "out")]
    assert run(words) == 0 and len(list((tmp_path / "out").iterdir())) == 3


def test_a_bundle_with_another_hash_is_not_used(hub, trained, tmp_path):
    push(trained, "ada/shapes", "mit")
    other = make_model(tmp_path / "other", seed=5)
    (tmp_path / "hub/ada/shapes" / BUNDLE).write_bytes(other.read_bytes())
    for use in (lambda: pull("ada/shapes", tmp_path / "mine"), lambda: Translator.load("hub:ada/shapes")):
        with pytest.raises(BadInput, match=r"SHA-256 .*\.\.\., but SHA256SUMS says .*; not used"):
            use()
    assert not (tmp_path / "mine").exists()


def test_too_large_a_bundle_is_refused_before_it_is_fetched(hub, trained, tmp_path, monkeypatch):
    push(trained, "ada/shapes", "mit")
    monkeypatch.setattr("unpaired.hub.MAX_BYTES", 10)
    with pytest.raises(BadInput, match="over the limit of 10"):
        fetch("hub:ada/shapes")
    assert not [line for line in hub if BUNDLE in line]


@pytest.mark.parametrize("name", ["nobody/nothing", "ada/empty"])
def test_what_is_not_there_is_said_in_one_line(hub, tmp_path, capsys, name):
    (tmp_path / "hub/ada/empty").mkdir(parents=True)
    assert run(["pull", name, str(tmp_path / "mine")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and name in said
    assert "no such repository" in said or f"holds no {BUNDLE}" in said


@pytest.mark.parametrize("name", ["nothing", "a/b/c", "../x y", "hub:", "ada/../x", "a b/c"])
def test_names_that_are_none_are_refused(tmp_path, name):
    with pytest.raises(BadInput):
        fetch(f"hub:{name}")
    with pytest.raises(BadInput):
        push(make_model(tmp_path / "model"), name if not name.startswith("..") else "x y/z", "mit")


def test_a_hub_that_cannot_be_reached_is_said_in_one_line(tmp_path, monkeypatch, capsys):
    import huggingface_hub.constants as settings

    monkeypatch.setattr(settings, "ENDPOINT", "http://127.0.0.1:9")
    assert run(["pull", "ada/shapes", str(tmp_path / "mine")]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "the hub cannot be reached" in said


def test_a_folder_serves_as_a_hub(trained, tmp_path):
    push(trained, str(tmp_path / "shelf"), "mit")
    assert (tmp_path / "shelf/SHA256SUMS").read_text() == f"{file_sha256(tmp_path / 'shelf' / BUNDLE)}  {BUNDLE}\n"
    assert same(f"hub:{tmp_path / 'shelf'}", trained)
    pull(str(tmp_path / "shelf"), tmp_path / "mine")
    assert same(tmp_path / "mine", trained)
    with pytest.raises(BadInput, match="exists already"):
        pull(str(tmp_path / "shelf"), tmp_path / "mine")


def test_a_model_that_was_not_evaluated_says_so(tmp_path):
    push(make_model(tmp_path / "model"), str(tmp_path / "shelf"), "mit")
    assert "Not evaluated." in (tmp_path / "shelf/README.md").read_text()


def test_without_huggingface_hub_the_extra_is_named(tmp_path):
    code = "import sys; sys.modules['huggingface_hub'] = None\nfrom unpaired.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "pull", "a/b", tmp_path / "x"], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.endswith("pip install 'unpaired[hub]'\n")
