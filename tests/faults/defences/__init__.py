"""The defences behind docs/reliability.md: how each is taken out, and the test that must fail then."""

from __future__ import annotations

from tests.faults.defences import checkpoints, images, numbers, runs, untrusted
from tests.faults.defences.mutation import Mutation


def mutations() -> dict[str, list[Mutation]]:
    """All of them, by the promise that they defend."""
    return {
        "exact resume": list(runs.resume()),
        "safe checkpoints": [*checkpoints.checkpoints(), *checkpoints.formats()],
        "kill storm": list(checkpoints.kills()),
        "stop on request": list(runs.stops()),
        "finite numbers": list(numbers.finite()),
        "several processes": list(runs.processes()),
        "determinism": list(numbers.determinism()),
        "hostile images": list(images.images()),
        "hostile weights and archives": [*untrusted.weights(), *untrusted.archives(), *untrusted.texts()],
    }
