from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from tests.pictures import wave_levels
from unpaired.errors import BadInput
from unpaired.features import load_extractor


@pytest.fixture(scope="module")
def lite0():
    return load_extractor("efficientnet-lite0")


@pytest.mark.parametrize(("name", "label"), [("chelsea", 285), ("coffee", 967)])
def test_lite0_knows_a_cat_from_a_cup(lite0, name, label):
    picture = lite0.prepare(np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB")))
    with torch.inference_mode():
        found = lite0.network._fc(lite0.network(picture[None]))[0].argmax().item()
    assert found == label  # ImageNet's Egyptian cat, espresso


def test_features_do_not_depend_on_the_batch(lite0):
    pictures = [wave_levels(40 + 8 * k, 60) for k in range(3)]
    together, alone = lite0(pictures), np.concatenate([lite0([picture]) for picture in pictures])
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


@pytest.mark.parametrize("name", ["dinov2", "clip"])
def test_dinov2_and_clip_come_from_a_local_folder(tmp_path, name):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, Dinov2Config, Dinov2Model

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    network = (
        Dinov2Model(Dinov2Config(**small, image_size=224, patch_size=56))
        if name == "dinov2"
        else CLIPVisionModelWithProjection(
            CLIPVisionConfig(**small, intermediate_size=16, projection_dim=16, image_size=336, patch_size=84)
        )
    )
    network.save_pretrained(tmp_path)
    rows = load_extractor(name, tmp_path)([wave_levels(), wave_levels(48, 96)])
    assert rows.shape == (2, 16)
    assert not np.allclose(rows[0], rows[1])


def test_a_folder_without_weights_is_named(tmp_path):
    with pytest.raises(BadInput, match="dinov2: expected --weights DIR with .*model.safetensors, found"):
        load_extractor("dinov2", tmp_path)
