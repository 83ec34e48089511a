"""Several processes training as one: the few things they tell each other.

Each sees its share of a step's images. Their gradients are averaged by one sum per player and step, of all gradients
in one piece: docs/scaling.md says why not by DistributedDataParallel. Alone, everything here does nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unpaired.core.errors import BadInput, Stopped

LAST_WORDS = "unpaired/last words"
SECONDS_FOR_LAST_WORDS = 5.0
"""How long the others are waited for, or listened to, when a process fails."""
LOST = ("gloo", "nccl", "connection", "peer", "socket", "store")
"""Words by which the failure of a collective is told from an error of our own."""


class Processes:
    """This process's place among all."""

    def __init__(self, index: int = 0, count: int = 1, talk: Any = None) -> None:
        self.index, self.count = index, count
        self.talk = talk
        """Process group on the CPU, for flags and words: gradients travel through the default group."""
        self.store = dist.distributed_c10d._get_default_store() if count > 1 else None

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and speaks."""
        return self.index == 0

    def average_(self, gradients: Sequence[Tensor], health: Tensor) -> Tensor:
        """Average the gradients over all processes, in place; returns the sum of `health`, NaN if any is."""
        if self.count == 1:
            return health
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), health.reshape(1).to(gradients[0].dtype)])
        dist.all_reduce(flat)
        pieces = (flat[:-1] / self.count).split([gradient.numel() for gradient in gradients])
        for gradient, piece in zip(gradients, pieces, strict=True):
            gradient.copy_(piece.view(gradient.shape))
        return flat[-1]

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over all processes."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.count
        return values

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return flag
        one = torch.tensor(int(flag))
        dist.all_reduce(one, group=self.talk)
        return bool(one)

    def gather(self, text: str) -> list[str]:
        """What every process has to say, in order."""
        if self.count == 1:
            return [text]
        mine = torch.frombuffer(bytearray(text.encode() or b" "), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self.talk)
        padded = torch.zeros(int(max(sizes)), dtype=torch.uint8)
        padded[: len(mine)] = mine
        texts = [torch.zeros_like(padded) for _ in sizes]
        dist.all_gather(texts, padded, group=self.talk)
        return [bytes(t[: int(n)].tolist()).decode().strip() for t, n in zip(texts, sizes, strict=True)]

    def wait(self) -> None:
        """Go on when all have come here."""
        self.any(False)

    @contextmanager
    def together(self) -> Iterator[None]:
        """Inside, a process that fails tells the others why, and they end with its words instead of waiting.

        Raises:
            BadInput: another process failed, or was lost.
            Stopped: another process was stopped.
        """
        try:
            yield
        except (Exception, Stopped) as error:
            if self.count == 1:
                raise
            if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in LOST):
                raise self._ended(self._listen()) from error
            self._tell(error)
            raise

    def _tell(self, error: BaseException) -> None:
        """Leave last words, hang up so that the others notice, and keep them readable for a moment."""
        assert self.store is not None
        kind = "stopped" if isinstance(error, Stopped) else "failed"
        self.store.set(LAST_WORDS, f"{kind}\n{self.index}\n{' '.join(str(error).split()) or type(error).__name__}")
        dist.destroy_process_group()
        end = time.monotonic() + SECONDS_FOR_LAST_WORDS
        while self.first and time.monotonic() < end and self.store.add(f"{LAST_WORDS}/heard", 0) < self.count - 1:
            time.sleep(0.05)

    def _listen(self) -> str:
        assert self.store is not None
        try:
            self.store.wait([LAST_WORDS], timedelta(seconds=SECONDS_FOR_LAST_WORDS))
            words = self.store.get(LAST_WORDS).decode()
            self.store.add(f"{LAST_WORDS}/heard", 1)
            return words
        except RuntimeError:  # killed without a word, or the one that keeps the words is gone
            return ""

    def _ended(self, said: str) -> BaseException:
        kind, _, rest = said.partition("\n")
        index, _, words = rest.partition("\n")
        if kind == "stopped":
            return Stopped(words)
        if kind == "failed":
            return BadInput(f"process {index} of {self.count} ended: {words}")
        return BadInput(f"process {self.index} of {self.count} lost another one, which was killed or cut off")


ALONE = Processes()


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, from all-reduced sums: on CPU and GPU alike.

    torch's SyncBatchNorm has no CPU kernel. With two processes of one image it equals nn.BatchNorm2d on both.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, h, w) to the same; in evaluation nn.BatchNorm2d's own."""
        if not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        size = x.new_tensor([x.numel() / x.shape[1]])
        total = _AllSum.apply(torch.cat([x.sum((0, 2, 3)), size]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean[:, None, None]
        variance = _AllSum.apply(centred.square().sum((0, 2, 3))) / count
        self._follow(mean.detach(), variance.detach() * count / (count - 1))
        out = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (out * self.weight[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    @torch.no_grad()
    def _follow(self, mean: Tensor, variance: Tensor) -> None:
        """The running statistics that evaluation uses."""
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)
        self.num_batches_tracked += 1


class _AllSum(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        x = x.clone()
        dist.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        grad = grad.clone()
        dist.all_reduce(grad)
        return grad


def synchronise_norms(network: nn.Module) -> None:
    """Make every batch normalisation of a network one over all processes; its weights stay where they are."""
    for module in network.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = SyncedBatchNorm
