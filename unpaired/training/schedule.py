"""How many steps a run has, and the learning rate at each."""

from __future__ import annotations

import math

from unpaired.config import OptimConfig


def multiplier(position: int, constant: int, decay: int) -> float:
    """The factor of the learning rate: 1 for `constant` units, then linearly towards 0 over `decay` units.

    The published rule, 1 - max(0, position + 1 - constant) / (decay + 1) with position from 0: with 100 + 100
    epochs the first falling epoch has 0.9901 and the last 0.0099; it never reaches 0.
    """
    return 1 - max(0, position + 1 - constant) / (decay + 1) if decay else 1.0


class Schedule:
    """The learning rate of one run: by epochs as published, or scaled to a given number of steps."""

    def __init__(self, cfg: OptimConfig, steps_per_epoch: int) -> None:
        self.cfg, self.steps_per_epoch = cfg, steps_per_epoch
        by_epochs = (cfg.epochs + cfg.decay_epochs) * steps_per_epoch
        most = max(by_epochs, cfg.min_steps) if cfg.max_steps is None else cfg.max_steps
        self.steps = cfg.steps or min(max(by_epochs, cfg.min_steps), most)
        """Steps of the whole run."""
        self.in_epochs = cfg.steps is None and self.steps == by_epochs

    def factor(self, step: int) -> float:
        """The factor at a step, counted from 0."""
        cfg = self.cfg
        epochs = cfg.epochs + cfg.decay_epochs
        if self.in_epochs:
            position, unit, total = step // self.steps_per_epoch, 1.0, epochs
        else:
            position, unit, total = step, self.steps / epochs, self.steps
        if cfg.schedule == "step":
            return 0.1 ** int(position / (cfg.decay_every * unit))
        if cfg.schedule == "cosine":
            return (1 + math.cos(math.pi * position / total)) / 2
        decay = round(cfg.decay_epochs * unit)
        return multiplier(position, total - decay, decay)
