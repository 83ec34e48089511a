"""CycleGAN's training step written plainly: the reference of the package in exactness and in speed.

Nothing of `unpaired` is imported here. Networks, losses, image history and update order are written from the paper
(arXiv:1703.10593, App. 7) and follow the order of its PyTorch code: six generator passes, one at a time, in fp32, one
Adam over both generators and one over both discriminators. It is neither tuned nor slowed.
"""

from __future__ import annotations

import itertools

import numpy as np
import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """x + Conv-IN-ReLU-Conv-IN(x) with reflection padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
            nn.ReLU(True),
            nn.ReflectionPad2d(1),
            nn.Conv2d(channels, channels, 3),
            nn.InstanceNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return x + self.conv_block(x)


def generator(width: int, blocks: int) -> nn.Sequential:
    """c7s1-w, d2w, d4w, R4w x blocks, u2w, uw, c7s1-3."""
    layers: list[nn.Module] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7), nn.InstanceNorm2d(width), nn.ReLU(True)]
    for c in (width, 2 * width):
        layers += [nn.Conv2d(c, 2 * c, 3, stride=2, padding=1), nn.InstanceNorm2d(2 * c), nn.ReLU(True)]
    layers += [Residual(4 * width) for _ in range(blocks)]
    for c in (4 * width, 2 * width):
        layers += [nn.ConvTranspose2d(c, c // 2, 3, stride=2, padding=1, output_padding=1)]
        layers += [nn.InstanceNorm2d(c // 2), nn.ReLU(True)]
    layers += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(*layers)


def discriminator(width: int = 64) -> nn.Sequential:
    """C64-C128-C256-C512 and one score per 70x70 patch."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, True)]
    for c, stride in ((width, 2), (2 * width, 2), (4 * width, 1)):
        layers += [nn.Conv2d(c, 2 * c, 4, stride=stride, padding=1), nn.InstanceNorm2d(2 * c), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, stride=1, padding=1))


class Pool:
    """Fifty past translations; each new one is swapped in for a random old one half of the time."""

    def __init__(self, size: int, rng: np.random.Generator) -> None:
        self.size, self.rng, self.images = size, rng, list[Tensor]()

    def query(self, images: Tensor) -> Tensor:
        """The images that the discriminator is shown in place of `images`."""
        chosen = []
        for image in images:
            if len(self.images) < self.size:
                self.images.append(image)
                chosen.append(image)
            elif self.rng.random() > 0.5:
                k = int(self.rng.integers(self.size))
                chosen.append(self.images[k])
                self.images[k] = image
            else:
                chosen.append(image)
        return torch.stack(chosen)


class PlainCycleGAN:
    """G: X -> Y, F: Y -> X, D_Y and D_X, trained one step at a time."""

    def __init__(
        self,
        width: int,
        blocks: int,
        seed: int,
        discriminator_width: int = 64,
        cycle: float = 10.0,
        identity: float = 5.0,
    ) -> None:
        torch.manual_seed(seed)
        self.G, self.F = generator(width, blocks), generator(width, blocks)
        self.D_Y, self.D_X = discriminator(discriminator_width), discriminator(discriminator_width)
        self.networks = (self.G, self.F, self.D_Y, self.D_X)
        for network in self.networks:
            for layer in network.modules():
                if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
                    nn.init.normal_(layer.weight, 0.0, 0.02)
                    assert layer.bias is not None
                    nn.init.zeros_(layer.bias)
        self.cycle, self.identity = cycle, identity
        self.generators = list(itertools.chain(self.G.parameters(), self.F.parameters()))
        self.discriminators = list(itertools.chain(self.D_Y.parameters(), self.D_X.parameters()))
        self.adam_g = torch.optim.Adam(self.generators, lr=2e-4, betas=(0.5, 0.999))
        self.adam_d = torch.optim.Adam(self.discriminators, lr=2e-4, betas=(0.5, 0.999))
        self.pool_y, self.pool_x = (Pool(50, np.random.default_rng((seed, k))) for k in (0, 1))

    def set_lr(self, lr: float) -> None:
        """Set the learning rate of both optimisers."""
        for adam in (self.adam_g, self.adam_d):
            for group in adam.param_groups:
                group["lr"] = lr

    def step(self, x: Tensor, y: Tensor) -> dict[str, float]:
        """One update of both generators, then of both discriminators, on one batch each of X and Y.

        Passes and sums stand in the order of the official code (`forward`, `backward_G`, `backward_D_basic`), which
        decides in which order the gradients of a weight are added.
        """
        for p in self.discriminators:
            p.requires_grad_(False)
        fake_y = self.G(x)
        rec_x = self.F(fake_y)
        fake_x = self.F(y)
        rec_y = self.G(fake_x)
        losses = {}
        if self.identity:
            losses["identity/G"] = self.l1(self.G(y), y) * self.identity
            losses["identity/F"] = self.l1(self.F(x), x) * self.identity
        losses["gan/G"] = self.gan(self.D_Y(fake_y), 1.0)
        losses["gan/F"] = self.gan(self.D_X(fake_x), 1.0)
        losses["cycle/G"] = self.l1(rec_x, x) * self.cycle
        losses["cycle/F"] = self.l1(rec_y, y) * self.cycle
        order = ("gan/G", "gan/F", "cycle/G", "cycle/F", "identity/G", "identity/F")
        self.adam_g.zero_grad()
        sum(losses[name] for name in order if name in losses).backward()  # pyright: ignore[reportAttributeAccessIssue]
        self.adam_g.step()

        for p in self.discriminators:
            p.requires_grad_(True)
        self.adam_d.zero_grad()
        for name, network, real, fake, pool in (
            ("discriminator/Y", self.D_Y, y, fake_y, self.pool_y),
            ("discriminator/X", self.D_X, x, fake_x, self.pool_x),
        ):
            past = pool.query(fake.detach())
            losses[name] = (self.gan(network(real), 1.0) + self.gan(network(past), 0.0)) * 0.5
            losses[name].backward()
        self.adam_d.step()
        return {name: loss.detach().item() for name, loss in losses.items()}

    @staticmethod
    def gan(scores: Tensor, target: float) -> Tensor:
        """Least squares: the mean of (D(.) - target)^2."""
        return nn.functional.mse_loss(scores, torch.tensor(target).expand_as(scores).to(scores))

    @staticmethod
    def l1(image: Tensor, target: Tensor) -> Tensor:
        """The mean absolute difference."""
        return nn.functional.l1_loss(image, target)
