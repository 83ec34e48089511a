"""The training doctor: finds known symptoms in the fixed samples, the losses and the validation results.

Each threshold separates healthy runs from planted faults; docs/doctor.md has the figures. A finding is
reported when two samplings in a row show it, and not before the warm-up of its symptom.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from unpaired.config import Direction, opposite
from unpaired.experiment import Experiment, flatten
from unpaired.imaging.images import Images, OneImage
from unpaired.metrics import symptoms
from unpaired.training.monitor import Context
from unpaired.training.samples import FAINT, FixedSamples, SampleOutputs
from unpaired.training.validation import ValidationResult, Validator

BLANK = 1.0
"""Standard deviation in 8-bit levels below which an image is blank."""
INVERTED = -0.6
"""Correlation of brightness with the input's; healthy runs keep it above 0."""
COPIED = 0.05
"""Change of an image over the distance of the two domains; healthy runs: 0.3 to 1."""
ALIKE = 0.15
"""Variety of the translations over that of the real images; healthy runs: 0.5 to 1.1."""
HIDDEN = 4.0
"""Error that invisible noise adds to the cycle, per level of noise; an exact inverse: 0.8, healthy runs: below 0.1."""
LATTICE = 2.5
"""Energy at a period of two pixels, over that of real images; without a checkerboard about 1."""
SMALLEST = 16
"""Side in pixels of the smallest image whose frequencies can be measured."""
OVERWHELMED = 0.08
"""Loss of a discriminator over that of a random answer; healthy runs: 0.3 to 1."""
PATIENCE = 5
"""Validations in a row without a gain that make a plateau."""
CHANCE = {"least-squares": 0.25, "log-likelihood": 0.693, "hinge": 1.0}
"""A discriminator's (halved) loss for random answers."""
WARM_UP = {
    "blank input": 0,
    "inverted": 500,
    "discriminator winning": 500,
    "collapse": 1000,
    "hidden signal": 1000,
    "checkerboard": 1000,
    "copying": 2000,
}
"""Training steps before which a symptom has no meaning: untrained networks copy, collapse and leave patterns."""


@dataclass(frozen=True)
class Finding:
    """A symptom: what was observed, in which images, and what to change."""

    symptom: str
    where: str
    """A direction, or the name of a discriminator's loss."""
    seen: str
    images: tuple[str, ...]
    advice: str

    @property
    def key(self) -> tuple[str, str]:
        """Equal for findings of the same symptom in the same place."""
        return self.symptom, self.where

    def __str__(self) -> str:
        more = ", ..." if len(self.images) > 3 else ""
        images = f" ({', '.join(self.images[:3])}{more})" if self.images else ""
        return f"doctor: {self.where}: {self.symptom}: {self.seen}{images}; {self.advice}"


class Doctor:
    """Reports symptoms that last from one sampling to the next."""

    def __init__(
        self, experiment: Experiment, samples: FixedSamples | None = None, validator: Validator | None = None
    ) -> None:
        """Examine what `samples` and `validator` last produced; the settings decide the advice."""
        self.settings = flatten(experiment)
        self.chance = CHANCE.get(self.settings.get("method.adversarial", ""))
        self.samples, self.validator = samples, validator
        self.before: set[tuple[str, str]] = set()
        """The findings of the last sampling."""

    def due(self, step: int) -> bool:
        """Whether there are new samples or validation results."""
        monitors = (self.samples, self.validator)
        return step > 0 and any(monitor is not None and monitor.due(step) for monitor in monitors)

    def run(self, step: int, context: Context, stopping: Callable[[], bool]) -> None:
        """Log the findings of this step, and print each once in a run."""
        findings: list[Finding] = []
        if self.samples is not None and self.samples.step == step:
            findings += self.examine(step, self.samples.outputs, context.log.latest)
        if self.validator is not None and self.validator.has_result(step):
            findings += plateau(self.validator.past)
        context.log.add_findings(step, [asdict(finding) for finding in findings])
        for finding in findings:
            once = "" if finding.symptom == "plateau" else str(finding.key)
            context.say(f"step {step}: {finding}", once)

    def examine(
        self, step: int, outputs: Mapping[Direction, SampleOutputs], losses: Mapping[str, float]
    ) -> list[Finding]:
        """The symptoms that are found now, were found at the last sampling, and are past their warm-up."""
        real = self.samples.images if self.samples is not None else {}
        found = [finding for direction in outputs for finding in examine(outputs, direction, self.settings, real)]
        found += overwhelmed(losses, self.chance, self.settings) if self.chance else []
        found = [finding for finding in found if step >= WARM_UP[finding.symptom]]
        lasting = [finding for finding in found if finding.key in self.before]
        self.before = {finding.key for finding in found}
        return lasting


