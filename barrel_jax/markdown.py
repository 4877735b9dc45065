# SPDX-License-Identifier: Apache-2.0
"""Tables in Markdown."""

from collections.abc import Iterable, Sequence

BAR = r"\|"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are text already, without a newline at its end. A | in a cell stays in it.

    Raises:
        ValueError: a row has more or fewer cells than the head.
    """
    lines = [list(head), ["---"] * len(head), *map(list, rows)]
    for line in lines:
        if len(line) != len(head):
            raise ValueError(f"a row of {len(line)} cells under {len(head)} columns: {' | '.join(line)}")
    return "\n".join(f"| {' | '.join(cell.replace('|', BAR) for cell in line)} |" for line in lines)
