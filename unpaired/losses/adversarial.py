"""Adversarial losses of discriminators and generators, in three forms (CycleGAN Eq. 1 and Sec. 4).

Every discriminator loss is halved, to slow D down relative to G (App. 7.1); Adam, which divides by the size of the
gradient, undoes that but for terms beside it, such as R1. Every generator loss is what G minimises when the
discriminator scores its translations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import relu, softplus

from unpaired.config.methods import AdversarialName

Scores = Float[Tensor, "b 1 h w"]
"""Raw discriminator outputs, one per patch: unbounded, no sigmoid."""
Scalar = Float[Tensor, ""]


def lsgan_discriminator(real: Scores, fake: Scores) -> Scalar:
    """Half of E[(D(y) - 1)^2] + E[D(G(x))^2]; >= 0, 0.25 when the discriminator answers one half to everything.

    `real` is D(y), `fake` D(G(x)) without gradient. Source: CycleGAN (arXiv:1703.10593) Sec. 4, after Mao et al. 2017.
    """
    return 0.5 * ((real - 1).square().mean() + fake.square().mean())


def lsgan_generator(fake: Scores) -> Scalar:
    """E[(D(G(x)) - 1)^2]: zero when the discriminator takes every translated patch for real."""
    return (fake - 1).square().mean()


def log_likelihood_discriminator(real: Scores, fake: Scores) -> Scalar:
    """Half of -E[log D(y)] - E[log(1 - D(G(x)))] with D = sigmoid(score): Eq. 1, negated.

    -log sigmoid(s) = softplus(-s) and -log(1 - sigmoid(s)) = softplus(s), finite for every score.
    """
    return 0.5 * (softplus(-real).mean() + softplus(fake).mean())


def log_likelihood_generator(fake: Scores) -> Scalar:
    """-E[log D(G(x))], the non-saturating form of Eq. 1 (Goodfellow et al. 2014, Sec. 3)."""
    return softplus(-fake).mean()


def hinge_discriminator(real: Scores, fake: Scores) -> Scalar:
    """Half of E[max(0, 1 - D(y))] + E[max(0, 1 + D(G(x)))] (Lim and Ye 2017)."""
    return 0.5 * (relu(1 - real).mean() + relu(1 + fake).mean())


def hinge_generator(fake: Scores) -> Scalar:
    """-E[D(G(x))]: unbounded below."""
    return -fake.mean()


Loss = Callable[..., Scalar]


def over_outputs(loss: Loss) -> Loss:
    """The loss for discriminators of one output or of several, whose losses are averaged with equal weights.

    Each argument is one map of scores, or a tuple with one map per output.
    """

    @wraps(loss)
    def mean(*scores: Scores | tuple[Scores, ...]) -> Scalar:
        if not isinstance(scores[0], tuple):
            return loss(*scores)
        values = [loss(*maps) for maps in zip(*scores, strict=True)]
        return torch.stack(values).mean()

    return mean


class Adversarial:
    """One form of the game: what each side minimises, for one output of a discriminator or a tuple of several."""

    def __init__(self, discriminator: Loss, generator: Loss) -> None:
        self.discriminator, self.generator = over_outputs(discriminator), over_outputs(generator)


ADVERSARIAL: dict[AdversarialName, Adversarial] = {
    "least-squares": Adversarial(lsgan_discriminator, lsgan_generator),
    "log-likelihood": Adversarial(log_likelihood_discriminator, log_likelihood_generator),
    "hinge": Adversarial(hinge_discriminator, hinge_generator),
}