@dataclass(frozen=True)
class Case:
    """One direction to examine: images of any sizes, cut to their common size."""

    direction: Direction
    sampled: SampleOutputs
    settings: Mapping[str, Any]
    inputs: Images
    """The images translated."""
    outputs: Images
    """The translations."""
    targets: Images | None
    """Real images of the target domain, which the other direction translates."""

    def finding(self, symptom: str, seen: str, advice: str, which: Tensor | None = None) -> Finding:
        """A finding of this direction, in the images where `which` is true."""
        chosen = [] if which is None else which.tolist()
        names = tuple(file.name for file, hit in zip(self.sampled.files, chosen, strict=False) if hit)
        return Finding(symptom, self.direction, seen, names, advice)

    def flags(self, factor: float, *names: str) -> str:
        """Flags that multiply settings, e.g. `--method.identity-weight 2.5`, of those that the method has and uses."""
        values = {name: self.settings.get(name) for name in names}
        return " ".join(f"--{name.replace('_', '-')} {value * factor:g}" for name, value in values.items() if value)


CYCLE = ("method.forward_cycle_weight", "method.backward_cycle_weight")
IDENTITY = "method.identity_weight"
UPSAMPLING = "method.generator.upsampling"


def examine(
    sampled: Mapping[Direction, SampleOutputs],
    direction: Direction,
    settings: Mapping[str, Any] | None = None,
    real: Mapping[str, Sequence[OneImage]] | None = None,
) -> list[Finding]:
    """Every symptom of one direction; `real` has images of either side, for methods of one direction."""
    each, other = sampled[direction], sampled.get(opposite(direction))
    of_target = other.inputs if other else (real or {}).get(direction[-1])
    targets = _batch(of_target) if of_target else None
    case = Case(direction, each, settings or {}, _batch(each.inputs), _batch(each.outputs), targets)
    return [finding for detect in DETECTORS if (finding := detect(case)) is not None]


def overwhelmed(losses: Mapping[str, float], chance: float, settings: Mapping[str, Any] | None = None) -> list[Finding]:
    """Discriminators that are almost never wrong give the generators no direction."""
    settings = settings or {}
    rate = "discriminator_lr" if settings.get("optim.discriminator_lr") else "lr"
    lower = f"--optim.discriminator-lr {settings.get(f'optim.{rate}', 2e-4) / 2:g}"
    seen = "its loss is {:.1%} of that of random answers: it tells every translation from a real image"
    advice = f"{lower}, fewer discriminator layers, or remove borders or compression that only one domain has"
    return [
        Finding("discriminator winning", name, seen.format(value / chance), (), advice)
        for name, value in losses.items()
        if name.startswith("discriminator/") and value < OVERWHELMED * chance
    ]


def plateau(past: Sequence[ValidationResult], patience: int = PATIENCE) -> list[Finding]:
    """No gain in `patience` validations, reported once: when the latest result completes the plateau.

    A gain is a mean KID below the interval of the last result that was a gain, so small gains add up.
    """
    if not past:
        return []
    before, idle = past[0], 0
    for result in past[1:]:
        gained = result.mean_kid < before.mean_kid - before.mean_half_width
        before, idle = (result, 0) if gained else (before, idle + 1)
    if idle != patience:
        return []
    best = min(past, key=lambda result: result.mean_kid)
    seen = (
        f"since step {before.step} mean KID has not fallen below that step's interval ({before.mean_kid:.5f} ± "
        f"{before.mean_half_width:.5f}), in {patience} validations; the best is {best.mean_kid:.5f}, step {best.step}"
    )
    advice = (
        "before the learning rate falls, a smaller --optim.epochs lets it fall earlier; after that, stop and use "
        "best.safetensors, or change the data or the settings"
    )
    return [Finding("plateau", " and ".join(best.kid), seen, (), advice)]


def blank(case: Case) -> Finding | None:
    """Inputs without content."""
    which = symptoms.spread(case.inputs) < BLANK
    if not bool(which.any()):
        return None
    seen = f"{int(which.sum())} of {len(which)} images show nothing"
    check = f"`unpaired check {case.settings.get('data.root', 'DATA')}`"
    advice = f"remove such files, since InstanceNorm divides by their deviation; {check} names them all"
    return case.finding("blank input", seen, advice, which)


