"""What the fast step may not do: wait for the device, change the gradient, compile where it does not pay."""

import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch.utils._python_dispatch import TorchDispatchMode

from tests.data_sets import make_data, tiny
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.experiment import build_method
from unpaired.methods import CycleGAN, CycleGANConfig
from unpaired.models import PatchGANConfig, ResNetConfig
from unpaired.training.engine import Engine, pays_to_compile
from unpaired.training.optimizer_step import PendingChecks
from unpaired.training.samples import FixedSamples
from unpaired.training.trainer import Trainer, players

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


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
    """Fails where a value that was computed is looked at; the histories' dice, thrown on the CPU, may be."""

    def __init__(self):
        super().__init__()
        self.rng = set()
        self.asked = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [arg for arg in args if isinstance(arg, torch.Tensor)]
        thrown = func in (torch.ops.aten.rand.generator, torch.ops.aten.randint.generator)
        if thrown or (tensors and all(id(tensor) in self.rng for tensor in tensors)):
            self.rng.add(id(out))
        elif func in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default):
            self.asked += 1
            raise AssertionError(f"{func} waits for the device")
        return out


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_step_never_looks_at_what_it_computed(precision):
    """As it runs on a GPU, where the guard against NaN asks only about steps gone by."""
    made = trainer(precision=precision)
    made.engine.pending = PendingChecks()
    made.engine.check_pending = lambda keep=0: None
    for _ in range(3):
        with NoSync():
            made.train_step(*(made.engine.put(image) for image in images()))


def test_a_look_would_be_found():
    with pytest.raises(AssertionError, match="waits for the device"), NoSync():
        (torch.rand(3) * 2).sum().item()


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
            terms, _ = made.method.generator_losses(x, y)
        sum(terms.values()).backward()
        gradients = [p.grad for net in made.method.generators.values() for p in net.parameters()]
        kept[wanted] = gradients, sum(sizes.values())
    assert all(torch.equal(a, b) for a, b in zip(kept[False][0], kept[True][0], strict=True))
    assert kept[True][1] < 0.9 * kept[False][1]


def test_no_gradient_is_kept_once_it_is_followed():
    """The room of the discriminators' is for the generators' passes, and the other way round."""
    made, seen = trainer(), []
    weights = [
        p for net in (*made.method.generators.values(), *made.method.discriminators.values()) for p in net.parameters()
    ]

    def look(*_):
        seen.append(sum(p.grad is not None for p in weights))

    made.method.G.register_forward_pre_hook(look)
    made.method.D_X.register_forward_pre_hook(look)
    for _ in range(2):
        made.train_step(*(made.engine.put(image) for image in images()))
    assert len(seen) >= 4 and not any(seen)


def test_nothing_is_compiled_unless_asked_for():
    auto, on, off = (RuntimeConfig(compile=choice) for choice in ("auto", "on", "off"))
    assert not pays_to_compile(auto, CUDA, 10**9) and not pays_to_compile(auto, CPU, 10**9)
    assert not pays_to_compile(RuntimeConfig(precision="exact"), CUDA, 10**9)
    assert pays_to_compile(on, CPU, 1) and not pays_to_compile(off, CUDA, 10**9)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")  # torch's own look, while it traces
def test_code_is_generated_for_the_first_steps_shapes_and_other_batches_and_samples_run_as_written(tmp_path):
    experiment = tiny(make_data(tmp_path), runtime__compile="on")
    engine, counter = Engine(experiment.runtime), CompileCounter()
    made = Trainer(build_method(experiment), experiment.optim, engine)
    engine.compiled = True
    for network in players(made.method).values():
        network.compile(dynamic=False, backend=counter)
    made.train_step(*images())
    first = counter.frame_count
    assert first > 0
    made.train_step(*images())
    assert counter.frame_count == first
    made.train_step(*images(48))
    FixedSamples(experiment).translate(made.method, engine)
    assert counter.frame_count == first
    made.train_step(*images())
    assert counter.frame_count == first


def test_compiling_an_exact_run_is_refused():
    with pytest.raises(ValueError, match="not with runtime.precision exact"):
        RuntimeConfig(compile="on", precision="exact")


def test_the_choice_is_told_in_one_line():
    assert "bf16 networks, fp32 weights, fused layers" in trainer(precision="bf16").engine.describe()
    assert "fp32 as published" in trainer(precision="exact").engine.describe()
