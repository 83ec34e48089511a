"""The cases of `unpaired bench`: a training step and a translation, each beside the plain version."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from unpaired.bench.plain_cyclegan import PlainCycleGAN, generator
from unpaired.bench.timing import Taken, Timing, Work, environment, interleaved
from unpaired.config import OptimConfig, RuntimeConfig
from unpaired.core.errors import BadInput
from unpaired.inference import Translator
from unpaired.inference.runtimes import Runtime
from unpaired.inference.runtimes.torch import TorchRuntime
from unpaired.methods import Batch, CycleGAN, CycleGANConfig
from unpaired.models import ResNetConfig, ResNetGenerator
from unpaired.training.engine import Engine
from unpaired.training.trainer import Trainer

CaseName = Literal["train", "translate"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """The cases of the benchmark: networks and images as published."""

    name: CaseName
    size: int
    width: int = 64
    blocks: int | None = None
    batch: int = 1
    repeats: int = 7
    runtime: RuntimeConfig = RuntimeConfig()
    model: Path | None = None
    """A run, bundle or exported file to translate with, in place of fresh networks."""

    def __post_init__(self) -> None:
        if self.size < 32 or self.size % 4:
            raise BadInput(f"--size {self.size}: expected a multiple of 4, 32 or more")
        for name in ("width", "batch", "repeats"):
            if getattr(self, name) < 1:
                raise BadInput(f"--{name} {getattr(self, name)}: expected 1 or more")

    @property
    def depth(self) -> int:
        """Residual blocks: unless given, the paper's 6 below 256 px and 9 from there on."""
        return self.blocks if self.blocks is not None else 6 if self.size < 256 else 9

    def images(self, seed: int) -> Tensor:
        """A batch of noise in [-1, 1]: the time taken does not depend on what is in it."""
        random = torch.Generator().manual_seed(seed)
        return torch.rand(self.batch, 3, self.size, self.size, generator=random) * 2 - 1


def bench(case: Case) -> dict[str, object]:
    """Measure a case; returns what `unpaired bench` prints as JSON, times in milliseconds."""
    engine = Engine(case.runtime)
    work, facts = _train(case, engine) if case.name == "train" else _translate(case, engine)
    return _result(case, interleaved(work, engine.device, case.repeats), engine.device) | facts


def _train(case: Case, engine: Engine) -> tuple[Work, dict[str, object]]:
    plain, trainer = both_sides(case, engine)
    x, y = case.images(0).to(engine.device), case.images(1).to(engine.device)
    batch = Batch(engine.put(case.images(0)), engine.put(case.images(1)))
    expected, found = plain.step(x, y), trainer.train_step(batch)
    apart = max(abs(float(found[name]) / value - 1) for name, value in expected.items())
    work: Work = {"reference": lambda: plain.step(x, y), "unpaired": lambda: trainer.train_step(batch)}
    return work, {"precision": engine.describe(), "terms_apart": float(f"{apart:.2g}")}


def both_sides(case: Case, engine: Engine) -> tuple[PlainCycleGAN, Trainer]:
    """The plain version and ours, with the same weights, identity terms on."""
    plain = PlainCycleGAN(case.width, case.depth, seed=0)
    config = CycleGANConfig(generator=ResNetConfig(width=case.width, blocks=case.depth), identity_weight=5.0)
    method = CycleGAN(config, (3, 3))
    for ours, theirs in zip((method.G, method.F, method.D_Y, method.D_X), plain.networks, strict=True):
        ours.load_state_dict({f"model.{key}": value for key, value in theirs.state_dict().items()})
        theirs.to(engine.device)
    return plain, Trainer(method, OptimConfig(), engine)


def _translate(case: Case, engine: Engine) -> tuple[Work, dict[str, object]]:
    plain = generator(case.width, case.depth).eval().to(engine.device)
    ours = (
        fast_translator(case, engine, plain)
        if case.model is None
        else Translator.load(case.model, device=str(engine.device)).runtime
    )
    x = case.images(0)
    there, array = x.to(engine.device), x.numpy()

    @torch.no_grad()
    def reference() -> Tensor:
        return plain(there)

    apart = float(np.abs(ours(array) - reference().cpu().numpy()).mean()) if case.model is None else None
    work: Work = {"reference": reference, "unpaired": lambda: ours(array)}
    return work, {"precision": ours.label, "levels_apart": apart and round(127.5 * apart, 3)}


def fast_translator(case: Case, engine: Engine, plain: nn.Module) -> Runtime:
    """A generator with the plain one's weights, in the arithmetic of the engine."""
    network = ResNetGenerator(ResNetConfig(width=case.width, blocks=case.depth), 3, 3).eval()
    network.model.load_state_dict(plain.state_dict())
    if not engine.fast:
        return TorchRuntime(network.to(engine.device), 3, 3, device=engine.device)
    return TorchRuntime.placed(network, (3, 3), engine.device, engine.dtype)


def _result(case: Case, times: dict[str, list[Taken]], device: torch.device) -> dict[str, object]:
    """The two medians, their ratio and their spread; the ratio of processor time holds on a busy machine, too."""
    reference, ours = (Timing.of([taken.seconds for taken in times[name]]) for name in ("reference", "unpaired"))
    cpu, cpu_ours = (median(taken.cpu_seconds for taken in times[name]) for name in ("reference", "unpaired"))
    settings = {"size": case.size, "width": case.width, "blocks": case.depth, "batch": case.batch}
    return {
        "case": case.name,
        **(settings if case.model is None else {"size": case.size, "model": str(case.model)}),
        "median_ms": ours.median,
        "reference_ms": reference.median,
        "ratio": round(reference.median / ours.median, 3),
        "cpu_ratio": round(cpu / cpu_ours, 3) if device.type == "cpu" else None,
        "spread": {"median_ms": [ours.low, ours.high], "reference_ms": [reference.low, reference.high]},
        "repeats": case.repeats,
        **environment(device),
    }


def describe(result: dict[str, Any]) -> str:
    """The result as a small table."""
    rows = [f"{result['case']} at {result['size']} px on {result['device']}, {result['threads']} threads"]
    for name, key in (("plain fp32, eager", "reference_ms"), (str(result["precision"]), "median_ms")):
        low, high = result["spread"][key]
        rows.append(f"  {name:<40} {result[key]:>10.1f} ms   (10-90 %: {low:.1f} to {high:.1f})")
    return "\n".join([*rows, f"  {result['ratio']:.2f} times as fast"])
