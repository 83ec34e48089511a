"""`translate`: files in, files out, every one under its own name and at its own size.

Three stages overlap: threads read ahead, the network translates batches of one padded size, threads write behind.
"""

from __future__ import annotations

import glob
import json
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from unpaired.core.errors import BadInput, counted, naming
from unpaired.core.files import write_text
from unpaired.core.pipeline import in_batches, in_order, one_ahead
from unpaired.core.progress import Advance, progress
from unpaired.data.sources.folder import image_files, left_out, other_names
from unpaired.imaging.images import Array, DecodedImage, encode_image, read_image, write_image
from unpaired.imaging.kinds import HEAD, SUFFIXES, suffix_of, suffix_of_name
from unpaired.imaging.pages import read_header
from unpaired.inference.masks import Weight, mask_files, masked, page_weights, read_selecting, weights
from unpaired.inference.options import Options
from unpaired.inference.scale import advice, is_much_larger
from unpaired.inference.stacks import translate_stack
from unpaired.inference.translator import Translator

STREAM = "-"
"""Standard input and output."""
THREADS = 2
"""That read, and as many that write."""
AHEAD = 4
"""Images read, or waiting to be written, beyond those of a batch."""
WINDOW = 4
"""Batches' worth of images that wait for others of their padded size."""
VIDEO_SUFFIXES = frozenset(".mp4 .m4v .mov .mkv .webm .avi .mpg .mpeg .ts .mts .gif .ogv .wmv .flv .3gp .mxf".split())
"""Names of videos; what is inside, FFmpeg tells."""
GIF = ".gif"


@dataclass(frozen=True)
class Job:
    """One file to translate."""

    source: Path
    target: Path
    mask: Path | None = None


def translate_files(
    translator: Translator,
    source: str,
    out: Path | str,
    options: Options = Options(),  # noqa: B008, frozen
) -> list[Path]:
    """Translate an image, a folder (its tree kept), a glob, a video or standard input; returns what was written.

    Of a stack or an animation every image is translated, and a file of the same kind is written. One image goes to
    `out` itself when that ends in an image suffix, otherwise into the folder `out`. Every file is tried; those that
    cannot be translated are named together at the end. Metadata are kept; a line on stderr names what the new format
    cannot hold. Raises BadInput if there is nothing to translate, or if files could not be; the others are written.
    """
    if STREAM in (source, str(out)):
        return _translate_stream(translator, source, str(out), options)
    out = Path(out)
    if is_video(Path(source), out, options.smooth):
        return _translate_video(translator, Path(source), out, options)
    if options.smooth:
        raise BadInput(f"{source}: --smooth {options.smooth:g} is for one video or GIF; leave it out")
    if translator.scale == "train" and (options.mask or options.tile):
        raise BadInput("--scale train changes the size of images: not together with --mask or --tile")
    jobs = jobs_of(source, out, options.mask)
    print(translator.describe(), file=sys.stderr, flush=True)
    if Path(source).is_dir() and (line := left_out(other_names(Path(source)))):
        print(f"{source}: {line}", file=sys.stderr)
    work = _Work(translator, options)
    work.run(jobs)
    lost = Counter((work.lost[job], _suffix(job)) for job in jobs if job in work.lost)
    for (words, suffix), times in lost.items():
        print(f"{counted(times, 'file')}: not taken along into {suffix}: {words}", file=sys.stderr)
    if work.much_larger:
        print(advice(translator.data, len(work.much_larger)), file=sys.stderr)
    conclude([outcome_of(job, work.why.get(job)) for job in jobs], options.report)
    print(f"{len(jobs)} written to {out}", file=sys.stderr)
    return [job.target for job in jobs]


@dataclass(frozen=True)
class Outcome:
    """One file: what was written of it, or why nothing was."""

    file: str
    written: str | None
    error: str | None


def outcome_of(job: Job, error: str | None) -> Outcome:
    """What became of one file."""
    return Outcome(str(job.source), None if error else str(job.target), error)


def conclude(outcomes: Sequence[Outcome], report: Path | None = None) -> None:
    """Write the report, if any: one JSON object a line, in the order of the files.

    Raises BadInput, which names all files that were not translated, or a report that cannot be written.
    """
    if report is not None:
        try:
            report.parent.mkdir(parents=True, exist_ok=True)
            write_text(report, "".join(json.dumps(asdict(outcome)) + "\n" for outcome in outcomes))
        except OSError as error:
            raise BadInput(f"{report}: cannot be written ({error.strerror}); choose another --report") from error
    if bad := [outcome.error for outcome in outcomes if outcome.error]:
        raise BadInput(f"{len(bad)} of {len(outcomes)} files could not be translated: {'; '.join(bad)}")


