"""What the readers of the documents have already: folders of images, runs, files of other tools. All of it tiny."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from tests.convert.others import MMagic, Official
from tests.data.test_archives import as_parquet, parquet
from tests.data_sets import make_data, shapes
from unpaired import presets
from unpaired.checkpoints.bundle import BUNDLE
from unpaired.cli import run
from unpaired.data.folders import domain_files
from unpaired.experiment import Experiment, flatten, with_settings

EARTH = {"--size": "48", "--globe-width": "450"}
"""Sixty tiles in place of a thousand."""

SMALL: dict[str, Any] = {
    **{"data.preprocess": "resize_and_crop", "data.load_size": 36, "data.crop_size": 32, "data.workers": 0},
    **{"method.generator.width": 4, "method.generator.blocks": 1, "method.generator.downs": 5},
    **{"method.discriminator.width": 4, "method.discriminator.layers": 1, "method.history": 2, "optim.steps": 2},
    **{"runtime.log_every": 1, "runtime.sample_every": 2, "runtime.save_every": 2, "runtime.samples": 2},
    **{"runtime.precision": "fp32", "runtime.device": "cpu", "runtime.threads": 1},
}
"""What a preset is cut down to, so that a line of the documents that trains for hours takes a moment."""


def small(experiment: Experiment) -> Experiment:
    """The same preset, tiny and of two steps."""
    return with_settings(experiment, {key: SMALL[key] for key in SMALL.keys() & flatten(experiment).keys()})


@contextlib.contextmanager
def small_presets() -> Iterator[None]:
    """Every preset is `small`, for commands and for Python alike."""
    with pytest.MonkeyPatch.context() as patch:
        for name, build in dict(presets.PRESETS).items():
            tiny = partial(lambda build, *crop: small(build(*crop)), build)
            patch.setitem(presets.PRESETS, name, tiny)
            patch.setattr(presets, name, tiny)
        yield


def command(*words: object) -> None:
    assert run([str(word) for word in words]) == 0, words


def make_world(root: Path) -> Path:
    """All that the pages of the documents presuppose, under `root`."""
    for part in (images, trained, earth, of_other_tools):
        part(root)
    return root


def images(root: Path) -> None:
    """Images, masks, a data set with a few pairs, a video, a microscope's slide."""
    for folder, domain in (("photos", "A"), ("paintings", "B"), ("masks", "A")):
        (root / folder).mkdir()
        for number in range(8):
            image = shapes(domain, number)
            image = image.convert("1") if folder == "masks" else image
            image.save(root / folder / f"{number}.png")
    data = make_data(root / "data", test=10)  # the fewest that can be judged
    for part in "AB":
        shutil.copytree(data / f"test{part}", data / f"pairs{part}")
    large = shapes("A", 3).resize((320, 288))
    for name in ("photo.jpg", "photo.png", "slide.tif"):
        large.save(root / name)
    with av.open(str(root / "clip.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=5)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(4):
            frame = np.asarray(shapes("A", number).resize((64, 48)))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        out.mux(stream.encode())
    (root / "token.txt").write_text("a-token-of-the-tests\n")


def on_the_hub(hub: Path, data: Path) -> None:
    """The data sets that the pages stream, in the folder that a hub serves."""
    as_parquet(hub / "datasets/user/name", data)
    for name, part in (("user/photos", "trainA"), ("other/maps", "trainB")):
        parquet(hub / f"datasets/{name}/data/train-00000-of-00001.parquet", domain_files(data, part))


def trained(root: Path) -> None:
    """A run of two steps, and its bundle by itself."""
    command("train", "cyclegan", "--data", root / "data", "--out", root / "run")
    shutil.copy(root / "run" / BUNDLE, root / "model.safetensors")


def earth(root: Path) -> None:
    """Tiles of the Earth and their labels."""
    size = [word for pair in EARTH.items() for word in pair]
    command("prepare", "earth", root / "labels", "--pair", "satellite-labels", "--aligned", *size)


def of_other_tools(root: Path) -> None:
    """Checkpoints as the official code and mmagic leave them."""
    mine, published = root / "checkpoints", root / "published"
    mine.mkdir()
    published.mkdir()
    for name in ("latest_net_G_A", "latest_net_G_B", "5_net_G_A", "5_net_G_B"):
        torch.save(Official(blocks=1).state_dict(), mine / f"{name}.pth")
    torch.save(Official(blocks=1).state_dict(), published / "latest_net_G.pth")
    state = {
        f"generators.{name}.{key}": value
        for name in ("zebra", "horse")
        for key, value in MMagic(blocks=1).state_dict().items()
    }
    torch.save({"meta": {"iter": 80000}, "state_dict": state}, root / "iter_80000.pth")


def image() -> Image.Image:
    """What Python on a page calls `image`."""
    return shapes("A", 5)
