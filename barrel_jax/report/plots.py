# SPDX-License-Identifier: Apache-2.0
"""Lines over a common axis as inline SVG, with a slider that reads them off and a legend that hides them.

What is measured in SVG is stretched to the page; texts stand beside it as HTML, so that they keep their size.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Real

from barrel_jax.report.markup import Markup, data, element

COLOURS = 7  # of report.css; further lines are dashed
MOST = 300  # points of a line that are kept
HUNDREDFOLD = 100  # a range from which on an axis is logarithmic


class Line(NamedTuple):
    """A line: y at ascending x, and what the legend says of it, in the order of the plot's `columns`."""

    name: str
    x: Real[np.ndarray, " n"]
    y: Real[np.ndarray, " n"]
    about: tuple[str, ...] = ()


class Axis(NamedTuple):
    """The part of an axis that is shown."""

    label: str
    low: float
    high: float
    log: bool = False
    unit: str = ""  # behind a number that is read off

    def share(self, values: Real[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
        """Where values lie on the axis: 0 at its start, 1 at its end."""
        low, high = (math.log10(end) if self.log else end for end in (self.low, self.high))
        return ((np.log10(values) if self.log else values) - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round numbers on the axis."""
        if self.log:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            several = (1,) if len(powers) > 4 else (1, 2, 5)
            found = [digit * 10.0**power for power in powers for digit in several]
            return [tick for tick in found if self.low <= tick <= self.high]
        step = 10.0 ** math.floor(math.log10((self.high - self.low) / 4))
        step *= next(digit for digit in (1, 2, 5, 10) if (self.high - self.low) / (digit * step) <= 6)
        return [n * step for n in range(math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9) + 1)]


def fitting(label: str, lines: Sequence[Line]) -> Axis:
    """An axis for the heights of lines: from 0, or logarithmic where they span two powers of ten."""
    heights = np.concatenate([line.y for line in lines])
    low, high = float(heights.min()), float(heights.max())
    if low > 0 and high / low >= HUNDREDFOLD:
        return Axis(label, low, high, log=True)
    low, high = min(low, 0.0), max(high, 0.0)
    return Axis(label, low, high + 0.05 * (high - low) if high > low else 1.0)


def thinned(line: Line) -> Line:
    """The line with at most `MOST` points, means of its neighbours."""
    if len(line.x) <= MOST:
        return line
    parts = [np.array_split(values, MOST) for values in (line.x, line.y)]
    return line._replace(x=np.array([part[-1] for part in parts[0]]), y=np.array([part.mean() for part in parts[1]]))


def plot(
    title: str, lines: Sequence[Line], x: Axis, y: Axis, columns: Sequence[str] = (), marks: Sequence[float] = ()
) -> Markup:
    """A figure of lines.

    Args:
        title: its caption.
        lines: finite numbers; they are cut off at the edges of the axes.
        x, y: the axes.
        columns: heads of what lines tell about themselves.
        marks: places on the x axis with a dashed line.
    """
    vertical = [_straight("grid", share, True) for share in x.share(np.array(x.ticks()))]
    level = [_straight("grid", share, False) for share in y.share(np.array(y.ticks()))]
    dashed = [_straight("mark", share, True) for share in x.share(np.array(marks))]
    paths = [
        element("path", class_=_kind(place), d=_path(x.share(line.x), y.share(line.y)), data_line=place)
        for place, line in enumerate(lines)
    ]
    names = ", ".join(line.name for line in lines)
    picture = element(
        "svg", vertical, level, dashed, paths, viewBox="0 0 100 100", preserveAspectRatio="none", role="img",
        aria_label=f"{title}. Lines: {names}. The slider below reads them off.",
    )  # fmt: skip
    area = element("div", picture, element("div", class_="cursor"), class_="area")
    slider = element("input", type="range", min=0, max=1, step=0.002, value=0.4)
    frame = element("div", _ticks(y, "bottom"), area, _ticks(x, "left"), class_="frame")
    numbers = {
        "lines": [{"name": one.name, "x": _short(one.x, 9), "y": _short(one.y, 5)} for one in lines],
        "x": [x.low, x.high, x.log],
        "log": y.log,
        "units": [x.unit, y.unit],
    }
    return element(
        "figure",
        element("figcaption", title),
        element("p", y.label, class_="axis"),
        frame,
        element("p", x.label, class_="axis under"),
        element("p", element("label", "Read off at ", slider), element("output"), class_="reading"),
        _legend(title, lines, columns),
        data(numbers),
        class_="plot",
    )


def _legend(title: str, lines: Sequence[Line], columns: Sequence[str]) -> Markup:
    head = [element("th", name, scope="col") for name in ("line", "there", *columns)]
    rows = [
        element(
            "tr",
            element("th", element("label",
                                  element("input", type="checkbox", checked=True, data_line=place),
                                  element("span", class_=f"swatch {_kind(place)}"), line.name), scope="row"),
            element("td", "–", class_="there"),
            (element("td", text) for text in line.about),
        )
        for place, line in enumerate(lines)
    ]  # fmt: skip
    content = element("table", element("thead", element("tr", head)), element("tbody", rows), class_="legend")
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=f"Lines of {title}")


def _ticks(axis: Axis, side: str) -> Markup:
    marks = [
        element("span", f"{tick:.6g}", style=f"{side}:{100 * share:.2f}%")
        for tick, share in zip(axis.ticks(), axis.share(np.array(axis.ticks())), strict=True)
    ]
    return element("div", marks, class_=f"ticks {side}", aria_hidden="true")


def _straight(kind: str, share: float, upright: bool) -> Markup:
    place = f"{100 * share:.2f}" if upright else f"{100 - 100 * share:.2f}"
    return element("path", class_=kind, d=f"M{place} 0V100" if upright else f"M0 {place}H100")


def _path(across: Float[np.ndarray, " n"], up: Float[np.ndarray, " n"]) -> str:
    return "M" + "L".join(f"{100 * a:.2f} {100 - 100 * u:.2f}" for a, u in zip(across, up, strict=True))


def _kind(place: int) -> str:
    return f"line c{place % COLOURS}" + (" dashed" if place >= COLOURS else "")


def _short(values: Real[np.ndarray, " n"], digits: int) -> list[float]:
    return [float(f"{value:.{digits}g}") for value in values]
