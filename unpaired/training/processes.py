"""Several processes that train one model, started by torchrun.

Each process computes its share of a step's images. Gradients are averaged by one all-reduce per optimizer and step;
docs/scaling.md gives the reason against DistributedDataParallel. With one process nothing here has an effect.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from unpaired.core.errors import BadInput, Stopped

FAILURE = "unpaired/failure"
"""Key of the store under which a failing process leaves its message."""
SECONDS_FOR_FAILURE = 5.0
"""How long a failing process waits for its message to be read, and the others wait for a message."""
CONNECTION_WORDS = ("gloo", "nccl", "connection", "peer", "socket", "store")
"""Words in the message of a failed collective, by which it differs from other errors."""

Poll = Callable[[], bool]
"""Whether a stop was requested in any process."""


class Processes:
    """The rank of this process, the number of processes, and their communication."""

    def __init__(self, index: int = 0, count: int = 1, group: Any = None) -> None:
        self.index, self.count, self.group = index, count, group
        """The group is of the CPU backend, for flags and texts; None for the default group."""
        self.store = dist.distributed_c10d._get_default_store() if count > 1 else None

    @property
    def first(self) -> bool:
        """Whether this process writes the run's files and messages."""
        return self.index == 0

    def average_(self, gradients: Sequence[Tensor], health: Tensor) -> Tensor:
        """Average the gradients over all processes, in place; returns the sum of `health`, NaN if any is NaN."""
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
            dist.all_reduce(values, group=None if values.is_cuda else self.group)
            values /= self.count
        return values

    def any(self, flag: bool) -> bool:
        """Whether `flag` is true in any process."""
        return self._sum(flag)[0] > 0

    def gather(self, text: str) -> list[str]:
        """The text of every process, in the order of their ranks."""
        if self.count == 1:
            return [text]
        mine = torch.frombuffer(bytearray(text.encode() or b" "), dtype=torch.uint8)
        sizes = [torch.zeros(1, dtype=torch.long) for _ in range(self.count)]
        dist.all_gather(sizes, torch.tensor([len(mine)]), group=self.group)
        padded = torch.zeros(int(max(sizes)), dtype=torch.uint8)
        padded[: len(mine)] = mine
        texts = [torch.zeros_like(padded) for _ in sizes]
        dist.all_gather(texts, padded, group=self.group)
        return [t[: int(n)].numpy().tobytes().decode().strip() for t, n in zip(texts, sizes, strict=True)]

    def from_first(self, work: Callable[[], Any]) -> Any:
        """The result of `work` in the first process, in every process; it must be plain JSON values."""
        return json.loads(self.gather(json.dumps(work() if self.first else None))[0])

    def run_in_first(self, work: Callable[[Poll], object], requested: Poll) -> bool:
        """Run `work(poll)` in the first process while the others wait; returns whether any process is to stop.

        `requested` is true after a stop request in this process; long work ends early where `poll` is true.
        """
        if self.first:
            work(lambda: self._sum(True, requested())[1] > 0)
        while True:
            busy, stops = self._sum(False, requested())
            if not busy:
                return stops > 0

    def wait(self) -> None:
        """Return when every process has called this."""
        self.any(False)

    def _sum(self, *flags: bool) -> list[int]:
        """How many processes have set each flag."""
        counts = torch.tensor([int(flag) for flag in flags])
        if self.count > 1:
            dist.all_reduce(counts, group=self.group)
        return counts.tolist()

    @contextmanager
    def end_together(self) -> Iterator[None]:
        """Inside, the failure of one process ends the others with its message, as BadInput or Stopped."""
        if self.count == 1:
            yield
            return
        try:
            yield
        except (Exception, Stopped) as error:
            if isinstance(error, RuntimeError) and any(word in str(error).lower() for word in CONNECTION_WORDS):
                failure = self._failure_of_another()
                self._leave()
                raise failure from error
            self._report(error)
            raise
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()

    def _report(self, error: BaseException) -> None:
        """Store the message, then close the connections so that the other processes notice."""
        assert self.store is not None
        kind = "stopped" if isinstance(error, Stopped) else "failed"
        self.store.set(FAILURE, f"{kind}\n{self.index}\n{' '.join(str(error).split()) or type(error).__name__}")
        self._leave()
        end = time.monotonic() + SECONDS_FOR_FAILURE
        while self.first and time.monotonic() < end and self.store.add(f"{FAILURE}/read", 0) < self.count - 1:
            time.sleep(0.05)  # the store ends with the first process

    def _leave(self) -> None:
        """Close every connection now: NCCL's own end waits for operations that another process never joins."""
        if self.group is None:
            dist.destroy_process_group()
        else:
            dist.distributed_c10d._abort_process_group()
        self.group = None  # its sockets close with the last reference

    def _failure_of_another(self) -> BaseException:
        assert self.store is not None
        try:
            self.store.wait([FAILURE], timedelta(seconds=SECONDS_FOR_FAILURE))
            kind, index, message = self.store.get(FAILURE).decode().split("\n", 2)
            self.store.add(f"{FAILURE}/read", 1)
        except RuntimeError:  # killed without a message, or the process that holds the store has ended
            return BadInput(f"process {self.index} of {self.count} lost another one, which was killed or cut off")
        return Stopped(message) if kind == "stopped" else BadInput(f"process {index} of {self.count} ended: {message}")


ALONE = Processes()


def join_processes(device: torch.device) -> tuple[Processes, torch.device]:
    """The processes that torchrun (or a launcher with its variables) started, and this one's device by local rank."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return ALONE, device
    if device.type == "cuda":
        local, cards = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= cards > 1:
            raise BadInput(f"process {local} of this machine has no card, there are {cards}; start one for each card")
        device = torch.device("cuda", local if cards > 1 else 0)  # a launcher may show each process its own card alone
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    group = dist.new_group(backend="gloo") if device.type == "cuda" else None
    return Processes(dist.get_rank(), dist.get_world_size(), group), device


class SyncedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation over the images of all processes, by all-reduced sums, on CPUs and GPUs.

    torch's SyncBatchNorm has no CPU kernel. Two processes of one image equal nn.BatchNorm2d on a batch of two.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(b, c, h, w) to the same shape; in evaluation mode as nn.BatchNorm2d."""
        if not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        size = x.new_tensor([x.numel() / x.shape[1]])
        total = _AllSum.apply(torch.cat([x.sum((0, 2, 3)), size]))
        count = total[-1].detach()
        mean = total[:-1] / count
        centred = x - mean[:, None, None]
        variance = _AllSum.apply(centred.square().sum((0, 2, 3))) / count
        assert self.running_mean is not None and self.running_var is not None
        assert self.num_batches_tracked is not None and self.momentum is not None
        self.running_mean.lerp_(mean.detach(), self.momentum)
        self.running_var.lerp_(variance.detach() * count / (count - 1), self.momentum)
        self.num_batches_tracked += 1
        out = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (out * self.weight[:, None, None] + self.bias[:, None, None]).to(input.dtype)


class _AllSum(torch.autograd.Function):
    """The sum over all processes, whose gradient is the sum of the gradients."""

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
    """Replace every BatchNorm2d inside a network by SyncedBatchNorm with the same weights and statistics."""
    for parent in list(network.modules()):
        for name, norm in parent.named_children():
            if type(norm) is nn.BatchNorm2d:
                synced = SyncedBatchNorm(norm.num_features, norm.eps, norm.momentum).to(norm.weight)
                synced.load_state_dict(norm.state_dict())
                setattr(parent, name, synced)
