"""`reproduce`: the paper's experiments on open data, ours beside the published numbers.

Finished runs are not repeated, stopped ones resume, and the page is written from the results that exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from unpaired.core.device import announce, pick_device
from unpaired.core.errors import BadInput
from unpaired.features.content import content_name, load_content
from unpaired.reproduce.applications import applications
from unpaired.reproduce.failures import failures
from unpaired.reproduce.figures import comparison
from unpaired.reproduce.page import Section, write_page, write_section
from unpaired.reproduce.plan import ROWS, Budget, budget_of
from unpaired.reproduce.published import NOTE, TABLE1
from unpaired.reproduce.runs import Workshop, open_workshop, prepare, run_missing
from unpaired.reproduce.study import prepare_studies
from unpaired.reproduce.tables import TABLES, findings, rows_of

__all__ = ["EXPERIMENTS", "reproduce"]


EXPERIMENTS = ("table1", *TABLES, "applications", "failures")


def reproduce(
    experiments: Sequence[str],
    out: Path,
    budget: str,
    seeds: int,
    steps: int | None,
    methods: Sequence[str],
    threads: int,
    features: Path | None,
    device: str,
) -> Path:
    """Run what is missing of these experiments and write `out/index.html` and one Markdown file each.

    The arguments are those of `unpaired reproduce`; empty `experiments` or `methods` stand for all. The same call
    resumes. Raises `BadInput` for an unknown experiment or method or `out` in other use, `Stopped` after a signal.
    """
    wanted = _known(experiments, EXPERIMENTS, "experiments") or EXPERIMENTS
    chosen = _known(methods, tuple(ROWS), "--methods") or tuple(ROWS)
    if seeds < 1:
        raise BadInput(f"--seeds: expected at least 1, got {seeds}")
    if features is not None:
        load_content(str(features.absolute()), torch.device("cpu"))  # refused before anything is trained
    place = pick_device(device)
    shop = open_workshop(out, budget_of(budget, steps, features), threads, device)
    names = [name for name in ROWS if name in chosen and name in _asked(wanted)]
    announce(place)
    run_missing(shop, names, range(seeds), prepare(shop))
    sections = _sections(shop, wanted, names, seeds)
    for section in sections:
        write_section(out, section)
    return write_page(out, "The paper's experiments on open data", _notes(shop.budget, seeds), sections)


def _sections(shop: Workshop, wanted: Sequence[str], names: Sequence[str], seeds: int) -> list[Section]:
    sections: list[Section] = []
    if "table1" in wanted:
        sections.append(prepare_studies(shop, [name for name in names if name in TABLE1]))
    notes = (f"Paper: Cityscapes, 128 px; {NOTE}.", f"Feature loss: {content_name(shop.budget.features)}.")
    for slug, table in ((slug, table) for slug, table in TABLES.items() if slug in wanted):
        figure = comparison(shop, [name for name in table.rows if name in names], table.direction)
        rows = rows_of(shop, table, range(seeds))
        sections.append(Section(slug, table.title, notes, (rows,), (figure,) if figure else ()))
    if set(wanted) & set(TABLES):
        sections.append(Section("findings", "Do the findings hold?", (), (findings(shop, range(seeds)),)))
    if "applications" in wanted:
        sections += applications(shop)
    if "failures" in wanted and "CycleGAN" in names:
        sections += failures(shop)
    return sections


def _asked(wanted: Sequence[str]) -> set[str]:
    rows = {name for slug, table in TABLES.items() if slug in wanted for name in table.rows}
    return rows | (set(TABLE1) if "table1" in wanted else set()) | ({"CycleGAN"} if "failures" in wanted else set())


def _notes(budget: Budget, seeds: int) -> list[str]:
    return [
        f"Budget {budget.name}: tiles of {budget.size} px, generators {budget.width} wide, {budget.steps} steps for "
        f"every method alike, {seeds} seeds (0 to {seeds - 1}).",
        "Ours are measured on Earth labels, the paper's on Cityscapes: compare the order of the methods, not numbers. "
        "The FCN score's segmenter is ours, trained on real photos; its own score on real test photos is the ceiling.",
    ]


def _known(given: Sequence[str], there: Sequence[str], what: str) -> tuple[str, ...]:
    unknown = [name for name in given if name not in (*there, "all")]
    if unknown:
        raise BadInput(f"{what}: there are {', '.join(there)}, got {', '.join(unknown)}")
    return () if "all" in given else tuple(given)
