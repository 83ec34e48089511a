"""A generator's architecture, read off the names and shapes of its weights."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from unpaired.config.networks import Norm, Padding
from unpaired.core.errors import BadInput
from unpaired.models import GENERATORS, Generator, GeneratorConfig, ResNetConfig, UNetConfig, require_fit

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
BLOCK = re.compile(r"model\.(\d+)\.conv_block\.(\d+)\.weight$")
BLOCK_LAYOUTS: dict[tuple[int, ...], tuple[bool, Padding]] = {
    (1, 5): (False, "reflect"),
    (1, 6): (True, "reflect"),
    (0, 3): (False, "zero"),
    (0, 4): (True, "zero"),
}
"""Places of a residual block's two convolutions, by (dropout, padding)."""


def rebuilt(
    weights: Mapping[str, Tensor], name: str, padding: Padding | None = None
) -> tuple[Generator, GeneratorConfig, tuple[int, int]]:
    """The generator that has these weights, at rest, with its config and its channels in and out.

    Weights have official names; `name` is the file's, for messages. Statistics that InstanceNorm once tracked and never
    used are dropped, where the network has no place for them. `padding` is that of the residual blocks: weights do not
    distinguish reflect from replicate.

    Raises:
        BadInput: not one of this package's architectures; the message names a weight, what was expected and found.
    """
    try:
        cfg, channels = _unet(weights) if "model.model.0.weight" in weights else _resnet(weights, padding)
    except (LookupError, ValueError, IndexError) as error:
        raise BadInput(f"{name}: not a generator that can be rebuilt ({error}); see docs/convert.md") from error
    with torch.device("meta"):
        network = GENERATORS[cfg.name](cfg, *channels)
    places = network.state_dict()
    kept = {key: value for key, value in weights.items() if key in places or not key.endswith(STATISTICS)}
    require_fit(network, kept, name, f"its shapes say {describe(cfg)}; see docs/convert.md for what can be converted")
    network.load_state_dict(kept, assign=True)
    network.eval().requires_grad_(False)
    return network, cfg, channels


def describe(cfg: GeneratorConfig) -> str:
    """An architecture in a few words, e.g. `resnet, 9 blocks, width 64, instance norm`."""
    extras = [f"{cfg.upsampling} upsampling"] if cfg.upsampling != "transposed" else []
    extras += ["dropout"] if cfg.dropout else []
    extras += ["image skip"] if isinstance(cfg, UNetConfig) and cfg.image_skip else []
    extras += [f"{cfg.padding} padding"] if isinstance(cfg, ResNetConfig) and cfg.padding != "reflect" else []
    depth = f"{cfg.blocks} blocks" if isinstance(cfg, ResNetConfig) else f"{cfg.downs} halvings"
    return ", ".join([cfg.name, depth, f"width {cfg.width}", f"{cfg.norm} norm", *extras])


def _resnet(weights: Mapping[str, Tensor], asked: Padding | None) -> tuple[ResNetConfig, tuple[int, int]]:
    blocks = {int(m[1]) for key in weights if (m := BLOCK.match(key))}
    convolutions = {int(m[2]) for key, value in weights.items() if (m := BLOCK.match(key)) and value.dim() == 4}
    dropout, padding = _layout(convolutions) if blocks else (False, "reflect")
    if asked is not None and (asked == "zero") != (padding == "zero"):
        raise ValueError(f"--padding {asked}: the layers' places say padding {padding}")
    first = weights["model.1.weight"]
    places = (key.split(".")[1] for key in weights)
    out = weights[f"model.{max(int(place) for place in places if place.isdigit())}.weight"]
    cfg = ResNetConfig(
        width=first.shape[0],
        blocks=len(blocks),
        norm=_norm(weights, "model.1", "model.2"),
        dropout=dropout,
        padding=asked or padding,
        downsampling="blur" if "model.7.filt" in weights else "strided",
        upsampling=_upsampling(weights, max(blocks, default=9) + 1),
    )
    return cfg, (first.shape[1], out.shape[0])


def _upsampling(weights: Mapping[str, Tensor], place: int):
    if f"model.{place}.filt" in weights:
        return "blur"
    return "resize" if f"model.{place}.conv.weight" in weights else "transposed"


def _unet(weights: Mapping[str, Tensor]) -> tuple[UNetConfig, tuple[int, int]]:
    """Each scale is nested in the one around it, as `model.1` outermost and `model.3` within."""
    first = weights["model.model.0.weight"]
    place, downs = "model.model.1", 1
    while f"{place}.model.1.weight" in weights:
        place, downs = f"{place}.model.3", downs + 1
    resized = "model.model.3.conv.weight" in weights
    out = weights["model.model.3.conv.weight"].shape[0] if resized else weights["model.model.3.weight"].shape[1]
    cfg = UNetConfig(
        width=first.shape[0],
        downs=downs,
        norm=_norm(weights, "model.model.1.model.1", "model.model.1.model.2"),
        upsampling="resize" if resized else "transposed",
    )
    return cfg, (first.shape[1], out)


def _norm(weights: Mapping[str, Tensor], conv: str, norm: str) -> Norm:
    """The official rule read backwards: only before InstanceNorm a convolution has a bias."""
    if f"{norm}.weight" in weights and f"{conv}.bias" in weights:
        raise ValueError(f"{norm}.weight: an InstanceNorm with weights of its own")
    if f"{norm}.weight" in weights:
        return "batch"
    return "instance" if f"{conv}.bias" in weights else "none"


def _layout(convolutions: set[int]) -> tuple[bool, Padding]:
    places = tuple(sorted(convolutions))
    if places not in BLOCK_LAYOUTS:
        expected = ", ".join(f"{one} and {two}" for one, two in BLOCK_LAYOUTS)
        raise ValueError(f"conv_block: expected convolutions at {expected}, found at {places}")
    return BLOCK_LAYOUTS[places]
