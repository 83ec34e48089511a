"""A data set of many small files packed into a few tars that train exactly as it does."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from unpaired.core.errors import BadInput
from unpaired.core.progress import progress
from unpaired.data.folders import domain_files, has_domain, own_name
from unpaired.data.manifest import Manifest, new_dataset, read_manifest
from unpaired.data.sources import read_bytes

PARTS = ("trainA", "trainB", "testA", "testB", "pairsA", "pairsB", "masksA", "masksB")
MAX_IMAGE = 2 * 1024**3


def prepare_shards(out: Path, data: Path, images: int = 1000) -> Manifest:
    """Pack every part of a data set into `PART/00000.tar`, `PART/00001.tar`, ...: the same bytes in the same order.

    Names in a shard are those of the files, so that the order of training, and with it every number of a run, stays.

    `data` may have folders, lists or archives; a shard holds `images` of them.

    Raises:
        BadInput: nothing to pack.
    """
    if images < 1:
        raise BadInput(f"prepare shards: --images must be at least 1, got {images}")
    parts = [part for part in PARTS if has_domain(data, part)]
    if not {"trainA", "trainB"} <= set(parts):
        raise BadInput(f"{data}: expected a data set with trainA and trainB, found {', '.join(parts) or 'neither'}")
    files = {part: domain_files(data, part) for part in parts}
    facts = read_manifest(data)
    with new_dataset(out) as manifest, progress("packing images", sum(map(len, files.values()))) as advance:
        for part in parts:
            for first in range(0, len(files[part]), images):
                shard = manifest.root / part / f"{first // images:05}.tar"
                shard.parent.mkdir(exist_ok=True)
                with tarfile.open(shard, "w", format=tarfile.PAX_FORMAT) as tar:
                    for path in files[part][first : first + images]:
                        name, content = own_name(path, data, part), read_bytes(path, MAX_IMAGE)
                        entry = tarfile.TarInfo(name)
                        entry.size, entry.mode = len(content), 0o644
                        tar.addfile(entry, io.BytesIO(content))
                        manifest.add(f"{part}/{name}", content)
                        advance()
        kept = {key: value for key, value in facts.items() if key not in ("format", "counts", "sha256")}
        manifest.describe(**({"name": data.name} | kept | {"shards_of": str(data)}))
    return manifest
