"""`translate`: files in, files out, every one under its own name and at its own size."""

from __future__ import annotations

import glob
import sys
from collections import Counter
from pathlib import Path

from unpaired.errors import BadInput
from unpaired.images import SUFFIXES, image_files, read_picture, write_picture
from unpaired.inference.translator import Translator
from unpaired.progress import progress


def translate_files(translator: Translator, source: str, out: Path) -> list[Path]:
    """Translate an image, a folder (its tree kept) or a glob; returns what was written.

    One image goes to `out` itself when that ends in an image suffix, otherwise into the folder `out`.
    Every file is tried; those that cannot be translated are named together at the end.

    Raises:
        BadInput: nothing to translate, or some files could not be; the others are written.
    """
    jobs = _jobs(source, out)
    written, bad = [], []
    with progress(f"translating {translator.direction}", len(jobs)) as advance:
        for path, target in jobs:
            try:
                translated = translator.picture(read_picture(path))
                target.parent.mkdir(parents=True, exist_ok=True)
                write_picture(translated, target)
                written.append(target)
            except BadInput as error:
                bad.append(str(error) if str(path) in str(error) else f"{path}: {error}")
            except OSError as error:
                raise BadInput(f"{target}: cannot be written ({error.strerror})") from error
            advance()
    if bad:
        raise BadInput(f"{len(bad)} of {len(jobs)} files could not be translated: {'; '.join(bad)}")
    print(f"{len(written)} written to {out}", file=sys.stderr)
    return written


def _jobs(source: str, out: Path) -> list[tuple[Path, Path]]:
    """What to read and where to write it, in order.

    Raises:
        BadInput: nothing there, two inputs that would become one output, or an output that is an input.
    """
    path = Path(source)
    if path.is_file():
        target = out if out.suffix.lower() in SUFFIXES and not out.is_dir() else out / path.name
        jobs = [(path, target)]
    elif path.is_dir():
        jobs = [(file, out / file.relative_to(path)) for file in image_files(path)]
    else:
        jobs = [(Path(name), out / Path(name).name) for name in sorted(glob.glob(source, recursive=True))]
        jobs = [(file, target) for file, target in jobs if file.is_file()]
    if not jobs:
        found = "an empty folder, or one without images" if path.is_dir() else "no such file, folder or match"
        raise BadInput(f"{source}: expected an image, a folder of images or a pattern, found {found}")
    targets = Counter(target for _, target in jobs)
    twice = sorted(str(target) for target, times in targets.items() if times > 1)
    if twice:
        raise BadInput(
            f"{source}: several inputs would be written to {', '.join(twice)}; give a folder, whose tree is kept"
        )
    inputs = {file.resolve() for file, _ in jobs}
    if any(target.resolve() in inputs for target in targets):
        raise BadInput(f"{out}: would overwrite the input; give another output")
    return jobs
