"""What in a step's graph stands apart from what."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.autograd.graph import Node


def halves(terms: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Two groups of terms, about as large, whose graphs share nothing but weights; the second may be empty.

    Of a CycleGAN they are its two directions: G and F serve both, but no value computed on the way of one does.
    A term that carries no gradient is in the first.
    """
    groups: list[tuple[list[Tensor], set[Node]]] = []
    for term in terms:
        members, nodes, others = [term], _nodes(term), []
        for group in groups:
            if nodes.isdisjoint(group[1]):
                others.append(group)
            else:
                members, nodes = group[0] + members, group[1] | nodes
        groups = [*others, (members, nodes)]
    sides: tuple[list[Tensor], list[Tensor]] = [], []
    sizes = [0, 0]
    for members, nodes in sorted(groups, key=lambda group: -len(group[1])):
        smaller = sizes.index(min(sizes)) if nodes else 0
        sides[smaller].extend(members)
        sizes[smaller] += len(nodes)
    return sides


def _nodes(term: Tensor) -> set[Node]:
    """Every operation that the term came from; weights, where gradients are gathered, are none."""
    found: set[Node] = set()
    waiting = [term.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is not None and node not in found and not hasattr(node, "variable"):
            found.add(node)
            waiting += [before for before, _ in node.next_functions]
    return found
