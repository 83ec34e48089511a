"""The doctor of training: looks at the fixed images now and then, and says what has gone wrong.

Each symptom has a threshold between what healthy runs showed and what planted faults show; docs/doctor.md has the
figures. A finding is told when it holds at two looks in a row, so that first steps and single slips pass unremarked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from unpaired.config import Direction, opposite
from unpaired.imaging.images import Images, OneImage
from unpaired.metrics import symptoms
from unpaired.training.findings import Finding
from unpaired.training.samples import FAINT, SampleOutputs
from unpaired.training.validation import Judgement

BLANK = 1.0
"""Levels of deviation under which an image is blank."""
INVERTED = -0.6
"""Correlation of brightness with the input's; healthy runs keep it above 0."""
COPIED = 0.05
"""Change of an image over the distance of the two domains; healthy runs: 0.3 to 1."""
ALIKE = 0.15
"""Variety of the translations over that of the real images; healthy runs: 0.5 to 1.1."""
HIDDEN = 4.0
"""Error that unseen noise adds to the cycle, per level of noise; an exact inverse: 0.8, healthy runs: below 0.1."""
LATTICE = 2.5
"""Energy at a period of two pixels, over that of real images; without a checkerboard about 1."""
SMALLEST = 16
"""Pixels a side from which frequencies can be told apart."""
OVERWHELMED = 0.08
"""Discriminators' loss over that of tossing a coin; healthy runs: 0.3 to 1."""
PATIENCE = 5
"""Judgements in a row without a gain after which a run is on a plateau."""
COIN = {"least-squares": 0.25, "log-likelihood": 0.693, "hinge": 1.0}
"""A discriminator's (halved) loss when it answers at random."""


class Doctor:
    """Remembers what it saw at the last look, to tell what lasts."""

    def __init__(self, adversarial: str | None = None) -> None:
        """`adversarial` is the form of the loss, where the method has discriminators trained by one."""
        self.coin = COIN.get(adversarial or "")
        self.before: set[tuple[str, str]] = set()

    def look(self, sampled: Mapping[Direction, SampleOutputs], terms: Mapping[str, float]) -> list[Finding]:
        """What is wrong now and was wrong at the last look.

        Args:
            sampled: The fixed images through the networks.
            terms: Averages of the logged terms since the last line.
        """
        found = [finding for direction in sampled for finding in examine(sampled, direction)]
        found += overwhelmed(terms, self.coin) if self.coin else []
        lasting = [finding for finding in found if (finding.symptom, finding.where) in self.before]
        self.before = {(finding.symptom, finding.where) for finding in found}
        return lasting


@dataclass(frozen=True)
class Case:
    """One direction to be judged: images of any sizes, cut to what they have in common."""

    direction: Direction
    sampled: SampleOutputs
    real: SampleOutputs | None
    """The other direction, whose inputs are real images of the domain translated into."""

    @cached_property
    def inputs(self) -> Images:
        """What was translated."""
        return _batch(self.sampled.inputs)

    @cached_property
    def outputs(self) -> Images:
        """The translations."""
        return _batch(self.sampled.outputs)

    @cached_property
    def targets(self) -> Images | None:
        """Real images of the domain translated into."""
        return _batch(self.real.inputs) if self.real else None

    def finding(self, symptom: str, seen: str, advice: str, which: Tensor | None = None) -> Finding:
        """A finding of this direction, in the images where `which` is true."""
        chosen = [] if which is None else which.tolist()
        names = tuple(file.name for file, hit in zip(self.sampled.files, chosen, strict=False) if hit)
        return Finding(symptom, self.direction, seen, names, advice)


def examine(sampled: Mapping[Direction, SampleOutputs], direction: Direction) -> list[Finding]:
    """Every symptom of one direction."""
    case = Case(direction, sampled[direction], sampled.get(opposite(direction)))
    return [finding for detect in DETECTORS if (finding := detect(case)) is not None]


def overwhelmed(terms: Mapping[str, float], coin: float) -> list[Finding]:
    """Discriminators that are never wrong teach nothing."""
    seen = "its loss is {:.1%} of a coin tosser's: it tells every translation from a real image"
    advice = (
        "lower optim.discriminator-lr, give the discriminators fewer layers, "
        "or look for a tell-tale such as borders or compression"
    )
    return [
        Finding("discriminator winning", name, seen.format(value / coin), (), advice)
        for name, value in terms.items()
        if name.startswith("discriminator/") and value < OVERWHELMED * coin
    ]


