"""The network in torch, on any device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from unpaired.core.device import describe_device, ieee_fp32, one_line_device_errors
from unpaired.core.errors import counted
from unpaired.imaging.images import Array, Images
from unpaired.inference.padding import padding, padding_mode
from unpaired.inference.runtimes import Runtime
from unpaired.inference.runtimes.recorded import Record, Recorded, record_cuda
from unpaired.models import Generator
from unpaired.models.kernels import backend_of, optimize, refreshed, why_no_kernels

CPU = torch.device("cpu")
NAMES = {torch.float32: "fp32", torch.bfloat16: "bf16"}
ADVICE = "translate in tiles (--tile 512), with a smaller --batch, or on --device cpu"


class TorchRuntime(Runtime):
    """A generator in evaluation mode. On the CPU in fp32 it is the loaded network itself, elsewhere a copy."""

    def __init__(
        self,
        network: Generator,
        channels_in: int,
        channels_out: int,
        label: str = "torch fp32",
        dtype: torch.dtype = torch.float32,
        device: torch.device = CPU,
        record: Record | None = None,
    ) -> None:
        """`dtype` is the arithmetic inside, images are fp32; `record` records the pass of a shape, None nothing."""
        self.label, self.place = label, f"{describe_device(device)}{why_no_kernels(device)}"
        self.channels_in, self.channels_out = channels_in, channels_out
        self.size_multiple, self.min_size = network.size_multiple, network.min_size
        self.network, self.dtype, self.device = network, dtype, device
        self.recorded = Recorded(self._pass, record)
        self.held = ExitStack()  # keeps the low-precision copies of the weights, which a recorded graph reads
        if device.type == "cuda":
            with torch.cuda.device(device):
                self.held.enter_context(refreshed([network]))

    @classmethod
    def placed(
        cls, network: Generator, channels: tuple[int, int], device: torch.device, dtype: torch.dtype
    ) -> TorchRuntime:
        """A copy of a network on a device, in channels_last and optimized for it; its passes recorded on CUDA.

        The network is on the CPU in fp32, `channels` are taken and given; `dtype` is fp32 (on CUDA no TF32) or bf16.
        """
        copy = deepcopy(network).to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        optimize(copy, device, dtype)
        kind = f"torch {NAMES[dtype]}" + " fused" * (device.type == "cpu")
        return cls(copy, *channels, kind, dtype, device, record_cuda if device.type == "cuda" else None)

    def translate(self, images: Images) -> Images:
        """A batch in [-1, 1] of any size on any device, where the result is, too; padded by reflection and cut back."""
        with self._errors(images.shape), torch.inference_mode():
            return self._translate(images.to(self.device, non_blocking=self.device.type == "cuda")).to(images)

    def __call__(self, images: Array) -> Array:
        """`translate` for arrays."""
        return self.submit(images)()

    def submit(self, images: Array) -> Callable[[], Array]:
        """Start translating a batch: on CUDA transfers and passes are queued, elsewhere nothing is done before."""
        if self.device.type != "cuda":
            return lambda: self.translate(torch.from_numpy(images)).numpy()
        with self._errors(images.shape), torch.inference_mode():
            pinned = torch.from_numpy(images).pin_memory()
            found = self._translate(pinned.to(self.device, non_blocking=True))
            host = torch.empty(found.shape, dtype=torch.float32, pin_memory=True)
            host.copy_(found, non_blocking=True)
            done = torch.cuda.Event()
            done.record(torch.cuda.current_stream(self.device))
        return partial(self._fetched, host, done, pinned)

    def _fetched(self, host: Tensor, done: torch.cuda.Event, _pinned: Tensor) -> Array:
        """The result once it is on the host; the pinned input is held until then."""
        with self._errors(host.shape):
            done.synchronize()
        return host.numpy()

    def _translate(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        padded = pad_to_multiple(images.float(), self.size_multiple, self.min_size)
        if self.device.type != "cpu":
            padded = padded.contiguous(memory_format=torch.channels_last)
        return self.recorded(padded)[..., :height, :width]

    def _pass(self, padded: Tensor) -> Tensor:
        if self.dtype == torch.float32:
            arithmetic = ieee_fp32(self.device)
        else:  # kernels convert the weights themselves
            arithmetic = torch.autocast(self.device.type, self.dtype, enabled=backend_of(self.device) == "none")
        with arithmetic:
            return self.network(padded)

    @contextmanager
    def _errors(self, shape: torch.Size | tuple[int, ...]) -> Iterator[None]:
        """Inside, errors of the device are one line, and it is the current one, which Triton and graphs run on."""
        work = f"{counted(shape[0], 'image')} of {shape[-1]}x{shape[-2]}"
        current = torch.cuda.device(self.device) if self.device.type == "cuda" else nullcontext()
        with one_line_device_errors(self.device, work, ADVICE), current:
            yield


def pad_to_multiple(images: Tensor, multiple: int, min_size: int = 1) -> Tensor:
    """Reflect at the right and bottom until both sides divide and reach `min_size`; small images repeat their edge."""
    height, width = images.shape[2:]
    bottom, right = (padding(side, multiple, min_size) for side in (height, width))
    if not bottom and not right:
        return images
    return pad(images, (0, right, 0, bottom), mode=padding_mode((height, width), (bottom, right)))
