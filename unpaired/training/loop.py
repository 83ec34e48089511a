"""A run from its first step, or from where it was stopped, to its last."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path

import torch

from unpaired.checkpoints.bundle import BUNDLE, load_bundle, save_bundle
from unpaired.checkpoints.run_state import RunState
from unpaired.core.errors import BadInput, Stopped, shown
from unpaired.core.progress import progress
from unpaired.core.signals import Request, stop_on_request
from unpaired.data.folders import PixelStore
from unpaired.data.pairing import Part, UnpairedImages
from unpaired.data.selection import ImageSelection, decide, keep
from unpaired.data.sources import ImageFile
from unpaired.experiment import Experiment, build_method, to_dict
from unpaired.training.colour_start import colour_start, first_batches
from unpaired.training.doctor import Doctor, plateau
from unpaired.training.engine import Engine, same_bits
from unpaired.training.logging import RunLog
from unpaired.training.optimizer_step import NotFinite
from unpaired.training.prefetch import Prefetched, prefetch
from unpaired.training.rng import seed_everything
from unpaired.training.run_folder import (
    at_one_commit,
    facts,
    has_begun,
    open_folder,
    restore_best,
    resume,
    run_lock,
    save,
    say,
)
from unpaired.training.samples import FixedSamples, check_sides, dry_run
from unpaired.training.schedule import Schedule
from unpaired.training.trackers import Trackers, required
from unpaired.training.trainer import Trainer
from unpaired.training.validation import Judge

ADVICE = (
    "the last checkpoint is kept; `unpaired check` finds blank images, "
    "a lower optim.lr or runtime.precision fp32 may help"
)
STARTS_AGAIN = "stopped before the first step; the same command starts again"


def train(experiment: Experiment, out: Path, *, allow_config_change: bool = False) -> Path:
    """Train to the end, resuming what `out` already holds; returns `out`.

    Started by torchrun or `accelerate launch`, it is one of several processes that train as one.

    Args:
        experiment: What to train.
        out: Folder of the run.
        allow_config_change: Go on from a checkpoint of other settings; the run is then of no single experiment.

    Raises:
        BadInput: data or settings that cannot be used, or `out` holding a run with other settings.
        Stopped: a signal asked for it; the state is saved and the same call goes on.
    """
    required(experiment.runtime.trackers)
    with ExitStack() as stack:
        request = stack.enter_context(stop_on_request(STARTS_AGAIN))
        stack.enter_context(same_bits(experiment.runtime.deterministic))
        engine = Engine(experiment.runtime)
        request.patience = 2.0 if engine.processes.count > 1 else 0.0
        stack.enter_context(engine.processes.together())
        return _train(experiment, out, engine, request, allow_config_change, stack)


def _train(experiment: Experiment, out: Path, engine: Engine, request: Request, allow: bool, stack: ExitStack) -> Path:
    processes, trainer, store = engine.processes, _fresh_trainer(experiment, engine), PixelStore(experiment.data)
    if processes.first:
        experiment = at_one_commit(experiment, out, has_begun(out))
        usable = decide(experiment.data, out, has_begun(out), store)
        data, samples = _look(experiment, usable.paths, engine, store)
        judge = Judge(experiment, usable.paths)
        dry_run(trainer, samples)
        open_folder(experiment, out, allow)
        stack.enter_context(run_lock(out))
        keep(usable, out, experiment.data.root, data.a, data.b)
        processes.wait()
    else:
        processes.wait()
        experiment = at_one_commit(experiment, out, begun=True)
        usable = decide(experiment.data, out, begun=True)
        data, samples = _look(experiment, usable.paths, engine, store)
        judge = Judge(experiment, usable.paths, first=False)
    schedule = Schedule(experiment.optim, data.steps_per_epoch)
    state = resume(experiment, out, allow, processes)
    start = state.step if state is not None else 0
    if state is not None:
        _take_up(trainer, state, out)
    if processes.first:
        _take_up_judgements(judge, state, out)
    if processes.first:
        _announce(experiment, out, data, schedule, start, engine, usable)
    if start < schedule.steps or processes.any(judge.is_pending(start, schedule.steps)):
        judge.prepare(trainer.method)
        processes.wait()
        runtime = experiment.runtime
        trackers = Trackers(runtime.trackers, out, runtime.project, to_dict(experiment)) if processes.first else None
        log = RunLog(out, start, data.per_step, processes, trackers)
        stack.callback(log.close)
        if start == 0 and experiment.optim.colour_start:
            colour_start(trainer, lambda: first_batches(data, engine, experiment.optim.colour_start))
        Run(experiment, out, data, samples, trainer, schedule, log, judge).go_on(start, request)
    return out


def _look(
    experiment: Experiment, skipped: Collection[str], engine: Engine, store: PixelStore
) -> tuple[UnpairedImages, FixedSamples]:
    """The training images of this process, and the fixed test images."""
    part = Part(engine.processes.index, engine.processes.count, experiment.optim.accumulate)
    data = UnpairedImages(experiment.data, experiment.runtime.seed, skipped, part, store)
    return data, FixedSamples(experiment, skipped)


def _take_up(trainer: Trainer, state: RunState, out: Path) -> None:
    try:
        trainer.load(state.tensors)
    except (RuntimeError, LookupError, TypeError, ValueError) as error:
        raise BadInput(
            f"{out}: its checkpoint does not fit its settings ({shown(error)}); start another run"
        ) from error
    if trainer.steps != state.step:
        raise BadInput(f"{out}: its checkpoint of step {state.step} holds step {trainer.steps}; start another run")


def _take_up_judgements(judge: Judge, state: RunState | None, out: Path) -> None:
    restore_best(out, state)
    try:
        anew = judge.load_state(state.facts) if state is not None else ""
    except ValueError as error:
        raise BadInput(
            f"{out}: its checkpoint holds judgements that are none ({shown(error)}); start another run"
        ) from error
    if anew:
        say(f"{out}: {anew}")


def _fresh_trainer(experiment: Experiment, engine: Engine) -> Trainer:
    """Networks from the seed, the same in every process; dice from then on of each process's own."""
    seed, index = experiment.runtime.seed, engine.processes.index
    seed_everything(seed)
    trainer = Trainer(build_method(experiment), experiment.optim, engine)
    if experiment.optim.start:
        trainer.start_from(load_bundle(Path(experiment.optim.start)).translators)
    if index:
        seed_everything(seed + 1_000_003 * index)
        for history in trainer.method.histories.values():
            history.random.manual_seed(int(torch.randint(2**62, ())))
    return trainer


