# SPDX-License-Identifier: Apache-2.0
"""Scores with their intervals as tables, error curves, and the table of all faces."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float

from barrel_jax.evaluation.comparison import Compared
from barrel_jax.evaluation.metrics import THRESHOLDS, auc, cumulative_error, failure_rate
from barrel_jax.evaluation.scores import Summary
from barrel_jax.report.markup import Markup, element
from barrel_jax.report.plots import Axis, Line, plot
from barrel_jax.report.tables import Cell, long_table, number, table

LIMIT, POINTS = 12.5, 251  # of an error curve: percent, and places


def score_table(
    caption: str,
    rows: Mapping[str, Summary | Compared],
    first: str = "faces of",
    paper: Mapping[str, float] | None = None,
) -> Markup:
    """A table with a row for each of `rows`, 95 % intervals below what they are of, and the paper's NMEs in percent."""
    columns = list(rows.values())
    one = columns[0]
    has_crop = any(math.isfinite(scores.nme_crop) for scores in columns)
    compared = any(isinstance(scores, Compared) and scores.difference for scores in columns)
    head = [
        first, "faces", "NME, %", *(["difference, %", "p"] if compared else []),
        *(["NME in the crop, %"] if has_crop else []),
        *(["the paper's, %"] if paper else []),
        *(f"FR@{_percent(t)}, %" for t in one.fr), *(f"AUC@{_percent(t)}" for t in one.auc),
        *(f"P{percent}, %" for percent in one.percentiles),
    ]  # fmt: skip
    body = [
        [
            name,
            number(float(scores.num_images), ",.0f"),
            number(scores.nme, ".2f", scores.nme_interval),
            *(_difference(scores) if compared else []),
            *([number(scores.nme_crop, ".2f")] if has_crop else []),
            *([number(paper.get(name), ".2f")] if paper else []),
            *(number(scores.fr[t], ".2f", scores.fr_interval[t]) for t in one.fr),
            *(number(scores.auc[t], ".4f", scores.auc_interval[t]) for t in one.auc),
            *(number(scores.percentiles[percent], ".2f") for percent in one.percentiles),
        ]
        for name, scores in rows.items()
    ]
    return table(caption, head, body)


def explained(normalised_by: str, crop_frame: str, *more: str) -> Markup:
    """What the columns of a score table mean, a line each."""
    lines = [
        f"NME: mean over the faces of the mean error of their labelled points in source pixels, % of {normalised_by}",
        *(
            [f"NME in the crop ({crop_frame}): x and y as shares of its width and height, as PIPNet measures"]
            * bool(crop_frame)
        ),
        "FR@t: share of the faces whose error is above t, 0 at best",
        "AUC@t: area under the cumulative error curve up to t, 1 at best",
        "P50: error of the median face; P90: that of which nine of ten faces have less",
        "below a number: its 95 % bootstrap interval",
        *more,
    ]
    return element("ul", (element("li", line) for line in lines), class_="note")


def _difference(scores: Summary) -> list[Cell]:
    found = scores.difference if isinstance(scores, Compared) else None
    if found is None:
        return [number(None, "", missing="the first"), number(None, "")]
    return [number(found.nme, "+.3f", found.interval), number(found.p, ".4f")]


def error_curves(title: str, curves: Mapping[str, Float[np.ndarray, " n"]], normalised_by: str) -> Markup:
    """Cumulative error curves with areas and failure rates; a sentence where no face has a score.

    Args:
        title: of the figure.
        curves: errors of the faces of each, fractions, NaN without a score.
        normalised_by: what they are shares of, in words.
    """
    known = {name: nmes for name, nmes in curves.items() if np.isfinite(nmes).any()}
    if not known:
        return element("p", f"No face has a score: is {normalised_by} known of any face?", class_="note")
    grid = np.linspace(0, LIMIT, POINTS)
    lines = [
        Line(
            name,
            grid,
            100 * cumulative_error(nmes, grid / 100),
            tuple(
                text
                for t in THRESHOLDS
                for text in (f"{auc(nmes, t):.4f}", f"{100 * failure_rate(nmes, t):.2f}")
            ),
        )
        for name, nmes in known.items()
    ]  # fmt: skip
    columns = [f"{name}@{100 * t:.0f}%" for t in THRESHOLDS for name in ("AUC", "FR")]
    x = Axis(f"normalised mean error of a face, % of {normalised_by}", 0, LIMIT, unit=" %")
    y = Axis("faces with at most this error, %", 0, 100, unit=" %")
    return plot(title, lines, x, y, columns, marks=[100 * t for t in THRESHOLDS])


def face_table(
    files: Sequence[str],
    numbers: Sequence[int],
    errors: Mapping[str, Float[np.ndarray, " n"]],
    flags: Bool[np.ndarray, "n F"],
    flag_names: Sequence[str],
) -> Markup:
    """All faces, the largest error of the first column first.

    Args:
        files, numbers: of each face [n].
        errors: columns of errors, fractions, NaN without a score.
        flags: of each face; the names of those that a face has stand in its row.
        flag_names: [F].
    """
    rows: list[list[str | float | None]] = []
    columns = {name: column for name, column in errors.items() if np.isfinite(column).any()}
    for face, (file, place) in enumerate(zip(files, numbers, strict=True)):
        found = [100 * float(column[face]) for column in columns.values()]
        names = ", ".join(name for name, has in zip(flag_names, flags[face], strict=True) if has)
        rows.append([file, int(place), *(value if math.isfinite(value) else None for value in found), names])
    if columns:
        rows.sort(key=lambda row: -math.inf if row[2] is None else row[2], reverse=True)
    head = ["file", "face", *(f"{name}, %" for name in columns), "flags"]
    return long_table("Faces, the largest errors first", head, [None, 0, *[2] * len(columns), None], rows)


def _percent(threshold: str) -> str:
    return f"{100 * float(threshold):.0f}%"
