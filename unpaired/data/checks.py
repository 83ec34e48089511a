"""The checks of `unpaired check`: every file that training would refuse is named before the first step.

Four folders are read: trainA, trainB and, where they exist, testA and testB; and the masks of the first two. Files are
decoded one by one in a few threads; of each only a few numbers are kept, so memory does not grow with the data set.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from unpaired.config import DataConfig
from unpaired.core.errors import BadInput, counted, shown, some_of
from unpaired.core.progress import progress
from unpaired.data.diagnosis import Diagnosis, Finding, Folder, Severity, Size
from unpaired.data.folders import READERS, has_domain, images_of, within
from unpaired.data.looks import Look, Seen, Verdict, read_look
from unpaired.data.masks import GRAY_OR_RGB, MASKS, masks_for
from unpaired.data.ranges import SIDES, clipped_share, domain_of, found_range, is_outlier
from unpaired.data.sources import ARCHIVES, ImageFile
from unpaired.data.sources.folder import left_out, other_names
from unpaired.data.sources.hub import is_remote
from unpaired.data.transforms import crops, fitted_size
from unpaired.imaging.images import with_channels
from unpaired.imaging.pixels import DecodedImage
from unpaired.imaging.values import ValueRange, natural_range, range_for, read_mask, with_bands

Item = tuple[ImageFile, str]
Fault = tuple[ImageFile, str, str, Severity]
"""A `Finding` about a file or folder that is not yet named by its place in the data set."""
TRAIN, TEST = ("trainA", "trainB"), ("testA", "testB")
NEARLY_CONSTANT = 1 / 255
"""Standard deviation, full scale being 1, under which an image counts as blank; see `spread`."""
FEWEST = 50
"""Training images of a domain below which a warning says that discriminators memorize them; the paper's sets start at
400."""
IMBALANCE = 10
"""Ratio of the numbers of training images above which a warning is given."""
NAMES_SHOWN = 10
"""Ignored files named in a note for people; JSON has them all."""


def examine(
    root: Path,
    smallest: int = 16,
    cfg: DataConfig | None = None,
    streamed: bool = True,
    seen: Seen = lambda name, path, pixels: None,
) -> Diagnosis:
    """Read every image of a data set and report what is wrong with it.

    Args:
        root: The folder that holds trainA, trainB and, if there are any, testA, testB, masksA and masksB.
        smallest: An image with a shorter side, in pixels, is refused.
        cfg: Settings of a training; images to train with that do not fit them are refused too, and masks are looked
            at only where it asks for them.
        streamed: Whether images on the hub are fetched and read, too.
        seen: Called with each image that can be read, in several threads at once.

    Raises:
        BadInput: `root` is not a folder. All else is a finding.
    """
    if not (root.is_dir() or is_remote(root)):
        raise BadInput(f"{shown(root)}: expected a folder that holds trainA and trainB, found none")
    settings = cfg or DataConfig()
    names = [name for name in TRAIN + TEST if name in TRAIN or has_domain(root, name)]
    masked = [name for name in TRAIN if (cfg.masks if cfg else has_domain(root, MASKS[name]))]
    parts = {name: images_of(root, name, settings.pages) for name in (*names, *(MASKS[name] for name in masked))}
    paths = {name: list(files if streamed else files.local()) for name, files in parts.items()}
    every = {path: name for name, files in paths.items() for path in files}
    found = _in_threads(lambda each: read_look(*each, smallest, seen, settings.nodata), list(every.items()))
    looks = dict(zip(every, found, strict=True))

    good = {name: [look for p in paths[name] if isinstance(look := looks[p], Look)] for name in paths}
    bad = ((p, look) for name in names for p in paths[name] if not isinstance(look := looks[p], Look))
    faults: list[Fault] = [(path, *look, "refused") for path, look in bad]
    ranges, range_notes = _ranges(good, settings)
    for name in masked:
        faults += _masks(root, name, paths, looks)
    for name in names:
        faults += [*_odd_values(good[name], ranges.get(name[-1])), *_odd_kinds(name, good[name])]
    for train, test in zip(TRAIN, TEST, strict=True):
        faults += _duplicates(root, good[train], good.get(test, []))
    faults += [*_missing(root, paths, (*TRAIN, *(MASKS[name] for name in masked))), *_unbalanced(root, good)]
    faults += _unfit(good, _refused(faults), cfg) if cfg else []
    sizes = _sizes(good, _refused(faults))
    notes = [*range_notes, *_unused_pages(good), *_empty_masks(masked, paths, looks), *_mixed_sizes(sizes, cfg)]
    folders = {name: _folder(root / name, good[name]) for name in paths}
    notes += [*_gray(good, settings), *_notes(folders)]
    findings = (Finding(within(fault[0], root).as_posix(), *fault[1:]) for fault in faults)
    order = sorted(findings, key=lambda f: (f.severity, f.path, f.reason))
    texts = {side: str(values) for side, values in ranges.items()}
    return Diagnosis(root, folders, tuple(order), tuple(notes), texts, sizes)


def _refused(faults: list[Fault]) -> set[ImageFile]:
    return {path for path, _, _, severity in faults if severity == "refused"}


def _gray(good: dict[str, list[Look]], cfg: DataConfig) -> Iterator[str]:
    """A note for a domain of gray images that would be read as three equal channels."""
    for name, side in zip(TRAIN, SIDES, strict=True):
        if good[name] and domain_of(cfg, side).channels == 3 and all(look.shape[2] == 1 for look in good[name]):
            flag = f"--data.channels-{side.lower()} 1"
            yield f"{name}: every image has 1 channel and is read as 3 equal ones; train with {flag} to keep 1"


def _odd_values(looks: list[Look], values: ValueRange | None) -> Iterator[Fault]:
    """Images without contrast between their domain's black and white, or with values far from those of the others."""
    every = [look.values for look in looks]
    for look in looks:
        here = range_for(values, np.dtype(look.dtype))
        deviation = look.deviation / (here.white - here.black)
        if deviation < NEARLY_CONSTANT:
            what = "blank" if deviation == 0 else f"nearly constant (values spread by {deviation:.2%} of the range)"
            yield look.path, "blank", f"{what}; normalisation amplifies its noise", "warning"
        if is_outlier(look.values, every) and (look.values.low < here.black or look.values.high > here.white):
            words = f"values from {look.values.low:g} to {look.values.high:g}, far from those of the other files"
            message = f"{words}; clipped to {here.black:g} to {here.white:g}; scale or remove it"
            yield look.path, "range", message, "warning"


