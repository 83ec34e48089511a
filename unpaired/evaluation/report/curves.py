"""Curves of a training as inline SVG: no script, no library, colours from the page's style sheet."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from markupsafe import Markup, escape

Line = Sequence[tuple[float, float]]
"""(step, value), by step."""

WIDTH, HEIGHT = 420, 220
LEFT, RIGHT, TOP, BOTTOM = 54, 22, 12, 30
"""Room in pixels for the axes' numbers."""
MOST_POINTS = 400
TICKS = 4
WINDOW = 1 / 20
"""Share of the line that a smoothed point is the mean of."""


@dataclass(frozen=True)
class Chart:
    """One family of curves."""

    title: str
    note: str
    prefixes: tuple[str, ...]
    """Of the names of its curves: terms, `lr`, `images_per_second`, and scores of test images as in TensorBoard."""
    noisy: bool = True
    """Whether to smooth."""
    reference: float | None = None
    """A value worth a dashed line."""


CHARTS = (
    Chart(
        "KID on test images",
        "Distance of translations, as a set, from real test images, in the features of the network named. At 0 the "
        "features are distributed alike. Lower is better; compare only within one network.",
        ("test/kid/",),
        noisy=False,
    ),
    Chart(
        "Cycle error on test images",
        "Error of the reconstruction of test images, in 8-bit levels.",
        ("test/cycle_error/",),
        noisy=False,
    ),
    Chart(
        "Adversarial",
        "Adversarial loss of each generator: 1 when the discriminator rates every patch fake, 0.25 when it cannot "
        "distinguish them, 0 when it rates every patch real. Neither side should win for good.",
        ("gan/",),
        reference=0.25,
    ),
    Chart(
        "Discriminators",
        "A least-squares discriminator that cannot distinguish real from translated patches outputs one half, a "
        "loss of 0.25. Near 0 it distinguishes every patch: the generators then learn little.",
        ("discriminator/",),
        reference=0.25,
    ),
    Chart(
        "Gradient penalty",
        "R1, weighted: how steep each discriminator is at real images. It should stay below the discriminator's loss.",
        ("r1/",),
    ),
    Chart(
        "Cycle and identity",
        "Error of the reconstruction, and change of images that are already in the target domain, both weighted. "
        "They should fall, then level off.",
        ("cycle", "identity"),
    ),
    Chart(
        "PatchNCE",
        "Cross-entropy, weighted, of finding for a place of the translation its place in the input among 256: "
        "log 256 = 5.5 by chance, 0 when each place is found.",
        ("nce/",),
    ),
    Chart("Learning rate", "Of the generators.", ("lr",), noisy=False),
    Chart("Speed", "Images of each domain per second.", ("images_per_second",)),
)
OTHER_DISCRIMINATOR = "Neither side should win for good: a curve that keeps rising shows a failed training."
KNOWN = {
    **{"gan/G": "{a} to {b}", "gan/F": "{b} to {a}"},
    **{"discriminator/X": "discriminator of {a}", "discriminator/Y": "discriminator of {b}"},
    **{"r1/X": "discriminator of {a}", "r1/Y": "discriminator of {b}"},
    **{"cycle/G": "cycle, {a}", "cycle/F": "cycle, {b}"},
    **{"nce/X": "inputs and their translations", "nce/Y": "identity: the target's images"},
    **{"identity/F": "identity, {a}", "identity/G": "identity, {b}"},
    **{"test/cycle_error/AtoB": "from {a} and back", "test/cycle_error/BtoA": "from {b} and back"},
    **{"lr": "learning rate", "images_per_second": "images / s"},
}


def draw_charts(
    log: Sequence[Mapping[str, Any]], least_squares: bool = True, domains: tuple[str, str] = ("A", "B")
) -> list[dict[str, Any]]:
    """Every chart that the log has lines for: title, note, legend and SVG.

    Losses of least squares have a known meaning; the names of the domains are for the legends.
    """
    lines = _lines(log)
    drawn = []
    for chart in CHARTS:
        shown = {name: line for name, line in lines.items() if name.startswith(chart.prefixes)}
        if any(len(line) > 1 for line in shown.values()):
            named = {_name(name, domains): line for name, line in shown.items()}
            readable = least_squares or chart.reference is None
            reference, note = (chart.reference, chart.note) if readable else (None, OTHER_DISCRIMINATOR)
            svg = draw(chart.title, named, reference, chart.noisy)
            drawn.append({"title": chart.title, "note": note, "names": list(named), "svg": svg})
    return drawn


