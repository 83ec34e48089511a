"""The paper's experiments."""

from __future__ import annotations

from typing import Literal

from unpaired.commands.arguments import File, Folder


def reproduce(
    experiments: tuple[str, ...] = (),
    *,
    out: Folder,
    budget: Literal["smoke", "minutes", "full"] = "minutes",
    seeds: int = 3,
    steps: int | None = None,
    methods: tuple[str, ...] = (),
    threads: int = 0,
    device: str = "auto",
    features: File | None = None,
) -> None:
    """Run the paper's experiments on open data.

    Tables, applications and failures are written to one page. The same command resumes: only
    missing results are computed.

    Args:
        experiments: Of table1 table2 table3 table4 table5 applications failures; all unless given.
        out: Folder of the reproduction.
        budget: smoke takes seconds and gives no meaningful numbers; full takes two hours on two cores.
        seeds: Trainings of each method, with seeds 0, 1, ...
        steps: Steps of each training, in place of the budget's.
        methods: Only this row of the tables, e.g. --methods CycleGAN; may be repeated.
        threads: CPU threads; 0 leaves torch's choice.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.
        features: Weights of VGG-16 (vgg16-397923af.pth) for the feature loss, in place of EfficientNet-Lite0.

    Example:
        unpaired reproduce table1 --out reproduction
    """
    from unpaired.reproduce import reproduce

    print(f"page: {reproduce(experiments, out, budget, seeds, steps, methods, threads, features, device)}")
