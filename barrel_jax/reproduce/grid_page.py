# SPDX-License-Identifier: Apache-2.0
"""A grid's results as a page: the table beside the paper's, its figure, and the runs of each set beside each other."""

import base64
from collections.abc import Sequence
from pathlib import Path

from barrel_jax import files
from barrel_jax.benchmark.rows import Row as Measurement
from barrel_jax.evaluation.comparison import ALIKE, Evaluation, compare, read_evaluation
from barrel_jax.paper import Row
from barrel_jax.report.markup import element, joined
from barrel_jax.report.page import Section, page, paragraphs, write_page
from barrel_jax.report.several import comparison_sections
from barrel_jax.report.tables import Cell, Number, table
from barrel_jax.report.training import report_versions
from barrel_jax.reproduce.results import cautions, cells_of, collect, head_of


def write_grid_page(
    grid: str, scored: Sequence[tuple[Row, int, Path | None]], folder: Path, speed: Sequence[Measurement] | None = None
) -> Path:
    """Writes `folder/GRID.html` of runs, each with its metrics.json, or None where it is not done; returns its path.

    `speed` are the measurements that `results.collect` takes.
    """
    records = collect(scored, speed)
    head = head_of(records)
    rows = [[_cell(text) for text in cells_of(record, head)] for record in records]
    sections = [Section("Table", table("Mean over the seeds, beside the paper's", head, rows))]
    picture = folder / f"{grid}.png"
    if picture.exists():
        source = "data:image/png;base64," + base64.b64encode(files.read_bytes(picture)).decode()
        words = f"{grid} as a picture; its numbers are in the table above."
        sections.append(Section("Figure", element("img", src=source, alt=words, class_="picture")))
    groups = _alike(_evaluations(scored))
    names = [f"{group[0].scores.dataset} {group[0].scores.split}" for group in groups]
    for place, evaluations in enumerate(groups):
        # One set may be there twice, scored in another way or another download of it.
        others = f" ({names[: place + 1].count(names[place])})" if names.count(names[place]) > 1 else ""
        of = f": {names[place]}{others}"
        sections += comparison_sections(evaluations, compare(evaluations), of)
    sections.append(Section("Versions", report_versions()))
    words = "One run of each row, its first seed that is done, stands in the sections of scores, curves and faces."
    lead = joined(element("p", words, class_="note"), paragraphs(cautions(records), "caution"))
    path = folder / f"{grid}.html"
    write_page(path, page(f"The paper's {grid}", lead, sections))
    return path


def _evaluations(scored: Sequence[tuple[Row, int, Path | None]]) -> list[Evaluation]:
    """The first run of each row that is done."""
    done: dict[str, tuple[str, Path]] = {}
    for row, seed, path in scored:
        if path and path.exists():
            name = f"{row.label}{', aux loss' if row.aux_loss else ''}, seed {seed}"
            done.setdefault(f"{row.slug}/{row.scored_on}", (name, path.parent))
    return [read_evaluation(folder, name) for name, folder in done.values()]


def _alike(evaluations: Sequence[Evaluation]) -> list[list[Evaluation]]:
    """Those of the same faces together."""
    groups: dict[str, list[Evaluation]] = {}
    for one in evaluations:
        key = repr([getattr(one.scores, field) for field in ALIKE])
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _cell(text: str) -> Cell:
    try:
        return Number(text, float(text))
    except ValueError:
        return text