def _ranges(good: dict[str, list[Look]], cfg: DataConfig) -> tuple[dict[str, ValueRange], list[str]]:
    """Black and white of each domain if they are not the full scale of the files' type, and a note for each."""
    found: dict[str, ValueRange] = {}
    notes: list[str] = []
    for name, side in zip(TRAIN, SIDES, strict=True):
        images = [look.values for look in good[name]]
        values = domain_of(cfg, side).values or found_range(images, cfg.range)
        if values is not None:
            found[side] = values
            notes.append(f"{name}: {values.black:g} is black and {values.white:g} white (data.range {cfg.range})")
        types = {look.dtype for look in good[name]}
        if values is not None and types == {"uint8"}:
            here = range_for(values, np.dtype(np.uint8))
            counted = f"{here.black:g} is black, {here.white:g} white"
            notes.append(f"{name}: all files have 8 bits, of which {counted}, by data.range-{side.lower()}")
        deep = Counter(look.dtype for look in good[name] if look.dtype != "uint8")
        if values is not None and len(deep) > 1:
            kinds = ", ".join(f"{count} of {dtype}" for dtype, count in deep.most_common())
            notes.append(f"{name}: files of several types ({kinds}) count in one unit; convert them if they are not")
        share = clipped_share(images, range_for(values, np.dtype(types.pop()))) if len(types) == 1 else 0
        if share > 0:
            notes.append(f"{name}: {share:.2%} of the values are darker than black or lighter than white and clipped")
    types = {side: {look.dtype for look in good[name]} for name, side in zip(TRAIN, SIDES, strict=True)}
    if found and all(types.values()) and types["A"] != types["B"]:
        # a translation then has the type of the other domain's files, not that of its input
        for side, (first, *others) in types.items():
            if side not in found and not others:
                found[side] = natural_range(np.dtype(first))
    return found, notes


