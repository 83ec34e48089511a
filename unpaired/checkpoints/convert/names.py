"""How other tools call a generator's weights, and the official names (paper code, PyTorch) for them.

| tool | generator A to B | generator B to A |
|---|---|---|
| official, CUT | `model.1.weight` in G_A or G | in G_B |
| several networks in one file | `G_AB`, `netG_A2B`, `generator_A2B`, ... before every name | `G_BA`, `netG_B2A`, ... |
| Lornatang | `main.1.weight`, `main.10.res.1.weight` | in the other file |
| mmagic, mmgeneration | `generators.<name of B>.model.0.conv.weight`, BGR | `generators.<name of A>...` |
| UPIT | `G_B.1.weight` | `G_A.1.weight`: its G_A makes A |
| joliGEN resnet | `encoder.model.1.weight`, `decoder.model.0.weight` in G_A or G | in G_B |
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from unpaired.config import Direction
from unpaired.core.errors import BadInput

Weights = Mapping[str, Tensor]

FRAMES = ("model", "main", "encoder", "decoder", "generators")
"""Where a network's own names begin; what stands before them names the network."""
FORWARD = {"a2b", "ab", "atob", "a", "x2y", "xy", "xtoy"}
BACKWARD = {"b2a", "ba", "btoa", "b", "y2x", "yx", "ytox"}
DISCRIMINATOR = re.compile(r"(model\.0\.(weight|bias)|net\.0\.)")
MMAGIC = re.compile(r"generators\.([^.]+)\.(model\..*)")
UPIT = re.compile(r"G_([AB])\.(\d.*)")
MMAGIC_BLOCK = re.compile(r"block\.(\d)\.(conv|bn)\.(\w+)$")
MMAGIC_LAYER = re.compile(r"(conv|bn)\.(\w+)$")


def by_direction(weights: Weights, alone: Direction, b: str | None) -> tuple[str, dict[Direction, Weights]]:
    """The tool that wrote a file of these tensors, and its generators under official names.

    `alone` is the direction of a file with one generator that does not name it, `b` the name of the domain of folder B
    in mmagic's file.

    Raises:
        BadInput: names that none of the tools gives to a generator.
    """
    if parts := _networks(weights):
        tools, generators = set(), {}
        for direction, part in parts.items():
            tool, found = by_direction(part, direction, b)
            tools.add(tool)
            generators[direction] = found[direction]
        return " and ".join(sorted(tools)), generators
    weights = _official_frame(weights)
    if any(MMAGIC.match(key) for key in weights):
        return "mmagic", _mmagic_domains(weights, b)
    if any(UPIT.match(key) for key in weights):
        return "UPIT", _upit(weights)
    if any(key.startswith("encoder.model.") for key in weights):
        return "joliGEN", {alone: _joligen(weights)}
    if "1.weight" in weights and "4.weight" in weights:
        return "UPIT", {alone: {f"model.{key}": value for key, value in weights.items()}}
    if any(".block." in key for key in weights) and "model.1.weight" in weights:
        raise BadInput(
            "found PyTorch-GAN's generator (model.10.block.1.weight), which enlarges by nearest neighbours and pads "
            "with zeros: layers that this package does not have"
        )
    if any(key.endswith(".filt") for key in weights) and "model.1.weight" in weights:
        return "CUT", {alone: weights}
    if "model.1.weight" in weights or "model.model.0.weight" in weights:
        return "official", {alone: weights}
    first = ", ".join(sorted(weights)[:4])
    what = "a discriminator's names" if any(DISCRIMINATOR.match(key) for key in weights) else "names of no known tool"
    raise BadInput(f"expected a generator (model.1.weight, or model.model.0.weight of a U-Net), found {what}: {first}")


def direction_of(name: str) -> Direction | None:
    """The direction in the name of a network or a file: `netG_A2B`, `G_BA`, `generator_AtoB`, `latest_net_G_B`.

    None where it tells none, or is a discriminator's.
    """
    words = [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]
    if any(re.fullmatch(r"(net)?d(is(criminator)?)?(_?[abxy])?", word) for word in words):
        return None
    joined = "_".join(words)
    match = re.search(r"(?:^|_)(?:net_?)?g(?:en(?:erator)?)?_?([abxy](?:(?:to|2)?[abxy])?)(?:_\d+)?$", joined)
    if match is None:
        return None
    return "AtoB" if match[1] in FORWARD else "BtoA" if match[1] in BACKWARD else None


