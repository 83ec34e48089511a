"""A run from its first step, or from where it was stopped, to its last."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from unpaired.checkpoint import BUNDLE, load_bundle, save_bundle
from unpaired.data.pairing import UnpairedImages
from unpaired.data.usable import decide, keep
from unpaired.errors import BadInput, Stopped, shown
from unpaired.experiment import Experiment, build_method, flatten, read_experiment, to_yaml
from unpaired.files import write_text
from unpaired.progress import progress
from unpaired.state import CHECKPOINTS, load_state, save_state
from unpaired.training.engine import Engine
from unpaired.training.logging import RunLog
from unpaired.training.samples import FixedSamples, check_sides, try_out
from unpaired.training.schedule import Schedule
from unpaired.training.stopping import stop_on_request
from unpaired.training.trainer import Trainer

CONFIG = "config.yaml"
MAY_CHANGE = ("data.root", "data.workers", "data.cache_gb", "data.on_bad_image", "name", "runtime.")
"""Settings, by their beginning, that a resumed run may have changed: they do not touch its numbers."""
MAY_NOT_CHANGE = ("runtime.seed", "runtime.precision")


def train(experiment: Experiment, out: Path) -> Path:
    """Train to the end, resuming what `out` already holds; returns `out`.

    Raises:
        BadInput: data or settings that cannot be used, or `out` holding a run with other settings.
        Stopped: a signal asked for it; the state is saved and the same call goes on.
    """
    engine = Engine(experiment.runtime)
    torch.manual_seed(experiment.runtime.seed)
    trainer = Trainer(build_method(experiment), experiment.optim, engine)
    if experiment.optim.start:
        trainer.start_from(load_bundle(Path(experiment.optim.start)).translators)
    usable = decide(experiment.data, out, _begun(out))
    data = UnpairedImages(experiment.data, experiment.runtime.seed, usable.paths)
    samples = FixedSamples(experiment, usable.paths)
    try_out(trainer, samples)
    _open_run(experiment, out)
    keep(usable, out, experiment.data.root, data.a, data.b)
    schedule = Schedule(experiment.optim, data.steps_per_epoch)
    start = _resume(trainer, out)
    if start >= schedule.steps:
        _say(f"{out}: finished, {start} of {schedule.steps} steps done")
        return out
    if usable.skipped:
        _say(usable.describe(out))
    _say(
        f"{experiment.name}: {len(data.a)} images of A, {len(data.b)} of B, {schedule.steps} steps; {engine.describe()}"
    )
    log = RunLog(out, start, experiment.data.batch)
    try:
        Run(experiment, out, data, samples, trainer, schedule, log).go_on(start)
    finally:
        log.close()
    return out


class Run:
    """One training under way: the loop, and what happens every so many steps."""

    def __init__(
        self,
        experiment: Experiment,
        out: Path,
        data: UnpairedImages,
        samples: FixedSamples,
        trainer: Trainer,
        schedule: Schedule,
        log: RunLog,
    ) -> None:
        self.experiment, self.out, self.data, self.samples = experiment, out, data, samples
        self.trainer, self.schedule, self.log = trainer, schedule, log
        self.note = ""

    def go_on(self, start: int) -> None:
        """Steps `start` to the end; saves and raises Stopped when a signal asks for it."""
        total, put = self.schedule.steps, self.trainer.engine.put
        with stop_on_request() as asked, progress("training", total, start) as advance:
            if start == 0:
                self.sample(0)
            for step, batch in enumerate(self.data.batches(start, total), start + 1):
                for images, file in ((batch.x, batch.files[0]), (batch.y, batch.files[-1])):
                    check_sides(self.trainer.method, images, file)
                self.trainer.set_rate(self.schedule.factor(step - 1))
                self.log.add(self.trainer.train_step(put(batch.x), put(batch.y)))
                stopping = asked() and step < total
                self.report(step, stopping)
                advance(note=self.note)
                if stopping:
                    raise Stopped(f"stopped after step {step} of {total}; the same command goes on")

    def report(self, step: int, stopping: bool = False) -> None:
        """Log, sample and save where this step is due, and after the last; nothing of what is no longer finite."""
        runtime, last = self.experiment.runtime, step == self.schedule.steps
        log, sample, save = (
            last or step % every == 0 for every in (runtime.log_every, runtime.sample_every, runtime.save_every)
        )
        if log or sample or save or stopping:
            self.log.averages(step)
        if log:
            lr = self.experiment.optim.lr * self.schedule.factor(step - 1)
            self.note = self.log.write(step, (step - 1) // self.data.steps_per_epoch, lr)
        if sample:
            self.sample(step)
        if save or stopping:
            self.save(step)

    def sample(self, step: int) -> None:
        """Translate the fixed pictures there and back."""
        for direction, grid in self.samples.grids(self.trainer.averaged, self.trainer.engine).items():
            self.log.add_samples(step, direction, grid)

    def save(self, step: int) -> None:
        """Write the bundle and the state to resume from."""
        save_bundle(self.out / BUNDLE, self.experiment, self.trainer.averaged, step)
        save_state(self.out, step, self.trainer.state(), self.experiment.runtime.keep)


def _open_run(experiment: Experiment, out: Path) -> None:
    """Make the run's folder and its config.yaml; refuse one where another experiment has begun to train."""
    path = out / CONFIG
    if path.exists() and _begun(out):
        before, now = flatten(read_experiment(path)), flatten(experiment)
        changed = [key for key in now if before.get(key) != now[key] and not _may_change(key)]
        if changed:
            words = ", ".join(f"{key} was {before.get(key)} and is now {now[key]}" for key in changed)
            raise BadInput(f"{out} holds a run with other settings: {words}; give another --out or the same settings")
    elif not path.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder or a run, found something else; give another --out")
    if link := next((path for path in out.rglob("*") if path.is_symlink()), None):
        raise BadInput(
            f"{link}: a link, and a run writes only inside its own folder; put what it leads to in its place"
        )
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_text(path, to_yaml(experiment))
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


def _begun(out: Path) -> bool:
    """Whether the run has taken steps."""
    return (out / BUNDLE).exists() or (out / CHECKPOINTS).exists()


def _may_change(key: str) -> bool:
    return key.startswith(MAY_CHANGE) and key not in MAY_NOT_CHANGE


def _resume(trainer: Trainer, out: Path) -> int:
    """Load the newest whole checkpoint; returns the number of steps behind it."""
    state, notes = load_state(out)
    for note in notes:
        _say(note)
    if state is None:
        return 0
    try:
        trainer.load(state.tensors)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"{out}: its checkpoint does not fit its settings ({shown(error)}); start another run"
        ) from error
    if trainer.steps != state.step:
        raise BadInput(f"{out}: its checkpoint of step {state.step} holds step {trainer.steps}; start another run")
    _say(f"{out}: going on after step {state.step}")
    return state.step


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
