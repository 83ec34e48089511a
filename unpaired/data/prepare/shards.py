"""A data set of many small files packed into a few tars that train exactly as it does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from unpaired.core.errors import BadInput
from unpaired.core.progress import track
from unpaired.data.folders import domain_files, has_domain, own_name
from unpaired.data.manifest import Manifest, new_dataset, read_manifest
from unpaired.data.sources import read_bytes

PARTS = ("trainA", "trainB", "testA", "testB", "pairsA", "pairsB", "masksA", "masksB")
MAX_IMAGE = 2 * 1024**3


def prepare_shards(out: Path, data: Path, images: int = 1000) -> Manifest:
    """Pack every part of a data set into `PART/00000.tar`, `PART/00001.tar`, ...: the same bytes in the same order.

    Names in a shard are those of the files, so that the order of training, and with it every number of a run, stays.

    Args:
        out: Folder to make.
        data: A data set of folders, lists or archives.
        images: Images in a shard.

    Raises:
        BadInput: nothing to pack, or a name that WebDataset's readers would cut short.
    """
    if images < 1:
        raise BadInput(f"prepare shards: --images must be at least 1, got {images}")
    parts = [part for part in PARTS if has_domain(data, part)]
    if not {"trainA", "trainB"} <= set(parts):
        raise BadInput(f"{data}: expected a data set with trainA and trainB, found {', '.join(parts) or 'neither'}")
    files = {part: domain_files(data, part) for part in parts}
    jobs = [(part, k, path) for part in parts for k, path in enumerate(files[part])]
    facts = read_manifest(data)
    with new_dataset(out) as manifest:
        writer = _Writer(manifest, images)
        for part, number, path in track(jobs, "packing images"):
            writer.add(part, number, own_name(path, data, part), read_bytes(path, MAX_IMAGE))
        writer.close()
        kept = {key: value for key, value in facts.items() if key not in ("format", "counts", "sha256")}
        manifest.describe(**({"name": data.name} | kept | {"shards_of": str(data)}))
    return manifest


class _Writer:
    """The tar being filled."""

    def __init__(self, manifest: Manifest, images: int) -> None:
        self.manifest, self.images = manifest, images
        self.tar: tarfile.TarFile | None = None

    def add(self, part: str, number: int, name: str, content: bytes) -> None:
        if number % self.images == 0:
            self.close()
            shard = self.manifest.root / part / f"{number // self.images:05}.tar"
            shard.parent.mkdir(exist_ok=True)
            self.tar = tarfile.open(shard, "w", format=tarfile.PAX_FORMAT)  # noqa: SIM115, closed with the shard
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o644
        assert self.tar is not None
        self.tar.addfile(entry, io.BytesIO(content))
        self.manifest.add(f"{part}/{name}", content, folder=part)

    def close(self) -> None:
        if self.tar is not None:
            self.tar.close()
        self.tar = None
