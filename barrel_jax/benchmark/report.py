# SPDX-License-Identifier: Apache-2.0
"""Measurements as Markdown tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from barrel_jax.grids import PAIRS, PAPER_FPS


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result of `barrel_jax.benchmark`."""
    return {"infer": infer, "train": train, "table4": table4}[result["benchmark"]](result)


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
    return _table(head, lines) + "\n\n" + _ceilings(result)


def _ceilings(result: Mapping[str, Any]) -> str:
    """What the device was measured to do at most, and the most of it that each implementation reached."""
    lines = []
    for ceiling in result["ceilings"]:
        reached: dict[str, float] = {}
        for row in result["rows"]:
            if (row["device"], row["precision"]) == (ceiling["device"], ceiling["precision"]):
                reached[row["impl"]] = max(reached.get(row["impl"], 0.0), row["gflops"] / ceiling["matmul_gflops"])
        said = ", ".join(f"{impl} {100 * share:.0f} %" for impl, share in reached.items())
        numbers = [f"{ceiling['matmul_gflops']:.0f}", f"{ceiling['copy_gb_per_s']:.1f}"]
        lines.append([ceiling["device"], ceiling["precision"], *numbers, said])
    return _table(["device", "precision", "large product, GFLOP/s", "copy, GB/s", "most of the product reached"], lines)


def train(result: Mapping[str, Any]) -> str:
    """One line for each implementation: a step, faces per second, the paper's recipe, and JAX's speed beside it."""
    ours = {
        (row["device"], row["model"], row["precision"], row["batch"]): row["images_per_s"]
        for row in result["rows"]
        if row["impl"] == "jax"
    }
    lines = []
    for row in result["rows"]:
        case = tuple(row[name] for name in ("device", "model", "precision", "batch"))
        ratio = f"{ours[case] / row['images_per_s']:.2f}x" if case in ours and row["impl"] != "jax" else ""
        times = [f"{row['median_ms']:.0f}", f"{row['images_per_s']:.1f}", f"{row['recipe_minutes'] / 60:.1f}"]
        lines.append([*map(str, case), row["impl"], *times, ratio])
    head = ["device", "model", "precision", "batch", "impl", "ms a step", "faces/s"]
    return _table([*head, "hours of 360 epochs of 7,500 faces", "JAX's speed to it"], lines)


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
