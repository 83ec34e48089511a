from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from skimage import data

from tests.images import wave_levels
from unpaired.core.errors import BadInput
from unpaired.features import load_extractor


@pytest.fixture(scope="module")
def lite0():
    return load_extractor("efficientnet-lite0")


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("coffee", 967)])
def test_lite0_knows_a_cat_from_a_cup(lite0, name, label):
    image = lite0.prepare(np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB")))
    with torch.inference_mode():
        found = lite0.network._fc(lite0.network(image[None]))[0].argmax().item()
    assert found == label  # ImageNet's Egyptian cat, espresso


def test_features_do_not_depend_on_the_batch(lite0):
    images = [wave_levels(40 + 8 * k, 60) for k in range(3)]
    together, alone = lite0(images), np.concatenate([lite0([image]) for image in images])
    assert together.shape == (3, 1280)
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_recipe_names_network_weights_and_resizing(lite0):
    assert lite0.recipe["weights_sha256"].startswith("57934424")
    assert load_extractor("efficientnet-lite0", resize="tensorflow").recipe != lite0.recipe


def test_inception_without_or_with_other_weights_is_refused(tmp_path):
    with pytest.raises(BadInput, match="its weights are not shipped; give --weights"):
        load_extractor("inception")
    (tmp_path / "other.pth").write_bytes(b"other")
    with pytest.raises(BadInput, match="other.pth: expected the field's Inception weights"):
        load_extractor("inception", tmp_path / "other.pth")


def save_transformer(name, folder):
    """A small one in `folder`, as transformers writes it."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = (
        Dinov2Model(Dinov2Config(**small, image_size=224, patch_size=56))
        if name == "dinov2"
        else CLIPVisionModelWithProjection(
            CLIPVisionConfig(**small, intermediate_size=16, projection_dim=16, image_size=336, patch_size=84)
        )
    )
    network.save_pretrained(folder)


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_dinov2_and_clip_come_from_a_local_folder(tmp_path, name):
    save_transformer(name, tmp_path)
    rows = load_extractor(name, tmp_path)([wave_levels(), wave_levels(48, 96)])
    assert rows.shape == (2, 16)
    assert not np.allclose(rows[0], rows[1])


def rewrite_weights(change):
    def spoil(folder):
        tensors = load_file(folder / "model.safetensors")
        change(tensors, sorted(tensors)[-1])
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})

    return spoil


def rewrite_settings(**settings):
    def spoil(folder):
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | settings))

    return spoil


@pytest.mark.promise("hostile weights and archives")
@pytest.mark.parametrize("name", ["dinov2", "clip"])
@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (rewrite_weights(lambda tensors, last: tensors.pop(last)), "expected .* numbers .*, found"),
        (rewrite_weights(lambda tensors, last: tensors.update({"x": tensors.pop(last)})), "lacks"),
        (
            rewrite_weights(lambda tensors, last: tensors.update({last: tensors[last][..., None]})),
            "mismatch|size|shape",
        ),
        (rewrite_weights(lambda tensors, last: tensors[last].fill_(float("nan"))), "NaN or infinity"),
        (rewrite_settings(num_hidden_layers=10**9), "num_hidden_layers is 1000000000, at most 1000"),
        (rewrite_settings(hidden_size=10**9), "hidden_size is 1000000000"),
        (rewrite_settings(hidden_size=2**16), "expected .* numbers .*, found"),
        (rewrite_settings(hidden_size="x"), "hidden_size"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x02cos\nsystem\n."), "a pickle"),
        (lambda folder: (folder / "config.json").write_text("[" * 10**4), "nested more than"),
    ],
    ids=["missing", "renamed", "shape", "nan", "layers", "huge", "large", "text", "pickle", "deep"],
)
def test_a_transformer_that_is_not_what_its_settings_say_is_refused(tmp_path, name, spoil, words):
    save_transformer(name, tmp_path)
    spoil(tmp_path)
    with pytest.raises(BadInput, match=f"not a {name} that transformers can load .*({words})") as caught:
        load_extractor(name, tmp_path)
    assert str(caught.value).isprintable()


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(BadInput, match="dinov2: expected --weights DIR with .*model.safetensors, found"):
        load_extractor("dinov2", tmp_path)
