"""`prepare folders`: split two folders of the user's own into training and test images.

Files are copied byte for byte. Files of identical content, in A or in B, go to the same side of the split, and so do
the images of one group (patient, video, scene): sub-folders, or what a pattern finds in the names.
"""

from __future__ import annotations

import hashlib
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Literal

from unpaired.core.errors import BadInput
from unpaired.core.files import file_sha256
from unpaired.core.progress import track
from unpaired.data.manifest import Manifest, new_dataset
from unpaired.data.masks import GRAY_OR_RGB, by_name
from unpaired.data.sources import RECORDS, RecordArchive, StoredImage, read_bytes
from unpaired.data.sources.folder import image_files, image_names, left_out, names_with, other_names
from unpaired.imaging.images import read_image
from unpaired.imaging.kinds import FORMATS, suffix_of, suffix_of_name, without_suffix
from unpaired.imaging.pixels import BYTES_PER_PIXEL, MAX_PIXELS

FEWEST_GROUPS = 5
"""Sub-folders, or beginnings of names, from which they are taken for groups."""
GROUPED = re.compile(r"^(.*\d)[-_ ./].*\d")
"""Names such as patient03_slice12: a numbered beginning and a numbered end."""
LEAST = 2
"""Images a side needs: one to train on, one to test on."""


@dataclass(frozen=True)
class Source:
    """One image of the user's: its side ("A" or "B"), its place, its name inside the folder, its content."""

    side: str
    path: Path
    name: str
    sha256: str
    size: tuple[int, int]
    """Height and width in pixels."""
    patient: str = ""
    """By the header of a DICOM file."""

    @property
    def stem(self) -> str:
        """The name without its suffix, by which paired images find each other."""
        return without_suffix(PurePosixPath(self.name)).as_posix()


Group = list[Source]
"""Images that must stay together."""


def prepare_folders(
    out: Path,
    a: Path,
    b: Path,
    test_share: float = 0.1,
    seed: int = 0,
    paired: bool = False,
    masks: tuple[Path | None, Path | None] = (None, None),
    on_bad_image: Literal["fail", "skip"] = "fail",
    group: str = "",
    names: tuple[str, str] = ("", ""),
) -> Manifest:
    """Copy the images of `a` and `b` to trainA, trainB, testA, testB, keeping subfolders and names.

    Masks go to masksA and masksB under their image's name, those of test images too: `translate --mask` takes them.

    Args:
        out: Folder to make; it must not hold another data set.
        a: Folder of domain A, searched recursively.
        b: Folder of domain B.
        test_share: Share of each side's images for the test set, between 0 and 1; at least one goes there.
        seed: Another number, another split; the split depends on it and the files' content alone.
        paired: Images of A and B of one name (suffixes aside) stay together, and the test set is marked as aligned.
        masks: Folders of the masks of A and B, white where an image is translated: one for each image, of its name
            and size.
        on_bad_image: For images that cannot be read: name all and fail, or name and leave them out.
        group: Regular expression; images for whose name (path inside the folder) it finds the same text, or the same
            first group, stay together. Unless given, DICOM patients are groups, else five or more sub-folders;
            `none` makes none.
        names: Names of domains A and B, for reports; the folders' names unless given.

    Raises:
        BadInput: a folder missing, too empty, or containing the other; images that cannot be read, or have no
            partner or mask (all of them named at once, before anything is written); nothing left to split.
    """
    if not 0 < test_share < 1:
        raise BadInput(f"prepare folders: --test-share must lie between 0 and 1, got {test_share}")
    _check_apart(out, {"--a": a, "--b": b, "--mask-a": masks[0], "--mask-b": masks[1]})
    with ExitStack() as held:
        folders = [(side, held.enter_context(unpacked(folder))) for side, folder in (("A", a), ("B", b))]
        paths = [(side, folder, path) for side, folder in folders for path in _images(side, folder)]
        sources = _read_all(paths, on_bad_image)
        group_of = _grouping(sources, group)
        if paired:
            _check_partners(sources)
        mask_of = {**_masks(sources, "A", masks[0]), **_masks(sources, "B", masks[1])}
        test = _choose_test(_groups(sources, paired, group_of), test_share, seed)
        rule = {"split": "by content and seed", "test_share": test_share, "seed": seed, "paired": paired}
        rule |= {"groups": len(set(group_of.values()))}
        with new_dataset(out) as manifest:
            for source in track(sources, "copying images"):
                part = "test" if source in test else "train"
                manifest.write(f"{part}{source.side}/{source.name}", source.path.read_bytes())
                if mask := mask_of.get(source):
                    manifest.write(f"masks{source.side}/{source.stem}{suffix_of_name(mask)}", mask.read_bytes())
            manifest.describe(
                name=f"{a.resolve().name} and {b.resolve().name}",
                domains={"A": names[0] or a.resolve().name, "B": names[1] or b.resolve().name},
                aligned=paired,
                source={"A": str(a), "B": str(b)},
                rule=rule,
                groups={f"test{s.side}/{s.name}": group_of[s] for s in sources if s in test and s in group_of},
            )
    return manifest


