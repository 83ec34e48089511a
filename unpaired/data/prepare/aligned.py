"""`prepare aligned`: images that show A and B side by side, as pix2pix data sets are published, split into pairs."""

from __future__ import annotations

from pathlib import Path

from unpaired.core.errors import BadInput
from unpaired.core.progress import track
from unpaired.data.manifest import Manifest, new_dataset
from unpaired.data.sources.folder import image_files
from unpaired.imaging.images import DecodedImage, encode_image, read_image

PHASES = ("train", "test", "val")


def prepare_aligned(data: Path, out: Path) -> Manifest:
    """Split `data/train`, `data/test` and `data/val` into trainA, trainB, ...: the left half is A, the right half B.

    Pairs have one name. Bit depth is kept. `data` holds what the official `--dataset_mode aligned` takes.

    Raises:
        BadInput: no folder `train`, no images, or an image of odd width.
    """
    phases = [phase for phase in PHASES if (data / phase).is_dir()]
    if "train" not in phases and "test" not in phases:
        raise BadInput(f"{data}: expected a folder train or test of images that show A and B side by side, found none")
    jobs = [(phase, path) for phase in phases for path in image_files(data / phase)]
    if not jobs:
        raise BadInput(f"{data}: expected images in {' or '.join(phases)}, found none")
    with new_dataset(out) as manifest:
        for phase, path in track(jobs, "splitting images"):
            _split(manifest, path, phase, path.relative_to(data / phase).with_suffix(".png"))
        manifest.describe(name=data.name, aligned=True, source={"side_by_side": str(data)})
    return manifest


def _split(manifest: Manifest, path: Path, phase: str, name: Path) -> None:
    pixels = read_image(path).pixels
    width = pixels.shape[1]
    if width % 2:
        raise BadInput(f"{path}: expected A and B side by side in equal halves, found an odd width of {width} px")
    for side, half in (("A", pixels[:, : width // 2]), ("B", pixels[:, width // 2 :])):
        manifest.write(f"{phase}{side}/{name.as_posix()}", encode_image(DecodedImage(half), ".png", str(path)))
