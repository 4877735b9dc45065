# SPDX-License-Identifier: Apache-2.0
"""Measurements as Markdown tables."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from barrel_jax.benchmark.rows import KEY, Row, failed, measured
from barrel_jax.paper import PAIRS, PAPER_FPS


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in (head, ["---"] * len(head), *rows))


def digits(value: float) -> str:
    """A number with three significant digits, and all of those before the point: 0.531, 39.7, 1821."""
    rounded = float(f"{value:.2e}")
    return f"{value:.{max(0, 2 - math.floor(math.log10(abs(rounded))))}f}" if rounded else "0"


def markdown(result: Mapping[str, Any]) -> str:
    """The tables of one result of `barrel_jax.benchmark`, also of one cut short, the flags, and what failed."""
    tables = {"infer": infer, "train": train, "table4": table4}[result["benchmark"]](result)
    ended = "" if result.get("finished", True) else "*It ended before all rows were measured.*"
    return "\n\n".join(filter(None, [tables, ended, _flags(result["rows"]), failures(result["rows"])]))


def infer(result: Mapping[str, Any]) -> str:
    """One line for each model, batch and precision; a column of milliseconds for each implementation."""
    rows = result["rows"]
    impls = list(dict.fromkeys(row["impl"] for row in rows))
    cases: dict[tuple, dict[str, Row]] = {}
    for row in rows:
        cases.setdefault((row["device"], row["model"], row["precision"], row["batch"]), {})[row["impl"]] = row
    lines = []
    for (device, model, precision, batch), by in cases.items():
        times = {row["impl"]: row["median_ms"] for row in measured(by.values())}
        ways = sorted(times, key=times.__getitem__)
        ours, best = (next((way for way in ways if way.startswith("jax") == own), "") for own in (True, False))
        ratio = f"{ours}: {times[best] / times[ours]:.2f}x {best}" if best and ours else ""
        cells = [digits(times[impl]) if impl in times else "failed" if impl in by else "" for impl in impls]
        lines.append([device, model, precision, str(batch), *cells, ratio])
    head = [
        "device",
        "model",
        "precision",
        "batch",
        *(f"{impl}, ms" for impl in impls),
        "the fastest JAX to the best other",
    ]
    return "\n\n".join(filter(None, [_table(head, lines), _ceilings(result)]))


def _ceilings(result: Mapping[str, Any]) -> str:
    """What the device was measured to do at most, and the most of it that each implementation reached."""
    lines = []
    for ceiling in result.get("ceilings", ()):
        names = [ceiling["device"], ceiling["precision"]]
        if "error" in ceiling:
            lines.append([*names, "failed", "failed", ceiling["error"]])
            continue
        reached: dict[str, float] = {}
        for row in measured(result["rows"]):
            if [row["device"], row["precision"]] == names and row["gflops"] is not None:
                reached[row["impl"]] = max(reached.get(row["impl"], 0.0), row["gflops"] / ceiling["matmul_gflops"])
        said = ", ".join(f"{impl} {100 * share:.0f} %" for impl, share in reached.items())
        lines.append([*names, f"{ceiling['matmul_gflops']:.0f}", f"{ceiling['copy_gb_per_s']:.1f}", said])
    head = ["device", "precision", "large product, GFLOP/s", "copy, GB/s", "most of the product reached"]
    return _table(head, lines) if lines else ""


def _flags(rows: Iterable[Row]) -> str:
    """What each implementation was told of precision, those that were told the same on one line."""
    told: dict[tuple[str, str], list[str]] = {}
    for row in measured(rows):
        said = ", ".join(f"`{name}={value}`" for name, value in row.get("flags", {}).items())
        impls = told.setdefault((row["precision"], said), [])
        if said and row["impl"] not in impls:
            impls.append(row["impl"])
    return "\n".join(f"- {precision}, {', '.join(impls)}: {said}" for (precision, said), impls in told.items() if said)


def failures(rows: Iterable[Row]) -> str:
    """The rows without numbers and why, one a line; "" when there are none."""
    return "\n".join(f"- failed: {', '.join(str(row[name]) for name in KEY)}: {row['error']}" for row in failed(rows))


def train(result: Mapping[str, Any]) -> str:
    """One line for each implementation: a step, faces per second, the paper's recipe, and JAX's speed beside it."""
    ours = {
        (row["device"], row["model"], row["precision"], row["batch"]): row["images_per_s"]
        for row in measured(result["rows"])
        if row["impl"] == "jax"
    }
    lines = []
    for row in result["rows"]:
        case = tuple(row[name] for name in ("device", "model", "precision", "batch"))
        if "error" in row:
            lines.append([*map(str, case), row["impl"], "failed", "", "", ""])
            continue
        ratio = f"{ours[case] / row['images_per_s']:.2f}x" if case in ours and row["impl"] != "jax" else ""
        times = [digits(row["median_ms"]), f"{row['images_per_s']:.1f}", digits(row["recipe_minutes"] / 60)]
        lines.append([*map(str, case), row["impl"], *times, ratio])
    head = ["device", "model", "precision", "batch", "impl", "ms a step", "faces/s"]
    return _table([*head, "hours of 360 epochs of 7,500 faces", "JAX's speed to it"], lines)


def table4(result: Mapping[str, Any]) -> str:
    """The paper's Table 4: frames per second, and how much faster the second model of each pair is."""
    sides = list(dict.fromkeys((row["impl"], row["device"], row["precision"]) for row in result["rows"]))
    fps = {
        (row["model"], row["impl"], row["device"], row["precision"]): row["images_per_s"]
        for row in measured(result["rows"])
    }
    gain = {
        (row["baseline"], row["model"], row["impl"], row["device"], row["precision"]): row["gain_percent"]
        for row in result.get("gains", ())
    }
    devices = list(dict.fromkeys(device for _, device, _ in sides))

    def cell(value: float | None, percent: float | None) -> str:
        if value is None:
            return "failed"
        return f"{value:.1f}" if percent is None else f"{value:.1f} ({percent:+.1f} %)"

    lines = []
    for pair in PAIRS:
        for model in pair:
            line = [model]
            for device in devices:
                theirs, to = (PAPER_FPS[name][device == "cpu"] for name in (model, pair[0]))
                line.append(cell(theirs, None if model == pair[0] else 100 * (theirs / to - 1)))
                for side in (side for side in sides if side[1] == device):
                    line.append(cell(fps.get((model, *side)), None if model == pair[0] else gain.get((*pair, *side))))
            lines.append(line)
    head = ["model"]
    for device in devices:
        head.append(f"paper's FPS, {'CPU' if device == 'cpu' else 'GPU'}")
        head += [f"{impl}, {on}, {precision}: FPS" for impl, on, precision in sides if on == device]
    return _table(head, lines)