def _announce(
    experiment: Experiment,
    out: Path,
    data: UnpairedImages,
    schedule: Schedule,
    start: int,
    engine: Engine,
    usable: ImageSelection,
) -> None:
    if start:
        finished = f"finished, {start} of {schedule.steps} steps done"
        say(f"{out}: {f'going on after step {start}' if start < schedule.steps else finished}")
    if start < schedule.steps:
        if usable.skipped:
            say(usable.describe(out))
        counts = f"{len(data.a)} images of A, {len(data.b)} of B, {schedule.steps} steps"
        say(f"{experiment.name}: {counts}; {engine.describe()}")


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
        judge: Judge,
    ) -> None:
        self.experiment, self.out, self.data, self.samples = experiment, out, data, samples
        self.trainer, self.schedule, self.log, self.judge = trainer, schedule, log, judge
        self.doctor = Doctor(getattr(experiment.method, "adversarial", None))
        self.note = ""
        self.told: set[str] = set()
        self.files: tuple[tuple[int, tuple[ImageFile, ...]], ...] = ()
        """Steps under way and what they see: on a GPU the last two."""

    def go_on(self, start: int, request: Request) -> None:
        """Steps `start` to the end; saves and raises Stopped when a signal asks any process for it."""
        total, processes = self.schedule.steps, self.trainer.engine.processes
        request.later()  # from here on there is something to save first
        with progress("training", total, start, quiet=not processes.first) as advance:
            if start == 0:
                self.sample(0)
            elif processes.any(self.judge.is_pending(start, total)):
                self.rerun(start, request)
            batches = self.data.batches(start, total)
            for step, fed in enumerate(prefetch(batches, self.trainer.engine), start + 1):
                self.step(step, fed)
                self.report(step)
                judged = self.weigh(step, request)
                stopping = processes.any(request.asked)
                if stopping or self._due(step, self.experiment.runtime.save_every):
                    self.save(step)
                    stopping = processes.any(request.asked)  # while saving, too
                advance(note=self.note)
                if stopping and (step < total or not judged):
                    raise self._stopped(step)

    def step(self, step: int, fed: Prefetched) -> None:
        """One step of training.

        Raises:
            BadInput: an image of a wrong size, or numbers that are no longer finite.
        """
        files = fed.files
        self.files = (*self.files[-1:], (step, files))
        for images, file in ((fed.batch.x, files[0]), (fed.batch.y, files[-1])):
            check_sides(self.trainer.method, images, file)
        self.trainer.set_lr(self.schedule.factor(step - 1))
        try:
            self.log.add(self.trainer.train_step(fed.batch))
        except NotFinite as fault:
            raise self._not_finite(fault) from fault

    def report(self, step: int) -> None:
        """Log and sample where this step is due, and after the last."""
        runtime = self.experiment.runtime
        if self._due(step, runtime.sample_every):
            self.sample(step)
        if self._due(step, runtime.log_every):
            self._settle()
            lr = self.experiment.optim.lr * self.schedule.factor(step - 1)
            self.note = self.log.write(step, (step - 1) // self.data.steps_per_epoch, lr)

    def sample(self, step: int) -> None:
        """Translate the fixed images there and back, and have the doctor look at them."""
        self._require_sound(step)
        if not self.trainer.engine.processes.first:
            return
        sampled = self.samples.translate(self.trainer.ema, self.trainer.engine)
        for direction, outputs in sampled.items():
            self.log.add_samples(step, direction, outputs.grid())
        if step:
            self.log.findings = self.doctor.look(sampled, self.log.latest)
        for finding in self.log.findings:
            self._tell(f"step {step}: {finding}", once=f"{finding.symptom}, {finding.where}")

    def weigh(self, step: int, request: Request) -> bool:
        """Judge the generators that a user gets, where this step is due, and keep the best; False if broken off."""
        if not self.judge.due(step, self.schedule.steps):
            return True
        self._require_sound(step)
        trainer, processes = self.trainer, self.trainer.engine.processes
        with self.log.aside():
            done = self.judge.look(step, trainer.ema, trainer.engine, lambda: processes.any(request.asked))
        if done and processes.first:
            self.judge.keep_best(self.out, trainer.ema)
            findings, epoch = plateau(self.judge.past), (step - 1) // self.data.steps_per_epoch
            judge = self.judge
            self.log.add_judgement(step, epoch, judge.record(), judge.values(), judge.note(), findings)
            say(f"step {step}: {self.judge.describe()}")
            for finding in findings:
                say(f"step {step}: {finding}")
        return done

    def rerun(self, step: int, request: Request) -> None:
        """The judgement that a stop after this step broke off.

        Raises:
            Stopped: it was broken off again.
        """
        if not self.weigh(step, request):
            raise self._stopped(step)
        self.save(step)

    def save(self, step: int) -> None:
        """Write the bundle and the state to resume from.

        Raises:
            BadInput: a weight is not finite; nothing is written.
        """
        self._require_sound(step)
        processes, keep = self.trainer.engine.processes, self.experiment.runtime.keep
        if processes.first:
            save_bundle(self.out / BUNDLE, self.experiment, self.trainer.ema, step)
        about = facts(self.experiment, processes, *divmod(step, self.data.steps_per_epoch)) | self.judge.facts()
        for note in save(self.out, step, self.trainer.state(), keep, about, processes):
            self._tell(note, once=note)

    def _tell(self, line: str, once: str) -> None:
        if once not in self.told:
            self.told.add(once)
            say(line)

    def _stopped(self, step: int) -> Stopped:
        return Stopped(f"stopped after step {step} of {self.schedule.steps}; the same command goes on")

    def _due(self, step: int, every: int) -> bool:
        return step % every == 0 or step == self.schedule.steps

    def _require_sound(self, step: int) -> None:
        self._settle()
        if broken := self.trainer.broken():
            raise BadInput(f"after step {step} the weights of {', '.join(broken)} are not finite; {ADVICE}")

    def _settle(self) -> None:
        try:
            self.trainer.engine.check_pending()
        except NotFinite as fault:
            raise self._not_finite(fault) from fault

    def _not_finite(self, fault: NotFinite) -> BadInput:
        """What became NaN or infinite in which step, of which process, on which files."""
        files = ", ".join(shown(file) for step, files in self.files if step == fault.step for file in files)
        mine = f"{', '.join(fault.broken)} (on {files})" if fault.broken else ""
        told = self.trainer.engine.processes.gather(mine)
        named = [f"process {k}: {words}" if len(told) > 1 else words for k, words in enumerate(told) if words]
        what = "; ".join(named) or f"the gradient of the {fault.networks} (on {files})"
        return BadInput(
            f"training stopped at step {fault.step}: {what} is not finite; no weight was touched by it; {ADVICE}"
        )
