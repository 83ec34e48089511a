"""A network as a list of operations, read off its own forward pass by torch.fx.

What must know how layers follow each other (units of the kernels, tiling) reads this list, so that a new network needs
nothing but its `forward`. Layers of torch, modules without children and those with `is_leaf` are operations; modules
made of others are traced through.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn

from unpaired.core.errors import brief

SUMS = (operator.add, operator.iadd, torch.add)


class Untraceable(Exception):
    """The forward pass is more than layers, sums and concatenations of channels."""


@dataclass(frozen=True)
class Operation:
    """One value of the pass: `work`, a layer, `torch.add` or `beside`, applied to the values numbered `sources`."""

    work: Callable[..., Tensor]
    sources: tuple[int, ...]


def beside(*tensors: Tensor) -> Tensor:
    """Concatenation of channels."""
    return torch.cat(tensors, dim=1)


def trace(network: nn.Module, keep_identities: bool = False) -> list[Operation | None]:
    """The operations in order; the first, None, is the input, and the last gives the result.

    An nn.Identity, in the place of a norm, is left out unless `keep_identities`.

    Raises:
        Untraceable: something else is computed, or a value is not a single tensor.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(network)
    except Exception as error:  # any error of the network's own code, run on symbols
        raise Untraceable(f"{type(network).__name__}: {brief(str(error))}") from error
    operations: list[Operation | None] = []
    numbers: dict[fx.Node, int] = {}
    *nodes, output = graph.nodes
    for node in nodes:
        if node.op == "placeholder":
            if operations:
                raise Untraceable(f"{type(network).__name__} has more than one input")
            operations.append(None)
        else:
            operation = _operation(network, node, numbers)
            if isinstance(operation.work, nn.Identity) and not keep_identities:
                numbers[node] = operation.sources[0]
                continue
            operations.append(operation)
        numbers[node] = len(operations) - 1
    operations = operations[: _number(numbers, output.args[0]) + 1]
    _refuse_side_effects(operations)
    return operations


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        childless = next(m.children(), None) is None
        return childless or getattr(m, "is_leaf", False) or super().is_leaf_module(m, module_qualified_name)

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]):
        """A chain is its layers one after another, whatever runs in their place."""
        return super().call_module(m, partial(_chain, m) if isinstance(m, nn.Sequential) else forward, args, kwargs)


def _chain(layers: nn.Sequential, x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def _operation(network: nn.Module, node: fx.Node, numbers: dict[fx.Node, int]) -> Operation:
    if node.op == "call_module" and len(node.args) == 1 and not node.kwargs:
        return Operation(network.get_submodule(str(node.target)), (_number(numbers, node.args[0]),))
    if node.op == "call_function" and node.target in SUMS and len(node.args) == 2 and not node.kwargs:
        return Operation(torch.add, tuple(_number(numbers, source) for source in node.args))
    if node.op == "call_function" and node.target in (torch.cat, torch.concat):
        tensors, dim = node.args[0], node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
        if dim == 1 and isinstance(tensors, (list, tuple)):
            return Operation(beside, tuple(_number(numbers, source) for source in tensors))
    raise Untraceable(f"{type(network).__name__} computes {node.op} {node.target}")


def _refuse_side_effects(operations: Sequence[Operation | None]) -> None:
    """A layer that works in place on what others read, too, changes what they are given."""
    read = Counter(source for operation in operations if operation for source in operation.sources)
    for operation in operations:
        if operation and getattr(operation.work, "inplace", False) and read[operation.sources[0]] > 1:
            raise Untraceable(f"{type(operation.work).__name__} changes a value in place that is read elsewhere")


def _number(numbers: dict[fx.Node, int], source: Any) -> int:
    if not isinstance(source, fx.Node):
        raise Untraceable(f"expected a tensor, found {brief(source)}")
    return numbers[source]
