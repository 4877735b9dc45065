# SPDX-License-Identifier: Apache-2.0
"""The barrels of several models as a page: drawn in the page's own lines, with the tables below."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from barrel_jax.evaluation.comparison import compare, default_names, read_evaluation
from barrel_jax.report.markup import Markup, element, joined
from barrel_jax.report.page import Section, page
from barrel_jax.report.several import comparison_sections
from barrel_jax.report.tables import table
from barrel_jax.report.training import report_versions
from barrel_jax.reproduce.barrel.comparison import Criterion, Model, ModelComparison
from barrel_jax.reproduce.barrel.measure import Measured
from barrel_jax.reproduce.barrel.picture import (
    ARC,
    DEEP,
    GRAIN,
    HOOPS,
    IRON,
    LABELS,
    WATER,
    WOOD,
    outline,
    place_on_front,
)
from barrel_jax.reproduce.barrel.tables import HEIGHTS, alone, notes, tables

BOX = "-1.06 -1.32 2.12 1.84"  # of a barrel's front (picture.py), whose heights are negative here


def barrel_page(comparison: ModelComparison, more: Sequence[Section]) -> str:
    """A comparison as a whole HTML document, with more sections, such as `beside`."""
    words = alone(comparison) or "Height of a stave: relative to the best of these models. It holds up to the shortest."
    drawn = [element("figure", element("figcaption", model.name), _barrel(model)) for model in comparison.models]
    bodies = [
        Section(one.title.partition(":")[0], table(_caption(one.title), one.head, one.rows))
        for one in tables(comparison)
    ]
    sections = [
        Section("Barrels", joined(element("p", words, class_="note"), element("div", drawn, class_="barrels"))),
        *bodies,
        *more,
        Section("Notes", element("ul", (element("li", note) for note in notes(comparison)))),
        Section("Versions", report_versions()),
    ]
    return page(f"The barrel: {comparison.faces.dataset} {comparison.faces.split}", None, sections)


def _caption(title: str) -> str:
    return title if ":" in title else f"{title}, a column for each model"


def beside(runs: Sequence[Measured]) -> list[Section]:
    """The runs' scores, curves and faces beside each other. Raises ValueError as `comparison.read_evaluation`."""
    folders = [run.workdir / "eval" / f"{run.scores.dataset}-{run.scores.split}" for run in runs]
    names = default_names(folders)
    evaluations = [read_evaluation(folder, name) for folder, name in zip(folders, names, strict=True)]
    return comparison_sections(evaluations, compare(evaluations))


def _barrel(model: Model) -> Markup:
    """One model's barrel: five staves, the water that it holds, and figures in words."""
    level, ends = model.holds, np.linspace(-1, 1, len(HEIGHTS) + 1)
    around = np.linspace(-1, 1, 60)
    front = place_on_front(around, np.full(60, level))
    surface = np.concatenate([front, (front * [1, -1] + [0, 2 * level])[::-1]])
    parts = [_shape(surface, fill=WATER, stroke=DEEP, opacity=0.55)]
    staves = list(zip(HEIGHTS, ends[:-1], ends[1:], WOOD * len(HEIGHTS), strict=False))
    for name, left, right, colour in staves:
        height = model.criteria[name].height
        if height is None:
            parts.append(_shape(outline(left, right, 0, 1), fill="none", stroke="currentColor", stroke_dasharray="3 3"))
            continue
        parts.append(_shape(outline(left, right, 0, height), fill=colour, stroke=GRAIN))
        hoops = [hoop for hoop in HOOPS if height > hoop + 0.05]
        parts += [_shape(outline(left, right, hoop, hoop + 0.045), fill=IRON, stroke="none") for hoop in hoops]
    parts.append(_shape(outline(-1, 1, 0, level), fill=WATER, stroke="none", opacity=0.6))
    for name, left, right, _ in staves:
        parts += _words(name, model.criteria[name], (left + right) / 2, level)
    parts.append(_text(0, -level / 2, f"holds {level:.2f}", "holds"))
    heights = ", ".join(
        f"{name} {'not measured' if one.height is None else format(one.height, '.2f')}"
        for name, one in model.criteria.items()
    )
    label = f"Barrel of {model.name}: {heights}. It holds {level:.2f}, up to {model.shortest}."
    return element("svg", parts, viewBox=BOX, role="img", aria_label=label)


def _words(name: str, criterion: Criterion, middle: float, level: float) -> list[Markup]:
    """A stave's name and height below it, and its figure above it or above the water behind it."""
    foot, height = place_on_front(np.array([middle]), np.zeros(1))[0], criterion.height
    # Neighbours' names stand on two lines, since each is wider than its stave.
    lower = 0.15 * (list(HEIGHTS).index(name) % 2)
    lines = enumerate(name.replace("ease of ", "ease of\n").split("\n"))
    found = [_text(foot[0], 0.16 + lower + 0.08 * place, line) for place, line in lines]
    found.append(_text(foot[0], 0.46, "–" if height is None else f"{height:.2f}", "bold"))
    if height is None:
        return found
    form, unit = LABELS[name]
    top = place_on_front(np.array([middle]), np.array([height]))[0]
    over = max(top[1], level + ARC) if height < level + 2 * ARC else top[1]
    figure = form.format(criterion.figure(HEIGHTS[name][0]).mean)
    return [*found, _text(top[0], -over - 0.13, figure), _text(top[0], -over - 0.05, unit)]


def _shape(points: np.ndarray, **attributes: Any) -> Markup:
    path = "M" + "L".join(f"{x:.3f} {-y:.3f}" for x, y in points) + "Z"
    return element("path", d=path, stroke_width=1, vector_effect="non-scaling-stroke", **attributes)


def _text(x: float, y: float, words: str, kind: str = "") -> Markup:
    return element("text", words, x=f"{x:.3f}", y=f"{y:.3f}", class_=kind or None)