def plateau(past: Sequence[Judgement], patience: int = PATIENCE) -> list[Finding]:
    """Held-out images that look no more real than `patience` judgements ago: told once, when the last makes it so.

    A gain is a mean KID below the interval of the one it is held against: a smaller one, other test images would
    show or not as they fell. Small gains add up, for all are held against the same one until together they are a gain.

    Args:
        past: Judgements in their order, of one recipe.
        patience: How many without a gain are a plateau.
    """
    if not past:
        return []
    before, idle = past[0], 0
    for judgement in past[1:]:
        gained = judgement.mean_kid < before.mean_kid - before.mean_half_width
        before, idle = (judgement, 0) if gained else (before, idle + 1)
    if idle != patience:
        return []
    best = min(past, key=lambda judgement: judgement.mean_kid)
    seen = (
        f"since step {before.step} mean KID has not fallen below that step's interval ({before.mean_kid:.5f} ± "
        f"{before.mean_half_width:.5f}), in {patience} judgements; the best is {best.mean_kid:.5f}, step {best.step}"
    )
    advice = (
        "if the rate has yet to fall, let it: a shorter optim.epochs; if it has fallen, stop here and use "
        "best.safetensors, or change the data or the settings rather than train longer"
    )
    return [Finding("plateau", " and ".join(best.kid), seen, (), advice)]


def blank(case: Case) -> Finding | None:
    """Inputs that show nothing."""
    which = symptoms.spread(case.inputs) < BLANK
    if not bool(which.any()):
        return None
    seen = f"{int(which.sum())} of {len(which)} images show nothing"
    advice = "remove such files: InstanceNorm divides by their deviation (`unpaired check` names them all)"
    return case.finding("blank input", seen, advice, which)


def inverted(case: Case) -> Finding | None:
    """Bright where the input is dark: a map that the cycle cannot tell from the right one."""
    if case.inputs.shape[2:] != case.outputs.shape[2:]:
        return None
    which = symptoms.brightness_correlation(case.inputs, case.outputs) <= INVERTED
    if 2 * int(which.sum()) <= len(which):
        return None
    seen = f"{int(which.sum())} of {len(which)} translations are bright where their input is dark"
    advice = "unless the domains are negatives of each other, raise method.identity-weight or try another seed"
    return case.finding("inverted", seen, advice, which)


def copied(case: Case) -> Finding | None:
    """Translations that are their inputs."""
    if case.targets is None or case.inputs.shape != case.outputs.shape:
        return None
    apart = symptoms.distance_between(*_same_size(case.inputs, case.targets))
    share = float(symptoms.change(case.inputs, case.outputs).mean()) / max(apart, symptoms.FLAT)
    if share > COPIED:
        return None
    seen = f"translations differ from their inputs by {share:.1%} of what the two domains differ by"
    advice = "lower the cycle and identity weights, or train longer: a copy costs neither of them anything"
    return case.finding("copying", seen, advice)


def collapsed(case: Case) -> Finding | None:
    """One translation for everything."""
    if case.targets is None or min(len(case.outputs), len(case.targets)) < 2:
        return None
    share = symptoms.variety(case.outputs) / max(symptoms.variety(case.targets), symptoms.FLAT)
    if share >= ALIKE:
        return None
    seen = f"translations of different images differ by {share:.1%} of what real images do"
    return case.finding("collapse", seen, "raise the cycle weights or method.history, or lower optim.lr")


def hiding(case: Case) -> Finding | None:
    """A way back that reads what nobody sees."""
    if not case.sampled.back:
        return None
    growth = symptoms.fragility(case.inputs, _batch(case.sampled.back), _batch(case.sampled.back_of_noisy), FAINT)
    if float(growth.median()) < HIDDEN:
        return None
    seen = f"each level of noise laid over the translation puts the way back off by {float(growth.median()):.1f}"
    advice = "the cycle holds by a hidden signal, not by content: lower the cycle weight, or bring the domains closer"
    return case.finding("hidden signal", seen, advice, growth >= HIDDEN)


def checkered(case: Case) -> Finding | None:
    """The pattern of stride-1/2 convolutions."""
    if case.targets is None or min(*case.outputs.shape[2:], *case.targets.shape[2:]) < SMALLEST:
        return None
    usual = symptoms.lattice(case.targets).median().clamp(min=symptoms.FLAT)
    excess = symptoms.lattice(case.outputs) / usual
    if float(excess.median()) < LATTICE:
        return None
    seen = f"a pattern of two pixels' period, {float(excess.median()):.1f} times as strong as in real images"
    advice = "set method.generator.upsampling resize, which leaves none"
    return case.finding("checkerboard", seen, advice, excess >= LATTICE)


DETECTORS: tuple[Callable[[Case], Finding | None], ...] = (blank, inverted, copied, collapsed, hiding, checkered)


def _batch(images: Sequence[OneImage]) -> Images:
    height, width = (min(image.shape[k] for image in images) for k in (1, 2))
    return torch.stack([image[:, :height, :width] for image in images]).float()


def _same_size(a: Images, b: Images) -> tuple[Images, Images]:
    height, width = (min(a.shape[k], b.shape[k]) for k in (2, 3))
    return a[..., :height, :width], b[..., :height, :width]