def _networks(weights: Weights) -> dict[Direction, Weights]:
    """The generators of a file that holds several networks by name; nothing where it holds one."""
    parts: dict[Direction, dict[str, Tensor]] = {}
    for key, value in weights.items():
        words = key.split(".")
        start = next((k for k, word in enumerate(words) if word in FRAMES or word.isdigit()), 0)
        direction = direction_of("_".join(words[:start])) if start and not words[start].isdigit() else None
        if direction is not None:
            parts.setdefault(direction, {})[".".join(words[start:])] = value
    return dict(parts)


def _official_frame(weights: Weights) -> Weights:
    """The official names where only those of the sequence and of the blocks' inside differ, as in Lornatang's code."""
    if not any(key.startswith("main.") for key in weights):
        return weights
    return {re.sub(r"^main\.", "model.", key).replace(".res.", ".conv_block."): v for key, v in weights.items()}


def _mmagic_domains(weights: Weights, b: str | None) -> dict[Direction, Weights]:
    """In mmagic there is one generator per domain that is made."""
    made: dict[str, dict[str, Tensor]] = {}
    for key, value in weights.items():
        if match := MMAGIC.match(key):
            made.setdefault(match[1], {})[match[2]] = value
    if b not in made:
        found = " and ".join(sorted(made))
        raise BadInput(f"mmagic names its domains {found}; tell which one is folder B, e.g. --b {sorted(made)[-1]}")
    return {"AtoB" if domain == b else "BtoA": _mmagic(part) for domain, part in made.items()}


def _mmagic(weights: Weights) -> Weights:
    """Indices that count convolutions, not layers; trained on BGR."""
    last = max(int(key.split(".")[1]) for key in weights)
    blocks = last - 5
    place = {0: 1, 1: 4, 2: 7, last - 2: 10 + blocks, last - 1: 13 + blocks, last: 17 + blocks}
    place |= {3 + k: 10 + k for k in range(blocks)}
    official = {}
    for key, value in weights.items():
        _, index, rest = key.split(".", 2)
        if block := MMAGIC_BLOCK.match(rest):
            conv = {0: 1, 1: 5, 2: 6}[int(block[1])]  # the second is number 2 where a dropout stands before it
            official[f"model.{place[int(index)]}.conv_block.{conv + (block[2] == 'bn')}.{block[3]}"] = value
        elif layer := MMAGIC_LAYER.match(rest):
            official[f"model.{place[int(index)] + (layer[1] == 'bn')}.{layer[2]}"] = value
        else:
            official[key] = value  # the check against the network names it
    return _reversed_colours(official, "model.1", f"model.{17 + blocks}")


def _reversed_colours(weights: dict[str, Tensor], first: str, last: str) -> Weights:
    """The same network for RGB instead of BGR."""
    for key, dim in ((f"{first}.weight", 1), (f"{last}.weight", 0), (f"{last}.bias", 0)):
        if key in weights and weights[key].shape[dim] == 3:
            weights[key] = weights[key].flip(dim).contiguous()
    return weights


def _upit(weights: Weights) -> dict[Direction, Weights]:
    """UPIT's G_A makes A; its networks are bare sequences."""
    made: dict[Direction, Weights] = {}
    directions: tuple[tuple[str, Direction], ...] = (("B", "AtoB"), ("A", "BtoA"))
    for letter, direction in directions:
        part = {f"model.{m[2]}": v for key, v in weights.items() if (m := UPIT.match(key)) and m[1] == letter}
        made |= {direction: part} if part else {}
    return made


def _joligen(weights: Weights) -> Weights:
    """The same sequence of layers, cut in two after the residual blocks."""
    if "encoder.model.1.weight" not in weights or any(".depthwise" in key or "_orig" in key for key in weights):
        raise BadInput(
            "expected joliGEN's plain resnet (encoder.model.1.weight), found its mobile, attention or spectral "
            "variant, whose layers this package does not have"
        )
    blocks = {key.split(".")[2] for key in weights if key.startswith("encoder.model.") and ".conv_block." in key}
    official = {}
    for key, value in weights.items():
        part, _, rest = key.partition(".model.")
        index, _, rest = rest.partition(".")
        shift = 10 + len(blocks) if part == "decoder" else 0
        official[f"model.{int(index) + shift}.{rest}" if index.isdigit() else key] = value
    return official
