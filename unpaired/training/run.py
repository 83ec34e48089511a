"""A run from its first step, or from where it was stopped, to its last."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from unpaired.checkpoint import BUNDLE, CHECKPOINTS, load_state, save_bundle, save_state
from unpaired.config import DataConfig
from unpaired.data.doctor import require_readable
from unpaired.data.folders import domain_files
from unpaired.data.pairing import UnpairedImages
from unpaired.data.transforms import central
from unpaired.errors import BadInput, Stopped
from unpaired.experiment import Experiment, build_method, flatten, read_experiment, to_yaml
from unpaired.images import Images, OneImage, read_picture, to_tensor, with_channels
from unpaired.methods import Method
from unpaired.progress import progress
from unpaired.training.engine import Engine
from unpaired.training.logging import RunLog, picture_grid
from unpaired.training.schedule import Schedule
from unpaired.training.stopping import stop_on_request
from unpaired.training.trainer import Trainer

CONFIG = "config.yaml"
MAY_CHANGE = ("data.root", "data.workers", "data.cache_gb", "data.check", "name", "runtime.")
"""Settings, by their beginning, that a resumed run may have changed: they do not touch its numbers."""
MAY_NOT_CHANGE = ("runtime.seed", "runtime.precision")


def train(experiment: Experiment, out: Path) -> Path:
    """Train to the end, resuming what `out` already holds; returns `out`.

    Raises:
        BadInput: data or settings that cannot be used, or `out` holding a run with other settings.
        Stopped: a signal asked for it; the state is saved and the same call goes on.
    """
    data = UnpairedImages(experiment.data, experiment.runtime.seed)
    samples = FixedSamples(experiment)
    engine = Engine(experiment.runtime)
    torch.manual_seed(experiment.runtime.seed)
    trainer = Trainer(build_method(experiment), experiment.optim, engine)
    _try_out(trainer, samples)
    if experiment.data.check and not (out / CONFIG).exists():
        require_readable(data.files(), Path(experiment.data.root))
    _open_run(experiment, out)
    schedule = Schedule(experiment.optim, data.steps_per_epoch)
    start = _resume(trainer, out)
    if start >= schedule.steps:
        _say(f"{out}: finished, {start} of {schedule.steps} steps done")
        return out
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
                    _check_sides(self.trainer.method, images, file)
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


class FixedSamples:
    """The same few test pictures of each domain, translated again and again."""

    def __init__(self, experiment: Experiment) -> None:
        """Reads them evenly spread over testA and testB, or the training folders where there is no test."""
        cfg, root = experiment.data, Path(experiment.data.root)
        self.pictures: dict[str, list[OneImage]] = {}
        self.files: dict[str, list[Path]] = {}
        for side, channels in (("A", cfg.channels_a), ("B", cfg.channels_b)):
            files = domain_files(root, f"test{side}" if (root / f"test{side}").is_dir() else f"train{side}")
            chosen = [files[k * len(files) // experiment.runtime.samples] for k in range(experiment.runtime.samples)]
            self.files[side] = list(dict.fromkeys(chosen))
            self.pictures[side] = [_sample(file, channels, cfg) for file in self.files[side]]

    def grids(self, method: Method, engine: Engine):
        """One grid per direction, a row per picture: the picture, its translation, and back again."""
        networks = method.translators
        grids = {}
        for direction, there in networks.items():
            back = networks.get("BtoA" if direction == "AtoB" else "AtoB")
            rows = []
            for image in self.pictures[direction[0]]:
                with torch.no_grad(), _at_rest(method), engine.precision():
                    row = [engine.put(image[None])]
                    for network in (there, back):
                        if network is not None:
                            row.append(network(row[-1]))
                rows.append([batch[0] for batch in row])
            grids[direction] = picture_grid(rows)
        return grids


def _sample(file: Path, channels: int, cfg: DataConfig) -> OneImage:
    picture = read_picture(file)
    try:
        return to_tensor(central(with_channels(picture.pixels, channels), cfg))
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from error


@contextmanager
def _at_rest(method: Method) -> Iterator[None]:
    """Inside, forward passes leave no trace: no dice are thrown, no batch statistics kept."""
    method.eval()
    try:
        yield
    finally:
        method.train()


def _try_out(trainer: Trainer, samples: FixedSamples) -> None:
    """One pass without gradient, so that images and networks that do not fit are refused before a run is made.

    Raises:
        BadInput: the size of the images is none that the networks can take.
    """
    method, put = trainer.method, trainer.engine.put
    for side in "AB":
        _check_sides(method, samples.pictures[side][0][None], samples.files[side][0])
    x, y = (put(samples.pictures[side][0][None]) for side in "AB")
    try:
        with torch.no_grad(), _at_rest(method), trainer.engine.precision():
            method.generator_terms(x, y)
    except (RuntimeError, ValueError) as error:
        raise BadInput(
            f"images of {x.shape[3]}x{x.shape[2]} and {y.shape[3]}x{y.shape[2]} px do not go through these networks "
            f"({' '.join(str(error).split())}); a larger data.crop_size or fewer method.critic.layers may help"
        ) from error


def _check_sides(method: Method, images: Images, file: Path) -> None:
    height, width = images.shape[2:]
    multiple = max(network.multiple for network in method.translators.values())
    if height % multiple or width % multiple:
        raise BadInput(
            f"{file}: width and height must divide by {multiple} for this generator, found {width}x{height} after "
            f"data.preprocess; set data.crop_size to such a number, and a data.preprocess that ends in crop"
        )


def _open_run(experiment: Experiment, out: Path) -> None:
    """Make the run's folder and its config.yaml; refuse one where another experiment has begun to train."""
    path = out / CONFIG
    begun = (out / BUNDLE).exists() or (out / CHECKPOINTS).exists()
    if path.exists() and begun:
        before, now = flatten(read_experiment(path)), flatten(experiment)
        changed = [key for key in now if before.get(key) != now[key] and not _may_change(key)]
        if changed:
            words = ", ".join(f"{key} was {before.get(key)} and is now {now[key]}" for key in changed)
            raise BadInput(f"{out} holds a run with other settings: {words}; give another --out or the same settings")
    elif not path.exists() and out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out}: expected a new or empty folder or a run, found something else; give another --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        part = out / f".{CONFIG}.part"
        part.write_text(to_yaml(experiment), encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise BadInput(f"{out}: cannot be written ({error.strerror}); choose another --out") from error


def _may_change(key: str) -> bool:
    return key.startswith(MAY_CHANGE) and key not in MAY_NOT_CHANGE


def _resume(trainer: Trainer, out: Path) -> int:
    """Load the newest whole checkpoint; returns the number of steps behind it."""
    state, notes = load_state(out)
    for note in notes:
        _say(note)
    if state is None:
        return 0
    trainer.load(state.tensors)
    _say(f"{out}: going on after step {state.step}")
    return state.step


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