def _odd_kinds(name: str, looks: list[Look]) -> Iterator[Fault]:
    """Images whose channels or depth differ from most of their folder; refused if they cannot be converted."""
    if not looks:
        return
    usual = Counter(look.kind for look in looks).most_common(1)[0][0]
    channels = next(look.shape[2] for look in looks if look.kind == usual)
    for look in looks:
        if look.kind == usual:
            continue
        message = f"{look.kind}, where most of {name} is {usual}"
        try:
            with_channels(np.zeros((1, 1, look.shape[2]), np.uint8), channels)
        except BadInput:
            yield look.path, "channels", f"{message}; convert or remove it", "refused"
        else:
            yield look.path, "odd-mode", message, "warning"


def _unfit(good: dict[str, list[Look]], refused: set[ImageFile], cfg: DataConfig) -> Iterator[Fault]:
    """Training images that the settings of the training refuse, unless refused already."""
    for name, channels in zip(TRAIN, (cfg.channels_a, cfg.channels_b), strict=True):
        for look in good[name]:
            height, width, have = look.shape
            pixel = np.zeros((1, 1, have), np.uint8)
            try:
                with_bands(DecodedImage(pixel, pixel[..., :1] if look.alpha else None), channels)
                fitted_size(width, height, cfg)
            except BadInput as error:
                if look.path not in refused:
                    yield look.path, "settings", str(error), "refused"


def _duplicates(root: Path, train: list[Look], test: list[Look]) -> Iterator[Fault]:
    """Test images that are training images too: the same pixels, whatever the file's name or format."""
    seen = {(look.shape, look.dtype, look.digest): look.path for look in train}
    for look in test:
        if twin := seen.get((look.shape, look.dtype, look.digest)):
            words = f"the same pixels as {shown(within(twin, root))}; scores would be too favourable"
            yield look.path, "duplicate", words, "warning"


def _masks(
    root: Path, name: str, paths: dict[str, list[ImageFile]], looks: dict[ImageFile, Verdict]
) -> Iterator[Fault]:
    """Images whose mask is missing, cannot be used or has another size."""
    masks = paths[MASKS[name]]
    for path, mask in zip(paths[name], masks_for(paths[name], masks, root, name), strict=True):
        image = looks[path]
        if masks and isinstance(image, Look) and (fault := _mask_fault(root, name, image, mask, looks)):
            yield path, "mask", fault, "refused"


def _mask_fault(root: Path, name: str, image: Look, mask: ImageFile | None, looks: dict[ImageFile, Verdict]) -> str:
    if mask is None:
        return f"no mask of its name in {MASKS[name]}"
    look, words = looks[mask], f"its mask {shown(within(mask, root))}"
    if not isinstance(look, Look):
        return f"{words}: {look[1]}"
    if look.shape[2] not in GRAY_OR_RGB:
        return f"{words} has {look.shape[2]} channels; a mask is gray or RGB"
    (height, width), (h, w) = image.shape[:2], look.shape[:2]
    return f"{words} is {w}x{h}, the image {width}x{height}" if (h, w) != (height, width) else ""


def _empty_masks(
    masked: Sequence[str], paths: dict[str, list[ImageFile]], looks: dict[ImageFile, Verdict]
) -> Iterator[str]:
    """A line for each folder of masks some of which select no pixel."""
    for name in masked:
        masks = [path for path in paths[MASKS[name]] if isinstance(looks[path], Look)]
        empty = [path.name for path in masks if not read_mask(path).any()]
        if empty:
            words = f"{len(empty)} of {len(masks)} masks select nothing (0 everywhere)"
            yield f"{MASKS[name]}: {words}: {some_of(empty, NAMES_SHOWN)}"


