"""R1, a penalty on the gradient of a discriminator at real images.

Source: Mescheder, Geiger, Nowozin, "Which Training Methods for GANs do actually Converge?", ICML 2018
(arXiv:1801.04406), Eq. 9.
"""

from __future__ import annotations

import torch

from unpaired.imaging.images import Images
from unpaired.losses.adversarial import Scalar, Scores, over_outputs


def r1(scores: Scores | tuple[Scores, ...], images: Images) -> Scalar:
    """Half of E_x |gradient of D at x|^2: Eq. 9 without its weight gamma, differentiable by the weights of D.

    With n patches, |gradient of the sum of the scores|^2 / n stands for the squared norm. Of a fully convolutional D
    the gradient of the sum is as large in a pixel at any image size, so gamma keeps its meaning when the size changes;
    the penalty on the mean of the scores (FUNIT, arXiv:1905.01723, with a PatchGAN) is n times smaller. With one
    score per image all are Eq. 9. Penalties of several outputs are averaged, as their losses are. The scores are D(x),
    one map per output; the images x require a gradient.
    """

    def penalty(output: Scores) -> Scalar:
        (gradient,) = torch.autograd.grad(output.sum(), images, create_graph=True)
        return 0.5 * gradient.square().sum() / output.numel()

    return over_outputs(penalty)(scores)
