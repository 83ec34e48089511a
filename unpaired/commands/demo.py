"""The demonstration."""

from __future__ import annotations

from pathlib import Path

from unpaired.commands.arguments import Folder


def demo(out: Folder = Path("demo"), *, steps: int | None = None, seed: int = 0, device: str = "auto") -> None:
    """Translate a globe, then train on Earth, translate and evaluate, in minutes.

    The same command resumes.

    Args:
        out: Folder of the data, the run and the translations.
        steps: Training steps; fewer are faster.
        seed: Seed of every random number.
        device: auto, cpu, cuda, cuda:N or mps; auto takes CUDA, then MPS, then the CPU.

    Example:
        unpaired demo
    """
    from unpaired.commands.demo_run import run_demo

    run_demo(out, steps=steps, seed=seed, device=device)
