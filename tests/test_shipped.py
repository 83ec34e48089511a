import json

import pytest
import torch
from PIL import Image

from unpaired.checkpoints import shipped
from unpaired.checkpoints.bundle import Bundle, load_bundle, write_bundle
from unpaired.cli import run
from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.data.manifest import names_of
from unpaired.experiment import build_method
from unpaired.inference import Translator
from unpaired.presets import smoke
from unpaired.serve.names import named_models


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Two models of random weights, as a wheel has them."""
    folder = tmp_path / "shipped_models"
    folder.mkdir()
    index = {}
    for seed, name in enumerate(("land", "sea")):
        torch.manual_seed(seed)
        experiment = smoke()
        bundle = Bundle(experiment, build_method(experiment).translators, step=7)
        write_bundle(folder / f"{name}.safetensors", bundle, "fp16")
        index[name] = {
            "file": f"{name}.safetensors",
            "sha256": file_sha256(folder / f"{name}.safetensors"),
            "domains": [name, "map"],
            "summary": f"{name} to map",
            "size": 32,
            "licence": "public domain",
        }
    (folder / "index.json").write_text(json.dumps({"format": 1, "models": index}))
    monkeypatch.setattr(shipped, "FOLDERS", (tmp_path / "nowhere", folder))
    return folder


@pytest.mark.parametrize(("weights", "bits", "most"), [("fp16", 11, 0.5), ("bf16", 8, 0.5), ("fp32", 24, 1.0)])
def test_stored_weights_are_read_back_as_fp32_within_half_a_unit_of_their_precision(weights, bits, most, tmp_path):
    experiment = smoke()
    networks = build_method(experiment).translators
    write_bundle(tmp_path / "fp32.safetensors", Bundle(experiment, networks, 7))
    write_bundle(tmp_path / "other.safetensors", Bundle(experiment, networks, 7), weights)
    found = load_bundle(tmp_path / "other.safetensors").translators["AtoB"].state_dict()
    for key, value in networks["AtoB"].state_dict().items():
        assert found[key].dtype == torch.float32
        big = value.abs() > 1e-3  # below, fp16 has fewer bits
        assert ((found[key] - value).abs() <= value.abs() * 2.0**-bits)[big].all()
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("other", "fp32")]
    assert sizes[0] < sizes[1] * most + 5000


def test_a_bundle_that_names_an_unknown_precision_is_refused(folder):
    path = folder / "land.safetensors"
    path.write_bytes(path.read_bytes().replace(b'\\"fp16\\"', b'\\"fp17\\"'))
    with pytest.raises(BadInput, match="weights: Input should be 'fp32', 'fp16' or 'bf16', found 'fp17'"):
        load_bundle(path)


def test_weights_of_another_precision_than_the_file_names_are_refused(folder):
    path = folder / "land.safetensors"
    path.write_bytes(path.read_bytes().replace(b'\\"fp16\\"', b'\\"fp32\\"'))
    with pytest.raises(BadInput, match="float16 .* where .*float32 .* was expected"):
        load_bundle(path)


def test_a_model_is_found_by_its_name_and_is_the_file_of_the_folder(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    by_name, by_file = load_bundle(shipped.Path("sea")), load_bundle(folder / "sea.safetensors")
    for key, value in by_file.translators["BtoA"].state_dict().items():
        assert torch.equal(value, by_name.translators["BtoA"].state_dict()[key])
    assert Translator.load("sea").directions == Translator.load(folder / "sea.safetensors").directions


def test_a_file_of_the_same_name_comes_first(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sea").write_bytes((folder / "land.safetensors").read_bytes())
    land = load_bundle(folder / "land.safetensors").translators["AtoB"].state_dict()
    assert all(
        torch.equal(v, land[k]) for k, v in load_bundle(shipped.Path("sea")).translators["AtoB"].state_dict().items()
    )


def test_a_changed_file_is_refused(folder):
    path = folder / "sea.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadInput, match="sea: expected SHA-256 .*; install unpaired again"):
        Translator.load("sea")
    assert Translator.load("land")


def test_a_missing_file_is_refused(folder):
    (folder / "sea.safetensors").unlink()
    with pytest.raises(BadInput, match="sea: .*sea.safetensors is missing; install unpaired again"):
        Translator.load("sea")


def test_a_name_with_a_slip_is_answered_by_the_nearest(folder):
    with pytest.raises(BadInput, match="lnad: no such file; .*did you mean land, which comes with unpaired"):
        Translator.load("lnad")
    with pytest.raises(BadInput, match="with unpaired come land, sea"):
        Translator.load("xyz/qq")


@pytest.mark.parametrize(
    "content", ["[]", "{", '{"format": 2, "models": {}}', '{"format": 1, "models": {"a": {"file": "a"}}}']
)
def test_a_damaged_index_is_refused_in_one_line(content, folder):
    (folder / "index.json").write_text(content)
    shipped._read_index.cache_clear()
    with pytest.raises(BadInput, match="index.json"):
        shipped.shipped_models()


def test_models_lists_every_model(folder, capsys):
    assert run(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["land", "sea"]
    assert lines[0].startswith("land  land → map: land to map; 32 px") and "public domain" in lines[0]


def test_models_as_json_are_the_index(folder, capsys):
    assert run(["models", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads((folder / "index.json").read_text())["models"]


def test_serve_takes_names_and_without_a_model_all_that_come_with_the_package(folder):
    assert list(named_models(["sea"])) == ["sea"]
    assert list(named_models([])) == ["land", "sea"]
    with pytest.raises(BadInput, match="see: no such file or folder; .*did you mean sea"):
        named_models(["see"])


def test_without_a_folder_nothing_comes_with_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(shipped, "FOLDERS", (tmp_path,))
    assert shipped.shipped_models() == {} and shipped.shipped_file("sea") is None
    with pytest.raises(BadInput, match="no model comes with this installation"):
        Translator.load("sea")


def test_the_index_of_this_repository_matches_its_files():
    if not (names := shipped.shipped_models()):
        pytest.skip("this checkout has no models/")
    for name in names:
        weights = shipped.shipped_file(name)
        assert weights is not None and weights.with_name(f"{name}.md").is_file()
        assert names_of(load_bundle(weights).experiment.data) == names[name].domains
        with Image.open(shipped.example_file(name)) as image:
            assert image.format == "JPEG" and image.height == 2 * (image.width // 5)
