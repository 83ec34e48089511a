"""A training run: set up, resume, then step, log, sample, validate and save until the last step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path

import torch
from pydantic import TypeAdapter

from unpaired.checkpoints.bundle import BUNDLE, load_bundle, save_bundle
from unpaired.checkpoints.run_state import RunState
from unpaired.core.errors import BadInput, Stopped, shown
from unpaired.core.progress import progress
from unpaired.core.signals import Request, stop_on_request
from unpaired.data.folders import PixelStore
from unpaired.data.manifest import with_names
from unpaired.data.pairing import Portion, UnpairedImages
from unpaired.data.ranges import with_ranges
from unpaired.data.resident import ResidentImages
from unpaired.data.selection import ImageSelection, save_selection, select
from unpaired.data.sources import ImageFile
from unpaired.data.transforms import in_words
from unpaired.experiment import Experiment, build_method, to_dict, with_root
from unpaired.methods.batch import Batch
from unpaired.training import run_folder
from unpaired.training.colour_start import colour_start
from unpaired.training.doctor import Doctor
from unpaired.training.engine import Engine, same_bits
from unpaired.training.estimate import TimeEstimate
from unpaired.training.logging import RunLog, say
from unpaired.training.monitor import Context, Interval, Monitor, ReportWriter
from unpaired.training.optimizer_step import NotFinite
from unpaired.training.prefetch import Prefetched, prefetch
from unpaired.training.rng import seed_everything
from unpaired.training.samples import FixedSamples
from unpaired.training.schedule import Schedule
from unpaired.training.sizes import SizeChecks
from unpaired.training.trackers import Trackers, required
from unpaired.training.trainer import Trainer
from unpaired.training.validation import Validator

HELP = "`unpaired check` finds blank images, a lower optim.lr or runtime.precision fp32 may help"
ADVICE = f"the last checkpoint is kept; {HELP}"
STARTS_AGAIN = "stopped before the first step; the same command starts again"


def train(
    experiment: Experiment,
    out: Path,
    *,
    allow_config_change: bool = False,
    report: Callable[[Path], object] | None = None,
) -> Path:
    """Train to the last step, resuming the run that `out` holds; returns `out`.

    Started by torchrun, this is one of several processes that train one model. `allow_config_change` resumes from a
    checkpoint of other settings; the run then belongs to no single experiment. `report` rewrites the report of the
    run's folder; it is called with each sample grid and after a stop. Raises BadInput for data or settings that cannot
    be used, or an `out` that holds a run with other settings. Raises Stopped after a signal, once the state is saved.
    """
    required(experiment.runtime.trackers)
    with ExitStack() as stack:
        request = stack.enter_context(stop_on_request(STARTS_AGAIN))
        stack.enter_context(same_bits(experiment.runtime.deterministic))
        engine = Engine(experiment.runtime)
        request.patience = 2.0 if engine.processes.count > 1 else 0.0
        stack.enter_context(engine.processes.end_together())
        stack.enter_context(run_folder.removal_reported(out))
        run = Run(experiment, out, engine, allow_config_change, stack)
        if run.start < run.schedule.steps or run.validation_is_pending(run.start):
            run.train(request, report, stack)
    return out


class Run:
    """A training under way."""

    def __init__(self, experiment: Experiment, out: Path, engine: Engine, allow: bool, stack: ExitStack) -> None:
        """Check data and settings, open the run's folder, and resume from its newest checkpoint.

        The first process decides which images are used and writes the folder; nothing is written before all checks.
        """
        self.out, self.engine, self.processes = out, engine, engine.processes
        self.trainer = _new_trainer(experiment, engine)
        root = self.processes.from_first(lambda: run_folder.pinned_root(experiment, out))
        self.experiment = experiment = replace(experiment, data=with_names(with_root(experiment, root).data))
        store = PixelStore(experiment.data)
        if engine.device.type == "cuda":
            store.resident = ResidentImages(engine.device)
        begun = run_folder.has_begun(out)
        chosen = self.processes.from_first(lambda: asdict(select(experiment.data, out, begun, store)))
        images = TypeAdapter(ImageSelection).validate_python(chosen)
        self.experiment = experiment = replace(experiment, data=with_ranges(experiment.data, images.ranges or {}))
        store.cfg = experiment.data
        portion = Portion(self.processes.index, self.processes.count, experiment.optim.accumulate)
        self.data = UnpairedImages(experiment.data, experiment.runtime.seed, images.paths, portion, store)
        self.schedule = Schedule(experiment.optim, self.data.steps_per_epoch)
        self.samples = FixedSamples(experiment, images.paths, self.schedule.steps)
        self.validator = Validator(experiment, images.paths, self.schedule.steps, store)
        self.doctor = Doctor(experiment, self.samples, self.validator)
        self.sizes = SizeChecks(self.trainer, experiment.data, experiment.optim.accumulate)
        self.recent: tuple[tuple[int, tuple[ImageFile, ...]], ...] = ()
        """The last two steps and their files: on a GPU a step may still be computed in the next one."""
        if self.processes.first:
            self.validator.load_extractor(engine.device)
            self.sizes.check_samples(self.samples.sizes("A"), self.samples.sizes("B"))
            self.sizes.check_training(store.sizes["trainA"], store.sizes["trainB"])
            stack.enter_context(run_folder.open_folder(experiment, out, allow))
        self.processes.wait()
        state = run_folder.resume(experiment, out, allow, self.processes)
        self.start = state.step if state is not None else 0
        if state is not None:
            self._load_state(state)
        if self.processes.first:
            save_selection(images, out, experiment.data.root, self.data.a, self.data.b)
            run_folder.write_config(experiment, out)
            if state is None:
                run_folder.write_start(out, engine.describe())
            else:
                run_folder.note_changes(state, experiment, out, self.processes)
            run_folder.restore_best(out, state)
            self._announce(images)

    def _load_state(self, state: RunState) -> None:
        def refused(words: str) -> BadInput:
            return BadInput(f"{self.out}: its checkpoint {words}; start another run")

        try:
            self.trainer.load(state.tensors)
        except (RuntimeError, LookupError, TypeError, ValueError) as error:
            raise refused(f"does not fit its settings ({shown(error)})") from error
        if self.trainer.steps != state.step:
            raise refused(f"of step {state.step} holds step {self.trainer.steps}")
        if self.processes.first:
            try:
                note = self.validator.load_state(state.facts)
            except ValueError as error:
                raise refused(f"holds invalid validation results ({shown(error)})") from error
            if note:
                say(f"{self.out}: {note}")

    def _announce(self, images: ImageSelection) -> None:
        name, total = self.experiment.name, self.schedule.steps
        if self.start == total:
            say(f"{self.out}: finished, {total} of {total} steps done")
            return
        say(f"{name}: {self.engine.describe()}")
        if self.start:
            say(f"{self.out}: resumes after step {self.start}")
        for note in (*([images.describe(self.out)] if images.skipped else []), *images.notes):
            say(note)
        say(f"{name}: {len(self.data.a)} images of A, {len(self.data.b)} of B, {total} steps")
        say(f"{name}: images {in_words(self.experiment.data)}")

    def train(self, request: Request, report: Callable[[Path], object] | None, stack: ExitStack) -> None:
        """Take the remaining steps; save and raise Stopped after a signal to any process."""
        runtime, processes, start, total = self.experiment.runtime, self.processes, self.start, self.schedule.steps
        monitors = self._start_monitors(report, stack)
        log_due, save_due = Interval(runtime.log_every, total), Interval(runtime.save_every, total)
        keep_due = Interval(runtime.keep_every, 0)
        self._colour_start()
        request.later()  # from here on there is a state to save before stopping
        if start == 0:
            self.observe(0, monitors, request)
        elif self.validation_is_pending(start):
            self.repeat_validation(start, request)
        with progress("training", total, start, quiet=not processes.first) as advance:
            batches = prefetch(self.data.batches(start, total), self.engine)
            for step, prefetched in enumerate(batches, start + 1):
                self.step(step, prefetched)
                if log_due(step):
                    self.require_finite_gradients()
                    self.log.write(step, self.experiment.optim.lr * self.schedule.factor(step - 1))
                stopping = self.observe(step, monitors, request)
                if stopping or save_due(step) or keep_due(step):
                    self.save(step)
                    stopping = processes.any(request.asked)  # a signal may come while saving
                advance(note=self.log.note)
                if stopping and (step < total or self.validation_is_pending(step)):
                    raise self.stopped(step)

    def _start_monitors(self, report: Callable[[Path], object] | None, stack: ExitStack) -> list[Monitor]:
        """Start the log and what runs beside the steps."""
        runtime, first = self.experiment.runtime, self.processes.first
        self.validator.prepare(self.trainer.method)
        if first and self.start == 0 and self.validator.caveat:
            say(self.validator.caveat)
        self.processes.wait()
        trackers = Trackers(runtime.trackers, self.out, runtime.project, to_dict(self.experiment)) if first else None
        batch, per_epoch = self.data.per_step, self.data.steps_per_epoch
        self.log = RunLog(self.out, self.start, batch, self.processes, trackers, per_epoch, self.schedule.steps)
        stack.callback(self.log.close)
        self.context = Context(self.out, self.trainer, self.log)
        self.report = ReportWriter(report, self.samples.due) if report else None
        estimate = TimeEstimate(self.experiment, self.schedule, self.start, self.engine.device)
        return [estimate, self.samples, self.validator, self.doctor, *([self.report] if self.report else [])]

    def _colour_start(self) -> None:
        """Train fresh generators to be the colour map between the domains, if `optim.colour_start` is set.

        Generators of `optim.start` have learnt more than that, and keep it.
        """
        optim = self.experiment.optim
        steps = min(optim.colour_start, self.schedule.steps)
        if self.start or not steps:
            return
        if optim.start:
            say(f"no colour start: the generators are those of {optim.start}")
            return
        with self.log.pause(), progress("colour start", 2 * steps, quiet=not self.processes.first) as advance:

            def batches() -> Iterator[Batch]:  # passed through twice
                for prefetched in prefetch(self.data.batches(0, steps), self.engine):
                    yield prefetched.batch
                    advance()

            colour_start(self.trainer, batches)

    def step(self, step: int, prefetched: Prefetched) -> None:
        """One step of training; raises BadInput for an image of another size, or numbers that are not finite."""
        batch, files = prefetched.batch, prefetched.files
        self.recent = (*self.recent[-1:], (step, files))
        self.sizes.check(batch.x, batch.y, files[0], files[-1])
        self.trainer.set_lr(self.schedule.factor(step - 1))
        try:
            self.log.add(self.trainer.train_step(batch))
        except NotFinite as fault:
            raise self._not_finite(fault) from fault

    def observe(self, step: int, monitors: Sequence[Monitor], request: Request) -> bool:
        """Run the monitors that are due, in the first process; returns whether a stop is requested in any process."""
        due = [monitor for monitor in monitors if monitor.due(step)]
        if due:
            self.require_finite(step)
            self.trainer.make_room()

        def work(stopping: Callable[[], bool]) -> None:
            with self.log.pause():
                for monitor in due:
                    monitor.run(step, self.context, stopping)

        return self.processes.run_in_first(work, lambda: request.asked)

    def validation_is_pending(self, step: int) -> bool:
        """Whether a stop interrupted the validation after this step."""
        return self.processes.from_first(lambda: self.validator.is_pending(step))

    def repeat_validation(self, step: int, request: Request) -> None:
        """Validate again after a stop interrupted it; raises Stopped if it is interrupted again."""
        self.observe(step, [self.validator, self.doctor], request)
        if self.validation_is_pending(step):
            raise self.stopped(step)
        self.save(step)

    def save(self, step: int) -> None:
        """Write the bundle, and the state to resume from; nothing where a weight is not finite."""
        self.require_finite(step)
        if self.processes.first:
            save_bundle(self.out / BUNDLE, self.experiment, self.trainer.ema, step)
        about = run_folder.facts(self.experiment, self.processes, *divmod(step, self.data.steps_per_epoch))
        about |= self.validator.facts()
        state, runtime = self.trainer.state(), self.experiment.runtime
        for note in run_folder.save(self.out, step, state, runtime, about, self.processes):
            self.context.say(note, once=note)

    def stopped(self, step: int) -> Stopped:
        """The exception that ends a stopped run, after its report is written."""
        if self.report and self.processes.first:
            self.report.run(step, self.context, lambda: False)
        return Stopped(f"stopped after step {step} of {self.schedule.steps}; the same command resumes")

    def require_finite(self, step: int) -> None:
        """Refuse to use weights that are not finite: raises BadInput with the names of the networks."""
        self.require_finite_gradients()
        if broken := self.trainer.broken():
            raise BadInput(f"after step {step} the weights of {', '.join(broken)} are not finite; {ADVICE}")

    def require_finite_gradients(self) -> None:
        """Read the finite-gradient checks that are still pending on the device; BadInput names step and files."""
        try:
            self.engine.check_pending()
        except NotFinite as fault:
            raise self._not_finite(fault) from fault

    def _not_finite(self, fault: NotFinite) -> BadInput:
        """The message for NaN or infinity: quantity, step, process and files."""
        files = ", ".join(shown(file) for step, files in self.recent if step == fault.step for file in files)
        mine = f"{', '.join(fault.broken)} (on {files})" if fault.broken else ""
        found = self.processes.gather(mine)
        named = [f"process {k}: {words}" if len(found) > 1 else words for k, words in enumerate(found) if words]
        what = "; ".join(named) or f"the gradient of the {fault.networks} (on {files})"
        return BadInput(
            f"training stopped at step {fault.step}: {what} is not finite; the weights were not changed; {ADVICE}"
        )


def _new_trainer(experiment: Experiment, engine: Engine) -> Trainer:
    """Networks from the seed, equal in every process; each process then has its own random numbers."""
    seed, index = experiment.runtime.seed, engine.processes.index
    seed_everything(seed)
    trainer = Trainer(build_method(experiment), experiment.optim, engine)
    if experiment.optim.start:
        trainer.start_from(load_bundle(Path(experiment.optim.start)).translators)
    if index:
        seed_everything(seed + 1_000_003 * index)
        for each in trainer.method.planned.values():
            each.random.manual_seed(int(torch.randint(2**62, ())))
    return trainer
