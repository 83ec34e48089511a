"""`translate`: files in, files out, every one under its own name and at its own size.

Files are read ahead and written behind in threads while the network works, so that it hardly ever waits.
"""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from unpaired.core.errors import BadInput, naming
from unpaired.core.progress import Advance, progress
from unpaired.data.sources.folder import image_files, left_out, other_names
from unpaired.imaging.codecs import SUFFIXES, header_size, suffix_of
from unpaired.imaging.images import (
    Array,
    DecodedImage,
    encode_image,
    read_image,
    write_image,
)
from unpaired.imaging.metadata import Metadata
from unpaired.inference.masks import blended, mask_files, read_mask, weights
from unpaired.inference.outcome import Outcome, require_whole, write_report
from unpaired.inference.pages import require_one_page
from unpaired.inference.translator import Translator

STREAM = "-"
"""Standard input and output."""
THREADS = 2
"""That read, and as many that write."""
AHEAD = 4
"""Images read, or waiting to be written, beyond those of a batch."""
LARGE = 2048 * 2048
"""Images of more pixels are translated in tiles without being asked: whole, a pixel takes about 1 KB at width 64."""
TILE = 512
"""Side of a tile in pixels, unless another is asked for."""
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .gif .ogv .wmv .flv .3gp .mxf".split())
"""Names of videos; what is inside, FFmpeg tells."""
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Job:
    """One file to translate."""

    source: Path
    target: Path
    mask: Path | None = None


@dataclass(frozen=True)
class Options:
    """How files are translated."""

    batch: int = 1
    """Images of one size that go through the network together."""
    mask: Path | None = None
    """An image, or a folder of images by the images' names: only what is light in it is translated."""
    feather: int = 0
    """Pixels inside the mask's edge over which the translation fades in."""
    tile: int | None = None
    """Side of tiles in pixels; unless given, images of more than `LARGE` pixels are tiled by themselves."""
    statistics: Literal["exact", "sampled"] = "exact"
    """What the tiles share: the statistics of the whole image, or those of parts spread over it."""
    smooth: float = 0.0
    """Of a video: decay of the InstanceNorm statistics from frame to frame."""
    report: Path | None = None
    """File for a line of JSON for each file: what was written of it, or why nothing was."""

    def __post_init__(self) -> None:
        if self.batch < 1 or self.feather < 0:
            raise BadInput(f"batch must be at least 1 and feather at least 0, got {self.batch} and {self.feather}")


def translate_files(translator: Translator, source: str, out: Path | str, options: Options = Options()) -> list[Path]:
    """Translate an image, a folder (its tree kept), a glob, a video or standard input; returns what was written.

    One image goes to `out` itself when that ends in an image suffix, otherwise into the folder `out`. Every file is
    tried; those that cannot be translated are named together at the end. What files say beside their pixels goes
    along; where the new format cannot hold it, a line tells so.

    Raises:
        BadInput: nothing to translate, or some files could not be; the others are written.
    """
    if STREAM in (source, str(out)):
        return _translate_stream(translator, source, str(out), options)
    out = Path(out)
    if is_video(Path(source)):
        return _translate_video(translator, Path(source), out, options)
    jobs = jobs_of(source, out, options.mask)
    print(translator.describe(), file=sys.stderr, flush=True)
    if Path(source).is_dir() and (line := left_out(other_names(Path(source)))):
        print(f"{source}: {line}", file=sys.stderr)
    work = _Work(translator, options)
    if len(jobs) == 1 and work.is_huge(jobs[0]):
        bad = [failed for failed in [work.huge(jobs[0], quiet=False)] if failed]
    else:
        with progress(f"translating {translator.direction}", len(jobs)) as advance:
            bad = work.run(jobs, advance)
    for (words, suffix), times in work.lost.items():
        files = "1 file" if times == 1 else f"{times} files"
        print(f"{files}: not taken along into {suffix}: {words}", file=sys.stderr)
    why = {failed.job: failed.why for failed in bad}
    outcomes = [outcome_of(job, why.get(job)) for job in jobs]
    if options.report is not None:
        write_report(outcomes, options.report)
    require_whole(outcomes)
    print(f"{len(jobs)} written to {out}", file=sys.stderr)
    return [job.target for job in jobs]


