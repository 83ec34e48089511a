"""The update of the weights: order, freezing, optimisers and their state, for any method."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn

from unpaired.config import Direction, OptimConfig
from unpaired.core.errors import BadInput
from unpaired.core.safetensors_file import tensors_under
from unpaired.methods import Batch, Fakes, Losses, Method
from unpaired.models import require_fit
from unpaired.models.kernels import refreshed
from unpaired.models.layers import fixed_statistics, kept_noise
from unpaired.training.adam import Adam
from unpaired.training.concurrency import half_of_the_threads
from unpaired.training.device_faults import explained
from unpaired.training.engine import Engine, frozen
from unpaired.training.graphs import Values
from unpaired.training.optimizer_step import OptimizerStep
from unpaired.training.rng import rng_state, set_rng_state


class Trainer:
    """A method, its two optimisers, and all state that decides the next step."""

    def __init__(self, method: Method, optim: OptimConfig, engine: Engine) -> None:
        self.method, self.optim, self.engine = method, optim, engine
        engine.place(method.networks)
        self.generator_optimizer = self._adam(method.generators, optim.lr)
        self.discriminator_optimizer = self._adam(method.discriminators, optim.discriminator_lr or optim.lr)
        self.steps = 0
        """Steps done."""
        self._run = engine.steps(self._compute)
        dtype = torch.float64 if engine.device.type == "cpu" else torch.float32
        self._ema_weight = torch.zeros((), dtype=dtype, device=engine.device)
        self.ema = deepcopy(method) if optim.ema_decay else method
        """The method with the weights of the bundle: averages over the steps if `optim.ema_decay` is set."""
        self._averaged = [_tensors(each.generators) for each in (self.ema, method)]
        """Parameters and buffers of the averaged generators, and of the trained ones."""

    def train_step(self, batch: Batch) -> Losses:
        """Update the generators against frozen discriminators, then the discriminators, on one batch.

        Methods with `discriminators_first` have it the other way round, at the cost of one more pass of the generators.
        With `optim.accumulate` n the batch passes through the networks in n parts. Raises NotFinite before the weights
        are changed (on CUDA at a later step), BadInput if the device has too little memory or fails, and
        NotImplementedError for masks that the method does not support.
        """
        if batch.masks is not None and not self.method.masked:
            raise NotImplementedError(f"{type(self.method).__name__} takes no masks")
        number = self.steps + 1
        sizes = [len(part.x) for part in batch.split(self.optim.accumulate)]
        for each in self.method.planned.values():
            each.plan(sizes, self.engine.device, keep=batch.weight > 0)
        self._ema_weight.fill_(1 - min(self.optim.ema_decay, number / (number + 10)))
        with explained(batch, number, self.optim.accumulate, self.method):
            static = all(each.plan_is_static for each in self.method.planned.values())
            values = self._run(batch, self._learning, static)
        self.steps = number
        return self._checked(values)

    def make_room(self) -> None:
        """Give the memory of a recorded step to other work on the card, where that is short."""
        self._run.make_room()

    @property
    def _learning(self) -> bool:
        """Whether the generators learn in the next step."""
        return self.steps >= self.optim.discriminator_warmup

    def _compute(self, batch: Batch) -> Values:
        """A whole step, which reads nothing from the device where that would wait."""
        with self.engine.step(batch):
            values = self._update(batch)
            self._average()
        return values

    def _update(self, batch: Batch) -> Values:
        networks, parts = self.method.networks.values(), batch.split(self.optim.accumulate)
        if self.method.discriminators_first:
            with kept_noise(self.method.generators) as repeat_noise:
                with refreshed(networks):
                    first = self._update_discriminators(parts, self._translations(parts))
                repeat_noise()
                for each in self.method.planned.values():
                    each.rewind()
                with refreshed(networks):  # the generators learn from the discriminators' new weights
                    return self._update_generators(batch, parts)[0] | first
        with refreshed(networks):
            values, fakes = self._update_generators(batch, parts)
            return values | self._update_discriminators(parts, fakes)

    def _update_generators(self, batch: Batch, parts: list[Batch]) -> tuple[Values, list[Fakes]]:
        engine, method = self.engine, self.method
        step = OptimizerStep(self.generator_optimizer if self._learning else None, engine.processes)
        with frozen(method.discriminators if self._learning else method.networks):
            fakes = [engine.add(step, method.generator_losses(part), part.weight) for part in parts]
            if batch.pairs is not None:
                engine.add(step, method.paired_losses(*batch.pairs))
            return engine.finish(step, self.steps + 1, "generators"), fakes

    def _update_discriminators(self, parts: list[Batch], fakes: list[Fakes]) -> Values:
        engine = self.engine
        step = OptimizerStep(self.discriminator_optimizer, engine.processes)
        for part, made in zip(parts, fakes, strict=True):
            engine.add(step, self.method.discriminator_losses(part, made), part.weight)
        return engine.finish(step, self.steps + 1, "discriminators")

    @torch.no_grad()
    def _translations(self, parts: list[Batch]) -> list[Fakes]:
        """The translations that the generators' update will make again: the same noise, no statistics kept."""
        halves = self.engine.concurrent and self.engine.device.type == "cpu"  # the sums of the generators' passes
        with half_of_the_threads() if halves else nullcontext(), fixed_statistics(self.method.generators):
            with self.engine.precision():
                return [self.method.translations(part) for part in parts]

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generators a little towards the trained ones; further in the first steps."""
        if self.ema is self.method:
            return
        (weights, buffers), (trained, trained_buffers) = self._averaged
        weight = [self._ema_weight.to(weights[0].dtype)] * len(weights)
        torch._foreach_lerp_(weights, trained, weight)  # pyright: ignore[reportPrivateImportUsage]
        if buffers:
            torch._foreach_copy_(buffers, trained_buffers)  # pyright: ignore[reportPrivateImportUsage]

    def _checked(self, values: Values) -> Losses:
        """The losses of a step; on CUDA their finite checks are read in the next one."""
        losses: Losses = {}
        for networks in ("generators", "discriminators"):
            named = {name: value for (whose, name), value in values.items() if whose == networks and name}
            if (networks, "") in values and self.engine.pending is not None:
                self.engine.pending.add(values[networks, ""], self.steps, networks, named)
            losses |= named
        self.engine.check_pending(keep=2)
        return losses

    def set_lr(self, factor: float) -> None:
        """Set the learning rates of both optimisers to their base rates times the schedule's factor."""
        rates = (self.optim.lr, self.optim.discriminator_lr or self.optim.lr)
        for optimizer, lr in zip(self._optimizers().values(), rates, strict=True):
            optimizer.set_lr(lr * factor)

    def start_from(self, translators: Mapping[Direction, nn.Module]) -> None:
        """Load trained generators in the common directions, averages too; BadInput for none, or for other shapes."""
        if not set(translators) & set(self.method.translators):
            raise BadInput(f"optim.start: has {', '.join(translators)}, not {', '.join(self.method.translators)}")
        for method in (self.method, self.ema):
            for direction, network in method.translators.items():
                if direction in translators:
                    weights, advice = translators[direction].state_dict(), "set method.generator as it was trained"
                    require_fit(network, weights, f"optim.start: {direction}", advice)
                    network.load_state_dict(weights)

    def state(self) -> dict[str, Tensor]:
        """All that decides the next step, as named tensors: weights, moments, histories, random state."""
        state = {"steps": torch.tensor(self.steps)} | {f"random/{name}": value for name, value in rng_state().items()}
        for name, each in self.method.planned.items():
            state |= {f"planned/{name}/{key}": value for key, value in each.state().items()}
        return state | self._fixed_state()

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Resume from a `state()`; averages that it does not hold start from the trained weights.

        Every value is copied into the tensor that this trainer made, and so has its device, dtype and memory layout.
        A state of another trainer raises RuntimeError, LookupError, TypeError or ValueError.
        """
        fixed = self._fixed_state()
        known = ("steps", "random/", "planned/")
        if unknown := [key for key in state if not (key in fixed or key.startswith(known) or "/ema " in key)]:
            raise LookupError(f"{unknown[0]}: no such tensor")
        for name, tensor in fixed.items():
            value = state[name] if name in state else state[name.replace("/ema ", "/")]
            if value.shape != tensor.shape:
                raise ValueError(f"{name}: expected {tuple(tensor.shape)}, found {tuple(value.shape)}")
            tensor.copy_(value)
        for name, each in self.method.planned.items():
            if past := tensors_under(state, f"planned/{name}/"):
                each.load(past, self.engine.device)
        self._run.forget()  # a history may have new memory
        set_rng_state(tensors_under(state, "random/"))
        self.steps = int(state["steps"])

    def broken(self) -> list[str]:
        """The networks that hold a NaN or an infinity."""
        return [
            name
            for name, network in self._networks().items()
            if not all(bool(weight.isfinite().all()) for weight in network.parameters())
        ]

    def _fixed_state(self) -> dict[str, Tensor]:
        """The tensors of the state that exist from the start: weights, buffers, moments, step counters."""
        state: dict[str, Tensor] = {}
        for name, network in self._networks().items():
            state |= {f"network/{name}/{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            for index, moments in enumerate(optimizer.moments()):
                state |= {f"optimizer/{name}/{index:04d}/{key}": value for key, value in moments.items()}
        return state

    def _networks(self) -> dict[str, nn.Module]:
        """Every network whose weights are part of the state."""
        if self.ema is self.method:
            return self.method.networks
        return self.method.networks | {f"ema {name}": network for name, network in self.ema.generators.items()}

    def _optimizers(self) -> dict[str, Adam]:
        return {"generators": self.generator_optimizer, "discriminators": self.discriminator_optimizer}

    def _adam(self, networks: Mapping[str, nn.Module], lr: float) -> Adam:
        parameters = list(chain.from_iterable(network.parameters() for network in networks.values()))
        betas, cuda = (self.optim.beta1, self.optim.beta2), self.engine.device.type == "cuda"
        optimizer = Adam(parameters, lr=lr, betas=betas, fused=True if self.engine.fast or cuda else None)
        if cuda:
            optimizer.make_capturable()
        optimizer.create_state()
        return optimizer


def _tensors(networks: Mapping[str, nn.Module]) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters and buffers, in order."""
    parameters = chain.from_iterable(network.parameters() for network in networks.values())
    return list(parameters), list(chain.from_iterable(network.buffers() for network in networks.values()))