def inverted(case: Case) -> Finding | None:
    """Bright where the input is dark: a mapping that the cycle loss accepts."""
    if case.inputs.shape[2:] != case.outputs.shape[2:]:
        return None
    which = symptoms.brightness_correlation(case.inputs, case.outputs) <= INVERTED
    if 2 * int(which.sum()) <= len(which):
        return None
    seen = f"{int(which.sum())} of {len(which)} translations are bright where their input is dark"
    raised = case.flags(2, IDENTITY) or ("--method.identity-weight 5" if IDENTITY in case.settings else "")
    other = f"--runtime.seed {case.settings.get('runtime.seed', 0) + 1}"
    advice = f"unless the domains are negatives of each other, {' or '.join(filter(None, (raised, other)))}"
    return case.finding("inverted", seen, advice, which)


def copied(case: Case) -> Finding | None:
    """Translations equal to their inputs."""
    if case.targets is None or case.inputs.shape != case.outputs.shape:
        return None
    apart = symptoms.distance_between(*_same_size(case.inputs, case.targets))
    share = float(symptoms.change(case.inputs, case.outputs).mean()) / max(apart, symptoms.FLAT)
    if share > COPIED:
        return None
    seen = f"translations differ from their inputs by {share:.1%} of what the two domains differ by"
    other = case.flags(0.5, *CYCLE, IDENTITY) or case.flags(2, "method.gan_weight")
    advice = f"{other}{', or ' if other else ''}more steps: a copy has no cycle loss and no identity loss"
    return case.finding("copying", seen, advice)


def collapsed(case: Case) -> Finding | None:
    """One translation for all inputs."""
    if case.targets is None or min(len(case.outputs), len(case.targets)) < 2:
        return None
    share = symptoms.variety(case.outputs) / max(symptoms.variety(case.targets), symptoms.FLAT)
    if share >= ALIKE:
        return None
    seen = f"translations of different images differ by {share:.1%} of what real images do"
    options = (case.flags(2, *CYCLE), case.flags(2, "method.history"), case.flags(0.5, "optim.lr"))
    return case.finding("collapse", seen, " or ".join(filter(None, options)) or "a lower --optim.lr")


def hiding(case: Case) -> Finding | None:
    """A way back that depends on invisible details."""
    if not case.sampled.back:
        return None
    growth = symptoms.fragility(case.inputs, _batch(case.sampled.back), _batch(case.sampled.back_of_noisy), FAINT)
    if float(growth.median()) < HIDDEN:
        return None
    seen = f"each level of noise on the translation changes the way back by {float(growth.median()):.1f} levels"
    lower = case.flags(0.5, *CYCLE)
    relies = "the cycle relies on a hidden signal, not on content"
    advice = f"{relies}: {lower or 'a lower cycle weight'}, or closer domains"
    return case.finding("hidden signal", seen, advice, growth >= HIDDEN)


def checkered(case: Case) -> Finding | None:
    """The pattern of stride-1/2 convolutions."""
    if case.targets is None or min(*case.outputs.shape[2:], *case.targets.shape[2:]) < SMALLEST:
        return None
    usual = symptoms.lattice(case.targets).median().clamp(min=symptoms.FLAT)
    excess = symptoms.lattice(case.outputs) / usual
    if float(excess.median()) < LATTICE:
        return None
    seen = f"a pattern with a period of two pixels, {float(excess.median()):.1f} times as strong as in real images"
    leaves = "--method.generator.upsampling resize leaves none (a new run: it is another network)"
    advice = leaves if case.settings.get(UPSAMPLING, "resize") != "resize" else "more steps, in which it should fade"
    return case.finding("checkerboard", seen, advice, excess >= LATTICE)


DETECTORS: tuple[Callable[[Case], Finding | None], ...] = (blank, inverted, copied, collapsed, hiding, checkered)


def _batch(images: Sequence[OneImage]) -> Images:
    height, width = (min(image.shape[k] for image in images) for k in (1, 2))
    return torch.stack([image[:, :height, :width] for image in images]).float()


def _same_size(a: Images, b: Images) -> tuple[Images, Images]:
    height, width = (min(a.shape[k], b.shape[k]) for k in (2, 3))
    return a[..., :height, :width], b[..., :height, :width]