def outcome_of(job: Job, error: str | None) -> Outcome:
    """What became of one file."""
    return Outcome(str(job.source), None if error else str(job.target), error)


@dataclass(frozen=True)
class _Read:
    """An image on its way into the network."""

    job: Job
    decoded: DecodedImage
    array: Array


@dataclass(frozen=True)
class _Huge:
    """An image to be translated in tiles."""

    job: Job


@dataclass(frozen=True)
class _Translated:
    """An image on its way out of it."""

    read: _Read
    image: Array


@dataclass(frozen=True)
class _Failed:
    """A file that cannot be translated."""

    job: Job
    why: str


class _Work:
    """Reading, translating and writing of many files at once."""

    def __init__(self, translator: Translator, options: Options) -> None:
        self.translator, self.options = translator, options
        self.lost: Counter[tuple[str, str]] = Counter()
        """Files by what they lost to which format."""

    def run(self, jobs: list[Job], advance: Advance) -> list[_Failed]:
        """Carry out every job; returns those that failed, in order."""
        ahead = AHEAD + self.options.batch
        failed = []
        with ThreadPoolExecutor(THREADS) as readers, ThreadPoolExecutor(THREADS) as writers:
            try:
                translated = self._translated(in_order(readers, self._read, jobs, ahead))
                for failure in in_order(writers, self._write, translated, ahead):
                    failed += [failure] if failure else []
                    advance()
            finally:
                readers.shutdown(cancel_futures=True)
                writers.shutdown(cancel_futures=True)
        return failed

    def is_huge(self, job: Job) -> bool:
        """Whether a file is to be translated in tiles: on request, or large and the network at hand to take apart."""
        height, width = header_size(job.source)
        if self.options.tile:
            return height * width > 0
        return height * width > LARGE and self.translator.bundle is not None

    def huge(self, job: Job, quiet: bool = True) -> _Failed | None:
        """Translate one file in tiles."""
        from unpaired.inference.huge import translate_huge

        options = self.options
        try:
            require_one_page(job.source)
            self._require_mask(job)
            about = translate_huge(
                self.translator,
                job.source,
                job.target,
                tile=options.tile or TILE,
                statistics=options.statistics,
                mask=job.mask,
                feather=options.feather,
                quiet=quiet,
            )
        except BadInput as error:
            return _failed(job, error)
        self._note(about, job)
        return None

    def _read(self, job: Job) -> _Read | _Huge | _Failed:
        try:
            require_one_page(job.source)
            if self.is_huge(job):
                return _Huge(job)
            decoded = read_image(job.source)
            return _Read(job, decoded, self.translator.prepare(decoded))
        except BadInput as error:
            return _failed(job, error)

    def _translated(self, images: Iterable[_Read | _Huge | _Failed]) -> Iterator[_Translated | _Failed | None]:
        """Batches as they fill up, huge images at once; failures pass through."""
        waiting: list[_Read] = []
        for read in images:
            if not isinstance(read, _Read):
                yield read if isinstance(read, _Failed) else self.huge(read.job)
                continue
            waiting.append(read)
            if len(waiting) == self.options.batch:
                yield from self._batch(waiting)
                waiting = []
        yield from self._batch(waiting)

    def _batch(self, waiting: list[_Read]) -> Iterator[_Translated]:
        arrays = self.translator.batches([read.array for read in waiting], self.options.batch)
        return map(_Translated, waiting, arrays)

    def _write(self, done: _Translated | _Failed | None) -> _Failed | None:
        if not isinstance(done, _Translated):
            return done
        job, original = done.read.job, done.read.decoded
        try:
            translated = self._masked(job, original, self.translator.finish(original, done.image))
            job.target.parent.mkdir(parents=True, exist_ok=True)
            write_image(translated, job.target, "" if job.target.suffix else suffix_of(_head(job.source)))
        except BadInput as error:
            return _failed(job, error)
        except OSError as error:
            raise BadInput(f"{job.target}: cannot be written ({error.strerror})") from error
        self._note(translated.about, job)
        return None

    def _note(self, about: Metadata, job: Job) -> None:
        suffix = job.target.suffix.lower()
        if words := ", ".join(about.dropped(suffix)):
            self.lost[words, suffix] += 1

    def _masked(self, job: Job, original: DecodedImage, translated: DecodedImage) -> DecodedImage:
        self._require_mask(job)
        if job.mask is None:
            return translated
        mask = read_mask(job.mask)
        if not mask.any():
            print(f"{job.mask}: this mask selects nothing, so {job.source.name} stays as it is", file=sys.stderr)
        return blended(original, translated, weights(mask, self.options.feather))

    def _require_mask(self, job: Job) -> None:
        if self.options.mask and not job.mask:
            raise BadInput(f"no mask of this name in {self.options.mask}")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _failed(job: Job, error: BadInput) -> _Failed:
    return _Failed(job, naming(job.source, error))


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """work(item) for each item, in order, in the pool; at most `ahead` are under way, so memory stays bounded."""
    waiting: deque[Future[Result]] = deque()
    for item in items:
        waiting.append(pool.submit(work, item))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def is_video(path: Path) -> bool:
    """Whether a file is to be opened as a video: by its name."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def _translate_video(translator: Translator, source: Path, out: Path, options: Options) -> list[Path]:
    from unpaired.inference.video import translate_video

    target = out if out.suffix and not out.is_dir() else out / source.name
    flicker = translate_video(translator, source, target, smooth=options.smooth)
    words = (
        f"flicker {flicker.levels:.2f} levels where nothing moves" if flicker.count else "nothing stands still in it"
    )
    print(f"{target} written; {words}", file=sys.stderr)
    return [target]


def _translate_stream(translator: Translator, source: str, out: str, options: Options) -> list[Path]:
    """One image from standard input or to standard output; there, in the format it came in."""
    data = sys.stdin.buffer.read() if source == STREAM else b""
    decoded = read_image(data if source == STREAM else Path(source))
    translated = translator.translate_decoded(decoded)
    if options.mask is not None:
        translated = blended(decoded, translated, weights(read_mask(options.mask), options.feather))
    if out != STREAM:
        write_image(translated, Path(out))
        return [Path(out)]
    suffix = suffix_of(data) if source == STREAM else Path(source).suffix.lower()
    sys.stdout.buffer.write(encode_image(translated, suffix))
    sys.stdout.buffer.flush()
    return []


def jobs_of(source: str, out: Path, masks: Path | None) -> list[Job]:
    """What to read and where to write it, in order.

    Raises:
        BadInput: nothing there, two inputs that would become one output, or an output that is an input.
    """
    path = Path(source)
    if path.is_file():
        target = out if out.suffix.lower() in SUFFIXES and not out.is_dir() else out / path.name
        pairs = [(path, target)]
    elif path.is_dir():
        pairs = [(file, out / file.relative_to(path)) for file in image_files(path)]
    else:
        pairs = [(Path(name), out / Path(name).name) for name in sorted(glob.glob(source, recursive=True))]
        pairs = [(file, target) for file, target in pairs if file.is_file()]
    if not pairs:
        found = "an empty folder, or one without images" if path.is_dir() else "no such file, folder or match"
        raise BadInput(f"{source}: expected an image, a folder of images or a pattern, found {found}")
    targets = Counter(target for _, target in pairs)
    twice = sorted(str(target) for target, times in targets.items() if times > 1)
    if twice:
        raise BadInput(
            f"{source}: several inputs would be written to {', '.join(twice)}; give a folder, whose tree is kept"
        )
    inputs = {os.path.realpath(file) for file, _ in pairs}  # which takes links in a circle as they come
    if any(os.path.realpath(target) in inputs for target in targets):
        raise BadInput(f"{out}: would overwrite the input; give another output")
    of_each = mask_files(masks, [file for file, _ in pairs], path) if masks else [None] * len(pairs)
    return [Job(file, target, mask) for (file, target), mask in zip(pairs, of_each, strict=True)]
