"""Named, complete experiments. Each is a function, so that one is derived from another in plain code.

`paper` settings are the published ones: lambda 10, history 50, batch 1, 286 to 256 px, 100 + 100 epochs.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from unpaired.config import DataConfig, OptimConfig, RuntimeConfig
from unpaired.config.methods import CUTConfig, CycleGANConfig, Pix2PixConfig
from unpaired.config.networks import JointConfig, PatchGANConfig, ProjectedConfig, ResNetConfig, UNetConfig
from unpaired.config.size import Size
from unpaired.core.errors import BadInput
from unpaired.experiment import Experiment


def smoke() -> Experiment:
    """Seconds on any data, to see that everything runs: 32 px, tiny networks, 20 steps.

    unpaired train smoke --data DATA --out RUN
    """
    return Experiment(
        name="smoke",
        data=DataConfig(load_size=36, crop_size=32),
        method=CycleGANConfig(
            generator=ResNetConfig(width=4, blocks=1),
            discriminator=PatchGANConfig(width=4, layers=1),
            identity_weight=5.0,
            history=4,
        ),
        optim=OptimConfig(steps=20),
        runtime=RuntimeConfig(log_every=5, sample_every=10, save_every=10, samples=2),
    )


def cyclegan() -> Experiment:
    """The official code's defaults for any two folders: 256 px from 286, nine blocks, 100 + 100 epochs, identity on.

    unpaired train cyclegan --data DATA --out RUN
    """
    return replace(horse2zebra(), name="cyclegan")


def cut() -> Experiment:
    """CUT's defaults for one direction of any two folders: 256 px from 286, anti-aliased networks, 200 + 200 epochs.

    unpaired train cut --data DATA --out RUN
    """
    optim, runtime = OptimConfig(epochs=200, decay_epochs=200), RuntimeConfig(sample_every=2000, save_every=5000)
    return Experiment(name="cut", method=CUTConfig(), optim=optim, runtime=runtime)


def fastcut() -> Experiment:
    """FastCUT's defaults: PatchNCE of weight 10, no identity, flip equivariance, 150 + 50 epochs; else as `cut`.

    unpaired train fastcut --data DATA --out RUN
    """
    base = cut()
    method = replace(base.method, nce_weight=10.0, identity=False, flip_equivariance=True)
    return replace(base, name="fastcut", method=method, optim=OptimConfig(epochs=150, decay_epochs=50))


def pix2pix() -> Experiment:
    """pix2pix's defaults for folders of pairs, both ways: 256 px from 286, U-Net and batch norm, 100 + 100 epochs.

    unpaired train pix2pix --data DATA --out RUN
    """
    generator, discriminator = UNetConfig(norm="batch", dropout=True), PatchGANConfig(norm="batch")
    return Experiment(
        name="pix2pix",
        data=DataConfig(paired=True),
        method=Pix2PixConfig(generator=generator, discriminator=discriminator),
        runtime=RuntimeConfig(sample_every=2000, save_every=5000),
    )


def quick(crop: int | str = 64) -> Experiment:
    """For a first look at two folders of your own: small images, minutes to an hour on two CPU cores.

    A U-Net whose outer skip keeps colours and whose last convolution sees the image, a discriminator that sees
    colours, a small lambda, generators that begin as the colour map between the folders. The depth follows the smaller
    side of the crop, a side or WIDTHxHEIGHT.

    unpaired train quick --data DATA --out RUN
    """
    size = Size.parse(crop)
    load = Size(*(side * 9 // 8 for side in size))
    return Experiment(
        name="quick",
        data=DataConfig(load_size=load.setting, crop_size=size.setting),
        method=CycleGANConfig(
            generator=_unet(32, min(size)),
            discriminator=PatchGANConfig(layers=2, norm="none"),
            forward_cycle_weight=2.0,
            backward_cycle_weight=2.0,
            identity_weight=1.0,
        ),
        optim=OptimConfig(steps=2000, ema_decay=0.998, colour_start=200),
        runtime=RuntimeConfig(log_every=20),
    )


def standard(crop: int | str = 256) -> Experiment:
    """For two folders of your own on a GPU: `quick` with a projected discriminator beside the PatchGAN.

    Width, depth, receptive field and epochs follow the smaller side of the crop, the steps the number of images too:
    10 to 40 passes over the larger folder, within limits for few and many. Needs the extra `metrics` for the frozen
    features.

    unpaired train standard --data DATA --out RUN
    """
    base, side = quick(crop), min(Size.parse(crop))
    size = min(max(side // 64, 1), 4)
    discriminator = JointConfig(
        patchgan=PatchGANConfig(layers=3 if side > 128 else 2, norm="none"),
        projected=ProjectedConfig(side=min(max(side, 128), 256)),
    )
    generator = _unet(32 + 16 * min(size - 1, 2), side)
    return replace(
        base,
        name="standard",
        method=replace(base.method, generator=generator, discriminator=discriminator),
        optim=OptimConfig(
            epochs=5 * size,
            decay_epochs=5 * size,
            min_steps=5_000 * size,
            max_steps=40_000 * size,
            ema_decay=0.998,
            colour_start=500,
        ),
        runtime=RuntimeConfig(sample_every=1000, save_every=1000),
    )


def _unet(width: int, side: int, image_skip: bool = True) -> UNetConfig:
    """Without a checkerboard and with sharp edges; its five to seven halvings bring sides of 64 to 896 px to 2 to 7."""
    return UNetConfig(
        width=width, downs=min(max(side.bit_length() - 2, 5), 7), upsampling="resize", image_skip=image_skip
    )


SCALED: dict[str, Callable[[int | str], Experiment]] = {"quick": quick, "standard": standard}
"""Presets whose networks and steps follow data.crop_size."""


def earth() -> Experiment:
    """Satellite image and map of shaded relief at 64 px, minutes on two CPU cores: what `unpaired demo` trains.

    Not the published settings: at this size and budget InstanceNorm's loss of a tile's colour decides, so the
    generator is a U-Net, whose outer skip carries none and whose last convolution sees the image, its discriminators
    see colours (no norm), and lambda is 2: at 10 both translations stay copies of their input. Measured in
    docs/lab-notes.md.

    unpaired prepare earth earth64
    unpaired train earth --data earth64 --out runs/earth
    """
    base = quick(64)
    return replace(
        base,
        name="earth",
        data=DataConfig(preprocess="none", load_size=64, crop_size=64),
        optim=replace(base.optim, steps=1200, colour_start=300),
    )


def earth_labels() -> Experiment:
    """Photo and labels of the Earth, as Tables 2 to 5 have it on Cityscapes; no identity, as in the paper.

    unpaired prepare earth labels64 --pair satellite-labels
    unpaired train earth_labels --data labels64 --out runs/labels
    """
    base = earth()
    method = replace(base.method, generator=_unet(32, 64, image_skip=False), identity_weight=0.0)
    return replace(base, name="earth_labels", method=method, optim=replace(base.optim, steps=2000))


def earth128() -> Experiment:
    """The same places at twice the resolution, hours on two CPU cores.

    unpaired prepare earth earth128 --size 128 --globe-width 2700
    unpaired train earth128 --data earth128 --out runs/earth128
    """
    base = earth()
    return replace(
        base,
        name="earth128",
        data=replace(base.data, load_size=128, crop_size=128),
        method=replace(base.method, generator=_unet(48, 128, image_skip=False)),
        optim=OptimConfig(steps=12_000, ema_decay=0.998),
        runtime=RuntimeConfig(sample_every=1000, save_every=1000),
    )


def _paper(name: str, task: str, identity: float) -> Callable[[], Experiment]:
    """A preset with the published settings (App. 7): 256 px from 286, nine blocks, 100 + 100 epochs, batch 1."""

    def build() -> Experiment:
        method = CycleGANConfig(generator=ResNetConfig(blocks=9), identity_weight=identity)
        return Experiment(name=name, method=method, runtime=RuntimeConfig(sample_every=2000, save_every=5000))

    build.__name__ = name
    build.__doc__ = f"""{task}; settings as published.

    unpaired prepare {name} datasets/{name}
    unpaired train {name} --data datasets/{name} --out runs/{name}
    """
    return build


HALF_OF_LAMBDA = 5.0
"""Identity weight of 0.5 lambda: the paper's for photos from paintings and flowers (Sec. 5.2), and the default
of the authors' code for every set; the label sets of Sec. 5.1 go without, as the paper describes them."""

