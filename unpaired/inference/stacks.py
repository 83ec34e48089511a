"""Stacks and animations: every image of a file, and a file of the same kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from pathlib import Path

from unpaired.core.pipeline import in_batches, in_order
from unpaired.core.progress import Advance
from unpaired.imaging.images import DecodedImage
from unpaired.imaging.page_writers import write_pages
from unpaired.imaging.pages import open_pages, smaller_pages
from unpaired.imaging.pixels import Pages
from unpaired.inference.masks import Weight, masked
from unpaired.inference.options import Options
from unpaired.inference.translator import Translator


def translate_stack(
    translator: Translator,
    source: Path,
    target: Path,
    options: Options,
    weight: Callable[[int], Weight | None],
    advance: Advance,
) -> tuple[str, ...]:
    """Translate every image of one file, in memory that does not grow with their number.

    `weight` gives that of a page by its number. Returns in words what `target` does not hold. Raises BadInput for a
    file that cannot be read, or images that the target's format cannot hold.
    """
    with open_pages(source) as pages:
        target.parent.mkdir(parents=True, exist_ok=True)
        translated = _translated(translator, pages, options, weight, target.parent, advance)
        own_size = translator.scale == "own"  # what ImageJ and OME say of the scale holds for it alone
        lost = write_pages(translated, pages.layout if own_size else replace(pages.layout, words={}), target)
        return (*lost, smaller_pages(pages.left_out)) if pages.left_out else lost


def _translated(
    translator: Translator,
    pages: Pages,
    options: Options,
    weight: Callable[[int], Weight | None],
    folder: Path,
    advance: Advance,
) -> Iterator[DecodedImage]:
    """The translations, in order; the next images are read meanwhile."""
    with ThreadPoolExecutor(1) as reader:
        try:
            number = count()
            read = in_order(reader, pages.read, range(pages.layout.count), 1 + options.batch)
            for originals in in_batches(read, lambda _: None, options.batch, options.batch):
                for original, translated in zip(originals, _batch(translator, originals, options, folder), strict=True):
                    yield masked(translator.domain_in.marked(original), translated, weight(next(number)))
                    advance()
        finally:
            reader.shutdown(cancel_futures=True)


def _batch(
    translator: Translator, originals: list[DecodedImage], options: Options, folder: Path
) -> Iterator[DecodedImage]:
    """Translations of several images; of large ones in tiles."""
    tiles = [options.tiles(translator, *original.pixels.shape[:2]) for original in originals]
    small = [original for original, tile in zip(originals, tiles, strict=True) if tile is None]
    whole = iter(translator.translate_all_decoded(small, options.batch))
    for original, tile in zip(originals, tiles, strict=True):
        if tile is None:
            yield next(whole)
        else:
            from unpaired.inference.huge import translate_in_tiles  # imports torch

            yield translate_in_tiles(translator, original, folder, tile, options.statistics)