@dataclass(frozen=True)
class _Read:
    """A decoded file and what the network sees of it."""

    job: Job
    decoded: DecodedImage
    array: Array


@dataclass(frozen=True)
class _Apart:
    """A file that is translated by itself: an image in tiles, or several images."""

    job: Job
    pages: int
    tile: int | None
    """Side of the tiles of a single image."""


class _Work:
    """Reading, translating and writing of many files at once."""

    def __init__(self, translator: Translator, options: Options) -> None:
        self.translator, self.options = translator, options
        self.why: dict[Job, str] = {}
        """Of files that could not be translated, the reason."""
        self.lost: dict[Job, str] = {}
        """What the new format of a file does not hold."""
        self.much_larger: set[Job] = set()
        """Images over twice the training size."""

    def run(self, jobs: list[Job]) -> None:
        """Carry out every job."""
        if len(jobs) == 1 and (apart := self._apart(jobs[0])):
            return self._by_itself(apart, quiet=False)
        with progress(f"translating {self.translator.direction}", len(jobs)) as advance:
            self._side_by_side(jobs, advance)

    def _side_by_side(self, jobs: list[Job], advance: Advance) -> None:
        """Read ahead and write behind while the network computes."""
        ahead = AHEAD + self.options.batch
        with ThreadPoolExecutor(THREADS) as readers, ThreadPoolExecutor(THREADS) as writers:
            try:
                images = self._whole(in_order(readers, self._read, jobs, ahead), advance)
                for _ in in_order(writers, self._write, self._translate(images), ahead):
                    advance()
            finally:
                readers.shutdown(cancel_futures=True)
                writers.shutdown(cancel_futures=True)

    def _read(self, job: Job) -> _Read | _Apart | None:
        """One file in memory; None where it cannot be read."""
        apart = self._apart(job)
        if apart or job in self.why:
            return apart
        with self._reasons(job):
            decoded = read_image(job.source)
            return _Read(job, decoded, self.translator.prepare(decoded))

    def _translate(self, images: Iterable[_Read]) -> Iterator[tuple[_Read, Array]]:
        """Images of one padded size in batches; the next batch is submitted before the result of one is awaited."""
        batch, size = self.options.batch, self.translator.padded_size
        batches = in_batches(images, lambda read: size(*read.array.shape[1:]), batch, WINDOW * batch)
        submitted = ((alike, self.translator.submit([read.array for read in alike])) for alike in batches)
        for alike, result in one_ahead(submitted):
            yield from zip(alike, result(), strict=True)

    def _write(self, done: tuple[_Read, Array]) -> None:
        job, original = done[0].job, done[0].decoded
        try:
            with self._reasons(job):
                translated = self.translator.finish(original, done[1])
                translated = masked(self.translator.domain_in.marked(original), translated, self._weight(job))
                job.target.parent.mkdir(parents=True, exist_ok=True)
                write_image(translated, job.target, suffix := _suffix(job))
                self._note(translated.about.dropped(suffix), job)
        except OSError as error:  # a full disk or a place without permission fails every file
            raise BadInput(f"{job.target}: cannot be written ({error.strerror})") from error

    def _apart(self, job: Job) -> _Apart | None:
        """How a file is translated by itself; None for an image that goes through the network whole."""
        with self._reasons(job):
            if self.options.mask and not job.mask:
                raise BadInput(f"no mask of this name in {self.options.mask}")
            header = read_header(job.source)
            trained = self.translator.bundle is not None and self.translator.scale == "own"
            if header.width and trained and is_much_larger(self.translator.data, header.width, header.height):
                self.much_larger.add(job)
            tile = self.options.tiles(self.translator, header.height, header.width) if header.pages == 1 else None
            return _Apart(job, header.pages, tile) if header.pages > 1 or tile else None

    def _whole(self, images: Iterable[_Read | _Apart | None], advance: Advance) -> Iterator[_Read]:
        """The images that go through the network whole; the other files are translated here."""
        for read in images:
            if isinstance(read, _Read):
                yield read
                continue
            if read:
                self._by_itself(read, quiet=True)
            advance()

    def _by_itself(self, apart: _Apart, quiet: bool) -> None:
        """Translate a file in tiles, or every image of it, in memory that does not grow with their number."""
        job, options = apart.job, self.options
        with self._reasons(job):
            if apart.tile:
                from unpaired.inference.huge import translate_huge  # imports torch

                about = translate_huge(
                    self.translator,
                    job.source,
                    job.target,
                    tile=apart.tile,
                    statistics=options.statistics,
                    mask=job.mask,
                    feather=options.feather,
                    quiet=quiet,
                )
                return self._note(about.dropped(_suffix(job)), job)
            with progress(f"translating {self.translator.direction}", apart.pages, quiet=quiet) as advance:
                weight = page_weights(job.mask, job.source.name, apart.pages, options.feather)
                self._note(translate_stack(self.translator, job.source, job.target, options, weight, advance), job)

    @contextmanager
    def _reasons(self, job: Job) -> Iterator[None]:
        """Inside, bad input fails this job alone."""
        try:
            yield
        except BadInput as error:
            self.why[job] = naming(job.source, error)

    def _note(self, lost: Sequence[str], job: Job) -> None:
        if lost:
            self.lost[job] = ", ".join(lost)

    def _weight(self, job: Job) -> Weight | None:
        return weights(read_selecting(job.mask, job.source.name), self.options.feather) if job.mask else None