horse2zebra = _paper("horse2zebra", "Object transfiguration, horses and zebras (Sec. 5.2)", HALF_OF_LAMBDA)
apple2orange = _paper("apple2orange", "Object transfiguration, apples and oranges (Sec. 5.2)", HALF_OF_LAMBDA)
summer2winter_yosemite = _paper("summer2winter_yosemite", "Season transfer, Yosemite (Sec. 5.2)", HALF_OF_LAMBDA)
monet2photo = _paper("monet2photo", "Photos from Monet's paintings, and his style (Sec. 5.2)", HALF_OF_LAMBDA)
cezanne2photo = _paper("cezanne2photo", "Photos from Cezanne's paintings, and his style (Sec. 5.2)", HALF_OF_LAMBDA)
ukiyoe2photo = _paper("ukiyoe2photo", "Photos from Ukiyo-e prints, and their style (Sec. 5.2)", HALF_OF_LAMBDA)
vangogh2photo = _paper("vangogh2photo", "Photos from Van Gogh's paintings, and his style (Sec. 5.2)", HALF_OF_LAMBDA)
iphone2dslr_flower = _paper("iphone2dslr_flower", "Shallower depth of field in flowers (Sec. 5.2)", HALF_OF_LAMBDA)
maps = _paper("maps", "Aerial photographs and maps (Sec. 5.1, Table 1)", 0.0)
facades = _paper("facades", "Facades and their labels (Sec. 5.1.4)", 0.0)


