"""Table 1: the perceptual study, prepared; people have to take it (`unpaired study`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unpaired.config import Direction
from unpaired.inference import translate_files
from unpaired.reproduce.page import Section
from unpaired.reproduce.plan import ROWS
from unpaired.reproduce.published import NOTE, TABLE1
from unpaired.reproduce.runs import Workshop, say

WAYS: dict[Direction, str] = {"BtoA": "labels to photo", "AtoB": "photo to labels"}


def prepare_studies(shop: Workshop, names: Sequence[str]) -> Section:
    """A study per direction, in `OUT/study`: the test images as every method that was run translates them."""
    from unpaired.serve.study import prepare_study

    made: list[str] = []
    for direction, way in WAYS.items():
        folder = shop.out / "study" / direction
        fakes: dict[str, Path] = {}
        for name in (name for name in names if shop.scores(name) is not None):
            fakes[name] = images = shop.out / "study" / "translations" / direction / ROWS[name].slug
            if not images.exists():
                translate_files(shop.model(name, direction), str(shop.labels / f"test{direction[0]}"), images)
        if fakes and not folder.exists():
            say(f"preparing the study {way} in {folder}")
            prepare_study(folder, shop.labels / f"test{direction[-1]}", fakes)
        if fakes:
            made.append(f"Study {way}: {folder.relative_to(shop.out)}, {len(fakes)} algorithms; serve and take it.")
    rows = [["", "map to photo, paper", "photo to map, paper", "ours"]]
    rows += [[name, *published, "take the study"] for name, published in TABLE1.items()]
    notes = ("% of trials in which a fake was taken for real. People decide this table, no computer does.", *made)
    return Section("table1", "Table 1: real or fake?", (*notes, f"Paper: {NOTE}."), (rows,))
