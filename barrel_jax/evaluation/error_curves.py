# SPDX-License-Identifier: Apache-2.0
"""Cumulative error curves: what share of the faces has at most an error, of one predictor by subsets or of several."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, UInt8

from barrel_jax.evaluation.metrics import THRESHOLDS, auc, cumulative_error, failure_rate
from barrel_jax.plotting import INK, MUTED, PREDICTED, SUBSETS, new_figure, pixels

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw_error_curve(
    curves: Mapping[str, Float[np.ndarray, " _"]], normalised_by: str, title: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Cumulative error distribution up to beyond the last threshold: RGB uint8 [height, width, 3].

    Args: `curves` maps a name to the errors of its faces [n] (fractions, NaN left out); the first is the whole set,
    drawn thick with its areas and failure rates, the others are subsets. `normalised_by` is that of `metrics.json`.
    Raises ValueError when the first has no scored face.
    """
    (whole, errors), *subsets = curves.items()
    _require_scored(whole, errors, normalised_by)
    figure, axes, grid = _curve_axes(title, normalised_by, "shaded area left of a threshold")
    curve = 100 * cumulative_error(errors, grid)
    for threshold in THRESHOLDS:
        axes.fill_between(100 * grid, curve, where=grid <= threshold + 1e-9, color=PREDICTED, alpha=0.14, lw=0)
    for (name, nmes), color in zip(subsets, SUBSETS * len(subsets), strict=False):
        axes.plot(100 * grid, 100 * cumulative_error(nmes, grid), color=color, lw=1.2, label=_curve_label(name, nmes))
    axes.plot(100 * grid, curve, color=PREDICTED, lw=2.6, label=_curve_label(whole, errors), zorder=3)
    for threshold in THRESHOLDS:
        area, failures = auc(errors, threshold), 100 * failure_rate(errors, threshold)
        note = f"threshold {100 * threshold:.0f} %\nAUC {area:.4f}\nFR {failures:.2f} %"
        axes.annotate(
            note,
            (100 * threshold, 3),
            xytext=(6, 0),
            textcoords="offset points",
            fontsize=9,
            color=INK,
            va="bottom",
            zorder=4,
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5},
        )
    handles, labels = axes.get_legend_handles_labels()
    _curve_legend(axes, handles[-1:] + handles[:-1], labels[-1:] + labels[:-1])
    return pixels(figure)


def draw_error_curves(
    curves: Mapping[str, Float[np.ndarray, " _"]], normalised_by: str, title: str
) -> UInt8[np.ndarray, "height width 3"]:
    """Cumulative error distributions of several predictors on the same faces: RGB uint8 [height, width, 3].

    Args: `curves` maps a predictor's name to the errors of the faces [n] (fractions, NaN left out). Raises ValueError
    when one has no scored face.
    """
    figure, axes, grid = _curve_axes(title, normalised_by, "area below the curve left of a threshold")
    colors = (PREDICTED, *SUBSETS)
    handles: list[Artist] = []
    for place, (name, nmes) in enumerate(curves.items()):
        _require_scored(name, nmes, normalised_by)
        label = ", ".join([_curve_label(name, nmes), *(f"AUC@{100 * t:.0f}% {auc(nmes, t):.4f}" for t in THRESHOLDS)])
        color, line = colors[place % len(colors)], ("-", "--", ":", "-.")[place // len(colors) % 4]
        handles += axes.plot(100 * grid, 100 * cumulative_error(nmes, grid), color=color, ls=line, lw=1.8, label=label)
    # Told which, since it would leave out lines whose names begin with _.
    _curve_legend(axes, handles, [str(handle.get_label()) for handle in handles])
    return pixels(figure)


def _require_scored(name: str, nmes: np.ndarray, normalised_by: str) -> None:
    if np.isnan(nmes).all():
        raise ValueError(
            f"no face of {name} has a score, so there is no error curve: is {normalised_by} known of any face?"
        )


def _curve_axes(title: str, normalised_by: str, area: str) -> "tuple[Figure, Axes, np.ndarray]":
    """A figure with empty axes in percent, and the errors (fractions) at which curves are drawn."""
    figure = new_figure(880, 560)
    axes = figure.add_axes((0.085, 0.12, 0.885, 0.745))
    limit = 1.25 * THRESHOLDS[-1]
    for threshold in THRESHOLDS:
        axes.axvline(100 * threshold, color=MUTED, lw=1, ls=(0, (4, 3)))
    axes.set(xlim=(0, 100 * limit), ylim=(0, 100), ylabel="faces with at most this error, %")
    axes.set_xlabel(f"normalised mean error of a face, % of {normalised_by}")
    axes.grid(color="#DDDDDD", lw=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    words = f"Higher is better. AUC: {area}, 1 at best. FR: faces with a larger error than the threshold, 0 at best."
    figure.text(0.02, 0.955, title, fontsize=12.5, weight="bold", color=INK, va="center", parse_math=False)
    figure.text(0.02, 0.91, words, fontsize=9, color=MUTED, va="center")
    return figure, axes, np.linspace(0, limit, 1001)


def _curve_legend(axes: "Axes", handles: "list[Artist]", labels: list[str]) -> None:
    legend = axes.legend(handles, labels, loc="best", frameon=True, framealpha=0.9, edgecolor="none", fontsize=9)
    for text in legend.get_texts():
        text.set_parse_math(False)  # names of runs and files, in which $ is a letter like any other


def _curve_label(name: str, nmes: np.ndarray) -> str:
    scored = nmes[~np.isnan(nmes)]
    return f"{name}: NME {100 * scored.mean():.2f} %, {len(scored)} faces" if len(scored) else f"{name}: no face scored"
