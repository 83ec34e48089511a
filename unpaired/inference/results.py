"""The official test.py's results: `images/STEM_real_A.png`, `STEM_fake_B.png`, and one page that shows them."""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np

from unpaired.core.errors import BadInput, naming
from unpaired.core.files import write_text
from unpaired.core.progress import progress
from unpaired.data.transforms import resize
from unpaired.imaging.images import DecodedImage, Pixels, read_image, write_image
from unpaired.inference.files import Outcome, conclude, jobs_of
from unpaired.inference.translator import Translator

LABEL = re.compile(r"(.+?)_((?:real|fake)(?:_[AB])?)\.png$")
ORDER = ("real_A", "fake_B", "real_B", "fake_A", "real", "fake")
PAGE = """<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 14px sans-serif; margin: 2em }} figure {{ display: inline-block; margin: 0 1em 1em 0 }}
img {{ max-width: 256px; display: block }} h3 {{ margin: 1em 0 .3em }}</style>
<h1>{title}</h1>
{rows}
</html>
"""


def write_results(translator: Translator, source: str, out: Path, *, single: bool = False) -> list[Path]:
    """Translate every image of `source` into `out/images`, beside its original; both directions may share `out`.

    Where `translator.scale` is train, originals are written at that size, too: as the network saw them. `source` is an
    image, a folder or a pattern. `single` takes the names of the official `--model test`: STEM_real.png, STEM_fake.png.
    Returns the translations. Raises BadInput if there is nothing to translate, stems are not unique, or files could
    not be translated; the others are written.
    """
    start, end = ("", "") if single else (f"_{translator.direction[0]}", f"_{translator.direction[-1]}")
    files = [job.source for job in jobs_of(source, out, masks=None)]
    _require_unique_stems(files, source)
    folder = out / "images"
    folder.mkdir(parents=True, exist_ok=True)
    outcomes = []
    with progress(f"translating {translator.direction}", len(files)) as advance:
        for path in files:
            try:
                image = read_image(path)
                translated = translator.translate_decoded(image)
                shown = resize(image.pixels, *translated.pixels.shape[1::-1])
                write_image(_opaque(shown), folder / f"{path.stem}_real{start}.png")
                write_image(_opaque(translated.pixels), target := folder / f"{path.stem}_fake{end}.png")
                outcomes.append(Outcome(str(path), str(target), None))
            except BadInput as error:
                outcomes.append(Outcome(str(path), None, naming(path, error)))
            advance()
    write_text(out / "index.html", page(folder))
    conclude(outcomes)
    print(f"{len(outcomes)} written to {folder}; open {out / 'index.html'}", file=sys.stderr)
    return [Path(outcome.written) for outcome in outcomes if outcome.written]


def page(folder: Path) -> str:
    """The text of index.html: a row for each image in `folder`, which lies beside it."""
    rows: dict[str, dict[str, str]] = defaultdict(dict)
    for path in sorted(folder.glob("*.png")):
        if match := LABEL.match(path.name):
            rows[match[1]][match[2]] = path.name
    title = escape(f"{folder.resolve().parent.parent.name}: {folder.resolve().parent.name}")
    return PAGE.format(title=title, rows="\n".join(_row(stem, names) for stem, names in rows.items()))


def _row(stem: str, names: dict[str, str]) -> str:
    figures = (
        f'<figure><img src="images/{quote(names[label])}" alt="{label}" loading="lazy"><figcaption>{label}</figcaption>'
        f"</figure>"
        for label in ORDER
        if label in names
    )
    return f"<h3>{escape(stem)}</h3>\n{''.join(figures)}"


def _opaque(pixels: Pixels) -> DecodedImage:
    """An image that PNG holds: without alpha, floats in 16 bits."""
    if pixels.dtype == np.float32:
        pixels = np.rint(pixels.clip(0, 1) * 65535).astype(np.uint16)
    return DecodedImage(pixels)


def _require_unique_stems(files: list[Path], source: str) -> None:
    first: dict[str, Path] = {}
    for path in files:
        if path.stem in first:
            raise BadInput(f"{source}: {first[path.stem]} and {path} would both be {path.stem}_*.png; use --layout own")
        first[path.stem] = path