@contextmanager
def unpacked(folder: Path) -> Iterator[Path]:
    """The folder itself; where it holds TFRecord files and nothing else, a temporary folder with their images."""
    records = [folder / name for name in names_with(folder, RECORDS)] if folder.is_dir() else []
    if not records:
        yield folder
        return
    if image_names(folder):
        raise BadInput(f"prepare folders: {folder} holds images and TFRecord files; choose a folder of one kind")
    with TemporaryDirectory(prefix="unpaired-") as place:
        images = [StoredImage(each, name) for each in map(RecordArchive, records) for name in each.names()]
        for number, image in enumerate(track(images, f"reading {folder.name}")):
            data = read_bytes(image, MAX_PIXELS * BYTES_PER_PIXEL)
            (Path(place) / f"{number:08}{suffix_of(data)}").write_bytes(data)
        yield Path(place)


def _check_apart(out: Path, sources: dict[str, Path | None]) -> None:
    """Refuse a folder inside another: an image would be in both domains, or the result among its own sources."""
    places = {option: place.resolve() for option, place in sources.items() if place} | {"the data set": out.resolve()}
    for inner, place in places.items():
        for outer, other in places.items():
            if inner != outer and outer != "the data set" and place.is_relative_to(other):
                raise BadInput(f"prepare folders: {inner} ({place}) lies in {outer} ({other}); choose separate folders")


def _images(side: str, folder: Path) -> list[Path]:
    option = f"prepare folders: --{side.lower()} {folder}"
    if not folder.is_dir():
        found = "a file" if folder.exists() else "nothing of that name"
        raise BadInput(f"{option}: expected a folder of images, found {found}; correct the path")
    paths = image_files(folder)
    if len(paths) < LEAST:
        found = f"only {paths[0].name}" if paths else "none"
        needed = f"at least {LEAST} images ({', '.join(FORMATS)}), one to train on and one to test on"
        raise BadInput(f"{option}: expected {needed}, found {found}; add images or choose another folder")
    if line := left_out(other_names(folder)):
        print(f"--{side.lower()} {folder}: {line}", file=sys.stderr)
    return paths


def _read_all(paths: list[tuple[str, Path, Path]], on_bad_image: str) -> list[Source]:
    """Decode every image once, which finds those that cannot be read, and hash it."""
    sources, refused = [], []
    for side, folder, path in track(paths, "reading images"):
        try:
            decoded = read_image(path)
        except BadInput as error:
            refused.append(" ".join(str(error).split()))
        else:
            name = path.relative_to(folder).as_posix()
            origin, (height, width, _) = decoded.about.origin, decoded.pixels.shape
            patient = origin.patient if origin else ""
            sources.append(Source(side, path, name, file_sha256(path), (height, width), patient))
    words = f"{len(refused)} of {len(paths)} images cannot be used: {'; '.join(refused)}"
    have = Counter(source.side for source in sources)
    if refused and on_bad_image == "fail":
        raise BadInput(f"prepare folders: {words}; replace or remove them, or leave them out: --on-bad-image skip")
    if refused and (side := min("AB", key=lambda each: have[each])) and have[side] < LEAST:
        left = f"{have[side]} of --{side.lower()} left, expected at least {LEAST}"
        raise BadInput(f"prepare folders: {words}; {left}: replace them")
    if refused:
        print(f"left out: {words}", file=sys.stderr)
    return sources


def _grouping(sources: list[Source], pattern: str) -> dict[Source, str]:
    """The group of each image that has one; prints a line where names look grouped and are not."""
    if pattern == "none":
        return {}
    if pattern:
        try:
            found = {source: re.search(pattern, source.name) for source in sources}
        except re.error as error:
            raise BadInput(f"prepare folders: --group {pattern}: not a regular expression ({error})") from error
        groups = {source: match[1] if match.re.groups else match[0] for source, match in found.items() if match}
        if not groups:
            raise BadInput(f"prepare folders: --group {pattern}: found in no name, such as {sources[0].name}")
        return groups
    folders = {source: source.name.rpartition("/")[0] for source in sources}
    if any(source.patient for source in sources):
        return _by_patient(sources, folders)
    by_side = {side: {folder for source, folder in folders.items() if source.side == side} for side in "AB"}
    if max(map(len, by_side.values())) >= FEWEST_GROUPS:
        return {source: folder for source, folder in folders.items() if folder}
    _warn_of_groups(sources)
    return {}


