"""What a step may not do: wait for the device, or change the gradient."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.methods import Batch, CycleGAN, CycleGANConfig, compute_losses
from unpaired.models import PatchGANConfig, ResNetConfig, kernels
from unpaired.training.engine import Engine
from unpaired.training.optimizer_step import PendingChecks
from unpaired.training.trainer import Trainer


def trainer(**runtime):
    torch.manual_seed(0)
    config = CycleGANConfig(
        generator=ResNetConfig(width=8, blocks=2), discriminator=PatchGANConfig(width=8), identity_weight=5.0, history=1
    )
    engine = Engine(RuntimeConfig(**{"device": "cpu", "precision": "fp32"} | runtime))
    return Trainer(CycleGAN(config, (3, 3)), OptimConfig(ema_decay=0.9), engine)


def images(side=32):
    return [torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(k)) * 2 - 1 for k in (0, 1)]


class NoSync(TorchDispatchMode):
    """Fails where a computed value is read; the random choices of the histories, made on the CPU, may be."""

    def __init__(self):
        super().__init__()
        self.drawn = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
        random = func in (torch.ops.aten.rand.generator, torch.ops.aten.randint.generator)
        if random or (tensors and all(id(tensor) in self.drawn for tensor in tensors)):
            self.drawn.add(id(out))
        elif func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            raise AssertionError(f"{func} waits for the device")
        return out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.slow
def test_a_step_never_looks_at_what_it_computed(precision):
    """As it runs on a GPU, where the guard against NaN asks only about steps gone by."""
    made = trainer(precision=precision)
    made.engine.pending = PendingChecks()
    made.engine.check_pending = lambda keep=0: None
    for _ in range(3):
        with NoSync():
            made.train_step(Batch(*(made.engine.put(image) for image in images())))


def test_a_read_would_be_found():
    with pytest.raises(AssertionError, match="waits for the device"), NoSync():
        (torch.rand(3) * 2).sum().item()


@pytest.mark.slow
def test_checkpointed_blocks_change_no_bit_of_a_step_and_keep_less():
    kept = {}
    for wanted in (False, True):
        made = trainer(checkpoint_blocks=wanted)
        sizes = {}

        def pack(tensor, sizes=sizes):
            sizes[tensor.data_ptr()] = tensor.nelement() * tensor.element_size()
            return tensor

        x, y = (made.engine.put(image) for image in images(64))
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            losses, _ = compute_losses(made.method.generator_losses(Batch(x, y)))
        sum(losses.values()).backward()
        gradients = [p.grad for net in made.method.generators.values() for p in net.parameters()]
        kept[wanted] = gradients, sum(sizes.values())
    assert all(torch.equal(a, b) for a, b in zip(kept[False][0], kept[True][0], strict=True))
    assert kept[True][1] < 0.9 * kept[False][1]


def test_no_gradient_is_kept_after_its_update():
    """The memory of the discriminators' gradients is for the generators' passes, and the other way round."""
    made, seen = trainer(), []
    weights = [
        p for net in (*made.method.generators.values(), *made.method.discriminators.values()) for p in net.parameters()
    ]

    def look(*_):
        seen.append(sum(p.grad is not None for p in weights))

    made.method.G.register_forward_pre_hook(look)
    made.method.D_X.register_forward_pre_hook(look)
    for _ in range(2):
        made.train_step(Batch(*(made.engine.put(image) for image in images())))
    assert len(seen) >= 4 and not any(seen)


def test_the_choice_is_told_in_one_line():
    assert "bf16 networks, fp32 weights, fused layers" in trainer(precision="bf16").engine.describe()
    assert "fp32 as published" in trainer(precision="exact").engine.describe()


@pytest.fixture
def card(monkeypatch):
    """A card of any capability, with or without Triton; nothing of it is remembered."""

    def make(triton, capability):
        monkeypatch.setattr(kernels, "find_spec", lambda name: triton)
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        return torch.device("cuda", 0)

    kernels.why_no_kernels.cache_clear()
    yield make
    kernels.why_no_kernels.cache_clear()


@pytest.mark.parametrize(
    ("triton", "capability", "words", "backend"),
    [
        (True, (9, 0), "Triton units", "cuda"),
        (None, (9, 0), "plain layers (Triton is not installed)", "none"),
        (True, (6, 1), "plain layers (Triton needs a card of capability 7.0)", "none"),
    ],
)
def test_a_card_without_kernels_runs_the_plain_layers_and_the_line_says_why(card, triton, capability, words, backend):
    there = card(triton, capability)
    assert kernels.describe_kernels(there, torch.bfloat16) == f"bf16 networks, fp32 weights, {words}"
    assert kernels.backend_of(there) == backend