def _unused_pages(good: dict[str, list[Look]]) -> Iterator[str]:
    """A line for each folder with files of several pages, of which the first is read."""
    for name, looks in good.items():
        stacks = [look for look in looks if look.pages > 1]
        if stacks:
            pages = sum(look.pages - 1 for look in stacks)
            named = some_of([look.path.name for look in stacks], NAMES_SHOWN)
            words = f"{pages} pages or frames of {counted(len(stacks), 'file')} are not used (data.pages first)"
            yield f"{name}: {words}: {named}"


def _sizes(good: dict[str, list[Look]], refused: set[ImageFile]) -> dict[str, dict[Size, ImageFile]]:
    sizes: dict[str, dict[Size, ImageFile]] = {name: {} for name in TRAIN}
    for name, found in sizes.items():
        for look in good[name]:
            if look.path not in refused:
                found.setdefault((look.shape[1], look.shape[0]), look.path)
    return sizes


def _mixed_sizes(sizes: dict[str, dict[Size, ImageFile]], cfg: DataConfig | None) -> Iterator[str]:
    """A line for each folder with images of several sizes, where no crop is known to make them equal."""
    for name, found in sizes.items():
        if len(found) > 1 and not (cfg and (crops(cfg) or cfg.batch == 1)):
            few = ", ".join(f"{shown(file.name)} {width}x{height}" for (width, height), file in [*found.items()][:3])
            words = "a data.preprocess that ends in crop takes them all, without a crop data.batch must be 1"
            yield f"{name}: images of {len(found)} sizes ({few}); {words}"


def _missing(root: Path, paths: dict[str, list[ImageFile]], needed: Sequence[str]) -> Iterator[Fault]:
    for name in needed:
        if not paths[name]:
            entries = sorted(entry.name for entry in root.iterdir()) if root.is_dir() else []
            found = some_of(entries, NAMES_SHOWN) or "nothing"
            state = "holds no images" if (root / name).is_dir() else f"no such folder (found {found})"
            yield root / name, "folder", f"{state}; `unpaired prepare folders` makes one", "refused"


def _unbalanced(root: Path, good: dict[str, list[Look]]) -> Iterator[Fault]:
    counts = {name: len(good[name]) for name in TRAIN}
    for name, count in counts.items():
        if 0 < count < FEWEST:
            advice = f"with fewer than {FEWEST} the discriminator will memorize them"
            yield root / name, "few", f"{counted(count, 'image')} to train with; {advice}", "warning"
    small, large = sorted(counts, key=lambda name: counts[name])
    if counts[small] and counts[large] > IMBALANCE * counts[small]:
        words = f"{counts[large]} images to {counts[small]} in {small}, over {IMBALANCE} to 1"
        yield root / large, "imbalance", words, "warning"


def _folder(folder: Path, looks: list[Look]) -> Folder:
    hidden = (path.relative_to(folder).as_posix() for path in folder.rglob(".*") if path.is_file())
    ignored = sorted([*other_names(folder, ARCHIVES), *hidden]) if folder.is_dir() else []
    kinds = dict(Counter(look.kind for look in looks).most_common())
    widths, heights = _three([look.shape[1] for look in looks]), _three([look.shape[0] for look in looks])
    return Folder(len(looks), widths, heights, kinds, tuple(ignored))


def _notes(folders: dict[str, Folder]) -> Iterator[str]:
    for name, folder in folders.items():
        if folder.ignored:
            yield f"{name}: {left_out(folder.ignored)}"
    if absent := [name for name in TEST if name not in folders]:
        yield f"{' and '.join(absent)} not there: `unpaired evaluate` will need them"


def _in_threads(work: Callable[[Item], Verdict], items: Sequence[Item]) -> Iterator[Verdict]:
    """work(item) for each item, in order, with progress; what has not begun is dropped when the caller stops."""
    pool = ThreadPoolExecutor(READERS)
    try:
        with progress("check", len(items)) as advance:
            for result in pool.map(work, items):
                yield result
                advance()
    finally:
        pool.shutdown(cancel_futures=True)


def _three(sides: list[int]) -> tuple[float, ...]:
    return (min(sides), statistics.median(sides), max(sides)) if sides else ()