def _by_patient(sources: list[Source], folders: dict[Source, str]) -> dict[Source, str]:
    """The patient of each file; a file that names none belongs to that of its sub-folder, or to the sub-folder."""
    groups = {source: f"patient {source.patient.strip().casefold()}" for source in sources if source.patient.strip()}
    of_folder = {folders[source]: group for source, group in groups.items() if folders[source]}
    unknown = [source for source in sources if source not in groups]
    groups |= {source: of_folder.get(folders[source], folders[source]) for source in unknown if folders[source]}
    if alone := [source for source in unknown if source not in groups]:
        words = f"{len(alone)} of {len(sources)} files name no patient and stand in no sub-folder, as {alone[0].name}"
        print(f"warning: {words}; keep those of a patient together with --group", file=sys.stderr)
    return groups


def _warn_of_groups(sources: list[Source]) -> None:
    """Print a line where names have common beginnings, as in patient03_slice12."""
    for side in "AB":
        stems = [source.stem for source in sources if source.side == side]
        heads = Counter(match[1] for stem in stems if (match := GROUPED.match(stem)))
        if len(heads) >= FEWEST_GROUPS and heads.total() == len(stems) and len(stems) >= 2 * len(heads):
            examples = ", ".join(sorted(heads)[:3])
            words = "images of one patient, video or scene may be on both sides of the split; keep them together with"
            hint = f"{words} --group '{GROUPED.pattern}', or say --group none"
            print(f"warning: names of {side} look grouped ({examples}, ...): {hint}", file=sys.stderr)


def _check_partners(sources: list[Source]) -> None:
    times = Counter((source.side, source.stem) for source in sources)
    alone = [str(source.path) for source in sources if any(times[side, source.stem] != 1 for side in "AB")]
    if alone:
        wanted = "--paired expects every image of A to have one partner of the same name in B (suffixes may differ)"
        found = f"found without: {'; '.join(alone)}; rename or remove them, or leave out --paired"
        raise BadInput(f"prepare folders: {wanted}, {found}")


def _masks(sources: list[Source], side: str, folder: Path | None) -> dict[Source, Path]:
    """The mask of each image of a side, from a folder of masks if there is one."""
    if folder is None:
        return {}
    option = f"prepare folders: --mask-{side.lower()} {folder}"
    if not folder.is_dir():
        raise BadInput(f"{option}: expected a folder of masks, found none of that name; correct the path")
    mine = [source for source in sources if source.side == side]
    there = {name: folder / name for name in image_names(folder)}
    masks = dict(zip(mine, by_name([source.name for source in mine], there), strict=True))
    faults = [fault for source in track(mine, "reading masks") if (fault := _mask_fault(source, masks[source]))]
    if faults:
        wanted = f"expected a mask of each image of {side}, of its name (suffixes may differ) and size"
        raise BadInput(f"{option}: {wanted}; {len(faults)} are missing or cannot be used: {'; '.join(faults)}")
    return {source: mask for source, mask in masks.items() if mask}


def _mask_fault(source: Source, mask: Path | None) -> str:
    if mask is None:
        return f"none for {source.path}"
    try:
        height, width, channels = read_image(mask).pixels.shape
    except BadInput as error:
        return " ".join(str(error).split())
    if channels not in GRAY_OR_RGB:
        return f"{mask} has {channels} channels"
    size = source.size
    return f"{mask} is {width}x{height}, its image {size[1]}x{size[0]}" if (height, width) != size else ""


def _groups(sources: list[Source], paired: bool, group_of: dict[Source, str]) -> list[Group]:
    """Images joined by equal content, by group and, where paired, by name; chains of such links make one group."""
    joined_to: dict[str, str] = {}

    def first(key: str) -> str:
        while (other := joined_to.setdefault(key, key)) != key:
            key = joined_to[key] = joined_to[other]
        return key

    if paired:
        for source in sources:
            joined_to[first(source.sha256)] = first(f"name {source.stem}")
    for source, name in group_of.items():
        joined_to[first(source.sha256)] = first(f"group {name}")
    groups: defaultdict[str, Group] = defaultdict(list)
    for source in sources:
        groups[first(source.sha256)].append(source)
    return list(groups.values())


def _choose_test(groups: list[Group], test_share: float, seed: int) -> set[Source]:
    """Draw groups in the order of their hashes until either side has its share, leaving each something to train on."""
    have = Counter(source.side for group in groups for source in group)
    want = {side: max(1, round(test_share * n)) for side, n in have.items()}
    test: set[Source] = set()
    taken: Counter[str] = Counter()
    for group in sorted(groups, key=lambda group: _draw(group, seed)):
        size = Counter(source.side for source in group)
        if any(taken[side] < want[side] for side in size) and all(taken[s] + n < have[s] for s, n in size.items()):
            taken += size
            test.update(group)
    if short := next((side for side in have if not taken[side]), None):
        words = "cannot be split into train and test without sharing identical ones, or ones of a group"
        images = f"the {have[short]} images of {short}"
        raise BadInput(f"prepare folders: {images} {words}; add images that differ, or change --group")
    return test


def _draw(group: Group, seed: int) -> bytes:
    """A pseudo-random number that depends on the seed and the content alone."""
    content = sorted({source.sha256 for source in group})
    return hashlib.sha256(f"{seed} {' '.join(content)}".encode()).digest()
