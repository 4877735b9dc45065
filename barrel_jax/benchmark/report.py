# SPDX-License-Identifier: Apache-2.0
"""Measurements as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from barrel_jax.grids import PAIRS, PAPER_FPS


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result of `barrel_jax.benchmark`."""
    return {"infer": infer, "table4": table4}[result["benchmark"]](result)


def infer(result: Mapping[str, Any]) -> str:
    """One line for each model, batch and precision; a column of milliseconds for each implementation."""
    rows = result["rows"]
    impls = list(dict.fromkeys(row["impl"] for row in rows))
    cases: dict[tuple, dict[str, dict]] = {}
    for row in rows:
        cases.setdefault((row["device"], row["model"], row["precision"], row["batch"]), {})[row["impl"]] = row
    lines = []
    for (device, model, precision, batch), by in cases.items():
        others = {impl: row["median_ms"] for impl, row in by.items() if impl != "jax"}
        best = min(others, key=others.__getitem__, default="")
        ratio = f"{others[best] / by['jax']['median_ms']:.2f}x {best}" if best and "jax" in by else ""
        times = [f"{by[impl]['median_ms']:.1f}" if impl in by else "" for impl in impls]
        lines.append([device, model, precision, str(batch), *times, ratio])
    head = [
        "device",
        "model",
        "precision",
        "batch",
        *(f"{impl}, ms" for impl in impls),
        "speed of JAX to the best other",
    ]
    return _table(head, lines)


def table4(result: Mapping[str, Any]) -> str:
    """The paper's Table 4: frames per second, and how much faster the second model of each pair is."""
    rows = result["rows"]
    sides = list(dict.fromkeys((row["impl"], row["device"], row["precision"]) for row in rows))
    fps = {(row["model"], row["impl"], row["device"], row["precision"]): row["images_per_s"] for row in rows}
    gain = {
        (row["baseline"], row["model"], row["impl"], row["device"], row["precision"]): row["gain_percent"]
        for row in result["gains"]
    }
    devices = list(dict.fromkeys(device for _, device, _ in sides))

    def cell(value: float, percent: float | None) -> str:
        return f"{value:.1f}" if percent is None else f"{value:.1f} ({percent:+.1f} %)"

    lines = []
    for pair in PAIRS:
        for model in pair:
            line = [model]
            for device in devices:
                theirs, to = (PAPER_FPS[name][device == "cpu"] for name in (model, pair[0]))
                line.append(cell(theirs, None if model == pair[0] else 100 * (theirs / to - 1)))
                for side in (side for side in sides if side[1] == device):
                    line.append(cell(fps[(model, *side)], None if model == pair[0] else gain[(*pair, *side)]))
            lines.append(line)
    head = ["model"]
    for device in devices:
        head.append(f"paper's FPS, {'CPU' if device == 'cpu' else 'GPU'}")
        head += [f"{impl}, {on}, {precision}: FPS" for impl, on, precision in sides if on == device]
    return _table(head, lines)