def _suffix(job: Job) -> str:
    """Of the output's format: by its name, else that of the input."""
    if suffix := suffix_of_name(job.target):
        return suffix
    with job.source.open("rb") as file:
        return suffix_of(file.read(HEAD))


def is_video(path: Path, out: Path, smooth: float = 0.0) -> bool:
    """Whether a file is opened as a video: by its name; a GIF only where it becomes one, or is smoothed as one."""
    suffix, target = path.suffix.lower(), out.suffix.lower()
    becomes = suffix != GIF or bool(smooth) or (target != GIF and target in VIDEO_SUFFIXES)
    return suffix in VIDEO_SUFFIXES and becomes and path.is_file()


def _translate_video(translator: Translator, source: Path, out: Path, options: Options) -> list[Path]:
    from unpaired.inference.video import translate_video

    if translator.scale == "train":
        raise BadInput(f"{source}: videos keep their size; leave out --scale train")
    target = out if out.suffix and not out.is_dir() else out / source.name
    flicker = translate_video(translator, source, target, smooth=options.smooth)
    levels = f"flicker {flicker.levels:.2f} levels where nothing moves"
    print(f"{target} written; {levels if flicker.count else 'nothing stands still in it'}", file=sys.stderr)
    return [target]


def _translate_stream(translator: Translator, source: str, out: str, options: Options) -> list[Path]:
    """One image from standard input or to standard output, which gets the format of the input."""
    data = sys.stdin.buffer.read() if source == STREAM else b""
    name = "standard input" if source == STREAM else source
    decoded = read_image(data if source == STREAM else Path(source))
    if decoded.pages > 1:
        raise BadInput(f"{name}: holds {decoded.pages} pages or frames; give files for both, then all are translated")
    translated = translator.translate_decoded(decoded)
    if options.mask is not None:
        weight = weights(read_selecting(options.mask, Path(name).name), options.feather)
        translated = masked(translator.domain_in.marked(decoded), translated, weight)
    if out != STREAM:
        write_image(translated, Path(out))
        return [Path(out)]
    suffix = suffix_of(data) if source == STREAM else suffix_of_name(source)
    sys.stdout.buffer.write(encode_image(translated, suffix))
    sys.stdout.buffer.flush()
    return []


def jobs_of(source: str, out: Path, masks: Path | None) -> list[Job]:
    """What to read and where to write it; BadInput for nothing, two inputs of one output, or an overwritten input."""
    path = Path(source)
    if out.is_file() and not path.is_file():
        raise BadInput(f"{out}: expected a folder for the translations of {source}, found a file")
    if path.is_file():
        if re.search("[A-Za-z]", out.suffix) and not out.is_dir() and suffix_of_name(out) not in SUFFIXES:
            known = " ".join(sorted(SUFFIXES))
            raise BadInput(f"{out}: {out.suffix} is not written; take one of {known}, or create a folder of this name")
        target = out if suffix_of_name(out) in SUFFIXES and not out.is_dir() else out / path.name
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
    if twice := ", ".join(sorted(str(target) for target, times in targets.items() if times > 1)):
        raise BadInput(f"{source}: several inputs would be written to {twice}; give a folder, whose tree is kept")
    inputs = {os.path.realpath(file) for file, _ in pairs}  # which takes links in a circle as they come
    if any(os.path.realpath(target) in inputs for target in targets):
        raise BadInput(f"{out}: would overwrite the input; give another output")
    of_each = mask_files(masks, [file for file, _ in pairs], path) if masks else [None] * len(pairs)
    return [Job(file, target, mask) for (file, target), mask in zip(pairs, of_each, strict=True)]
