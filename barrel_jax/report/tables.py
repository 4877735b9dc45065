# SPDX-License-Identifier: Apache-2.0
"""Tables that are sorted by their heads, and those of thousands of rows, which are drawn as one asks for them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from barrel_jax.report.markup import Content, Markup, data, element


@dataclass(frozen=True)
class Number:
    """A cell with a number: as it is written, as it is sorted (NaN last), and what stands small below it."""

    text: str
    value: float
    below: str = ""


Cell = str | Number


def number(value: float | None, form: str, interval: Sequence[float] = (), missing: str = "–") -> Number:
    """A cell of a number in a format with its interval; `missing` where there is none."""
    if value is None or not math.isfinite(value):
        return Number(missing, math.nan)
    known = len(interval) and all(map(math.isfinite, interval))
    return Number(f"{value:{form}}", value, f"{interval[0]:{form}} to {interval[1]:{form}}" if known else "")


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[Cell]]) -> Markup:
    """A table whose first cell names its row; a head is pressed to sort by its column."""
    numeric = [any(isinstance(row[place], Number) for row in rows) for place in range(len(head))]
    body = [element("tr", _cell(row[0], "th"), (_cell(cell, "td") for cell in row[1:])) for row in rows]
    return _framed(caption, element("table", _top(caption, head, numeric), element("tbody", body)))


def long_table(
    caption: str, head: Sequence[str], digits: Sequence[int | None], rows: Sequence[Sequence[str | float | None]]
) -> Markup:
    """A table of any number of rows, of which the script draws a few at a time, sorts all and finds some.

    Args:
        caption: what it shows.
        head: names of the columns.
        digits: decimals of each column's numbers, None for texts.
        rows: texts and numbers; None is shown as a dash and sorted last.
    """
    empty = element("table", _top(caption, head, [one is not None for one in digits]), element("tbody"))
    rounded = [
        [round(cell, places or 0) if isinstance(cell, float) and math.isfinite(cell) else cell
         for cell, places in zip(row, digits, strict=True)]
        for row in rows
    ]  # fmt: skip
    return element(
        "div",
        element("p", element("label", "Rows with the words ", element("input", type="search"))),
        _framed(caption, empty),
        element("p", element("button", type="button", hidden=True), element("output")),
        data({"digits": digits, "rows": rounded}),
        class_="long",
    )


def _framed(caption: str, content: Markup) -> Markup:
    """A frame that scrolls sideways, by keyboard too."""
    return element("div", content, class_="scroll", tabindex=0, role="region", aria_label=caption)


def _top(caption: str, head: Sequence[str], numeric: Sequence[bool]) -> Content:
    columns = [
        element(
            "th", element("button", name, type="button"), scope="col", class_="number" if is_number else None,
        )
        for name, is_number in zip(head, numeric, strict=True)
    ]  # fmt: skip
    return element("caption", caption), element("thead", element("tr", columns))


def _cell(cell: Cell, tag: str) -> Markup:
    scope = "row" if tag == "th" else None
    if isinstance(cell, str):
        return element(tag, cell, scope=scope)
    below = element("small", cell.below) if cell.below else None
    value = None if math.isnan(cell.value) else cell.value
    return element(tag, cell.text, below, scope=scope, class_="number", data_value="" if value is None else value)
