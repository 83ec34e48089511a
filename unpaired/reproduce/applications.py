"""Applications (Sec. 5.2) that open data allows: a drawn style, and colour kept by the identity loss (Fig. 9).

Season, transfiguration and depth of field need the published sets: docs/applications tells how.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from unpaired.config import Direction
from unpaired.data.heldout import open_held_out
from unpaired.data.manifest import MANIFEST
from unpaired.data.prepare.earth import Pair, prepare_earth
from unpaired.experiment import with_settings
from unpaired.imaging.images import read_image
from unpaired.inference.translator import Translator
from unpaired.reproduce.figures import save_columns, translated
from unpaired.reproduce.page import Section
from unpaired.reproduce.plan import LAMBDA
from unpaired.reproduce.runs import Workshop, say
from unpaired.training import train

SHOWN = 6


@dataclass(frozen=True)
class Application:
    """One application: its data, the direction that is shown, and the identity weights that are compared."""

    slug: str
    title: str
    pair: Pair
    direction: Direction
    identity: tuple[float, ...]
    note: str


APPLICATIONS = (
    Application(
        "style",
        "Application: photo to a drawn map's style",
        "satellite-relief",
        "AtoB",
        (LAMBDA / 2,),
        "Blue Marble in the manner of Natural Earth's hand-tuned shaded relief.",
    ),
    Application(
        "identity",
        "Application: photos from drawn images, without and with identity",
        "satellite-elevation",
        "BtoA",
        (0.0, LAMBDA / 2),
        "The identity loss, half of lambda, keeps tones where both domains share them (Fig. 9 of the paper).",
    ),
)


def applications(shop: Workshop) -> list[Section]:
    """Train what is missing, and show it."""
    return [_section(shop, application) for application in APPLICATIONS]


def _section(shop: Workshop, application: Application) -> Section:
    data, budget = shop.out / "data" / application.pair, shop.budget
    if not (data / MANIFEST).exists():
        prepare_earth(data, application.pair, budget.size, budget.globe_width, budget.stride, north=90)
    held_out = open_held_out(data, "yes", SHOWN)
    there, back = held_out.side(application.direction[0]), held_out.side(application.direction[-1])
    sources, truths = ([read_image(path).pixels for path in side] for side in (there, back))
    columns, rows = [("input", sources)], [["identity weight", "mean error (levels)", "change of mean colour (levels)"]]
    for weight in application.identity:
        name = f"{application.slug}-identity-{weight:g}"
        say(f"applications: {application.slug}, identity {weight:g}")
        base = shop.experiment("CycleGAN", data)
        train(with_settings(base, {"name": "reproduce application", "method.identity_weight": weight}), shop.run(name))
        model = shop.model(name, application.direction)
        columns.append((f"identity {weight:g}", [translated(model, source) for source in sources]))
        rows.append([f"{weight:g}", *_measured(model, data, application.direction)])
    path = shop.out / "figures" / f"application-{application.slug}.png"
    save_columns([*columns, ("truth", truths)], path)
    return Section(f"application-{application.slug}", application.title, (application.note,), (rows,), (path,))


def _measured(model: Translator, data: Path, direction: Direction) -> list[str]:
    """Mean error to the truth, and how far the mean colour of an image moves, over the whole test set."""
    held_out = open_held_out(data, "yes")
    errors, moved = [], []
    for source, truth in zip(held_out.side(direction[0]), held_out.side(direction[-1]), strict=True):
        before, after = read_image(source).pixels, read_image(truth).pixels
        output = translated(model, before).astype(float)
        errors.append(np.abs(output - after).mean())
        moved.append(np.abs(output.mean((0, 1)) - before.mean((0, 1))).mean())
    return [f"{np.mean(errors):.1f}", f"{np.mean(moved):.1f}"]
