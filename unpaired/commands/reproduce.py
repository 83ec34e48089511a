"""The paper's experiments."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, UseAppendAction


def reproduce(
    experiments: Annotated[tuple[str, ...], Positional] = (),
    *,
    out: Path,
    budget: Literal["smoke", "minutes", "full"] = "minutes",
    seeds: int = 3,
    steps: int | None = None,
    methods: Annotated[tuple[str, ...], UseAppendAction] = (),
    threads: int = 0,
    features: Path | None = None,
) -> None:
    """The paper's tables, applications and failures on open data: runs what is missing, writes one page.

    Args:
        experiments: Of table1 table2 table3 table4 table5 applications failures; all unless given.
        out: Folder of the reproduction; the same command again goes on.
        budget: smoke takes seconds and means nothing; full takes two hours on two cores.
        seeds: Trainings of each method, with seeds 0, 1, ...
        steps: Steps of each training, in place of the budget's.
        methods: Only this row of the tables, e.g. --methods CycleGAN; can be given several times.
        threads: CPU threads; 0 leaves torch's choice.
        features: VGG-16's weights (vgg16-397923af.pth) for the feature loss, in place of EfficientNet-Lite0.
    """
    from unpaired.reproduce import reproduce

    print(f"page: {reproduce(experiments, out, budget, seeds, steps, methods, threads, features)}")
