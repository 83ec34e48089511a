"""`prepare cityscapes`: photos and colour label images from the user's own copy of Cityscapes.

The licence forbids handing the prepared set around, so it is made from leftImg8bit_trainvaltest.zip and
gtFine_trainvaltest.zip, unpacked: A is the photo, B the colour label image; the training cities are trained
on and the validation cities are the test set, as in the paper (2975 and 500 images).
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from unpaired.core.errors import BadInput
from unpaired.core.progress import track
from unpaired.data.manifest import Manifest, new_dataset
from unpaired.imaging.images import read_image

SPLITS = {"train": "train", "val": "test"}
"""Cityscapes' split and ours. Its own test split has no public labels."""
PHOTO, LABEL = "_leftImg8bit.png", "_gtFine_color.png"
CLASSES: dict[str, tuple[int, int, int]] = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}
"""The 19 classes that are scored, in the order of Cityscapes' trainIds, and their colours in gtFine_color.

Every other colour is void and ignored. Pole groups and licence plates, void as well, share colours with poles and cars.
"""
Scene = tuple[str, str, Path, Path]
"""Our split, the scene's name (city_sequence_frame), its photo, its label image."""


def prepare_cityscapes(out: Path, left: Path, labels: Path, size: int = 128) -> Manifest:
    """Write trainA, trainB (train) and testA, testB (val) as square PNGs; A and B share their names.

    Photos are shrunk bicubically; labels take the nearest pixel, so that every colour stays one of the palette
    (the official script interpolates and saves JPEG, which blends classes into colours that mean nothing).

    `left` is the folder leftImg8bit or its parent, `labels` gtFine or its parent. The 2:1 images are squeezed to `size`
    pixels a side: 128 is what the paper trains and scores at, so that networks meet test images at the scale they
    learnt; the official script writes 256.

    Raises:
        BadInput: a folder missing or empty, photos without labels or labels without photos, files that cannot be
            read (all of them named at once; nothing is left behind).
    """
    if not 16 <= size <= 1024:  # 1024 is the height of the originals
        raise BadInput(f"prepare cityscapes: --size must be 16 to 1024 px, got {size}")
    scenes = _scenes(left, labels)
    refused = []
    with new_dataset(out) as manifest:
        for split, name, photo, label in track(scenes, "preparing scenes"):
            for path, side, filter in ((photo, "A", Image.Resampling.BICUBIC), (label, "B", Image.Resampling.NEAREST)):
                try:
                    manifest.save(_shrunk(path, size, filter), f"{split}{side}/{name}.png")
                except BadInput as error:
                    refused.append(str(error))
        if refused:
            raise BadInput(f"prepare cityscapes: {len(refused)} files cannot be used: {'; '.join(refused)}")
        manifest.describe(
            name="cityscapes",
            domains={"A": "photo", "B": "label"},
            aligned=True,
            source={"A": "leftImg8bit", "B": "gtFine_color", "licence": "Cityscapes terms of use: not to be passed on"},
            palette={"domain": "B", "classes": CLASSES},
            rule={"size": size, "photo": "bicubic", "label": "nearest", "split": "train is train, val is test"},
        )
    return manifest


def _scenes(left: Path, labels: Path) -> list[Scene]:
    """Every scene of the two splits, by split and name; raises `BadInput` where a file has no partner."""
    scenes, alone = [], []
    for theirs, ours in SPLITS.items():
        photos = _found("--left", left, "leftImg8bit", theirs, PHOTO)
        colours = _found("--labels", labels, "gtFine", theirs, LABEL)
        alone += [str((photos | colours)[name]) for name in sorted(photos.keys() ^ colours.keys())]
        pairs = ((name, photos[name], colours[name]) for name in sorted(photos.keys() & colours.keys()))
        scenes += [(ours, name.rpartition("/")[2], photo, label) for name, photo, label in pairs]
    if alone:
        found = f"found without a partner: {'; '.join(alone)}; unpack both archives again"
        raise BadInput(f"prepare cityscapes: expected a photo and a label image of every scene, {found}")
    return scenes


def _found(option: str, root: Path, usual: str, split: str, ending: str) -> dict[str, Path]:
    """Files by city/scene, the part of the name that photo and label share."""
    folder = (root / usual if (root / usual).is_dir() else root) / split
    paths = {f"{p.parent.name}/{p.name.removesuffix(ending)}": p for p in folder.glob(f"*/*{ending}")}
    if not paths:
        found = "no such files" if folder.is_dir() else "no such folder"
        advice = f"give the unpacked folder {usual} of https://www.cityscapes-dataset.com"
        raise BadInput(f"prepare cityscapes: {option}: expected {folder}/CITY/*{ending}, found {found}; {advice}")
    return paths


def _shrunk(path: Path, size: int, filter: Image.Resampling) -> Image.Image:
    pixels = read_image(path).pixels
    if pixels.dtype != "uint8" or pixels.shape[2] != 3:
        raise BadInput(f"{path}: expected 8-bit colours, found {pixels.shape[2]} channels of {pixels.dtype}")
    return Image.fromarray(pixels).resize((size, size), filter)
