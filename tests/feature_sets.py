"""Two sets of features that tests of metrics share; the figures of other tools were taken on these."""

from __future__ import annotations

import numpy as np


def feature_set(n, seed, shift, d=16):
    noise = np.random.default_rng(seed).standard_normal((n, d))
    return noise @ (np.eye(d) + 0.3 * np.tri(d) / d) + shift


def fakes():
    return feature_set(400, 0, 0.2)


def reals():
    return feature_set(300, 1, 0.0)
