"""Tables 2 to 5: ours, mean and spread over seeds, beside the published numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from unpaired.config import DIRECTIONS, Direction
from unpaired.reproduce.published import TABLE2, TABLE3, TABLE4, TABLE5, Rows
from unpaired.reproduce.runs import Workshop

METRICS = {"pixel_accuracy": "per-pixel acc.", "class_accuracy": "per-class acc.", "class_iou": "class IoU"}


@dataclass(frozen=True)
class Table:
    """One of the paper's tables of label scores."""

    title: str
    direction: Direction
    rows: Rows


TABLES: dict[str, Table] = {
    "table2": Table("Table 2: FCN scores, labels to photo", "BtoA", TABLE2),
    "table3": Table("Table 3: classification, photo to labels", "AtoB", TABLE3),
    "table4": Table("Table 4: ablation, FCN scores, labels to photo", "BtoA", TABLE4),
    "table5": Table("Table 5: ablation, classification, photo to labels", "AtoB", TABLE5),
}


def values(shop: Workshop, name: str, seeds: Sequence[int], direction: Direction, metric: str) -> list[float]:
    """A method's scores, one per seed that has been run to its end."""
    found = [shop.scores(name, seed) for seed in seeds]
    return [scores[direction][metric] for scores in found if scores is not None]


def shown(numbers: Sequence[float]) -> str:
    """Mean and, from two seeds up, standard deviation."""
    if not numbers:
        return "not run"
    return f"{mean(numbers):.3f} ± {stdev(numbers):.3f}" if len(numbers) > 1 else f"{numbers[0]:.3f}"


def rows_of(shop: Workshop, table: Table, seeds: Sequence[int]) -> list[list[str]]:
    """The table with its head, as text."""
    head = ["", "seeds", *(f"{label}, ours" for label in METRICS.values()), "paper"]
    body = []
    for name, published in table.rows.items():
        ours = [values(shop, name, seeds, table.direction, metric) for metric in METRICS]
        body.append([name, str(len(ours[0])), *(shown(numbers) for numbers in ours), " / ".join(published)])
    copied = shop.copying()
    if copied is not None:
        body.append(["copying the input", "", *(f"{copied[table.direction][metric]:.3f}" for metric in METRICS), ""])
        if table.direction == "BtoA":
            ceiling = copied["recipe"]["ceiling"]
            body.append(["real photos (ceiling)", "", *(f"{ceiling[metric]:.3f}" for metric in METRICS), ""])
    return [head, *body]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """Rows, the first of them the head, as a Markdown table."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join([lines[0], "|" + "---|" * len(rows[0]), *lines[1:]])


FINDINGS: tuple[tuple[str, str, Direction], ...] = (
    *(("CycleGAN", worse, direction) for worse in ("Cycle alone", "GAN alone") for direction in DIRECTIONS),
    *(("pix2pix", "CycleGAN", direction) for direction in DIRECTIONS),
    *(("CycleGAN", worse, "AtoB") for worse in ("CoGAN", "BiGAN/ALI", "SimGAN", "Feature loss + GAN")),
)
"""The paper's findings: on class IoU the first method beats the second, in a direction."""


def findings(shop: Workshop, seeds: Sequence[int]) -> list[list[str]]:
    """For each finding whether it holds here, on class IoU, with the numbers."""
    rows = [["finding", "direction", "class IoU", "here"]]
    for first, second, direction in FINDINGS:
        better, worse = (values(shop, name, seeds, direction, "class_iou") for name in (first, second))
        verdict = "not run" if not (better and worse) else ("holds" if mean(better) > mean(worse) else "does not hold")
        if len(better) > 1 and len(worse) > 1:
            apart = abs(mean(better) - mean(worse)) > stdev(better) + stdev(worse)
            verdict += "" if apart else ", within the spread"
        way = "photo to labels" if direction == "AtoB" else "labels to photo"
        rows.append([f"{first} beats {second}", way, f"{shown(better)} against {shown(worse)}", verdict])
    return rows