def cityscapes() -> Experiment:
    """Street scenes and their labels at 128 px, six blocks (Sec. 5.1, Tables 2 to 5).

    unpaired prepare cityscapes datasets/cityscapes --left leftImg8bit --labels gtFine
    unpaired train cityscapes --data datasets/cityscapes --out runs/cityscapes
    """
    base = maps()
    method = replace(base.method, generator=ResNetConfig(blocks=6))
    return replace(base, name="cityscapes", data=DataConfig(load_size=143, crop_size=128), method=method)


_OWN_FOLDERS = (smoke, quick, standard, cyclegan, cut, fastcut, pix2pix)
_EARTH = (earth, earth_labels, earth128)
_TRANSFER = (horse2zebra, apple2orange, summer2winter_yosemite, monet2photo, cezanne2photo, ukiyoe2photo, vangogh2photo)
_PAIRED = (maps, cityscapes, facades)
PRESETS: dict[str, Callable[[], Experiment]] = {
    build.__name__: build for build in (*_OWN_FOLDERS, *_EARTH, *_TRANSFER, iphone2dslr_flower, *_PAIRED)
}


def crop_in(settings: Mapping[str, Any]) -> int | str | None:
    """The value of data.crop_size among dotted settings; None where there is none of use."""
    try:
        size = Size.parse(settings.get("data.crop_size"))
    except ValueError:
        return None
    return size.setting if all(32 <= side <= 8192 for side in size) else None


def preset(name: str, crop: int | str | None = None) -> Experiment:
    """The preset called `name`.

    Presets that follow the size of the training crops (`SCALED`) take it from `crop`; others ignore it.

    Raises:
        BadInput: there is none; the nearest name is offered.
    """
    if name not in PRESETS:
        close = difflib.get_close_matches(name, PRESETS, 1)
        hint = f"did you mean {close[0]}? " if close else ""
        raise BadInput(f"unknown preset {name}; {hint}there are {', '.join(PRESETS)}")
    return SCALED[name](crop) if crop and name in SCALED else PRESETS[name]()
