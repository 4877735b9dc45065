# SPDX-License-Identifier: Apache-2.0
"""Errors under stress: a plot for each kind, and the numbers."""

import math

import numpy as np

from barrel_jax.evaluation.scores import Stress
from barrel_jax.report.markup import Markup, element, joined
from barrel_jax.report.page import fold
from barrel_jax.report.plots import Axis, Line, fitting, plot
from barrel_jax.report.tables import Cell, number, table


def under_stress(stress: Stress) -> Markup:
    """Mean error, and the largest of a face, by the strength of each kind; from the unperturbed faces on where all are
    perturbed.
    """
    plain, *records = stress.records
    plots = []
    for kind in dict.fromkeys(record.kind for record in records):
        of_kind = [record for record in records if record.kind == kind and math.isfinite(record.nme)]
        if not of_kind:
            continue
        start = [plain] if of_kind[0].num_images == plain.num_images else []  # another kind is of parts of the faces
        shown = [*start, *of_kind]
        strengths = np.array([record.strength for record in shown])
        lines = [
            Line("mean error", strengths, np.array([record.nme for record in shown])),
            Line("largest error of a face", strengths, np.array([record.worst for record in shown])),
        ]
        x = Axis(of_kind[0].unit, 0, float(strengths.max()))
        plots.append(plot(kind, lines, x, fitting("error, %", lines)._replace(unit=" %")))
    rows: list[list[Cell]] = [
        [
            f"{record.kind} {record.strength:g}" if record is not plain else "unperturbed",
            number(record.nme, ".2f"),
            number(record.worst, ".2f"),
            number(float(record.num_images), ",.0f"),
        ]
        for record in stress.records
    ]
    head = ["kind and strength", "NME, %", "largest error of a face, mean, %", "faces"]
    return joined(
        element("p", f"Errors are shares of {stress.normalised_by}. Large pose: {stress.pose}.", class_="note"),
        element("div", plots, class_="plots"),
        fold("All strengths in numbers", table("Errors under stress", head, rows)),
    )