def draw(title: str, lines: Mapping[str, Line], reference: float | None = None, noisy: bool = True) -> Markup:
    """One chart: every line faint as it is and, where noisy, strong smoothed; axes from zero with round numbers."""
    trends = dict(lines)
    for name, line in lines.items() if noisy else ():
        trends[name] = list(zip([x for x, _ in line], smoothed([y for _, y in line]), strict=True))
    last = max(x for line in lines.values() for x, _ in line)
    shown = [y for line in (*map(_robust, lines.values()), *trends.values()) for _, y in line]
    highest = max(shown + ([reference] if reference else []))
    x_ticks, y_ticks = ticks(last), ticks(highest)
    right, top = max(last, 1e-12), max(highest, y_ticks[-1], 1e-12)

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + (WIDTH - LEFT - RIGHT) * x / right
        return across, TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(y, top) / top)

    parts = []
    for value in y_ticks:
        _, y = place(0, value)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{short(value)}</text>')
    for value in x_ticks:
        x, _ = place(value, 0)
        parts.append(f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 9}" text-anchor="middle">{short(value)}</text>')
    if reference is not None:
        _, y = place(0, reference)
        parts.append(f'<line class="reference" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
    for index, name in enumerate(lines):
        for kind, drawn in (("raw", lines[name]), ("smooth", trends[name])):
            points = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in thinned(drawn)))
            parts.append(f'<polyline class="{kind} line{index}" points="{points}"/>')
    ends = ", ".join(f"{name} {short(line[-1][1])}" for name, line in trends.items())
    label = escape(f"{title} over {short(last)} steps; at the end: {ends}")
    return Markup(  # every part above is ours or a number; the label is escaped
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><title>{label}</title>'
        f"{''.join(parts)}</svg>"
    )


def ticks(highest: float) -> list[float]:
    """Round numbers from 0 up to `highest`, about `TICKS` of them, 1, 2 or 5 times a power of ten apart."""
    if highest < 1e-30:
        return [0.0]
    rough = highest / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(unit * power for unit in (1, 2, 5, 10) if unit * power >= 0.8 * rough * (1 - 1e-9))
    return [step * k for k in range(math.floor(highest / step + 1e-9) + 1)]


def smoothed(values: Sequence[float]) -> list[float]:
    """Each value as the mean of its neighbours, a twentieth of the line in all, fewer at the ends."""
    reach = max(0, round(len(values) * WINDOW / 2))
    sums = list(accumulate(values, initial=0.0))
    spans = [(max(0, k - reach), min(len(values), k + reach + 1)) for k in range(len(values))]
    return [(sums[end] - sums[start]) / (end - start) for start, end in spans]


def thinned(line: Line) -> Line:
    """At most about `MOST_POINTS` points, the last one kept."""
    every = max(1, len(line) // MOST_POINTS)
    return [*line[::every], line[-1]]


def short(value: float) -> str:
    """A number as an axis shows it: 0.25, 4000, 2e-4."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        return f"{value:.4g}"
    digits, _, power = f"{value:.2g}".partition("e")
    return f"{digits}e{int(power)}" if power else digits


def _lines(log: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    lines: dict[str, list[tuple[float, float]]] = {}
    for entry in log:
        values = {**entry.get("losses", {}), **{k: entry[k] for k in ("lr", "images_per_second") if k in entry}}
        values |= _validated(entry["validation"]) if "validation" in entry else {}
        for name, value in values.items():
            if isinstance(value, int | float) and math.isfinite(value):
                lines.setdefault(name, []).append((float(entry["step"]), float(value)))
    return lines


def _validated(result: Mapping[str, Any]) -> dict[str, float]:
    """The curves of a validation result; a KID below 0 cannot be told from 0 and is drawn there."""
    kid = {f"test/kid/{result['features']}/{direction}": max(0.0, value) for direction, value in result["kid"].items()}
    return kid | {f"test/cycle_error/{direction}": value for direction, value in result["cycle_error"].items()}


def _name(curve: str, domains: tuple[str, str]) -> str:
    """A curve as its legend names it."""
    a, b = domains
    if curve in KNOWN:
        return KNOWN[curve].format(a=a, b=b)
    if not curve.startswith("test/kid/"):
        return curve
    features, direction = curve.removeprefix("test/kid/").rsplit("/", 1)
    return f"{f'{a} to {b}' if direction == 'AtoB' else f'{b} to {a}'}, {features}"


def _robust(line: Line) -> Line:
    """The line without its highest 2 %: rare peaks would press everything else flat."""
    ordered = sorted(line, key=lambda point: point[1])
    return ordered[: max(1, math.ceil(0.98 * len(ordered)))]
