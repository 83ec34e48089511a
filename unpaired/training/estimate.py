"""How long a run will take, from a few timed steps."""

from __future__ import annotations

from collections.abc import Callable

import torch

from unpaired.config.size import Size
from unpaired.core.progress import duration
from unpaired.data.transforms import crops
from unpaired.experiment import Experiment
from unpaired.training.monitor import Context
from unpaired.training.schedule import Schedule

WARM_UP, TIMED = 3, 5
"""Steps before the timing begins, since the first ones are slower, and steps timed."""
WORTH_SAYING = 60.0
"""Seconds below which the progress bar is enough."""
LONG = 3600.0
"""Seconds above which faster settings are named."""
SMALL = 128
"""Smaller side in pixels of the faster setting."""


class TimeEstimate:
    """Times the first steps and announces the duration of the run."""

    def __init__(self, experiment: Experiment, schedule: Schedule, start: int, device: torch.device) -> None:
        """Prepare for a run that begins after step `start`."""
        self.experiment, self.schedule, self.device = experiment, schedule, device
        self.first, self.last = start + WARM_UP, start + WARM_UP + TIMED
        self.began = 0.0

    def due(self, step: int) -> bool:
        """At the first and at the last of the timed steps, in runs that are longer."""
        return step in (self.first, self.last) and self.last < self.schedule.steps

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Read the clock, and announce the estimate after the last timed step."""
        now = context.log.training_seconds
        if step == self.first:
            self.began = now
            return
        left = (now - self.began) / TIMED * (self.schedule.steps - step)
        if left >= WORTH_SAYING:
            context.say(self.describe(step, left))

    def describe(self, step: int, seconds: float) -> str:
        """The estimated time for the steps after `step` in a line, with faster settings if it is long."""
        steps = self.schedule.steps - step
        epochs = round(steps / self.schedule.steps_per_epoch)
        work = f"{epochs} epochs" if epochs >= 2 and self.schedule.in_epochs else f"{steps} steps"
        faster = self._faster(seconds) if seconds > LONG else []
        return f"about {duration(seconds)} for {work}{'; faster: ' if faster else ''}{', '.join(faster)}"

    def _faster(self, seconds: float) -> list[str]:
        """Settings that take less time, as they are typed."""
        data = self.experiment.data
        options = ["a CUDA GPU (--runtime.device cuda)"] if self.device.type == "cpu" else []
        if crops(data) and min(data.crop) > SMALL:
            factor = SMALL / min(data.crop)
            crop = Size(*(4 * round(side * factor / 4) for side in data.crop))
            load = Size(*(max(round(side * factor), least) for side, least in zip(data.load, crop, strict=True)))
            less = duration(seconds * factor**2)
            options.append(f"{crop} px (--data.load-size {load} --data.crop-size {crop}), about {less}")
        if self.experiment.name != "quick":
            options.append("the preset `quick`")
        return options
