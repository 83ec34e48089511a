"""The update of the weights: order, freezing, optimisers and their state. It knows nothing of translation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn

from unpaired.config import Direction, OptimConfig
from unpaired.core.errors import BadInput
from unpaired.imaging.images import Images
from unpaired.methods import Method, Terms
from unpaired.models import require_fit
from unpaired.training.adam import Adam
from unpaired.training.engine import Engine, frozen
from unpaired.training.rng import rng_state, set_rng_state

Both = tuple[Images, Images]
"""Of X and of Y."""
Part = tuple[Images, Images, float, Both | None]
"""What goes through the networks at once: images of X and Y, their share of the step, their masks."""


class Trainer:
    """A method, its two optimisers, and everything that must be kept to go on exactly."""

    def __init__(self, method: Method, optim: OptimConfig, engine: Engine) -> None:
        self.method, self.optim, self.engine = method, optim, engine
        method.joined = engine.fast
        for network in players(method).values():
            engine.place(network)
        method.abreast = engine.go_abreast(players(method).values())
        self.generator_optimizer = self._adam(method.generators, optim.lr)
        self.discriminator_optimizer = self._adam(method.discriminators, optim.discriminator_lr or optim.lr)
        self.steps = 0
        """Steps done."""
        self.ema = deepcopy(method) if optim.ema_decay else method
        """The method with the weights that a user gets: its generators averaged over the steps, where asked for."""

    def train_step(
        self, x: Images, y: Images, share: float = 1.0, pairs: Both | None = None, masks: Both | None = None
    ) -> Terms:
        """Update the generators against frozen discriminators, then the discriminators, on one batch.

        Args:
            x: Images of X; with `optim.accumulate` n they go through the networks in n parts, one after another.
            y: Images of Y.
            share: Images here over the mean of all processes; 0 where they are only there to keep step.
            pairs: Aligned images of X and Y, for methods that learn from them.
            masks: Where the images of X and of Y are translated, (b, 1, h, w) from 0 to 1; everywhere unless given.

        Raises:
            NotFinite: before the weights are touched.
        """
        with self.engine.step(x, y, *(pairs or ()), *(masks or ())):
            return self._descend(x, y, share, pairs, masks)

    def _descend(self, x: Images, y: Images, share: float, pairs: Both | None, masks: Both | None) -> Terms:
        engine, method, parts = self.engine, self.method, self._parts(x, y, share, masks)
        learning, fakes = self.steps >= self.optim.discriminator_warmup, []
        with frozen(method.discriminators if learning else players(method)):
            with engine.descent(self.generator_optimizer if learning else None, self.steps + 1) as generators:
                for x, y, share, masks in parts:
                    with engine.precision():
                        terms, made = method.masked_losses(x, y, masks) if masks else method.generator_losses(x, y)
                    generators.add(terms, share)
                    fakes.append(made)
                if pairs is not None:
                    with engine.precision():
                        terms = method.paired_losses(*pairs)
                    if terms:
                        generators.add(terms)
        with (
            engine.descent(self.discriminator_optimizer, self.steps + 1) as discriminators,
            self._unremembered(share == 0),
        ):
            for (x, y, share, _), made in zip(parts, fakes, strict=True):
                with engine.precision():
                    terms = method.discriminator_losses(x, y, made)
                discriminators.add(terms, share)
        self.steps += 1
        self._average()
        engine.check_pending(keep=2)  # this step's two are not waited for
        return generators.terms | discriminators.terms

    def _parts(self, x: Images, y: Images, share: float, masks: Both | None) -> list[Part]:
        """The batch in `optim.accumulate` parts, each with its share of the step and its masks."""
        if self.optim.accumulate == 1:
            return [(x, y, share, masks)]
        pieces = zip(*(images.tensor_split(self.optim.accumulate) for images in (x, y, *(masks or ()))), strict=True)
        return [(a, b, share * len(a) / len(x), (m[0], m[1]) if m else None) for a, b, *m in pieces if len(a)]

    @contextmanager
    def _unremembered(self, wanted: bool) -> Iterator[None]:
        """Inside, what the histories see leaves no trace, if so wanted."""
        before = {name: history.state() for name, history in self.method.histories.items()} if wanted else {}
        yield
        for name, state in before.items():
            self.method.histories[name].load(state)

    def set_lr(self, factor: float) -> None:
        """Multiply both players' base rates, on the schedule's word."""
        rates = (self.optim.lr, self.optim.discriminator_lr or self.optim.lr)
        for optimizer, rate in zip(self._optimizers().values(), rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = rate * factor

    def start_from(self, translators: Mapping[Direction, nn.Module]) -> None:
        """Give the generators, and their average, the weights of trained ones in the directions that these have.

        Raises:
            BadInput: no direction in common, or another architecture; the message names a weight and both shapes.
        """
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
        for name, network in self._networks().items():
            state |= {f"network/{name}/{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in self._optimizers().items():
            for index, parameter in enumerate(_parameters(optimizer)):
                moments = optimizer.state[parameter]
                state |= {f"optimizer/{name}/{index:04d}/{key}": value for key, value in moments.items()}
        for name, history in self.method.histories.items():
            state |= {f"history/{name}/{key}": value for key, value in history.state().items()}
        return state

    def broken(self) -> list[str]:
        """The networks that hold a NaN or an infinity."""
        return [
            name
            for name, net in self._networks().items()
            if not all(bool(p.isfinite().all()) for p in net.parameters())
        ]

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Take up a `state()`; an average that it does not have begins at the trained weights.

        Raises:
            RuntimeError, LookupError, TypeError, ValueError: it is not of such a trainer.
        """
        set_rng_state(_under(state, "random/"))
        self.steps = int(state["steps"])
        for name, network in self._networks().items():
            weights = _under(state, f"network/{name}/") or _under(state, f"network/{name.removeprefix('ema ')}/")
            network.load_state_dict(weights)
        for name, optimizer in self._optimizers().items():
            for index, parameter in enumerate(_parameters(optimizer)):
                moments = _under(state, f"optimizer/{name}/{index:04d}/")
                optimizer.state[parameter] = {key: _like(value, parameter) for key, value in moments.items()}
        for name, history in self.method.histories.items():
            if past := _under(state, f"history/{name}/"):
                history.load({key: value if key == "random" else self._put_one(value) for key, value in past.items()})

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged generators a little towards the trained ones; further in the first steps."""
        if self.ema is self.method:
            return
        decay = min(self.optim.ema_decay, self.steps / (self.steps + 10))
        for name, network in self.ema.generators.items():
            trained = self.method.generators[name]
            for weight, new in zip(network.parameters(), trained.parameters(), strict=True):
                weight.lerp_(new, 1 - decay)
            for buffer, new in zip(network.buffers(), trained.buffers(), strict=True):
                buffer.copy_(new)

    def _networks(self) -> dict[str, nn.Module]:
        """Every network whose weights are part of the state."""
        ema = {f"averaged {name}": network for name, network in self.ema.generators.items()}
        return {**players(self.method), **(ema if self.ema is not self.method else {})}

    def _put_one(self, image: Tensor) -> Tensor:
        return self.engine.put(image[None])[0]

    def _optimizers(self) -> dict[str, torch.optim.Adam]:
        return {"generators": self.generator_optimizer, "discriminators": self.discriminator_optimizer}

    def _adam(self, networks: Mapping[str, nn.Module], lr: float) -> torch.optim.Adam:
        parameters = list(chain.from_iterable(network.parameters() for network in networks.values()))
        betas = (self.optim.beta1, self.optim.beta2)
        fused = True if self.engine.fast or self.engine.pending is not None else None
        return Adam(parameters, lr=lr, betas=betas, fused=fused)


def players(method: Method) -> dict[str, nn.Module]:
    """Generators and discriminators by name."""
    return {**method.generators, **method.discriminators}


def _parameters(optimizer: torch.optim.Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _under(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _like(value: Tensor, parameter: nn.Parameter) -> Tensor:
    """A moment in its parameter's place and layout; Adam's step counter, a scalar, as it is."""
    if value.dim() == 0:
        return value.clone()
    return torch.empty_like(parameter, requires_grad=False).copy_(value)
